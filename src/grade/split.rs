//! Whether a split into what is learnt from and what is tested on lets the future into the past, event by event; pure.
//!
//! A team's word for its split is not enough. Its evaluation is run on data that only this run has: the lines of the log in no
//! order, and among them users who are nowhere else. What it then says it has trained and tested on must be events of that data.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDateTime;

use crate::evidence::SplitFacts;

/// The largest file of a split.
pub(super) const SPLIT_BYTES: u64 = 256 << 20;
/// The columns that a file of a split must have.
const COLUMNS: [&str; 3] = ["user", "movie", "time"];
/// The most examples that are kept of anything.
const SHOWN: usize = 5;

/// One event: user, movie as a number, seconds since 1970.
pub(super) type Seen = (u32, u32, i64);

/// The events that a split may be made of.
#[derive(Debug, Default)]
pub(super) struct Events {
    movies: HashMap<String, u32>,
    known: HashSet<Seen>,
}

impl Events {
    /// Adds a line of the log, if it says that somebody watched or rated something.
    pub(super) fn add_line(&mut self, line: &str) {
        let mut parts = line.splitn(3, ',');
        let (Some(time), Some(user), Some(request)) = (parts.next(), parts.next(), parts.next()) else {
            return;
        };
        let watched = request
            .strip_prefix("GET /data/m/")
            .and_then(|rest| rest.split_once('/'))
            .map(|(movie, _)| movie);
        let rated = request
            .strip_prefix("GET /rate/")
            .and_then(|rest| rest.split_once('='))
            .map(|(movie, _)| movie);
        if let (Some(seconds), Ok(user), Some(movie)) = (moment(time), user.parse(), watched.or(rated)) {
            let next = self.movies.len() as u32;
            let movie = *self.movies.entry(movie.to_owned()).or_insert(next);
            self.known.insert((user, movie, seconds));
        }
    }
}

/// Reads a moment as logs and tables write it, to whole seconds: `2026-01-03T10:30`, `2026-01-03 10:30:05.120`, or a number of
/// seconds or milliseconds since 1970.
pub(super) fn moment(text: &str) -> Option<i64> {
    /// A number above this counts milliseconds: as seconds it would be the year 5138.
    const MILLIS: i64 = 100_000_000_000;
    let text = text.trim().trim_matches('"');
    if let Ok(number) = text.parse::<i64>() {
        return Some(if number > MILLIS {
            number.div_euclid(1_000)
        } else {
            number
        });
    }
    let text = text
        .trim_end_matches('Z')
        .trim_end_matches("+00:00")
        .replacen(' ', "T", 1);
    let text = text.split('.').next()?;
    let form = if text.len() == "2026-01-03T10:30".len() {
        "%Y-%m-%dT%H:%M"
    } else {
        "%Y-%m-%dT%H:%M:%S"
    };
    Some(
        NaiveDateTime::parse_from_str(text, form)
            .ok()?
            .and_utc()
            .timestamp(),
    )
}

/// One file of a split, compared with the events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    events: BTreeSet<Seen>,
    rows: u64,
    strangers: u64,
    examples: Vec<String>,
}

/// Reads a file of a split: a header with `user`, `movie` and `time` among its columns, then a row for each event.
///
/// # Errors
/// Why it can't be read, as a phrase.
pub(super) fn part(name: &str, text: &str, events: &Events) -> Result<Part, String> {
    let cells = |line: &str| -> Vec<String> {
        let trimmed = |cell: &str| cell.trim().trim_matches('"').to_owned();
        line.split(',').map(trimmed).collect()
    };
    let mut lines = text.lines();
    let header = cells(lines.next().unwrap_or_default().trim_start_matches('\u{feff}'));
    let place = |wanted: &str| {
        header
            .iter()
            .position(|column| column == wanted)
            .ok_or_else(|| format!("`{name}` has no column `{wanted}` in its first line"))
    };
    let [user, movie, time] = [place(COLUMNS[0])?, place(COLUMNS[1])?, place(COLUMNS[2])?];
    let mut part = Part::default();
    for (number, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        part.rows += 1;
        let cells = cells(line);
        let event = || -> Option<Seen> {
            let user = cells.get(user)?;
            // Tables that once had a hole write whole numbers with a point.
            let user = user.strip_suffix(".0").unwrap_or(user).parse().ok()?;
            let movie = *events.movies.get(cells.get(movie)?)?;
            let seen = (user, movie, moment(cells.get(time)?)?);
            events.known.contains(&seen).then_some(seen)
        };
        if let Some(event) = event() {
            part.events.insert(event);
            continue;
        }
        part.strangers += 1;
        if part.examples.len() < SHOWN {
            let row: String = line.chars().take(80).collect();
            part.examples
                .push(format!("{name}:{}: `{row}` is no event of the data", number + 2));
        }
    }
    Ok(part)
}

/// Compares both parts of a split.
pub(super) fn compare(train: &Part, test: &Part, planted: &BTreeSet<u32>) -> SplitFacts {
    let mut newest: BTreeMap<u32, i64> = BTreeMap::new();
    for (user, _, time) in &train.events {
        let known = newest.entry(*user).or_insert(*time);
        *known = (*known).max(*time);
    }
    let users: BTreeSet<u32> = test.events.iter().map(|(user, _, _)| *user).collect();
    let seen = |user: &&u32| users.contains(*user) || newest.contains_key(*user);
    let mut facts = SplitFacts {
        train: train.rows,
        test: test.rows,
        strangers: train.strangers + test.strangers,
        known_users: users.iter().filter(|user| newest.contains_key(*user)).count() as u64,
        users: users.len() as u64,
        planted: planted.len() as u32,
        planted_seen: planted.iter().filter(seen).count() as u32,
        ..SplitFacts::default()
    };
    facts
        .examples
        .extend(train.examples.iter().chain(&test.examples).cloned());
    for event in &test.events {
        let (user, _, time) = event;
        let why = if train.events.contains(event) {
            facts.both += 1;
            "is learnt from and tested on"
        } else if newest.get(user).is_some_and(|newest| newest > time) {
            facts.early += 1;
            "is tested on, and something later is learnt from"
        } else {
            continue;
        };
        if facts.examples.len() < SHOWN {
            let when =
                chrono::DateTime::from_timestamp(*time, 0).map(|moment| moment.naive_utc().to_string());
            facts
                .examples
                .push(format!("user {user} at {}: {why}", when.unwrap_or_default()));
        }
    }
    facts.examples.truncate(SHOWN);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<String> {
        let mut lines = Vec::new();
        for user in 1..=20 {
            for day in 1..=10 {
                lines.push(format!(
                    "2026-01-{day:02}T10:{user:02},{user},GET /data/m/m{day}+2001/9.mpg"
                ));
            }
        }
        lines
    }

    fn events() -> Events {
        let mut events = Events::default();
        for line in log() {
            events.add_line(&line);
        }
        for odd in [
            "",
            "2026-01-01T10:01,x,GET /data/m/a/1.mpg",
            "no time,3,GET /rate/a=3",
            "2026-01-01T10:01,3,GET /da ta/m",
        ] {
            events.add_line(odd);
        }
        assert_eq!(events.known.len(), 200);
        events
    }

    /// Splits the log by a test on user and day.
    fn split(is_test: impl Fn(u32, u32) -> bool) -> SplitFacts {
        let (mut train, mut test) = (
            "user,movie,time\n".to_owned(),
            "time,movie,user,stars\n".to_owned(),
        );
        for user in 1..=20 {
            for day in 1..=10 {
                let time = format!("2026-01-{day:02} 10:{user:02}:00");
                if is_test(user, day) {
                    test.push_str(&format!("{time},m{day}+2001,{user},3\n"));
                } else {
                    train.push_str(&format!("{user},m{day}+2001,{time}\n"));
                }
            }
        }
        let events = events();
        let part = |name: &str, text: &str| part(name, text, &events).unwrap();
        compare(
            &part("train.csv", &train),
            &part("test.csv", &test),
            &[19, 20, 99].into(),
        )
    }

    #[test]
    fn splits_by_time_and_by_user_leak_nothing() {
        let found = split(|_, day| day > 7);
        assert_eq!((found.train, found.test, found.strangers), (140, 60, 0));
        assert_eq!(
            (found.both, found.early, found.known_users, found.users),
            (0, 0, 20, 20)
        );
        assert_eq!((found.planted, found.planted_seen), (3, 2));
        let found = split(|user, _| user > 15);
        assert_eq!(
            (found.both, found.early, found.known_users, found.users),
            (0, 0, 0, 5)
        );
        // Each user's last event, whatever the others do later.
        let found = split(|user, day| day == 10 || user < 3 && day == 9);
        assert_eq!((found.both, found.early), (0, 0));
    }

    #[test]
    fn a_split_at_random_leaks_nearly_everything() {
        let found = split(|user, day| (user * 7 + day * 3) % 5 == 0);
        assert_eq!((found.test, found.both), (40, 0));
        assert!(found.early > 35, "{found:?}");
        assert!(
            found.examples[0].contains("something later is learnt from"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_learnt_from_and_tested_on_is_found() {
        let events = events();
        let row = "user,movie,time\n3,m4+2001,2026-01-04T10:03\n";
        let one = part("a.csv", row, &events).unwrap();
        let found = compare(&one, &one, &BTreeSet::new());
        assert_eq!((found.both, found.early), (1, 0));
    }

    #[test]
    fn rows_that_are_no_events_and_files_without_the_columns_are_told() {
        let events = events();
        let rows = "user,movie,time\n1,m1+2001,2026-01-01T10:01\n1,m1+2001,2026-01-01\n1,heat+1995,2026-01-01T10:01\n7\n";
        let found = part("train.csv", rows, &events).unwrap();
        assert_eq!((found.rows, found.strangers, found.events.len()), (4, 3, 1));
        assert!(found.examples[0].starts_with("train.csv:3: `1,m1+2001,2026-01-01` is no event"));
        let fault = part("train.csv", "user;movie;time\n", &events).unwrap_err();
        assert!(fault.contains("no column `user`"), "{fault}");
    }

    #[test]
    fn moments_are_read_in_the_forms_that_people_write() {
        for text in [
            "2026-01-03T10:30",
            "2026-01-03T10:30:00",
            "2026-01-03 10:30:00.123",
            "2026-01-03T10:30:00Z",
            "2026-01-03 10:30:00+00:00",
            "1767436200",
            "1767436200000",
        ] {
            assert_eq!(moment(text), Some(1_767_436_200), "{text}");
        }
        for text in ["", "2026-01-03", "yesterday", "2026-13-03T10:30"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_or_refused(text in "(user|movie|time|,|\n|1|m1\\+2001|2026-01-01T10:01|\"|\r){0,40}") {
            drop(part("a.csv", &text, &events()));
        }
    }
}
