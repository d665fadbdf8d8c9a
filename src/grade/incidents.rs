//! Incidents while a service is asked: each is run in turn, its spell is written down, and how the service responded follows from that.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::judge::{LINES, measured, not_measured};
use super::measure::Tools;
use super::observe;
use crate::evidence::{Bundle, IncidentFacts, Item, TrafficEnd};
use crate::exchange::{Exchange, Outcome, Phase, RequestKind};
use crate::incident::{Asked, Incident, Kind, Part, Response, Spell, respond, takedown};
use crate::sandbox::ObserveSpec;
use crate::scorecard::{Excluded, Finding, Findings};
use crate::traffic::{Burst, Target, fetch};

/// The pause between the end of the ordinary traffic and the first incident, in seconds: what was asked last is answered by then.
pub(super) const PAUSE_S: f64 = 1.0;
/// How often a service's alert is looked at while an incident is on.
const ALERT_S: f64 = 0.5;
/// How often we look whether a moment has come, or the run is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// The time that telling a service of a withdrawal may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most bytes of its answer to that.
const ANSWER_BYTES: usize = 16 << 10;

/// What an incident needs of the company that runs beside the service.
pub(super) trait Surroundings: Sync {
    /// Lets something go wrong; says why not where that cannot be done.
    fn begin(&self, kind: &Kind) -> Result<(), String>;
    /// Lets all be well again; says why not where that cannot be done.
    fn end(&self) -> Result<(), String>;
    /// Tells whether the service has ever asked a part of the company.
    fn was_read(&self, part: Part) -> bool;
    /// Says to whoever asks that a movie is withdrawn.
    fn withdraw(&self, movie: &str);
}

/// The incidents of a run, their spells, and what they need.
pub(super) struct Drill<'a> {
    pub(super) incidents: &'a [(&'a Incident, Spell)],
    pub(super) company: Option<&'a dyn Surroundings>,
    pub(super) observe: &'a ObserveSpec,
    /// The path by which the service wants to be told of withdrawals.
    pub(super) takedown: Option<&'a str>,
    pub(super) target: &'a Target,
    /// Returns a movie by its line in the catalogue, or the one that the service has recommended most so far.
    pub(super) movie: &'a (dyn Fn(Option<u32>) -> Option<String> + Sync),
}

/// Returns the requests that incidents add to the ordinary ones.
pub(super) fn bursts(incidents: &[(&Incident, Spell)], rate: f64) -> Vec<Burst> {
    let burst = |spell: &Spell, rate: f64, kind: RequestKind| Burst {
        from_s: spell.from_s,
        to_s: spell.to_s,
        rate,
        kind,
    };
    incidents
        .iter()
        .filter_map(|(incident, spell)| match incident.kind {
            Kind::TrafficSpike { factor } => Some(burst(spell, rate * (factor - 1.0), RequestKind::Known)),
            Kind::BadRequests { rate } => Some(burst(spell, rate, RequestKind::Odd)),
            _ => None,
        })
        .collect()
}

/// Runs the incidents, one after the other, at their moments in seconds from `begin`.
pub(super) fn run(drill: &Drill<'_>, begin: Duration, tools: Tools<'_>) -> io::Result<Vec<IncidentFacts>> {
    let now = || (tools.clock.elapsed().saturating_sub(begin)).as_secs_f64();
    let stopped = || tools.stop.load(Ordering::Relaxed);
    let mut all = Vec::new();
    for (incident, spell) in drill.incidents {
        let mut alerts = Vec::new();
        // The alert's value from before: half of the pause is left for it.
        while now() < spell.from_s - PAUSE_S / 2.0 && !stopped() {
            tools.clock.sleep(LOOK);
        }
        let polled = drill.observe.alerts.is_some();
        if polled {
            alerts.extend(look(drill, &now)?);
        }
        while now() < spell.from_s && !stopped() {
            tools.clock.sleep(LOOK);
        }
        if stopped() {
            break;
        }
        (tools.progress)(&format!("{}: {}", incident.name, incident.kind.describe()));
        let from_s = now();
        let (movie, told, mut fault) = begin_one(drill, incident);
        let mut next = from_s + ALERT_S;
        let mut to_s = None;
        while now() < spell.until_s && !stopped() {
            if to_s.is_none() && now() >= spell.to_s {
                fault = fault.or(end_one(drill, incident));
                to_s = Some(now());
            }
            if polled && now() >= next {
                alerts.extend(look(drill, &now)?);
                next = now() + ALERT_S;
            }
            tools.clock.sleep(LOOK);
        }
        if to_s.is_none() {
            fault = fault.or(end_one(drill, incident));
        }
        all.push(IncidentFacts {
            name: incident.name.clone(),
            kind: incident.kind.name().to_owned(),
            what: incident.kind.describe(),
            from_s,
            to_s: to_s.unwrap_or_else(now),
            until_s: now(),
            unread: fault.is_none() && is_unread(drill, incident),
            fault,
            alerts: polled.then_some(alerts),
            movie,
            told,
            grace_s: match incident.kind {
                Kind::Takedown { grace_s, .. } => Some(grace_s),
                _ => None,
            },
        });
    }
    Ok(all)
}

/// Lets an incident begin: the movie that it is about, what the service said when it was told, and why it could not be run.
fn begin_one(drill: &Drill<'_>, incident: &Incident) -> (Option<String>, Option<String>, Option<String>) {
    let Kind::Takedown { movie_line, .. } = incident.kind else {
        if incident.kind.part().is_none() {
            return (None, None, None);
        }
        let done = match drill.company {
            Some(company) => company.begin(&incident.kind),
            None => Err("no company runs beside this service".to_owned()),
        };
        return (None, None, done.err());
    };
    let Some(movie) = (drill.movie)(movie_line) else {
        let why = "the service had not recommended any movie that could be withdrawn";
        return (None, None, Some(why.to_owned()));
    };
    if let Some(company) = drill.company {
        company.withdraw(&movie);
    }
    let Some(path) = drill.takedown else {
        let nobody = drill.company.is_none();
        let why = nobody.then(|| {
            "nobody could tell the service: no company runs beside it, and reelworld.toml names no `takedown`"
                .to_owned()
        });
        return (Some(movie), None, why);
    };
    let path = ObserveSpec::path_for_movie(path, &movie);
    let told = match fetch(drill.target, &path, PATIENCE, ANSWER_BYTES) {
        Ok(Ok((status, _))) => format!("GET {path}: status {status}"),
        Ok(Err(error)) => format!("GET {path}: {error}"),
        Err(error) => return (Some(movie), None, Some(error.to_string())),
    };
    (Some(movie), Some(told), None)
}

/// Lets an incident end; returns why it could not, if so.
fn end_one(drill: &Drill<'_>, incident: &Incident) -> Option<String> {
    incident.kind.part()?;
    drill.company?.end().err()
}

/// Tells whether an incident was about a part of the company that the service has never asked: nothing went wrong for it.
fn is_unread(drill: &Drill<'_>, incident: &Incident) -> bool {
    match (incident.kind.part(), drill.company) {
        (Some(part), Some(company)) => !company.was_read(part),
        _ => false,
    }
}

/// Looks at the alert; nothing where the page cannot be had: a service that is down notices nothing.
fn look(drill: &Drill<'_>, now: &dyn Fn() -> f64) -> io::Result<Option<(f64, f64)>> {
    let value = observe::alert(drill.target, drill.observe)?;
    Ok(value.map(|value| (now(), value)))
}

/// Returns how the service responded to each incident of a bundle.
pub fn responses(bundle: &Bundle) -> Vec<(IncidentFacts, Response)> {
    let deadline_ns = bundle.manifest.deadline_ms * 1_000_000;
    let mut exchanges = Vec::new();
    let mut facts = Vec::new();
    for item in &bundle.items {
        match item {
            Item::Exchange(exchange) => exchanges.push(exchange),
            Item::Incident(found) => facts.push(found),
            _ => {}
        }
    }
    facts
        .into_iter()
        .map(|found| (found.clone(), response(found, &exchanges, deadline_ns)))
        .collect()
}

fn response(facts: &IncidentFacts, exchanges: &[&Exchange], deadline_ns: u64) -> Response {
    let asked: Vec<Asked> = exchanges
        .iter()
        .filter(|exchange| exchange.planned.phase == Phase::Incident && !exchange.is_ours())
        .map(|exchange| Asked {
            at_s: exchange.planned.intended_ns as f64 / 1e9,
            well: match (&exchange.planned.kind, &exchange.outcome) {
                // Any answer will do for what is no user, except that something broke.
                (RequestKind::Odd, Outcome::Answered { .. } | Outcome::Malformed { .. }) => true,
                (RequestKind::Odd, Outcome::Status { code, .. }) => *code < 500,
                _ => exchange.is_success(deadline_ns),
            },
        })
        .collect();
    let spell = Spell {
        from_s: facts.from_s,
        to_s: facts.to_s,
        until_s: facts.until_s,
    };
    respond(spell, &asked, facts.alerts.as_deref().unwrap_or_default())
}

/// Adds how the service responded, and whether it obeyed.
pub(super) fn incidents(
    facts: &[&IncidentFacts],
    exchanges: &[&Exchange],
    traffic: Option<&TrafficEnd>,
    deadline_ns: u64,
    findings: &mut Findings,
) {
    obeyed(facts, exchanges, findings);
    if facts.is_empty() {
        return;
    }
    let tainted = traffic.and_then(|traffic| traffic.tainted.as_deref());
    let run: Vec<(&IncidentFacts, Response)> = facts
        .iter()
        .filter(|found| found.fault.is_none())
        .map(|found| (*found, response(found, exchanges, deadline_ns)))
        .collect();
    let missed: Vec<&&IncidentFacts> = facts.iter().filter(|found| found.fault.is_some()).collect();
    let left_out: Vec<Excluded> = (!missed.is_empty())
        .then(|| Excluded {
            reason: "could_not_be_run".to_owned(),
            count: missed.len() as u64,
        })
        .into_iter()
        .collect();
    let why_none = || {
        let first = missed.first().and_then(|found| found.fault.as_deref());
        not_measured(first.unwrap_or("nobody asked during an incident"))
    };
    for (id, share, asked) in [
        (
            "incidents.answered_share",
            Response::during_share as fn(&Response) -> Option<f64>,
            (|response: &Response| response.during.0) as fn(&Response) -> u64,
        ),
        ("incidents.after_share", Response::after_share, |response| {
            response.after.0
        }),
    ] {
        let worst = run
            .iter()
            .filter_map(|(found, response)| Some((share(response)?, *found)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let finding = match (tainted, worst) {
            (Some(tainted), _) => not_measured(tainted),
            (None, None) => why_none(),
            (None, Some((value, found))) => {
                let n: u64 = run.iter().map(|(_, response)| asked(response)).sum();
                let unread = run.iter().filter(|(found, _)| found.unread).count();
                let mut why = format!("least in `{}`: {}", found.name, found.what);
                if unread > 0 {
                    why.push_str(&format!(
                        "; of {} incidents {unread} were of a part of the company that it never read",
                        run.len()
                    ));
                }
                let mut finding = measured(value, None, n as usize, why);
                finding.excluded.clone_from(&left_out);
                finding.evidence = run
                    .iter()
                    .take(LINES * 2)
                    .map(|(found, response)| told(found, response))
                    .collect();
                Finding::Measured(finding)
            }
        };
        findings.insert(id.to_owned(), finding);
    }
    findings.insert("incidents.noticed_share".to_owned(), noticed(&run));
}

/// Says in a line how the service responded.
pub fn told(facts: &IncidentFacts, response: &Response) -> String {
    let (during, after) = (response.during, response.after);
    let recovered = match response.recovered_s {
        Some(0.0) => "never unwell".to_owned(),
        Some(seconds) => format!("well again after {seconds:.1} s"),
        None => "not well again".to_owned(),
    };
    let noticed = match (&facts.alerts, response.noticed_s) {
        (None, _) => String::new(),
        (Some(_), Some(seconds)) => format!(", noticed after {seconds:.1} s"),
        (Some(_), None) => ", not noticed".to_owned(),
    };
    let unread = if facts.unread {
        "; it had read nothing of what went wrong"
    } else {
        ""
    };
    format!(
        "{} ({:.0} s): {} of {} during, {} of {} after, {} lost, {recovered}{noticed}{unread}",
        facts.name,
        facts.to_s - facts.from_s,
        during.1,
        during.0,
        after.1,
        after.0,
        response.lost
    )
}

/// The incidents that a service's own alert told of.
fn noticed(run: &[(&IncidentFacts, Response)]) -> Finding {
    // A withdrawal is no fault: there is nothing to be alarmed at.
    let run: Vec<&(&IncidentFacts, Response)> =
        run.iter().filter(|(found, _)| found.movie.is_none()).collect();
    if run.is_empty() {
        return not_measured("no incident was run that an alert could tell of");
    }
    if run.iter().all(|(found, _)| found.alerts.is_none()) {
        let why = "reelworld.toml names no `alerts` under [observability]";
        return Finding::Measured(measured(0.0, None, 1, why.to_owned()));
    }
    let seen = run.iter().filter(|(_, response)| response.noticed_s.is_some());
    let seen = seen.count();
    let why = format!("{seen} of {} incidents raised the service's alert", run.len());
    let mut finding = measured(seen as f64 / run.len() as f64, None, run.len(), why);
    finding.evidence = run
        .iter()
        .take(LINES * 2)
        .map(|(found, response)| told(found, response))
        .collect();
    Finding::Measured(finding)
}

/// Whether what was withdrawn was recommended no more after the grace.
fn obeyed(facts: &[&IncidentFacts], exchanges: &[&Exchange], findings: &mut Findings) {
    let Some(found) = facts.iter().find(|found| found.grace_s.is_some()) else {
        return;
    };
    let id = "takedown.obeyed_share".to_owned();
    let (Some(movie), None) = (&found.movie, &found.fault) else {
        let why = found.fault.as_deref().unwrap_or("no movie could be withdrawn");
        findings.insert(id, not_measured(why));
        return;
    };
    let grace_s = found.grace_s.unwrap_or_default();
    let lists: Vec<(f64, bool)> = exchanges
        .iter()
        .filter_map(|exchange| {
            let ids = exchange.ids()?;
            let at_s = exchange.planned.intended_ns as f64 / 1e9;
            Some((at_s, ids.contains(movie)))
        })
        .collect();
    let became = takedown(found.from_s, grace_s, &lists);
    let (before, after) = (became.before, became.after);
    if before.1 == 0 {
        findings.insert(
            id,
            not_measured("the movie had not been recommended before it was withdrawn"),
        );
        return;
    }
    if after.0 == 0 {
        findings.insert(id, not_measured("no list came after the grace"));
        return;
    }
    let why = format!(
        "`{movie}` was in {} of {} lists before it was withdrawn, and in {} of {} from {grace_s} s after",
        before.1, before.0, after.1, after.0
    );
    let share = 1.0 - after.1 as f64 / after.0 as f64;
    let mut finding = measured(share, None, after.0 as usize, why);
    finding.evidence.extend(found.told.clone());
    finding.evidence.extend(
        became
            .last_s
            .map(|last_s| format!("last recommended {last_s:.1} s after the withdrawal")),
    );
    findings.insert(id, Finding::Measured(finding));
}

/// Counts how often each movie was recommended, for a withdrawal that matters.
#[derive(Debug, Default)]
pub(super) struct Recommended(BTreeMap<String, u64>);

impl Recommended {
    pub(super) fn add(&mut self, exchange: &Exchange) {
        for id in exchange.ids().unwrap_or_default() {
            *self.0.entry(id.clone()).or_default() += 1;
        }
    }

    /// The movie that was recommended most; of several, the first by its id.
    pub(super) fn most(&self) -> Option<String> {
        let most = self.0.values().max()?;
        let found = self.0.iter().find(|(_, count)| *count == most);
        found.map(|(id, _)| id.clone())
    }
}
