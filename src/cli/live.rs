//! `grade MILESTONE --live` and `--from-log`: the criteria of windows, from the open company's store or from its streams.
//!
//! Both read the same requests: the store has them as the server counted them, the stream as they were published. What they
//! find is the same to the last digit. When the company itself was down, and which model a service named, only the store knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use super::args::Grade;
use super::exit::Exit;
use super::grade::show_class;
use super::log::kafka_config;
use super::requests::{Source, failed, open};
use super::run::{Milestone, exit_of, world_ref, write_pages};
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::{Course, CourseFiles, Team};
use crate::event::{Record, SimTime};
use crate::grade::MEASURES;
use crate::rubric::{Rubric, score};
use crate::scorecard::{Figures, MeasureRow, RunKind, SCHEMA, Scorecard, ServiceRef};
use crate::server::{Reading, Titles, calendar, deadline_ms, shown};
use crate::store::Store;
use crate::window::{Asked, Span, Watch};
use crate::world::World;

/// A record that ends this long before its window does is told of.
const SHORT_US: i64 = 600_000_000;

/// What all teams of a run have in common.
struct Office<'a> {
    milestone: &'a Milestone,
    course: &'a Course,
    world: &'a Arc<World>,
    submitted: SimTime,
    outages: Vec<Span>,
    source: Source<'a>,
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
    let mut store = open(&args.windows.state, args.windows.store.as_ref())?;
    let planned = calendar(files, &course)?;
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
        source: Source {
            world: &world,
            reading: Reading::new(&course, &planned, &world),
            forgotten: store.forgotten_before().map_err(|error| failed(&error))?,
            from_log: args.windows.from_log.as_deref(),
            client: kafka_config(args.windows.kafka_config.as_deref())?,
            stop,
            clock,
        },
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
        self.source.each(store, team, span, &mut take)?;
        let sightings = store.sightings(team.number).map_err(|error| failed(&error))?;
        for (at, model) in sightings.iter().filter(|(at, _)| span.holds(*at)) {
            watch.model(*at, model);
        }
        Ok(self.scorecard(&watch, team, span, last))
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
