//! The calendar of a course: its term, the days its milestones are due, when quirks of the stream begin and end, and how the
//! open company is played.
//!
//! Course files name moments of the course's own time zone. The log has a clock of its own, without a zone: the local time of
//! the first day of the term, which goes on evenly when the clocks of the place are put forward or back.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use crate::coursefile::{Section, suggest};
use crate::event::SimTime;

/// The most milestones and quirks.
const MOST: usize = 100;

/// When things are.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    zone: Tz,
    /// What the log's clock is ahead of UTC, in seconds.
    ahead_s: i64,
    /// The first moment of the term.
    pub start: SimTime,
    /// The first moment after the term.
    pub end: SimTime,
    /// When each milestone is due, in order of time.
    pub due: Vec<Due>,
    /// What is odd about the stream, and when.
    pub quirks: Vec<Quirk>,
    /// How the open company is played.
    pub live: Live,
}

/// When a milestone is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The milestone.
    pub milestone: String,
    /// The moment before which it is to be submitted.
    pub at: SimTime,
}

/// Something odd about the lines of the stream, for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quirk {
    /// What.
    pub kind: QuirkKind,
    /// The share of lines that have it.
    pub share: f64,
    /// The first moment.
    pub from: SimTime,
    /// The first moment after it.
    pub until: SimTime,
}

/// What is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuirkKind {
    /// A random character stands somewhere in the line, mostly a blank.
    Inserted,
    /// The line is well-formed and cannot be true: a user above the highest number, fifteen stars of five.
    Implausible,
}

impl QuirkKind {
    /// The words of course files.
    const WORDS: [(&str, Self); 2] = [("inserted", Self::Inserted), ("implausible", Self::Implausible)];

    /// Returns the word of course files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inserted => Self::WORDS[0].0,
            Self::Implausible => Self::WORDS[1].0,
        }
    }
}

/// How the open company is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Live {
    /// Requests for recommendations to each team, a second on average.
    pub requests_per_s: f64,
    /// How often the viewers of all teams are saved, in seconds.
    pub checkpoint_s: u32,
    /// The days for which single requests are kept in the store.
    pub keep_days: u32,
    /// How often a team's service is asked which model it has, in seconds.
    pub model_s: u32,
    /// Requests of one client to the company's API, a minute.
    pub api_per_minute: u32,
    /// Requests of one client to the company's API at once, after a pause.
    pub api_burst: u32,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            requests_per_s: 4.0,
            checkpoint_s: 60,
            keep_days: 30,
            model_s: 60,
            api_per_minute: 600,
            api_burst: 100,
        }
    }
}

impl Calendar {
    /// Returns the log's time at a moment.
    pub fn of_utc(&self, moment: DateTime<Utc>) -> SimTime {
        SimTime(moment.timestamp_micros() + self.ahead_s * 1_000_000)
    }

    /// Returns the moment that the log's time names.
    pub fn to_utc(&self, at: SimTime) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(at.0 - self.ahead_s * 1_000_000).unwrap_or_default()
    }

    /// Reads a moment of the course's time zone, `2026-09-28` or `2026-09-28T23:59`, as the log's time.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(&self, text: &str) -> Result<SimTime, String> {
        moment(self.zone, text).map(|utc| self.of_utc(utc))
    }

    /// Reads a moment as [`Calendar::read`] does, one of the term.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read_in_term(&self, text: &str) -> Result<SimTime, String> {
        let at = self.read(text)?;
        if at < self.start || at > self.end {
            return Err(format!("`{text}` is not within the term"));
        }
        Ok(at)
    }

    /// Returns when a milestone is due, if the calendar says so.
    pub fn due(&self, milestone: &str) -> Option<SimTime> {
        self.due
            .iter()
            .find(|due| due.milestone == milestone)
            .map(|due| due.at)
    }
}

/// Reads `[calendar]`, `[[milestone]]`, `[[quirk]]` and `[live]`; without a calendar the built-in term is played in UTC.
pub(super) fn read(root: &Section<'_>, start: SimTime) -> Calendar {
    let mut calendar = Calendar {
        zone: Tz::UTC,
        ahead_s: 0,
        start,
        end: start.plus_seconds(16 * 7 * 86_400),
        due: Vec::new(),
        quirks: Vec::new(),
        live: live(root),
    };
    if let Some(section) = root.table("calendar") {
        section.require("start");
        if let Some(name) = section.text("timezone") {
            if let Ok(zone) = name.parse() {
                calendar.zone = zone;
            } else {
                let names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
                let hint = suggest(&name, &names)
                    .unwrap_or_else(|| "a name of the IANA data base, as `America/New_York`".to_owned());
                section.fault_at("timezone", "there is no such time zone", Some(hint));
            }
        }
        let first = at(&section, "start", calendar.zone);
        if let Some(first) = first {
            let local = calendar.zone.offset_from_utc_datetime(&first.naive_utc());
            calendar.ahead_s = i64::from(local.fix().local_minus_utc());
            calendar.start = calendar.of_utc(first);
            calendar.end = calendar.start.plus_seconds(16 * 7 * 86_400);
        }
        if let Some(last) = at(&section, "end", calendar.zone) {
            calendar.end = calendar.of_utc(last);
        }
        if calendar.end <= calendar.start {
            section.fault_at("end", "the term ends before it begins", None);
        }
        section.finish();
    }
    let milestones = root.tables("milestone");
    let quirks = root.tables("quirk");
    for (key, count) in [("milestone", milestones.len()), ("quirk", quirks.len())] {
        if count > MOST {
            root.fault_at(key, format!("more than {MOST} of them"), None);
        }
    }
    for section in milestones {
        let milestone = section.required_text("id");
        section.require("due");
        if calendar.due.iter().any(|due| due.milestone == milestone) {
            section.fault_at("id", format!("`{milestone}` is there twice"), None);
        }
        if let Some(utc) = at(&section, "due", calendar.zone) {
            let at = calendar.of_utc(utc);
            if at < calendar.start || at > calendar.end {
                section.fault_at("due", "this is not within the term", None);
            }
            calendar.due.push(Due { milestone, at });
        }
        section.finish();
    }
    calendar.due.sort_by_key(|due| due.at);
    for section in quirks {
        let quirk = quirk(&section, &calendar);
        section.finish();
        calendar.quirks.extend(quirk);
    }
    calendar
}

fn quirk(section: &Section<'_>, calendar: &Calendar) -> Option<Quirk> {
    section.require("kind");
    let kind = section.choice("kind", &QuirkKind::WORDS);
    let share = section.number_in("share", 0.0..=1.0).unwrap_or(0.0006);
    let from = at(section, "from", calendar.zone).map_or(calendar.start, |utc| calendar.of_utc(utc));
    let until = at(section, "until", calendar.zone).map_or(calendar.end, |utc| calendar.of_utc(utc));
    if until <= from {
        let key = if section.has("until") { "until" } else { "from" };
        section.fault_at(key, "it ends before it begins", None);
    }
    Some(Quirk {
        kind: kind?,
        share,
        from,
        until,
    })
}

fn live(root: &Section<'_>) -> Live {
    let mut live = Live::default();
    if let Some(section) = root.table("live") {
        let whole = |key: &str, most: i64, usual: u32| {
            section
                .integer_in(key, 1..=most)
                .map_or(usual, |number| number as u32)
        };
        live.requests_per_s = section
            .number_in("requests_per_s", 0.001..=100.0)
            .unwrap_or(live.requests_per_s);
        live.checkpoint_s = whole("checkpoint_s", 3_600, live.checkpoint_s);
        live.keep_days = whole("keep_days", 1_000, live.keep_days);
        live.model_s = whole("model_s", 86_400, live.model_s);
        live.api_per_minute = whole("api_per_minute", 1_000_000, live.api_per_minute);
        live.api_burst = whole("api_burst", 1_000_000, live.api_burst);
        section.finish();
    }
    live
}

/// Reads a moment of a section, with its faults told.
fn at(section: &Section<'_>, key: &str, zone: Tz) -> Option<DateTime<Utc>> {
    let text = section.text(key)?;
    moment(zone, &text)
        .map_err(|why| {
            let hint = "a day, or a day and a time: \"2026-09-28\", \"2026-09-28T23:59\"".to_owned();
            section.fault_at(key, why, Some(hint));
        })
        .ok()
}

fn moment(zone: Tz, text: &str) -> Result<DateTime<Utc>, String> {
    let day = || {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        day.and_hms_opt(0, 0, 0)
    };
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))
        .ok()
        .or_else(day)
        .ok_or_else(|| format!("`{}` is no moment of the calendar", text.escape_debug()))?;
    match zone.from_local_datetime(&local) {
        LocalResult::Single(moment) => Ok(moment.with_timezone(&Utc)),
        LocalResult::Ambiguous(_, _) => Err(format!(
            "`{text}` is there twice in {zone}, as the clocks are put back: take a time an hour before or after"
        )),
        LocalResult::None => Err(format!(
            "`{text}` is not there in {zone}, as the clocks are put forward: take a time an hour before or after"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coursefile::{Document, Faults};

    fn calendar(text: &str) -> Result<Calendar, Faults> {
        let document = Document::parse("course.toml", text)?;
        let root = document.root();
        let calendar = read(&root, SimTime::from_date(2026, 8, 31));
        root.finish();
        document.finish()?;
        Ok(calendar)
    }

    const HEAD: &str =
        "[calendar]\ntimezone = 'America/New_York'\nstart = '2026-08-31'\nend = '2026-12-18'\n";

    #[test]
    fn deadlines_keep_their_place_on_the_wall_and_the_log_goes_on_evenly() {
        let text = format!(
            "{HEAD}[[milestone]]\nid = 'm1'\ndue = '2026-09-28T23:59'\n[[milestone]]\nid = 'm3'\ndue = '2026-11-09T23:59'\n"
        );
        let calendar = calendar(&text).unwrap();
        let stamp = |milestone: &str| calendar.to_utc(calendar.due(milestone).unwrap()).to_rfc3339();
        assert_eq!(stamp("m1"), "2026-09-29T03:59:00+00:00");
        // The clocks were put back on the first of November.
        assert_eq!(stamp("m3"), "2026-11-10T04:59:00+00:00");
        assert_eq!(calendar.start, SimTime::from_date(2026, 8, 31));
        let log = calendar.due("m3").unwrap().seconds() - calendar.start.seconds();
        assert_eq!(
            log,
            70 * 86_400 + 24 * 3600 + 59 * 60,
            "the log is an hour ahead by then"
        );
    }

    #[test]
    fn hours_that_the_clocks_leave_out_or_have_twice_are_told() {
        for (due, told) in [
            ("2026-11-01T01:30", "is there twice"),
            ("2026-03-08T02:30", "is not there"),
        ] {
            let text = format!(
                "[calendar]\ntimezone = 'America/New_York'\nstart = '2026-01-12'\n[[milestone]]\nid = 'm1'\ndue = '{due}'\n"
            );
            let faults = calendar(&text).unwrap_err().to_string();
            assert!(
                faults.contains("course.toml:6:7:") && faults.contains(told),
                "{faults}"
            );
        }
    }

    #[test]
    fn quirks_have_their_time_and_the_rest_of_the_term_if_none_is_given() {
        let text = format!(
            "{HEAD}[[quirk]]\nkind = 'inserted'\nfrom = '2026-10-01'\n[[quirk]]\nkind = 'implausible'\nshare = 0.1\nuntil = '2026-10-02T12:00'\n[live]\nrequests_per_s = 0.5\n"
        );
        let calendar = calendar(&text).unwrap();
        assert_eq!(calendar.quirks[0].from, SimTime::from_date(2026, 10, 1));
        assert_eq!(calendar.quirks[0].until, calendar.end);
        assert_eq!(
            (calendar.quirks[1].from, calendar.quirks[1].share),
            (calendar.start, 0.1)
        );
        assert_eq!((calendar.live.requests_per_s, calendar.live.keep_days), (0.5, 30));
    }

    #[test]
    fn every_fault_of_the_calendar_is_told_with_its_place() {
        let faults = calendar(
            "[calendar]\ntimezone = 'America/New_Yorc'\nstart = 'monday'\n[[milestone]]\nid = 'm1'\ndue = '2031-01-01'\n[[quirk]]\nkind = 'insertd'\nfrom = '2026-10-02'\nuntil = '2026-10-01'\n[live]\nkeep_day = 3\n",
        )
        .unwrap_err()
        .to_string();
        for told in [
            "course.toml:2:12: there is no such time zone\n  hint: did you mean `America/New_York`?",
            "course.toml:3:9: `monday` is no moment",
            "course.toml:6:7: this is not within the term",
            "hint: did you mean `inserted`?",
            "course.toml:10:9: it ends before it begins",
            "hint: did you mean `keep_days`?",
        ] {
            assert!(faults.contains(told), "`{told}` is not in\n{faults}");
        }
    }
}
