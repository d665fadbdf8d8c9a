//! From a bundle to findings, figures and the card: pure, so that a grade can be made again from its evidence.

use std::collections::BTreeMap;

use super::attack::resilience;
use super::claimed::{Claimed, OTHERS};
use super::fairness::{ATTRIBUTES, fairness, grouped, regret};
use super::incidents::incidents;
use super::measures::MEASURES;
use super::newcomers::newcomers;
use super::told::{self, Told};
use crate::evidence::{
    AttackFacts, Bundle, CatalogueFacts, IncidentFacts, IsolationNote, Item, NewUserScore, StageEnd,
    TrafficEnd, UserScore,
};
use crate::exchange::{Exchange, Outcome, Phase, RequestKind};
use crate::metrics::accuracy::{accuracy_score, group_mean};
use crate::metrics::personal::{LEAST_USERS, personalised};
use crate::metrics::{beyond, stats};
use crate::mirror::Fetched;
use crate::rubric::{Rubric, score};
use crate::scorecard::{
    Bin, Excluded, Figures, Finding, Findings, GroupFigure, Interval, LatencySlice, MeasureRow, Measurement,
    PhaseSpan, RubricRef, SCHEMA, Scorecard, ServiceRef,
};

/// The two-sided level of every interval: each end errs in one run of a hundred.
pub(super) const LEVEL: f64 = 0.98;
/// The least design effect that is assumed: a short run has seen few slow spells, and estimates too little from them.
const LEAST_EFFECT: f64 = 2.0;
/// The length of a slice of the run, for plots, availability and the design effect.
const SLICE_NS: u64 = 1_000_000_000;
/// A second goes well when this share of its ordinary requests does.
const WELL: f64 = 0.9;
/// The most lines of evidence with one criterion.
pub(super) const LINES: usize = 6;

/// What a bundle says.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The value of each measure.
    pub findings: Findings,
    /// What the plots show.
    pub figures: Figures,
    /// How the service fared.
    pub service: ServiceRef,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// How long the run took.
    pub duration_s: f64,
}

/// A bundle's items, sorted by what they are.
#[derive(Default)]
struct Parts<'a> {
    isolation: Option<&'a IsolationNote>,
    fetched: Option<&'a Fetched>,
    build: Option<&'a StageEnd>,
    start: Option<&'a StageEnd>,
    end: Option<&'a StageEnd>,
    address: &'a str,
    phases: Vec<(String, f64, f64)>,
    exchanges: Vec<&'a Exchange>,
    traffic: Option<&'a TrafficEnd>,
    users: Vec<&'a UserScore>,
    newcomers: Vec<&'a NewUserScore>,
    catalogue: Option<&'a CatalogueFacts>,
    told: Told<'a>,
    incidents: Vec<&'a IncidentFacts>,
    attack: Option<&'a AttackFacts>,
    /// Why nothing of it counts, where that is so.
    lost: Option<&'a str>,
    duration_s: f64,
    finished: bool,
}

impl Parts<'_> {
    fn knows_the_truth(&self) -> bool {
        self.users.iter().any(|user| user.enjoyment.is_some())
    }
}

fn sort(bundle: &Bundle) -> Parts<'_> {
    let mut parts = Parts::default();
    for item in &bundle.items {
        match item {
            Item::Isolation(note) => parts.isolation = Some(note),
            Item::Fetched(fetched) => parts.fetched = Some(fetched),
            Item::Build(stage) => parts.build = Some(stage),
            Item::Start(stage) => parts.start = Some(stage),
            Item::End(stage) => parts.end = Some(stage),
            Item::TrafficBegins { address, phases, .. } => {
                parts.address = address;
                parts.phases.clone_from(phases);
            }
            Item::Exchange(exchange) => parts.exchanges.push(exchange),
            Item::TrafficEnds(end) => parts.traffic = Some(end),
            Item::User(user) => parts.users.push(user),
            Item::NewUser(user) => parts.newcomers.push(user),
            Item::Catalogue(facts) => parts.catalogue = Some(facts),
            Item::Telemetry(facts) => parts.told.telemetry = Some(facts),
            Item::Update(update) => parts.told.updates.push(update),
            Item::Incident(facts) => parts.incidents.push(facts),
            Item::Attack(facts) => parts.attack = Some(facts),
            Item::Tests(stage) => parts.told.tests = Some(stage),
            Item::Claims(claims) => parts.told.claims = Some(claims),
            Item::History(facts) => parts.told.history = Some(facts),
            Item::Files(facts) => parts.told.files = Some(facts),
            Item::Image(facts) => parts.told.image = Some(facts),
            Item::Coverage(facts) => parts.told.coverage = Some(facts),
            Item::Split(facts) => parts.told.split = Some(facts),
            Item::Commands { stages } => parts.told.commands = Some(stages),
            Item::Experiment(text) => parts.told.experiment = Some(text),
            Item::Lost { why } => parts.lost = Some(why),
            Item::Finished { duration_s } => {
                parts.duration_s = *duration_s;
                parts.finished = true;
            }
        }
    }
    parts.exchanges.sort_by_key(|exchange| exchange.planned.seq);
    parts
}

/// Makes the card of a bundle under a rubric.
pub fn scorecard(bundle: &Bundle, rubric: &Rubric, rubric_ref: RubricRef) -> Scorecard {
    card(bundle, judge(bundle), rubric, rubric_ref)
}

/// Makes the card of a bundle in its class, which alone knows what others claim.
pub fn scorecard_among(
    bundle: &Bundle,
    claimed: &Claimed,
    rubric: &Rubric,
    rubric_ref: RubricRef,
) -> Scorecard {
    let mut judged = judge(bundle);
    judged.findings.insert(OTHERS.to_owned(), claimed.finding(bundle));
    card(bundle, judged, rubric, rubric_ref)
}

fn card(bundle: &Bundle, judged: Judged, rubric: &Rubric, rubric_ref: RubricRef) -> Scorecard {
    let manifest = &bundle.manifest;
    let scored = score(rubric, &judged.findings, manifest.kind);
    let measures = MEASURES
        .iter()
        .filter_map(|info| {
            let finding = judged.findings.get(info.id)?.clone();
            let (id, unit, about) = (info.id.to_owned(), info.unit.to_owned(), info.about.to_owned());
            Some(MeasureRow {
                id,
                unit,
                about,
                finding,
            })
        })
        .collect();
    Scorecard {
        schema: SCHEMA.to_owned(),
        tool: manifest.tool.clone(),
        kind: manifest.kind,
        milestone: manifest.milestone.clone(),
        submission: manifest.submission.clone(),
        rubric: rubric_ref,
        world: manifest.world.clone(),
        seed: manifest.seed,
        started_at: manifest.started_at.clone(),
        duration_s: judged.duration_s,
        score: scored.score,
        max: scored.max,
        bonus_max: scored.bonus_max,
        pending: scored.pending,
        undecided: scored.undecided,
        criteria: scored.criteria,
        measures,
        figures: judged.figures,
        service: judged.service,
        notes: judged.notes,
        evidence: bundle.hashes.clone(),
    }
}

/// Reads everything out of a bundle.
pub fn judge(bundle: &Bundle) -> Judged {
    let parts = sort(bundle);
    let deadline_ns = bundle.manifest.deadline_ms * 1_000_000;
    let mut findings = Findings::new();
    // What was asked of a sandbox that was about to be lost may have got no answer for that alone.
    let started = parts.lost.is_none() && starts(&parts, &mut findings);
    let notes = notes(bundle, &parts);
    if let Some(why) = parts.lost {
        for info in MEASURES {
            let why = why.to_owned();
            let hint = Some("measure it again: --resume, or --retry no_verdict".to_owned());
            findings.insert(info.id.to_owned(), Finding::NotMeasured { why, hint });
        }
    } else {
        told::repository(&parts.told, &mut findings);
    }
    // Traffic that was cut is no experiment: what came of its beginning says nothing of the whole.
    if started && parts.traffic.is_some_and(|end| !end.interrupted) {
        let run = Run::new(&parts, deadline_ns);
        run.answers(&mut findings);
        run.latency(&mut findings);
        run.personal(&mut findings);
        lists(&run, &parts, &mut findings);
        accuracy(&parts, &mut findings);
        fairness(&parts.users, &mut findings);
        if parts.knows_the_truth() {
            told::minors(&parts.users, &mut findings);
            newcomers(&parts.newcomers, &mut findings);
        }
        if let Some(facts) = parts.attack {
            resilience(facts, &mut findings);
        }
        incidents(
            &parts.incidents,
            &parts.exchanges,
            parts.traffic,
            deadline_ns,
            &mut findings,
        );
        told::service(
            &parts.told,
            &parts.exchanges,
            parts.traffic,
            deadline_ns,
            &mut findings,
        );
    } else if started {
        for info in MEASURES {
            let cut = not_measured("the run was interrupted before its end");
            findings.entry(info.id.to_owned()).or_insert(cut);
        }
    }
    Judged {
        findings,
        figures: figures(&parts, bundle.manifest.deadline_ms),
        service: service(&parts),
        notes,
        duration_s: parts.duration_s,
    }
}

pub(super) fn not_measured(why: &str) -> Finding {
    Finding::NotMeasured {
        why: why.to_owned(),
        hint: None,
    }
}

pub(super) fn measured(value: f64, interval: Option<Interval>, n: usize, why: String) -> Measurement {
    Measurement {
        value,
        interval,
        n: n as u64,
        excluded: Vec::new(),
        why,
        hint: None,
        evidence: Vec::new(),
    }
}

fn put(findings: &mut Findings, id: &str, measurement: Measurement) {
    findings.insert(id.to_owned(), Finding::Measured(measurement));
}

/// Finds whether the service started; a fault of ours or the machine's is no fact about it.
fn starts(parts: &Parts<'_>, findings: &mut Findings) -> bool {
    let failed_build = parts.build.filter(|stage| !stage.ok);
    let Some(stage) = failed_build.or(parts.start) else {
        // A run that is whole and has no start is one of an assignment that asks no service.
        if !parts.finished {
            findings.insert(
                "service.starts".to_owned(),
                not_measured("the run was interrupted before the service started"),
            );
        }
        return false;
    };
    if stage.ours {
        let why = stage.what.clone();
        let finding = Finding::NotMeasured {
            why,
            hint: stage.hint.clone(),
        };
        findings.insert("service.starts".to_owned(), finding);
        return false;
    }
    let mut finding = measured(f64::from(u8::from(stage.ok)), None, 1, stage.what.clone());
    finding.hint.clone_from(&stage.hint);
    if !stage.ok {
        finding.evidence.push(format!("ran {}", stage.command));
        finding.evidence.extend(stage.evidence.iter().cloned());
        finding.evidence.extend(tail(stage));
    }
    put(findings, "service.starts", finding);
    stage.ok
}

/// Returns the last lines that a stage has printed, marked as such.
pub(super) fn tail(stage: &StageEnd) -> impl Iterator<Item = String> {
    let last = stage.log_tail.len().saturating_sub(LINES * 2);
    stage.log_tail[last..].iter().map(|line| format!("| {line}"))
}

/// The exchanges of a run that are charged to the service, and those that are ours.
struct Run<'a> {
    all: Vec<&'a Exchange>,
    ours: u64,
    deadline_ns: u64,
    tainted: Option<&'a str>,
    measured_s: f64,
}

impl<'a> Run<'a> {
    fn new(parts: &Parts<'a>, deadline_ns: u64) -> Self {
        let counted: Vec<&Exchange> = parts
            .exchanges
            .iter()
            .copied()
            .filter(|exchange| exchange.planned.phase.is_measured())
            .collect();
        let ours = counted.iter().filter(|exchange| exchange.is_ours()).count() as u64;
        let all = counted
            .into_iter()
            .filter(|exchange| !exchange.is_ours())
            .collect();
        let span = |name: &str| {
            parts
                .phases
                .iter()
                .find(|(phase, _, _)| phase == name)
                .map_or(0.0, |(_, from, to)| to - from)
        };
        let tainted = parts.traffic.and_then(|traffic| traffic.tainted.as_deref());
        Self {
            all,
            ours,
            deadline_ns,
            tainted,
            measured_s: span("steady") + span("peak"),
        }
    }

    fn of(&self, test: impl Fn(&Exchange) -> bool) -> Vec<&'a Exchange> {
        self.all
            .iter()
            .copied()
            .filter(|exchange| test(exchange))
            .collect()
    }

    fn success(&self, exchange: &Exchange) -> bool {
        exchange.is_success(self.deadline_ns)
    }

    fn excluded(&self) -> Vec<Excluded> {
        let reason = "our_own_fault".to_owned();
        if self.ours > 0 {
            vec![Excluded {
                reason,
                count: self.ours,
            }]
        } else {
            Vec::new()
        }
    }

    /// A share of exchanges with its exact interval, widened by how alike neighbours in time are.
    fn share(&self, asked: &[&Exchange], good: impl Fn(&Exchange) -> bool, what: &str) -> Finding {
        if asked.is_empty() {
            return not_measured("no such request was sent");
        }
        let mut batches: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for exchange in asked {
            let (misses, n) = batches
                .entry(exchange.planned.intended_ns / SLICE_NS)
                .or_default();
            *misses += u64::from(!good(exchange));
            *n += 1;
        }
        let n = asked.len() as u64;
        let misses: u64 = batches.values().map(|(misses, _)| misses).sum();
        let batches: Vec<(u64, u64)> = batches.into_values().collect();
        let effect = stats::design_effect(&batches).max(LEAST_EFFECT);
        let effective = ((n as f64 / effect).round() as u64).max(1);
        let effective_misses = ((misses as f64 / n as f64) * effective as f64).round() as u64;
        let interval = stats::clopper_pearson(effective_misses, effective, LEVEL).map(|missed| Interval {
            low: 1.0 - missed.high,
            high: 1.0 - missed.low,
            level: LEVEL,
        });
        let hits = n - misses;
        let mut finding = measured(
            hits as f64 / n as f64,
            interval,
            asked.len(),
            format!("{hits} of {n} {what}"),
        );
        finding.excluded = self.excluded();
        finding.evidence = examples(asked, &good);
        Finding::Measured(finding)
    }

    /// What needs trustworthy times is not told from a run in which our own side was late.
    fn timed(&self, finding: Finding) -> Finding {
        self.tainted.map_or(finding, not_measured)
    }

    fn answers(&self, findings: &mut Findings) {
        let known = self.of(|exchange| exchange.planned.kind == RequestKind::Known);
        let came: Vec<&Exchange> = known
            .iter()
            .copied()
            .filter(|exchange| exchange.outcome != Outcome::TimedOut)
            .collect();
        let valid = if came.is_empty() && !known.is_empty() {
            self.share(&known, |_| false, "answers came back at all")
        } else {
            self.share(
                &came,
                |exchange| exchange.ids().is_some(),
                "answers to known users",
            )
        };
        findings.insert("answers.valid_share".to_owned(), valid);
        let viewers = |phase: Phase| {
            self.of(move |exchange| {
                exchange.planned.phase == phase && exchange.planned.kind != RequestKind::Odd
            })
        };
        for (id, phase) in [
            ("answers.in_time_share", Phase::Steady),
            ("answers.peak_in_time_share", Phase::Peak),
        ] {
            let share = self.share(&viewers(phase), |exchange| self.success(exchange), "requests");
            findings.insert(id.to_owned(), self.timed(share));
        }
        let asked = self.of(|exchange| exchange.planned.kind != RequestKind::Odd);
        let good = asked.iter().filter(|exchange| self.success(exchange)).count();
        let mut count = measured(
            good as f64,
            None,
            asked.len(),
            format!("{good} of {} offered", asked.len()),
        );
        count.excluded = self.excluded();
        put(findings, "answers.count", count);
        let rate = good as f64 / self.measured_s.max(1e-9);
        put(
            findings,
            "throughput.rps",
            measured(
                rate,
                None,
                asked.len(),
                format!("{good} in {:.0} s", self.measured_s),
            ),
        );
        let mut slices: BTreeMap<u64, bool> = BTreeMap::new();
        for exchange in &asked {
            *slices.entry(exchange.planned.intended_ns / SLICE_NS).or_default() |= self.success(exchange);
        }
        let up = slices.values().filter(|up| **up).count();
        if !slices.is_empty() {
            let why = format!("{up} of {} seconds", slices.len());
            put(
                findings,
                "availability.share",
                measured(up as f64 / slices.len() as f64, None, slices.len(), why),
            );
        }
        let odd = self.of(|exchange| exchange.planned.kind == RequestKind::Odd);
        if odd.is_empty() {
            findings.insert(
                "odd.handled_share".to_owned(),
                not_measured("no odd request was sent"),
            );
        } else {
            let handled = |exchange: &Exchange| match &exchange.outcome {
                Outcome::Answered { .. } | Outcome::Malformed { .. } => true,
                Outcome::Status { code, .. } => *code < 500,
                // A service that is late for everybody is judged for that elsewhere.
                Outcome::TimedOut => !self.well_around(exchange),
                Outcome::Refused { .. } | Outcome::Unreadable { .. } | Outcome::Ours { .. } => false,
            };
            let good = odd.iter().filter(|exchange| handled(exchange)).count();
            let why = format!("{good} of {} odd requests", odd.len());
            let mut finding = measured(good as f64 / odd.len() as f64, None, odd.len(), why);
            finding.evidence = examples(&odd, &handled);
            put(findings, "odd.handled_share", finding);
        }
        let new = self.of(|exchange| exchange.planned.kind == RequestKind::New);
        let came: Vec<&Exchange> = new
            .iter()
            .copied()
            .filter(|exchange| exchange.outcome != Outcome::TimedOut)
            .collect();
        let share = if came.is_empty() && !new.is_empty() {
            self.share(&new, |_| false, "answers came back at all")
        } else {
            self.share(
                &came,
                |exchange| exchange.ids().is_some(),
                "answers to users without history",
            )
        };
        findings.insert("new_users.valid_share".to_owned(), share);
    }

    /// Tells whether ordinary requests of the same second were answered well.
    fn well_around(&self, exchange: &Exchange) -> bool {
        let slice = exchange.planned.intended_ns / SLICE_NS;
        let around = self.of(|other| {
            other.planned.kind != RequestKind::Odd && other.planned.intended_ns / SLICE_NS == slice
        });
        let good = around.iter().filter(|other| self.success(other)).count();
        good as f64 >= WELL * around.len() as f64
    }

    fn latency(&self, findings: &mut Findings) {
        let steady = self.of(|exchange| {
            exchange.planned.phase == Phase::Steady && exchange.planned.kind != RequestKind::Odd
        });
        let times = self.sorted_ms(&steady);
        for (id, p) in [
            ("latency.p50_ms", 0.5),
            ("latency.p95_ms", 0.95),
            ("latency.p99_ms", 0.99),
        ] {
            let Some(value) = stats::quantile(&times, p) else {
                findings.insert(id.to_owned(), not_measured("nothing was asked"));
                continue;
            };
            // Beyond the outermost values nothing is known: the slowest of few requests says little of the slowest of many.
            let Some(interval) = stats::quantile_interval(&times, p, LEVEL) else {
                let why = format!(
                    "{} requests are too few to say how sure it is; it was about {value:.0} ms",
                    times.len()
                );
                findings.insert(id.to_owned(), self.timed(not_measured(&why)));
                continue;
            };
            let why = format!("of {} requests", times.len());
            let finding = Finding::Measured(measured(value, Some(interval), times.len(), why));
            findings.insert(id.to_owned(), self.timed(finding));
        }
    }

    /// Latencies in milliseconds, sorted; what was not answered well counts at the deadline or later.
    fn sorted_ms(&self, asked: &[&Exchange]) -> Vec<f64> {
        let mut times: Vec<f64> = asked.iter().map(|exchange| self.charged_ms(exchange)).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    fn charged_ms(&self, exchange: &Exchange) -> f64 {
        let latency = exchange.latency_ns();
        let charged = if exchange.ids().is_some() {
            latency
        } else {
            latency.max(self.deadline_ns)
        };
        charged as f64 / 1e6
    }

    /// The two answers of each user who was asked twice or more in the steady phase, in the order of users.
    fn pairs(&self) -> Vec<[Vec<String>; 2]> {
        let mut answers: BTreeMap<u32, Vec<Vec<String>>> = BTreeMap::new();
        for exchange in &self.all {
            if exchange.planned.phase == Phase::Steady
                && exchange.planned.kind == RequestKind::Known
                && let Some(user) = exchange.planned.user
            {
                let list = if self.success(exchange) {
                    exchange.ids().unwrap_or_default()
                } else {
                    &[]
                };
                answers.entry(user).or_default().push(list.to_vec());
            }
        }
        answers
            .into_values()
            .filter(|lists| lists.len() >= 2)
            .map(|mut lists| {
                let second = lists.swap_remove(1);
                [lists.swap_remove(0), second]
            })
            .collect()
    }

    fn personal(&self, findings: &mut Findings) {
        let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
        let answers: Vec<[Vec<u64>; 2]> = self
            .pairs()
            .into_iter()
            .map(|pair| pair.map(|list| numbered(&list, &mut numbers)))
            .collect();
        let Some(found) = personalised(&answers) else {
            let why = format!(
                "{} users were asked twice, {LEAST_USERS} are needed",
                answers.len()
            );
            findings.insert("personalised.share".to_owned(), not_measured(&why));
            return;
        };
        let why = if found.share > 0.0 {
            format!(
                "two answers to one user are {:.0} % alike, to two users {:.0} %",
                found.same_user * 100.0,
                found.other_users * 100.0
            )
        } else if found.most_common > 0.5 {
            format!(
                "{:.0} % of the answers are one and the same list",
                found.most_common * 100.0
            )
        } else {
            format!(
                "two answers to one user are {:.0} % alike, and answers to two users {:.0} %: too little of a difference for lists of one's own",
                found.same_user * 100.0,
                found.other_users * 100.0
            )
        };
        put(
            findings,
            "personalised.share",
            measured(found.share, None, found.users, why),
        );
    }
}

/// Gives each id a number, the same each time.
fn numbered(list: &[String], numbers: &mut BTreeMap<String, u64>) -> Vec<u64> {
    list.iter()
        .map(|id| {
            let next = numbers.len() as u64;
            *numbers.entry(id.clone()).or_insert(next)
        })
        .collect()
}

/// The first requests that did not go well: what was asked, what came back, how long it took; each kind once.
fn examples(asked: &[&Exchange], good: &impl Fn(&Exchange) -> bool) -> Vec<String> {
    let mut kinds: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for exchange in asked.iter().filter(|exchange| !good(exchange)) {
        let late = exchange.ids().is_some();
        let label = if late {
            "late".to_owned()
        } else {
            exchange.outcome.label()
        };
        let path: String = exchange.planned.path.chars().take(60).collect();
        let ms = exchange.latency_ns() / 1_000_000;
        let entry = kinds.entry(label).or_insert_with(|| {
            (
                0,
                format!(
                    "GET {path} at {:.1} s, {ms} ms: {}",
                    exchange.planned.intended_ns as f64 / 1e9,
                    exchange.outcome.describe()
                ),
            )
        });
        entry.0 += 1;
    }
    let mut lines: Vec<(u64, String)> = kinds
        .into_iter()
        .map(|(label, (count, example))| (count, format!("{count} × {label}, first {example}")))
        .collect();
    lines.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    lines.truncate(LINES);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What the lists of the asked users are like together: one list each, the first of the two.
fn lists(run: &Run<'_>, parts: &Parts<'_>, findings: &mut Findings) {
    let Some(facts) = parts.catalogue else { return };
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    let lists: Vec<Vec<u64>> = run
        .pairs()
        .into_iter()
        .filter_map(|pair| pair.into_iter().find(|list| !list.is_empty()))
        .map(|list| numbered(&list, &mut numbers))
        .collect();
    if lists.is_empty() {
        for id in [
            "coverage.share",
            "novelty.bits",
            "diversity.ild",
            "exposure.gini",
            "exposure.top_share",
        ] {
            findings.insert(id.to_owned(), not_measured("no user got a valid list in time"));
        }
        return;
    }
    let viewers: BTreeMap<u64, f64> = numbers
        .iter()
        .filter_map(|(id, number)| Some((*number, f64::from(facts.movies.get(id)?.0))))
        .collect();
    let mut names: Vec<&String> = facts.movies.values().flat_map(|(_, genres)| genres).collect();
    names.sort();
    names.dedup();
    let genres: BTreeMap<u64, Vec<f64>> = numbers
        .iter()
        .filter_map(|(id, number)| {
            let own = &facts.movies.get(id)?.1;
            Some((
                *number,
                names
                    .iter()
                    .map(|name| f64::from(u8::from(own.contains(name))))
                    .collect(),
            ))
        })
        .collect();
    let size = facts.size as usize;
    let exposure = beyond::exposure(&lists);
    let n = lists.len();
    let why = format!("over the lists of {n} users");
    let mut add = |id: &str, value: f64, why: String| put(findings, id, measured(value, None, n, why));
    let distinct = numbers.len();
    add(
        "coverage.share",
        beyond::coverage(&lists, size),
        format!("{distinct} of {size} movies, over the lists of {n} users"),
    );
    add(
        "novelty.bits",
        beyond::novelty_miuf_bits(&lists, &viewers, facts.panel as usize),
        why.clone(),
    );
    add("diversity.ild", beyond::ild_jaccard(&lists, &genres), why.clone());
    add("exposure.gini", beyond::gini(&exposure, size), why.clone());
    add(
        "exposure.top_share",
        top_shares(&exposure).iter().sum(),
        why.clone(),
    );
    let costs: BTreeMap<u64, f64> = numbers
        .iter()
        .filter_map(|(id, number)| Some((*number, *facts.costs.get(id)?)))
        .collect();
    if let Some(cost) = beyond::cost_per_play(&exposure, &costs) {
        add("cost.per_play", cost, why);
    }
}

/// The shares of exposure of the twenty most exposed movies, the largest first.
fn top_shares(exposure: &BTreeMap<u64, f64>) -> Vec<f64> {
    let total: f64 = exposure.values().sum();
    let mut shares: Vec<f64> = exposure.values().map(|value| value / total.max(1e-12)).collect();
    shares.sort_by(|a, b| b.total_cmp(a));
    shares.truncate(20);
    shares
}

fn accuracy(parts: &Parts<'_>, findings: &mut Findings) {
    let truth: Vec<[f64; 3]> = parts
        .users
        .iter()
        .filter_map(|user| {
            user.enjoyment
                .map(|found| [found.service, found.popular, found.oracle])
        })
        .collect();
    match accuracy_score(&truth, LEVEL) {
        Some((value, interval)) => {
            let why = format!(
                "0 is the popular list, 1 the best possible; {} users",
                truth.len()
            );
            put(
                findings,
                "accuracy.score",
                measured(value, Some(interval), truth.len(), why),
            );
        }
        None => {
            findings.insert(
                "accuracy.score".to_owned(),
                not_measured("only the graders know what viewers would enjoy"),
            );
        }
    }
    let observed: Vec<_> = parts.users.iter().filter_map(|user| user.observed).collect();
    let skipped = parts.users.len() - observed.len();
    let mut add = |id: &str, values: Vec<f64>| {
        let finding = match stats::mean_interval(&values, LEVEL) {
            Some((mean, interval)) => {
                let mut found = measured(
                    mean,
                    Some(interval),
                    values.len(),
                    format!("over {} users", values.len()),
                );
                if skipped > 0 {
                    let reason = "watched_nothing_afterwards".to_owned();
                    found.excluded.push(Excluded {
                        reason,
                        count: skipped as u64,
                    });
                }
                Finding::Measured(found)
            }
            None => not_measured("too few users watched something afterwards"),
        };
        findings.insert(id.to_owned(), finding);
    };
    add(
        "accuracy.ndcg_at_20",
        observed.iter().map(|found| found.ndcg).collect(),
    );
    add(
        "accuracy.hit_rate_at_20",
        observed.iter().map(|found| found.hit).collect(),
    );
    add(
        "accuracy.recall_at_20",
        observed.iter().map(|found| found.recall).collect(),
    );
    add(
        "accuracy.ndcg_lift",
        observed
            .iter()
            .map(|found| found.ndcg - found.popular_ndcg)
            .collect(),
    );
}

fn figures(parts: &Parts<'_>, deadline_ms: u64) -> Figures {
    let run = Run::new(parts, deadline_ms * 1_000_000);
    let begin = run.all.first().map_or(0, |exchange| exchange.planned.intended_ns);
    let mut slices: BTreeMap<u64, Vec<&Exchange>> = BTreeMap::new();
    for exchange in &run.all {
        if exchange.planned.kind != RequestKind::Odd {
            slices
                .entry((exchange.planned.intended_ns - begin) / SLICE_NS)
                .or_default()
                .push(exchange);
        }
    }
    let latency_over_time = slices
        .iter()
        .map(|(slice, exchanges)| {
            let times = run.sorted_ms(exchanges);
            let at = |p: f64| stats::quantile(&times, p).unwrap_or(0.0);
            let ok = exchanges.iter().filter(|exchange| run.success(exchange)).count() as u64;
            LatencySlice {
                at_s: *slice as f64,
                n: exchanges.len() as u64,
                ok,
                p50_ms: at(0.5),
                p95_ms: at(0.95),
                max_ms: at(1.0),
            }
        })
        .collect();
    let asked = run.of(|exchange| exchange.planned.kind != RequestKind::Odd);
    let begin_s = begin as f64 / 1e9;
    let phases = parts
        .phases
        .iter()
        .filter(|(name, _, _)| ["steady", "peak"].contains(&name.as_str()))
        .map(|(name, from, to)| PhaseSpan {
            name: name.clone(),
            from_s: (from - begin_s).max(0.0),
            to_s: to - begin_s,
        })
        .collect();
    let label = if parts.knows_the_truth() {
        "regret to the best possible (lower is better)"
    } else {
        "NDCG@20 on held-out behaviour"
    };
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for exchange in parts
        .exchanges
        .iter()
        .filter(|exchange| exchange.planned.phase.is_measured())
    {
        *outcomes.entry(exchange.outcome.label()).or_default() += 1;
    }
    let mut outcomes: Vec<(String, u64)> = outcomes.into_iter().collect();
    outcomes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut numbers = BTreeMap::new();
    let lists: Vec<Vec<u64>> = run
        .pairs()
        .into_iter()
        .filter_map(|pair| pair.into_iter().find(|list| !list.is_empty()))
        .map(|list| numbered(&list, &mut numbers))
        .collect();
    Figures {
        latency_over_time,
        latency_histogram: histogram(&run.sorted_ms(&asked)),
        deadline_ms: deadline_ms as f64,
        phases,
        accuracy_label: label.to_owned(),
        accuracy_by_group: by_group(parts),
        exposure_curve: top_shares(&beyond::exposure(&lists)),
        outcomes,
    }
}

fn by_group(parts: &Parts<'_>) -> Vec<GroupFigure> {
    let value = |user: &UserScore| {
        if parts.knows_the_truth() {
            regret(user)
        } else {
            user.observed.map(|found| found.ndcg)
        }
    };
    let mut figures = Vec::new();
    for attribute in ATTRIBUTES {
        for (group, values) in grouped(&parts.users, attribute, value) {
            let values: Vec<f64> = values.into_iter().map(|[value, _]| value).collect();
            let found = group_mean(&values, LEVEL);
            figures.push(GroupFigure {
                attribute: attribute.to_owned(),
                group,
                n: values.len() as u64,
                value: found.map(|(mean, _)| mean),
                interval: found.map(|(_, interval)| interval),
            });
        }
    }
    figures
}

/// Bars that grow by a third: from below a millisecond to above the deadline.
fn histogram(sorted: &[f64]) -> Vec<Bin> {
    let mut bins = Vec::new();
    let mut from = 0.0;
    let mut to = 0.5;
    let last = sorted.last().copied().unwrap_or(0.0);
    while from <= last && !sorted.is_empty() {
        let count =
            sorted.partition_point(|value| *value < to) - sorted.partition_point(|value| *value < from);
        bins.push(Bin {
            from,
            to,
            count: count as u64,
        });
        from = to;
        to *= 4.0 / 3.0;
    }
    bins
}

fn service(parts: &Parts<'_>) -> ServiceRef {
    let stage = parts.build.filter(|stage| !stage.ok).or(parts.start);
    let tail = parts
        .end
        .or(stage)
        .map(|stage| stage.log_tail.clone())
        .unwrap_or_default();
    ServiceRef {
        command: stage.map_or_else(String::new, |stage| stage.command.clone()),
        address: parts.address.to_owned(),
        start: match stage {
            Some(stage) => stage.what.clone(),
            None if parts.finished => String::new(),
            None => "interrupted".to_owned(),
        },
        end: parts.end.map_or_else(String::new, |stage| stage.what.clone()),
        log_tail: tail,
    }
}

fn notes(bundle: &Bundle, parts: &Parts<'_>) -> Vec<String> {
    let mut notes: Vec<String> = parts.lost.iter().map(|why| (*why).to_owned()).collect();
    if bundle.manifest.world.practice && bundle.manifest.kind == crate::scorecard::RunKind::Grade {
        notes.push("the practice world was used, whose key is public: for real grades make a course with `reelworld new`".to_owned());
    }
    if !bundle.finished() {
        notes.push(
            "this run was interrupted: it is no grade; `--resume` or `--retry no_verdict` measures it again"
                .to_owned(),
        );
    }
    if let Some(isolation) = parts.isolation {
        let weak = isolation.weak.iter().map(|weak| format!("; {weak}"));
        notes.push(format!("{}{}", isolation.how, weak.collect::<String>()));
    }
    notes.extend(bundle.manifest.left_out.iter().cloned());
    if let Some(fetched) = parts.fetched {
        notes.push(format!(
            "the build had {} of the course's mirror",
            fetched.describe()
        ));
    }
    if let Some(why) = parts.traffic.and_then(|traffic| traffic.tainted.as_ref()) {
        notes.push(format!("latency is not judged: {why}"));
    }
    let ours = parts
        .exchanges
        .iter()
        .filter(|exchange| exchange.is_ours())
        .count();
    if ours > 0 {
        notes.push(format!("{ours} requests are left out because the fault was ours"));
    }
    if let Some(end) = parts.end.filter(|end| !end.ok) {
        notes.push(format!("the service did not live through the run: {}", end.what));
    }
    if let Some(end) = parts.end.filter(|end| end.refused > 0) {
        notes.push(format!(
            "the service had as many processes and threads as it may (`processes` under `[limits]`), and was refused {} more: requests that wait for one find nobody",
            end.refused
        ));
    }
    notes
}
