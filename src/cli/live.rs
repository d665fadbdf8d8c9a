//! `grade MILESTONE --live` and `--from-log`: the criteria of windows, from the open company's store or from its streams.
//!
//! Both read the same requests: the store has them as the server counted them, the stream as they were published. What they
//! find is the same to the last digit. When the company itself was down, and which model a service named, only the store knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::Grade;
use super::exit::Exit;
use super::grade::show_class;
use super::log::kafka_config;
use super::run::{Milestone, exit_of, world_ref, write_pages};
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::{Course, CourseFiles, Team};
use crate::event::{Record, SimTime};
use crate::grade::MEASURES;
use crate::rubric::{Rubric, score};
use crate::scorecard::{Figures, MeasureRow, RunKind, SCHEMA, Scorecard, ServiceRef};
use crate::server::{Reading, Titles, deadline_ms, shown};
use crate::store::Store;
use crate::stream::{At, Page, Place, Reader, StreamError};
use crate::window::{Asked, Span, Watch};
use crate::world::World;

/// What is read of the store at once: an hour of a team's requests.
const AT_ONCE_US: i64 = 3_600_000_000;
/// How far before and behind a window a stream is read: requests of a moment stand within their deadline of each other.
const SLACK_US: i64 = 600_000_000;
/// How many lines are looked at for one whose moment can be read.
const LOOKS: u64 = 1_000;
/// How near the beginning is sought: so many lines too many are read sooner than a broker looks for them.
const NEAR: u64 = 10_000;
/// How long a stream that has more may take to give it.
const WAIT: Duration = Duration::from_secs(20);
/// A record that ends this long before its window does is told of.
const SHORT_US: i64 = 600_000_000;

/// What all teams of a run have in common.
struct Office<'a> {
    milestone: &'a Milestone,
    course: &'a Course,
    world: &'a Arc<World>,
    submitted: SimTime,
    outages: Vec<Span>,
    /// The moment before which the store has forgotten single requests.
    forgotten: Option<SimTime>,
    from_log: Option<&'a str>,
    /// Settings of the client of Kafka.
    client: BTreeMap<String, String>,
    stop: &'a Stop,
    clock: Clock,
}

/// Grades every deployed team of the course by the windows around a submission.
pub(super) fn grade(
    args: &Grade,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let milestone = Milestone::open(files, &args.milestone)?;
    let course = files.course()?;
    let submitted = submitted(args, &course)?;
    if Watch::new(&milestone.rubric, submitted, Vec::new())
        .span()
        .is_none()
    {
        return Err(Failure::usage(format!(
            "no criterion of `{}` is about a window",
            milestone.rubric.id
        ))
        .hint(
            "`m1` and `m3` have windows; `window` of a criterion and `[window.NAME]` in a rubric make them",
        ));
    }
    let teams = teams(args, &course)?;
    let mut store = open(args)?;
    let world =
        Arc::new(World::new(&course.key, course.world, available()).with_habits(course.habits.clone()));
    let outages = store.outages().map_err(|error| failed(&error))?;
    let office = Office {
        milestone: &milestone,
        course: &course,
        world: &world,
        submitted,
        outages: outages
            .into_iter()
            .map(|spell| Span {
                from: spell.from,
                until: spell.until,
            })
            .collect(),
        forgotten: store.forgotten_before().map_err(|error| failed(&error))?,
        from_log: args.windows.from_log.as_deref(),
        client: kafka_config(args.windows.kafka_config.as_deref())?,
        stop,
        clock,
    };
    fs::create_dir_all(&args.out)
        .map_err(|error| Failure::machine(format!("cannot make `{}`: {error}", args.out.display())))?;
    let mut cards = Vec::new();
    for (place, team) in teams.iter().enumerate() {
        ui.progress(format_args!("{} ({} of {})", team.name, place + 1, teams.len()));
        let card = office.card(team, &mut store)?;
        let own = args.out.join(&team.name);
        fs::create_dir_all(&own)
            .map_err(|error| Failure::machine(format!("cannot make `{}`: {error}", own.display())))?;
        write_pages(&card, &own)?;
        cards.push(card);
    }
    show_class((&cards, &[]), &args.out, &args.milestone, args.json, ui)?;
    Ok(exit_of(&cards))
}

/// Returns the teams to be graded: those with an address, or those that `--only` names.
fn teams<'c>(args: &Grade, course: &'c Course) -> Result<Vec<&'c Team>, Failure> {
    let deployed: Vec<&Team> = course
        .teams
        .iter()
        .filter(|team| team.address.is_some())
        .collect();
    if deployed.is_empty() {
        return Err(
            Failure::usage("the course has no team with an address: nothing was asked of anybody")
                .hint("`address` under [[team]] in course.toml is where the open company asks"),
        );
    }
    for only in &args.only {
        if deployed.iter().all(|team| team.name != *only) {
            return Err(Failure::usage(format!(
                "no team with an address is called `{}`",
                only.escape_debug()
            )));
        }
    }
    let is_wanted = |team: &&&Team| args.only.is_empty() || args.only.contains(&team.name);
    Ok(deployed.iter().filter(is_wanted).copied().collect())
}

/// Opens the store that a server keeps; one that is not there would be made, and be empty.
fn open(args: &Grade) -> Result<Store, Failure> {
    let in_state = || args.windows.state.join("store.sqlite").display().to_string();
    let place = args.windows.store.clone().unwrap_or_else(in_state);
    if !place.contains("://") && !Path::new(&place).is_file() {
        return Err(Failure::usage(format!("there is no store at `{place}`"))
            .hint("--state is the folder that `serve` writes to; --store names a PostgreSQL, or a file"));
    }
    Store::open(&place).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::machine(error.to_string())
}

fn submitted(args: &Grade, course: &Course) -> Result<SimTime, Failure> {
    match &args.windows.submitted {
        Some(text) => course.calendar.read(text).map_err(|why| {
            Failure::usage(why).hint("as in --submitted 2026-09-28T23:59, in the course's time zone")
        }),
        None => course.calendar.due(&args.milestone).ok_or_else(|| {
            Failure::usage(format!(
                "the calendar does not say when `{}` is due",
                args.milestone
            ))
            .hint("`[[milestone]]` with `id` and `due` in course.toml, or --submitted 2026-09-28T23:59")
        }),
    }
}

impl Office<'_> {
    fn card(&self, team: &Team, store: &mut Store) -> Result<Scorecard, Failure> {
        let mut watch = Watch::new(&self.milestone.rubric, self.submitted, self.outages.clone());
        let Some(span) = watch.span() else {
            return Err(Failure::usage("no criterion is about a window"));
        };
        let titles = Titles(Arc::clone(self.world));
        let deadline_ms = deadline_ms(self.world.spec().profile);
        let mut last = None;
        let mut take = |record: &Record| {
            last = last.max(Some(record.time));
            if let Some(asked) = Asked::from_record(record, &titles, deadline_ms) {
                watch.asked(&asked);
            }
        };
        match self.from_log {
            Some(place) => self.read_stream(place, team, span, &mut take)?,
            None => self.read_store(store, team, span, &mut take)?,
        }
        let sightings = store.sightings(team.number).map_err(|error| failed(&error))?;
        for (at, model) in sightings.iter().filter(|(at, _)| span.holds(*at)) {
            watch.model(*at, model);
        }
        Ok(self.scorecard(&watch, team, span, last))
    }

    /// Tells every request of a span that the store has of a team, in its order.
    fn read_store(
        &self,
        store: &mut Store,
        team: &Team,
        span: Span,
        take: &mut dyn FnMut(&Record),
    ) -> Result<(), Failure> {
        if let Some(forgotten) = self.forgotten.filter(|forgotten| span.from < *forgotten) {
            return Err(Failure::usage(format!(
                "the store has forgotten single requests before {}, and the window begins at {}",
                shown(forgotten),
                shown(span.from)
            ))
            .hint("--from-log STATE/streams reads them from the streams, which forget nothing; `keep_days` under [live] keeps more"));
        }
        let titles = Titles(Arc::clone(self.world));
        let mut from = span.from;
        while from < span.until {
            self.go_on()?;
            let until = SimTime(from.0.saturating_add(AT_ONCE_US)).min(span.until);
            let records = store
                .requests(team.number, (from, until), &titles)
                .map_err(|error| failed(&error))?;
            records.iter().for_each(&mut *take);
            from = until;
        }
        Ok(())
    }

    /// Tells every request of a span that stands in a team's stream, in its order.
    fn read_stream(
        &self,
        place: &str,
        team: &Team,
        span: Span,
        take: &mut dyn FnMut(&Record),
    ) -> Result<(), Failure> {
        let topic = format!("{}/{}", place.trim_end_matches('/'), team.topic());
        let told = |error: StreamError| {
            match error {
            StreamError::NoTopic(topic) => Failure::usage(format!("`{place}` has no topic `{topic}` of the team `{}`", team.name))
                .hint("--from-log takes the folder of the streams, STATE/streams, or kafka://host:port; --only leaves teams out"),
            other => Failure::machine(other.to_string()),
        }
        };
        let place = Place::parse(&topic).map_err(told)?.with_client(&self.client);
        let mut reader = place.reader(self.clock).map_err(told)?;
        let bounds = reader.bounds().map_err(told)?;
        let from = SimTime(span.from.0.saturating_sub(SLACK_US));
        let first = begin(reader.as_mut(), bounds.clone(), from).map_err(told)?;
        reader.seek(At::Seq(first)).map_err(told)?;
        let mut reading = Reading::near(self.course, self.world, from);
        let mut page = Page::default();
        let last = span.until.0.saturating_add(SLACK_US);
        while reader.position() < bounds.end {
            self.go_on()?;
            if reader.read(&mut page, WAIT).map_err(told)? == 0 {
                return Err(Failure::machine(format!(
                    "`{topic}` gave nothing within {} s behind its event {}",
                    WAIT.as_secs(),
                    reader.position()
                )));
            }
            for entry in page.entries() {
                if let Some(record) = reading.request(entry.seq, entry.line) {
                    if record.time.0 > last {
                        return Ok(());
                    }
                    if span.holds(record.time) {
                        take(&record);
                    }
                }
            }
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.stop.is_set() {
            return Err(Failure {
                exit: Exit::Interrupted,
                message: "interrupted; the same command begins again".to_owned(),
                hint: None,
            });
        }
        Ok(())
    }

    fn scorecard(&self, watch: &Watch<'_>, team: &Team, span: Span, last: Option<SimTime>) -> Scorecard {
        let findings = watch.findings();
        let scored = score(&by_windows(&self.milestone.rubric), &findings, RunKind::Grade);
        let measures = MEASURES
            .iter()
            .filter_map(|info| {
                Some(MeasureRow {
                    id: info.id.to_owned(),
                    unit: info.unit.to_owned(),
                    about: info.about.to_owned(),
                    finding: findings.get(info.id)?.clone(),
                })
            })
            .collect();
        let mut notes = vec![format!(
            "made from the company's own record of {} to {}, around the submission at {}: what no window tells has no verdict here",
            shown(span.from),
            shown(span.until),
            shown(self.submitted)
        )];
        match last {
            None => notes.push("the company asked nothing of this service in that time".to_owned()),
            Some(last) if last.0.saturating_add(SHORT_US) < span.until.0 => notes.push(format!(
                "the record ends at {}, before the window does: grade again when it is over",
                shown(last)
            )),
            Some(_) => {}
        }
        Scorecard {
            schema: SCHEMA.to_owned(),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            kind: RunKind::Grade,
            milestone: self.milestone.assignment.id.clone(),
            submission: team.name.clone(),
            rubric: self.milestone.rubric_ref.clone(),
            world: world_ref(self.world, self.course.practice),
            seed: 0,
            started_at: self.clock.stamp(),
            duration_s: 0.0,
            score: scored.score,
            max: scored.max,
            bonus_max: scored.bonus_max,
            pending: scored.pending,
            undecided: scored.undecided,
            criteria: scored.criteria,
            measures,
            figures: Figures::default(),
            service: ServiceRef {
                address: team.address.clone().unwrap_or_default(),
                ..ServiceRef::default()
            },
            notes,
            evidence: BTreeMap::new(),
        }
    }
}

/// Returns a rubric whose criteria of windows wait for each other alone: what else they need, a start or valid lists of a run, is
/// not seen here, and the requests themselves say whether the service answered.
fn by_windows(rubric: &Rubric) -> Rubric {
    let mut rubric = rubric.clone();
    let of_windows: BTreeSet<String> = rubric
        .criteria
        .iter()
        .filter(|criterion| criterion.window.is_some())
        .map(|criterion| criterion.id.clone())
        .collect();
    for criterion in rubric
        .criteria
        .iter_mut()
        .filter(|criterion| criterion.window.is_some())
    {
        criterion.needs.retain(|need| of_windows.contains(need));
    }
    rubric
}

/// Returns the first event from which on none of a moment or later is missed: lines of a stream are in order of time, but
/// for those that took until their deadline.
fn begin(reader: &mut dyn Reader, bounds: std::ops::Range<u64>, from: SimTime) -> Result<u64, StreamError> {
    let (mut low, mut high) = (bounds.start, bounds.end);
    while low + NEAR < high {
        let middle = low + (high - low) / 2;
        match moment_at(reader, middle..high)? {
            Some(at) if at < from => low = middle + 1,
            _ => high = middle,
        }
    }
    // The line before may be one that could not be read, with others like it.
    Ok(low.saturating_sub(LOOKS).max(bounds.start))
}

/// Returns the moment of the first line of a range that can be read.
fn moment_at(reader: &mut dyn Reader, range: std::ops::Range<u64>) -> Result<Option<SimTime>, StreamError> {
    reader.seek(At::Seq(range.start))?;
    let mut page = Page::default();
    let end = range.end.min(range.start + LOOKS);
    while reader.position() < end && reader.read(&mut page, WAIT)? > 0 {
        for entry in page.entries().filter(|entry| entry.seq < end) {
            let record = std::str::from_utf8(entry.line).ok().map(Record::parse);
            if let Some(Ok(record)) = record {
                return Ok(Some(record.time));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::stream::{Archive, Publisher, TopicName, WriteOptions};
    use crate::world::Profile;

    #[test]
    fn a_stream_is_read_from_just_before_a_moment_on_whatever_its_lines_are() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let (archive, topic) = (Archive::new(dir.path()), TopicName::new("movielog1").unwrap());
        let mut publisher = archive.publisher(&topic, WriteOptions::default(), clock).unwrap();
        let start = SimTime::from_date(2026, 9, 1).seconds();
        for second in 0..40_000 {
            let record = Record {
                time: SimTime::from_seconds(start + second),
                user: 1,
                event: Event::CreateAccount,
            };
            let mut line = Vec::new();
            record.print(Profile::Current, &mut line);
            // Every third has a character that leaves no line of the log.
            if second % 3 == 0 {
                line.insert(2, b' ');
            }
            publisher.publish(0, &line).unwrap();
        }
        publisher.flush().unwrap();
        let mut reader = archive.reader(&topic, clock).unwrap();
        let at = |second: i64| SimTime::from_seconds(start + second);
        for second in [0, 1, 1_500, 13_000, 25_000, 39_999] {
            let first = begin(&mut reader, 0..40_000, at(second)).unwrap();
            assert!(first <= second as u64, "{first} {second}");
            assert!(first + NEAR + LOOKS >= second as u64, "{first} {second}");
        }
        let behind = begin(&mut reader, 0..40_000, at(90_000)).unwrap();
        assert!(behind >= 40_000 - NEAR - LOOKS, "{behind}");
    }
}
