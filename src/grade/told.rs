//! What follows from what a service and its repository have told of themselves: pure, from the bundle's items alone.

use super::files;
use super::image;
use super::judge::{LEVEL, LINES, measured, not_measured, tail};
use crate::evidence::{
    ArmFacts, ClaimFacts, ImageFacts, Provenance, ReportText, Scrape, SplitFacts, StageEnd, TelemetryFacts,
    TrafficEnd, UpdateFacts, UserScore,
};
use crate::exchange::{Exchange, Outcome};
use crate::metrics::stats;
use crate::repository::{CoverageFacts, FileFacts, HistoryFacts, LARGE_LINES};
use crate::scorecard::{Finding, Findings, Interval, Measurement};
use crate::telemetry::{Counted, EXPERIMENT, ExperimentReport, bucket_of, requests_error, split};
use crate::trouble::FINDINGS;

/// What the way to a service and back may add to a latency that it measures itself, in seconds: connecting, and waiting for a
/// thread that takes the request up.
const WAY_S: f64 = 0.010;
/// The quantile by which histograms are compared: far tails differ by what waits before a service looks at its clock.
const MEDIAN: f64 = 0.5;
/// An update may disturb requests until so long after it has ended, in seconds: workers start again.
const AFTERMATH_S: f64 = 2.0;

/// What was told, sorted out of a bundle.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) telemetry: Option<&'a TelemetryFacts>,
    pub(super) updates: Vec<&'a UpdateFacts>,
    pub(super) tests: Option<&'a StageEnd>,
    pub(super) claims: Option<&'a ClaimFacts>,
    pub(super) history: Option<&'a HistoryFacts>,
    pub(super) files: Option<&'a FileFacts>,
    pub(super) image: Option<&'a ImageFacts>,
    pub(super) coverage: Option<&'a CoverageFacts>,
    pub(super) split: Option<&'a SplitFacts>,
    pub(super) commands: Option<&'a [StageEnd]>,
    pub(super) experiment: Option<&'a ReportText>,
}

/// Adds what is found in the repository, whether its service starts or not.
pub(super) fn repository(told: &Told<'_>, findings: &mut Findings) {
    if let Some(stage) = told.tests {
        let mut found = fact(stage.ok, stage.what.clone());
        found.hint.clone_from(&stage.hint);
        found.evidence.extend(stage.evidence.iter().cloned());
        if !stage.ok {
            found.evidence.extend(tail(stage));
        }
        put(findings, "repository.tests_pass", found);
    }
    if let Some(facts) = told.history {
        history(facts, findings);
    }
    if let Some(facts) = told.files {
        files::files(facts, findings);
    }
    if let Some(facts) = told.image {
        image::builds(facts, findings);
    }
    if let Some(facts) = told.coverage {
        files::coverage(facts, findings);
    }
    if let Some(facts) = told.split {
        files::split(facts, findings);
    }
    if let Some(stages) = told.commands {
        files::commands(stages, findings);
    }
    if let Some(claims) = told.claims {
        self::claims(claims, findings);
    }
    if let Some(text) = told.experiment {
        put(findings, "experiment.conclusion_right", conclusion(text));
    }
}

/// Adds what is found of the running service.
pub(super) fn service(
    told: &Told<'_>,
    exchanges: &[&Exchange],
    traffic: Option<&TrafficEnd>,
    deadline_ns: u64,
    findings: &mut Findings,
) {
    if let Some(facts) = told.telemetry {
        if let Some(scrapes) = &facts.metrics {
            metrics(scrapes, exchanges, traffic, findings);
        }
        if let Some(named) = &facts.provenance {
            findings.insert("provenance.named_share".to_owned(), provenance(named));
        }
        if let Some(arms) = &facts.experiment {
            self::arms(arms, findings);
        }
    }
    updates(&told.updates, exchanges, deadline_ns, findings);
}

/// Adds how many lists of users under age hold movies for adults only.
pub(super) fn minors(users: &[&UserScore], findings: &mut Findings) {
    let minors: Vec<(u32, &Vec<String>)> = users
        .iter()
        .filter_map(|user| Some((user.user, user.unsuitable.as_ref()?)))
        .collect();
    let bad: Vec<&(u32, &Vec<String>)> = minors.iter().filter(|(_, found)| !found.is_empty()).collect();
    let finding = if minors.is_empty() {
        not_measured("nobody under age was asked about")
    } else {
        let why = format!("{} of {} users under 18 got one", bad.len(), minors.len());
        let mut found = measured(bad.len() as f64 / minors.len() as f64, None, minors.len(), why);
        let lines = bad.iter().take(LINES);
        found.evidence.extend(lines.map(|(user, movies)| {
            let shown: Vec<&str> = movies.iter().take(3).map(String::as_str).collect();
            format!("user {user} got {}", shown.join(", "))
        }));
        Finding::Measured(found)
    };
    findings.insert("minors.unsuitable_share".to_owned(), finding);
}

fn history(facts: &HistoryFacts, findings: &mut Findings) {
    let (credentials, described) = ("repository.credentials", "repository.described_share");
    let large = "repository.large_share";
    if let Some(fault) = &facts.fault {
        findings.insert(credentials.to_owned(), not_measured(fault));
        let told = if facts.ours {
            not_measured(fault)
        } else {
            Finding::Measured(lacking(0.0, fault))
        };
        findings.insert(described.to_owned(), told);
        // Without a history there are no small steps in it either.
        let told = if facts.ours {
            not_measured(fault)
        } else {
            Finding::Measured(lacking(1.0, fault))
        };
        findings.insert(large.to_owned(), told);
        return;
    }
    let n = facts.credentials;
    let mut found = measured(f64::from(n), None, 1, format!("{n} in the whole history"));
    found.evidence = facts.leaks.iter().take(LINES).cloned().collect();
    put(findings, credentials, found);
    if facts.commits == 0 {
        put(
            findings,
            described,
            lacking(0.0, "there is no commit beyond the first"),
        );
        put(
            findings,
            large,
            lacking(1.0, "there is no commit beyond the first"),
        );
        return;
    }
    let why = format!(
        "{} of {} commits say what was done",
        facts.described, facts.commits
    );
    let share = f64::from(facts.described) / f64::from(facts.commits);
    let mut found = measured(share, None, facts.commits as usize, why);
    found.evidence = facts.wordless.iter().take(LINES).cloned().collect();
    put(findings, described, found);
    let why = format!(
        "{} of {} commits change more than {LARGE_LINES} lines of code and text",
        facts.large, facts.commits
    );
    let share = f64::from(facts.large) / f64::from(facts.commits);
    let mut found = measured(share, None, facts.commits as usize, why);
    found.evidence = facts.largest.iter().take(LINES).cloned().collect();
    put(findings, large, found);
}

pub(super) fn fact(so: bool, why: String) -> Measurement {
    measured(f64::from(u8::from(so)), None, 1, why)
}

pub(super) fn put(findings: &mut Findings, measure: &str, found: Measurement) {
    findings.insert(measure.to_owned(), Finding::Measured(found));
}

/// The gap of a split that is not there: as wide as can be, and certain.
fn no_split(why: &str) -> Measurement {
    let mut found = lacking(1.0, why);
    found.interval = Some(Interval {
        low: 1.0,
        high: 1.0,
        level: LEVEL,
    });
    found
}

/// A measurement of something that the repository does not offer.
pub(super) fn lacking(value: f64, why: &str) -> Measurement {
    // One look was enough to see that it is not there.
    measured(value, None, 1, why.to_owned())
}

fn counts(scrape: &Scrape) -> Counted {
    let bound = |bound: Option<f64>| bound.unwrap_or(f64::INFINITY);
    Counted {
        requests: scrape.requests,
        buckets: scrape
            .buckets
            .iter()
            .map(|(up_to, n)| (bound(*up_to), *n))
            .collect(),
    }
}

fn metrics(
    [before, after]: &[Scrape; 2],
    exchanges: &[&Exchange],
    traffic: Option<&TrafficEnd>,
    findings: &mut Findings,
) {
    if let Some(fault) = after.fault.as_ref().or(before.fault.as_ref()) {
        put(findings, "telemetry.requests_error", lacking(1.0, fault));
        put(findings, "telemetry.latency_agrees", lacking(0.0, fault));
        return;
    }
    let answered = exchanges.iter().filter(|exchange| came_back(exchange)).count() as u64;
    let retries = traffic.map_or(0, |end| end.stale_retries);
    let sent = exchanges
        .iter()
        .filter(|exchange| exchange.sent_ns.is_some())
        .count() as u64
        + retries;
    let (earlier, later) = (counts(before), counts(after));
    let requests = match requests_error(&earlier, &later, answered, sent) {
        Some(error) => {
            let counted = later.requests.unwrap_or(0.0) - earlier.requests.unwrap_or(0.0);
            let why = format!("it counted {counted}, we sent {sent} and got {answered} answers");
            measured(error, None, sent as usize, why)
        }
        None => lacking(1.0, "the counter that `requests` names is not on the page"),
    };
    put(findings, "telemetry.requests_error", requests);
    let mut times: Vec<f64> = exchanges
        .iter()
        .filter(|exchange| came_back(exchange))
        .filter_map(|exchange| Some(exchange.finished_ns.saturating_sub(exchange.sent_ns?) as f64 / 1e9))
        .collect();
    times.sort_by(f64::total_cmp);
    let latency = match (
        bucket_of(&earlier, &later, MEDIAN),
        stats::quantile(&times, MEDIAN),
    ) {
        (Some(bucket), Some(seconds)) => {
            let up_to = if bucket.up_to.is_finite() {
                format!("{:.0} ms", bucket.up_to * 1e3)
            } else {
                "no bound".to_owned()
            };
            let tells = bucket.tells();
            let why = format!(
                "half of the answers took us at most {:.1} ms; its histogram says {:.1} ms to {up_to}{}",
                seconds * 1e3,
                bucket.over * 1e3,
                if tells {
                    ""
                } else {
                    ", which tells nothing: give it bounds where the answers are"
                }
            );
            fact(tells && bucket.fits(seconds, WAY_S), why)
        }
        (None, _) => lacking(
            0.0,
            "the histogram that `latency` names is not on the page, or counts nothing",
        ),
        (_, None) => lacking(0.0, "nothing was answered"),
    };
    put(findings, "telemetry.latency_agrees", latency);
}

fn came_back(exchange: &Exchange) -> bool {
    matches!(
        exchange.outcome,
        Outcome::Answered { .. } | Outcome::Malformed { .. } | Outcome::Status { .. }
    )
}

fn provenance(named: &[Provenance]) -> Finding {
    if named.is_empty() {
        return not_measured("no user got a list whose versions could be asked for");
    }
    let whole = |answer: &&Provenance| {
        answer.fault.is_none()
            && answer.missing.is_empty()
            && [&answer.model, &answer.code, &answer.data]
                .iter()
                .all(|part| part.is_some())
    };
    let good = named.iter().filter(whole).count();
    let why = format!(
        "{good} of {} lists: model, code and data are named and there",
        named.len()
    );
    let mut found = measured(good as f64 / named.len() as f64, None, named.len(), why);
    let bad = named.iter().filter(|answer| !whole(answer)).take(LINES);
    found.evidence.extend(bad.map(|answer| {
        let lacks: Vec<&str> = [
            ("model", &answer.model),
            ("code", &answer.code),
            ("data", &answer.data),
        ]
        .iter()
        .filter(|(_, part)| part.is_none())
        .map(|(name, _)| *name)
        .collect();
        match &answer.fault {
            Some(fault) => fault.clone(),
            None if !lacks.is_empty() => format!("user {}: no {}", answer.user, lacks.join(", no ")),
            None => format!(
                "user {}: not in the repository: {}",
                answer.user,
                answer.missing.join(", ")
            ),
        }
    }));
    Finding::Measured(found)
}

fn arms(facts: &ArmFacts, findings: &mut Findings) {
    if let Some(fault) = &facts.fault {
        put(findings, "experiment.sticky_share", lacking(0.0, fault));
        put(findings, "experiment.split_gap", no_split(fault));
        return;
    }
    let Some(split) = split(&facts.answers, &facts.announced, LEVEL) else {
        let why = "no user got an arm both times";
        put(findings, "experiment.sticky_share", lacking(0.0, why));
        put(findings, "experiment.split_gap", no_split(why));
        return;
    };
    let n = facts.answers.len();
    let why = format!(
        "{} of {n} users got the same announced arm twice; {} got none, {} one that was not announced",
        split.same,
        n as u64 - split.asked,
        split.unknown
    );
    // Who gets no arm is in no experiment: it counts against, as does an arm that nobody announced.
    put(
        findings,
        "experiment.sticky_share",
        measured(split.same as f64 / n as f64, None, n, why),
    );
    let interval = &split.interval;
    let (low, high) = (interval.low.abs(), interval.high.abs());
    let around_nothing = interval.low <= 0.0 && interval.high >= 0.0;
    let distance = Interval {
        low: if around_nothing { 0.0 } else { low.min(high) },
        high: low.max(high),
        level: interval.level,
    };
    if let Some(arm) = &split.empty {
        let why = format!("nobody of {} users is in the arm `{arm}`", split.asked);
        put(findings, "experiment.split_gap", no_split(&why));
        return;
    }
    let why = format!("arm {}: {:+.3} from the announced share", split.arm, split.gap);
    put(
        findings,
        "experiment.split_gap",
        measured(split.gap.abs(), Some(distance), split.asked as usize, why),
    );
}

fn conclusion(text: &ReportText) -> Measurement {
    let text = match text {
        ReportText::Read(text) => text,
        ReportText::Unreadable(why) => {
            return lacking(0.0, &format!("`{EXPERIMENT}` cannot be read: {why}"));
        }
    };
    let report = match ExperimentReport::parse(EXPERIMENT, text) {
        Ok(report) => report,
        Err(faults) => {
            let mut found = lacking(0.0, &format!("`{EXPERIMENT}` has faults"));
            found.evidence = faults
                .to_string()
                .lines()
                .take(LINES * 2)
                .map(str::to_owned)
                .collect();
            return found;
        }
    };
    match report.conclude() {
        None => lacking(
            0.0,
            "its numbers allow no test: shares beside means, or no spread",
        ),
        Some(found) => {
            let so = found.wrong.is_empty();
            let why = if so {
                format!(
                    "computed again: difference {:.4}, p {:.4}",
                    found.difference, found.p_value
                )
            } else {
                found.wrong.join("; ")
            };
            fact(so, why)
        }
    }
}

fn updates(updates: &[&UpdateFacts], exchanges: &[&Exchange], deadline_ns: u64, findings: &mut Findings) {
    let Some(first) = updates.first() else { return };
    let seen = updates
        .iter()
        .filter(|update| update.ok && update.after.is_some() && update.before != update.after)
        .count();
    let mut count = measured(
        seen as f64,
        None,
        updates.len(),
        format!(
            "{seen} of {} updates changed the model that the service names",
            updates.len()
        ),
    );
    count.evidence.extend(updates.iter().take(LINES).map(|update| {
        let name = |model: &Option<String>| model.clone().unwrap_or_else(|| "no model named".to_owned());
        format!(
            "{}: {}, then {}",
            update.what,
            name(&update.before),
            name(&update.after)
        )
    }));
    put(findings, "update.count", count);
    if updates.iter().all(|update| update.to_s <= update.from_s) {
        let finding = not_measured(&first.what);
        findings.insert("update.failed_share".to_owned(), finding);
        return;
    }
    let during = |exchange: &&&Exchange| {
        let due_s = exchange.planned.intended_ns as f64 / 1e9;
        updates
            .iter()
            .any(|update| update.from_s <= due_s && due_s <= update.to_s + AFTERMATH_S)
    };
    let asked: Vec<&&Exchange> = exchanges
        .iter()
        .filter(|exchange| !exchange.is_ours() && exchange.planned.user.is_some())
        .filter(during)
        .collect();
    let failed: Vec<&&&Exchange> = asked
        .iter()
        .filter(|exchange| !exchange.is_success(deadline_ns))
        .collect();
    let finding = if asked.is_empty() {
        not_measured("nobody asked while the models changed")
    } else {
        let why = format!(
            "{} of {} requests while models changed",
            failed.len(),
            asked.len()
        );
        let mut found = measured(failed.len() as f64 / asked.len() as f64, None, asked.len(), why);
        found.evidence.extend(
            failed
                .iter()
                .take(LINES)
                .map(|exchange| format!("GET {}: {}", exchange.planned.path, exchange.outcome.describe())),
        );
        Finding::Measured(found)
    };
    findings.insert("update.failed_share".to_owned(), finding);
}

fn claims(facts: &ClaimFacts, findings: &mut Findings) {
    if let Some(faults) = &facts.faults {
        let mut found = lacking(0.0, &format!("`{FINDINGS}` cannot be read"));
        found.evidence = faults.lines().take(LINES * 2).map(str::to_owned).collect();
        put(findings, "claims.found_share", found);
        // Who hands in nothing has claimed nothing that is false, and gets nothing for it.
        let finding = not_measured("nothing was claimed that could be read");
        findings.insert("claims.false_count".to_owned(), finding);
        return;
    }
    let share = if facts.findable == 0 {
        // Where nothing is wrong, to say so is to have found it.
        let right = facts.false_claims == 0;
        let why = if right {
            "nothing is wrong with this log, and nothing was claimed"
        } else {
            "nothing is wrong with this log"
        };
        Finding::Measured(measured(f64::from(u8::from(right)), None, 1, why.to_owned()))
    } else {
        let why = format!(
            "{} of {} troubles that the log can show",
            facts.found, facts.findable
        );
        let value = f64::from(facts.found) / f64::from(facts.findable);
        Finding::Measured(measured(value, None, facts.findable as usize, why))
    };
    findings.insert("claims.found_share".to_owned(), share);
    let why = format!(
        "{} of {} claims agree with nothing that is there",
        facts.false_claims, facts.claims
    );
    put(
        findings,
        "claims.false_count",
        // One file was read, whatever the number of claims in it.
        measured(f64::from(facts.false_claims), None, 1, why),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(facts: &ClaimFacts, measure: &str) -> Option<f64> {
        let told = Told {
            claims: Some(facts),
            ..Told::default()
        };
        let mut findings = Findings::new();
        repository(&told, &mut findings);
        match &findings[measure] {
            Finding::Measured(found) => Some(found.value),
            Finding::NotMeasured { .. } => None,
        }
    }

    #[test]
    fn to_say_of_a_clean_log_that_it_is_clean_is_right() {
        let mut facts = ClaimFacts::default();
        assert_eq!(value(&facts, "claims.found_share"), Some(1.0));
        assert_eq!(value(&facts, "claims.false_count"), Some(0.0));
        (facts.claims, facts.false_claims) = (2, 2);
        assert_eq!(value(&facts, "claims.found_share"), Some(0.0));
        assert_eq!(value(&facts, "claims.false_count"), Some(2.0));
    }

    #[test]
    fn who_hands_in_nothing_has_found_nothing_and_is_not_praised_for_claiming_nothing() {
        let facts = ClaimFacts {
            faults: Some("findings.toml:1:1: no".to_owned()),
            ..ClaimFacts::default()
        };
        assert_eq!(value(&facts, "claims.found_share"), Some(0.0));
        assert_eq!(value(&facts, "claims.false_count"), None);
    }

    #[test]
    fn what_minors_got_is_counted_by_user() {
        let user = |user, unsuitable: Option<&[&str]>| UserScore {
            user,
            groups: std::collections::BTreeMap::new(),
            history: 3,
            enjoyment: None,
            observed: None,
            unsuitable: unsuitable.map(|movies| movies.iter().map(|&id| id.to_owned()).collect()),
        };
        let users = [
            user(1, Some(&[])),
            user(2, Some(&["a+2001", "b+2002"])),
            user(3, None),
        ];
        let found = |users: &[&UserScore]| {
            let mut findings = Findings::new();
            minors(users, &mut findings);
            findings.remove("minors.unsuitable_share").unwrap()
        };
        match found(&users.iter().collect::<Vec<_>>()) {
            Finding::Measured(found) => {
                assert_eq!((found.value, found.n), (0.5, 2));
                assert_eq!(found.evidence, ["user 2 got a+2001, b+2002"]);
            }
            Finding::NotMeasured { why, .. } => panic!("{why}"),
        }
        assert!(matches!(found(&[&users[2]]), Finding::NotMeasured { .. }));
    }

    #[test]
    fn requests_fail_while_a_model_changes_or_shortly_after() {
        use crate::exchange::{Phase, Planned, RequestKind};
        let exchange = |at_s: f64, outcome| Exchange {
            planned: Planned {
                seq: 0,
                intended_ns: (at_s * 1e9) as u64,
                phase: Phase::Steady,
                kind: RequestKind::Known,
                path: "/recommend/1".to_owned(),
                user: Some(1),
            },
            dispatched_ns: (at_s * 1e9) as u64,
            sent_ns: Some((at_s * 1e9) as u64),
            finished_ns: (at_s * 1e9) as u64 + 1_000_000,
            outcome,
        };
        let good = || Outcome::Answered {
            ids: vec!["a+2001".to_owned()],
        };
        let exchanges = [
            exchange(1.0, Outcome::TimedOut),
            exchange(5.5, good()),
            exchange(6.5, Outcome::TimedOut),
            exchange(9.0, Outcome::TimedOut),
        ];
        let update = |before: &str, after: &str| UpdateFacts {
            from_s: 5.0,
            to_s: 6.0,
            ok: true,
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
            ..UpdateFacts::default()
        };
        let told = [update("1", "2"), update("2", "2")];
        let mut findings = Findings::new();
        updates(
            &told.iter().collect::<Vec<_>>(),
            &exchanges.iter().collect::<Vec<_>>(),
            800_000_000,
            &mut findings,
        );
        let value = |measure: &str| match &findings[measure] {
            Finding::Measured(found) => (found.value, found.n),
            Finding::NotMeasured { why, .. } => panic!("{why}"),
        };
        assert_eq!(value("update.count"), (1.0, 2));
        assert_eq!(value("update.failed_share"), (0.5, 2));
    }
}
