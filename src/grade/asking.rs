//! Asking a service: the whole schedule, what it tells of itself around it, and what goes wrong meanwhile.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::attack;
use super::beside::Beside;
use super::incidents::{self, Drill, PAUSE_S, Recommended, Surroundings};
use super::measure::{Ground, Job, MeasureError, Tools};
use super::observe::{self, Wanted};
use crate::evidence::{Item, TrafficEnd, Writer};
use crate::exchange::{Exchange, Phase};
use crate::incident::{Incident, Spell};
use crate::sandbox::{ObserveSpec, ServiceSpec, Workplace};
use crate::seed::Key;
use crate::traffic::{DriveOptions, Target, Workload, drive, incident_schedule, phases, schedule};
use crate::world::MovieIndex;

/// A service that is asked, and how else it can be reached.
pub(super) struct Asked<'a> {
    pub(super) target: &'a Target,
    pub(super) observe: &'a ObserveSpec,
    pub(super) takedown: Option<&'a str>,
    /// What of the company runs beside it.
    pub(super) company: Option<&'a Beside>,
    /// How it is brought a new model while it is asked, if it is to be.
    pub(super) update: Option<(&'a ServiceSpec, &'a Workplace)>,
}

/// Opens the company where something goes wrong with it, so that the service finds its API when it is built and started; returns the
/// place with it in reach.
pub(super) fn beside(
    job: &Job<'_>,
    wanted: Wanted,
    place: &Workplace,
    tools: Tools<'_>,
) -> Result<(Option<Beside>, Workplace), MeasureError> {
    let disturbed = wanted.incidents || wanted.attack;
    if job.assignment.workload.is_none() || !disturbed || job.incidents.0.is_empty() {
        return Ok((None, place.clone()));
    }
    let newer_data = wanted.attack.then(|| attack::prepare(&place.home)).transpose()?;
    let company = Beside::open(
        job.ground,
        job.data.as_deref(),
        job.incidents,
        job.seed,
        tools.clock,
    )?;
    let place = company.put_beside(place, newer_data.as_deref())?;
    Ok((Some(company), place))
}

/// Asks the whole schedule, and before, meanwhile and after it what the service tells of itself.
pub(super) fn ask_around(
    job: &Job<'_>,
    workload: &Workload,
    wanted: Wanted,
    target: &Target,
    (service, place, company): (&ServiceSpec, &Workplace, Option<&Beside>),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<Vec<Exchange>, MeasureError> {
    let spec = &service.observe;
    let before = wanted
        .metrics
        .then(|| observe::scrape(target, spec))
        .transpose()?;
    let asked = Asked {
        target,
        observe: spec,
        takedown: service.takedown.as_deref(),
        company,
        update: wanted.updates.then_some((service, place)),
    };
    let exchanges = ask_and_disturb(job, workload, wanted, &asked, tools, bundle)?;
    if wanted.metrics || wanted.provenance || wanted.arms {
        (tools.progress)("asking what it tells of itself");
        let users: BTreeSet<u32> = exchanges
            .iter()
            .filter(|exchange| exchange.ids().is_some())
            .filter_map(|exchange| exchange.planned.user)
            .collect();
        let users: Vec<u32> = users.into_iter().collect();
        let facts = observe::telemetry(wanted, target, spec, before, (&users, place))?;
        bundle.append(&Item::Telemetry(facts))?;
    }
    Ok(exchanges)
}

/// Asks the whole schedule; meanwhile models change and incidents are run, as far as the rubric wants to know.
pub(super) fn ask_and_disturb(
    job: &Job<'_>,
    workload: &Workload,
    wanted: Wanted,
    asked: &Asked<'_>,
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<Vec<Exchange>, MeasureError> {
    let begin = tools.clock.elapsed();
    let moments = workload.update_moments();
    let last_s = phases(workload).map(|(_, _, to)| to)[2];
    let spells = if wanted.incidents {
        job.incidents.drill(last_s + PAUSE_S)
    } else {
        Vec::new()
    };
    let recommended = Mutex::new(Recommended::default());
    let movie = |line: Option<u32>| match line {
        Some(line) => movie_at(job.ground, line),
        None => recommended.lock().ok()?.most(),
    };
    let drill = Drill {
        incidents: &spells,
        company: asked.company.map(|company| company as &dyn Surroundings),
        observe: asked.observe,
        takedown: asked.takedown,
        target: asked.target,
        movie: &movie,
    };
    let panicked = || io::Error::other("a thread beside the traffic has panicked");
    let (exchanges, updated, disturbed) = std::thread::scope(|scope| {
        let updates = asked.update.map(|(service, place)| {
            let (limits, moments) = (job.assignment.limits, &moments);
            scope.spawn(move || {
                observe::updates(service, place, asked.target, limits, (moments, begin), tools)
            })
        });
        let disturbing = (!spells.is_empty()).then(|| scope.spawn(|| incidents::run(&drill, begin, tools)));
        let exchanges = ask_all(
            job,
            workload,
            asked.target,
            (&spells, &recommended),
            tools,
            bundle,
        );
        (
            exchanges,
            updates.map(|handle| handle.join().unwrap_or_else(|_| Err(panicked()))),
            disturbing.map(|handle| handle.join().unwrap_or_else(|_| Err(panicked()))),
        )
    });
    for update in updated.transpose()?.into_iter().flatten() {
        bundle.append(&Item::Update(update))?;
    }
    for facts in disturbed.transpose()?.into_iter().flatten() {
        bundle.append(&Item::Incident(facts))?;
    }
    exchanges
}

/// Sends the whole schedule; every exchange goes into the bundle as it ends.
fn ask_all(
    job: &Job<'_>,
    workload: &Workload,
    target: &Target,
    (spells, recommended): (&[(&Incident, Spell)], &Mutex<Recommended>),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<Vec<Exchange>, MeasureError> {
    let branch = Key::from_seed(job.seed).branch("traffic");
    let population = job.ground.population();
    let mut plan = schedule(workload, &population, &branch);
    let mut spans = phases(workload).to_vec();
    let bursts = incidents::bursts(spells, workload.steady.1);
    if let Some((_, last)) = spells.last() {
        let span = (spans[2].2 + PAUSE_S / 2.0, last.until_s);
        let first = plan.len() as u32;
        plan.extend(incident_schedule(
            span,
            &bursts,
            workload,
            &population,
            &branch,
            first,
        ));
        spans.push((Phase::Incident, span.0, span.1));
    }
    let named = |phase: Phase| match phase {
        Phase::WarmUp => "warm-up",
        Phase::Steady => "steady",
        Phase::Peak => "peak",
        Phase::Incident => "incidents",
    };
    bundle.append(&Item::TrafficBegins {
        planned: plan.len() as u32,
        address: format!("http://{}", target.host),
        phases: spans
            .into_iter()
            .map(|(phase, from, to)| (named(phase).to_owned(), from, to))
            .collect(),
    })?;
    let options = DriveOptions {
        target: target.clone(),
        deadline: job.assignment.deadline,
        peak_rate: bursts
            .iter()
            .map(|burst| burst.rate + workload.steady.1)
            .fold(workload.peak.1.max(workload.steady.1), f64::max),
    };
    let ids: HashSet<String> = catalogue_ids(job.ground);
    let mut exchanges: Vec<Exchange> = Vec::with_capacity(plan.len());
    let mut told = 0;
    let report = drive(&plan, &options, &ids, tools.clock, tools.stop, &mut |exchange| {
        bundle.append(&Item::Exchange(exchange.clone()))?;
        if let Ok(mut recommended) = recommended.lock() {
            recommended.add(&exchange);
        }
        exchanges.push(exchange);
        let tenth = exchanges.len() * 10 / plan.len().max(1);
        if tenth > told {
            told = tenth;
            (tools.progress)(&format!("asking: {tenth}0 %"));
        }
        Ok::<(), MeasureError>(())
    })?;
    let (lateness_p50_ms, lateness_p99_ms, lateness_max_ms) = report.lateness_ms;
    bundle.append(&Item::TrafficEnds(TrafficEnd {
        dispatched: report.dispatched,
        lateness_p50_ms,
        lateness_p99_ms,
        lateness_max_ms,
        connections: report.connections,
        stale_retries: report.stale_retries,
        tainted: report.tainted,
        interrupted: report.interrupted,
    }))?;
    if report.interrupted || tools.stop.load(Ordering::Relaxed) {
        return Err(MeasureError::Interrupted);
    }
    exchanges.sort_by_key(|exchange| exchange.planned.seq);
    Ok(exchanges)
}

/// Lets an attack on ratings reach the data, if the rubric wants to know and the assignment has one.
pub(super) fn push(
    job: &Job<'_>,
    wanted: Wanted,
    target: &Target,
    (spec, place): (&ServiceSpec, &Workplace),
    tools: Tools<'_>,
    bundle: &mut Writer,
) -> Result<(), MeasureError> {
    let (Ground::Truth { world, release }, true, Some(chosen)) =
        (job.ground, wanted.attack, job.incidents.attack())
    else {
        return Ok(());
    };
    let known = (&**world, release, job.seed);
    let limits = job.assignment.limits;
    let facts = attack::attack(chosen, known, (spec, place), target, limits, (job.ground, tools));
    attack::forget(&place.home);
    let facts = facts?.ok_or(MeasureError::Interrupted)?;
    bundle.append(&Item::Attack(facts))?;
    Ok(())
}

/// Returns the movie of a line of the catalogue, from 1.
fn movie_at(ground: &Ground, line: u32) -> Option<String> {
    let place = line.checked_sub(1)?;
    match ground {
        Ground::Truth { world, .. } => {
            (place < world.spec().movies).then(|| world.movie(MovieIndex(place)).id.clone())
        }
        Ground::Released(release) => release.movies.get(place as usize).cloned(),
        Ground::Nothing => None,
    }
}

fn catalogue_ids(ground: &Ground) -> HashSet<String> {
    match ground {
        Ground::Truth { world, .. } => world
            .movie_indices()
            .map(|index| world.movie(index).id.clone())
            .collect(),
        Ground::Released(release) => release.movies.iter().cloned().collect(),
        Ground::Nothing => HashSet::new(),
    }
}
