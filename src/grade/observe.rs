//! What a service and its repository tell of themselves, asked for and written down: metrics, versions, arms, updates, tests.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::files::FILES;
use super::measure::Tools;
use super::ran::ran;
use crate::evidence::{
    ArmFacts, ClaimFacts, Item, Provenance, ReportText, Scrape, StageEnd, TelemetryFacts, UpdateFacts,
};
use crate::release::Release;
use crate::repository::{Marked, PLACES, Versions, marked_blocks};
use crate::sandbox::{CommandLine, Limits, ObserveSpec, ServiceSpec, Workplace, build, build_with_mirror};
use crate::telemetry::{Counted, EXPERIMENT, Selector, counted, parse_exposition, total};
use crate::traffic::{Target, fetch};
use crate::trouble::{Agreement, FINDINGS, compare, parse_claims};
use crate::world::Feedback;

/// The time that one question about the service itself may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The time that a look at an alert may take: the next one is due then.
const ALERT_PATIENCE: Duration = Duration::from_millis(400);
/// How often we look whether the moment of an update has come, or the run is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// The most bytes of a page of metrics: a client library's default page is a hundredth of it.
const METRICS_BYTES: usize = 2 << 20;
/// The most bytes of any other answer.
const ANSWER_BYTES: usize = 16 << 10;
/// The most bytes of a file that a team hands in for us to read.
const FILE_BYTES: u64 = 256 << 10;
/// The file in which people look first.
const README: &str = "README.md";
/// The most blocks of commands that are run.
const MOST_BLOCKS: usize = 20;
/// The lines of a block that are shown.
const SHOWN_LINES: usize = 8;
/// The users whose list's versions are asked for.
const SAMPLED: usize = 20;
/// The users who are asked for their arm, twice: a share is known to two hundredths then.
const IN_ARMS: usize = 600;

/// What the rubric wants to know beyond the traffic.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) metrics: bool,
    pub(super) provenance: bool,
    pub(super) arms: bool,
    pub(super) conclusion: bool,
    pub(super) updates: bool,
    pub(super) tests: bool,
    pub(super) claims: bool,
    pub(super) history: bool,
    pub(super) files: bool,
    pub(super) coverage: bool,
    pub(super) split: bool,
    pub(super) commands: bool,
    pub(super) image: bool,
    pub(super) incidents: bool,
    pub(super) attack: bool,
}

impl Wanted {
    pub(super) fn of(measures: &BTreeSet<String>) -> Self {
        let any = |names: &[&str]| names.iter().any(|name| measures.contains(*name));
        Self {
            metrics: any(&["telemetry.requests_error", "telemetry.latency_agrees"]),
            provenance: any(&["provenance.named_share"]),
            arms: any(&["experiment.sticky_share", "experiment.split_gap"]),
            conclusion: any(&["experiment.conclusion_right"]),
            updates: any(&["update.count", "update.failed_share"]),
            tests: any(&["repository.tests_pass", "repository.coverage_share"]),
            claims: any(&["claims.found_share", "claims.false_count"]),
            history: any(&[
                "repository.credentials",
                "repository.described_share",
                "repository.large_share",
            ]),
            files: any(FILES) || any(&["container.builds"]),
            coverage: any(&["repository.coverage_share"]),
            split: any(&["evaluation.leak_share"]),
            commands: any(&["readme.commands_share"]),
            image: any(&["container.builds"]),
            incidents: any(&[
                "incidents.answered_share",
                "incidents.after_share",
                "incidents.noticed_share",
                "takedown.obeyed_share",
            ]),
            attack: any(&["attack.reach_rise"]),
        }
    }
}

/// Tells whether anything of a submission runs on this machine for these measures where no service is asked. The steps of an image
/// are its own programs, too.
pub fn runs_programs(measures: &BTreeSet<String>) -> bool {
    let wanted = Wanted::of(measures);
    wanted.tests || wanted.commands || wanted.split || wanted.image
}

/// Looks at a service's metrics.
pub(super) fn scrape(target: &Target, spec: &ObserveSpec) -> io::Result<Scrape> {
    let fault = |fault: String| Scrape {
        fault: Some(fault),
        ..Scrape::default()
    };
    let Some(path) = &spec.metrics else {
        return Ok(fault(
            "reelworld.toml names no `metrics` under [observability]".to_owned(),
        ));
    };
    let selector = |key: &str, text: &Option<String>| match text.as_deref().map(Selector::parse) {
        None => Ok(None),
        Some(Ok(selector)) => Ok(Some(selector)),
        Some(Err(error)) => Err(format!("`{key}` of [observability] is no selector: {error}")),
    };
    let both = selector("requests", &spec.requests)
        .and_then(|requests| Ok((requests, selector("latency", &spec.latency)?)));
    let (requests, latency) = match both {
        Ok(both) => both,
        Err(error) => return Ok(fault(error)),
    };
    let page = match fetch(target, path, PATIENCE, METRICS_BYTES)? {
        Ok((200, body)) => body,
        Ok((status, _)) => return Ok(fault(format!("GET {path} was answered with status {status}"))),
        Err(error) => return Ok(fault(format!("GET {path}: {error}"))),
    };
    let Ok(text) = String::from_utf8(page) else {
        return Ok(fault(format!("GET {path} is no UTF-8 text")));
    };
    let samples = match parse_exposition(&text) {
        Ok(samples) => samples,
        Err(error) => return Ok(fault(format!("GET {path}, {error}"))),
    };
    let Counted { requests, buckets } = counted(&samples, requests.as_ref(), latency.as_ref());
    Ok(Scrape {
        requests,
        buckets: buckets
            .into_iter()
            .map(|(bound, count)| (bound.is_finite().then_some(bound), count))
            .collect(),
        fault: None,
    })
}

/// Returns what the service's own alert says, as the sum of the series that it names; none where the page or the alert is not to be had.
pub(super) fn alert(target: &Target, spec: &ObserveSpec) -> io::Result<Option<f64>> {
    let (Some(path), Some(alerts)) = (&spec.metrics, &spec.alerts) else {
        return Ok(None);
    };
    let (Ok(selector), Ok((200, page))) = (
        Selector::parse(alerts),
        fetch(target, path, ALERT_PATIENCE, METRICS_BYTES)?,
    ) else {
        return Ok(None);
    };
    let samples = String::from_utf8(page)
        .ok()
        .and_then(|text| parse_exposition(&text).ok())
        .unwrap_or_default();
    Ok(total(&samples, &selector))
}

/// Asks for the versions behind the lists of some users.
fn provenance(
    target: &Target,
    spec: &ObserveSpec,
    users: &[u32],
    place: &Workplace,
) -> io::Result<Vec<Provenance>> {
    let Some(path) = &spec.provenance else {
        let fault = Some("reelworld.toml names no `provenance` under [observability]".to_owned());
        return Ok(vec![Provenance {
            fault,
            ..Provenance::default()
        }]);
    };
    let versions = Versions::open(&place.dir)?;
    let step = users.len().div_ceil(SAMPLED).max(1);
    users
        .iter()
        .step_by(step)
        .map(|user| {
            named(
                target,
                &ObserveSpec::path_for(path, *user),
                *user,
                Some((place, &versions)),
            )
        })
        .collect()
}

fn named(
    target: &Target,
    path: &str,
    user: u32,
    repository: Option<(&Workplace, &Versions)>,
) -> io::Result<Provenance> {
    let fault = |fault: String| Provenance {
        user,
        fault: Some(format!("GET {path}: {fault}")),
        ..Provenance::default()
    };
    let body = match fetch(target, path, PATIENCE, ANSWER_BYTES)? {
        Ok((200, body)) => body,
        Ok((status, _)) => return Ok(fault(format!("status {status}"))),
        Err(error) => return Ok(fault(error)),
    };
    let Ok(serde_json::Value::Object(answer)) = serde_json::from_slice(&body) else {
        return Ok(fault("not a JSON object".to_owned()));
    };
    let text = |key: &str| {
        let text = answer.get(key)?.as_str()?.trim();
        (!text.is_empty()).then(|| text.chars().take(200).collect::<String>())
    };
    let (model, code, data) = (text("model"), text("code"), text("data"));
    let mut missing = Vec::new();
    if let Some((place, versions)) = repository {
        for (what, name) in [("model", &model), ("code", &code), ("data", &data)] {
            if let Some(name) = name
                && !(what != "code" && place.is_file(name)? || versions.has(name)?)
            {
                missing.push(format!("{what} `{name}`"));
            }
        }
    }
    Ok(Provenance {
        user,
        model,
        code,
        data,
        missing,
        fault: None,
    })
}

/// Asks users for their arms, all of them once and then all of them again.
fn arms(target: &Target, spec: &ObserveSpec, users: &[u32]) -> io::Result<ArmFacts> {
    let mut facts = ArmFacts {
        announced: spec.arms.clone(),
        ..ArmFacts::default()
    };
    let Some(path) = &spec.experiment else {
        facts.fault = Some("reelworld.toml names no `experiment` under [observability]".to_owned());
        return Ok(facts);
    };
    if spec.arms.is_empty() {
        facts.fault = Some("reelworld.toml announces no `arms` under [observability]".to_owned());
        return Ok(facts);
    }
    let asked: Vec<u32> = users.iter().copied().take(IN_ARMS).collect();
    let ask = |user: &u32| arm(target, &ObserveSpec::path_for(path, *user));
    let first: Vec<Option<String>> = asked.iter().map(ask).collect::<io::Result<_>>()?;
    let second: Vec<Option<String>> = asked.iter().map(ask).collect::<io::Result<_>>()?;
    facts.answers = asked
        .into_iter()
        .zip(first.into_iter().zip(second))
        .map(|(user, (first, second))| (user, first, second))
        .collect();
    Ok(facts)
}

/// Reads an arm: one word, or a JSON object with an `arm`.
fn arm(target: &Target, path: &str) -> io::Result<Option<String>> {
    let Ok((200, body)) = fetch(target, path, PATIENCE, ANSWER_BYTES)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    let arm = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(serde_json::Value::Object(answer)) => {
            answer.get("arm").and_then(|arm| arm.as_str()).map(str::to_owned)
        }
        Ok(serde_json::Value::String(arm)) => Some(arm),
        _ => Some(text),
    };
    Ok(arm.filter(|arm| !arm.is_empty() && arm.chars().count() <= 40 && !arm.contains(char::is_whitespace)))
}

/// Puts together what the service tells once the traffic is over.
pub(super) fn telemetry(
    wanted: Wanted,
    target: &Target,
    spec: &ObserveSpec,
    before: Option<Scrape>,
    (users, place): (&[u32], &Workplace),
) -> io::Result<TelemetryFacts> {
    let mut facts = TelemetryFacts::default();
    if let Some(before) = before {
        facts.metrics = Some([before, scrape(target, spec)?]);
    }
    if wanted.provenance {
        facts.provenance = Some(provenance(target, spec, users, place)?);
    }
    if wanted.arms {
        facts.experiment = Some(arms(target, spec, users)?);
    }
    Ok(facts)
}

/// Returns the model that the service names, if it does.
pub(super) fn model(target: &Target, spec: &ObserveSpec) -> io::Result<Option<String>> {
    match &spec.provenance {
        Some(path) => Ok(named(target, &ObserveSpec::path_for(path, 1), 1, None)?.model),
        None => Ok(None),
    }
}

/// Brings new models into the running service while it is asked: at each of some moments, in seconds from the first request.
pub(super) fn updates(
    spec: &ServiceSpec,
    place: &Workplace,
    target: &Target,
    limits: Limits,
    (moments, begin): (&[f64], Duration),
    tools: Tools<'_>,
) -> io::Result<Vec<UpdateFacts>> {
    let Some(command) = &spec.update else {
        return Ok(vec![UpdateFacts {
            what: "reelworld.toml names no `update` under [service]".to_owned(),
            ..UpdateFacts::default()
        }]);
    };
    let now = || (tools.clock.elapsed().saturating_sub(begin)).as_secs_f64();
    let model = || model(target, &spec.observe);
    let mut place = place.clone();
    place
        .env
        .insert("PORT".to_owned(), target.address.port().to_string());
    let mut all = Vec::new();
    for moment in moments {
        while now() < *moment && !tools.stop.load(Ordering::Relaxed) {
            tools.clock.sleep(LOOK);
        }
        let (from_s, before) = (now(), model()?);
        let (ended, log_tail) = build(
            &command.words(),
            &place,
            limits,
            tools.leash,
            tools.clock,
            tools.stop,
        )?;
        let Some((ok, what)) = ended.told("the update", limits.build) else {
            break;
        };
        all.push(UpdateFacts {
            from_s,
            to_s: now(),
            ok,
            what,
            before,
            after: model()?,
            log_tail,
        });
    }
    Ok(all)
}

/// Runs the repository's own tests, when nothing else of it runs any more; none when the run is stopped meanwhile.
pub(super) fn tests(
    command: Option<&CommandLine>,
    place: &Workplace,
    limits: Limits,
    tools: Tools<'_>,
) -> io::Result<Option<StageEnd>> {
    let Some(command) = command else {
        return Ok(Some(StageEnd {
            what: "reelworld.toml names no tests".to_owned(),
            hint: Some("add to reelworld.toml: [tests] run = [\"python3\", \"-m\", \"pytest\"]".to_owned()),
            ..StageEnd::default()
        }));
    };
    let (ended, log_tail) = build(
        &command.words(),
        place,
        limits,
        tools.leash,
        tools.clock,
        tools.stop,
    )?;
    let Some((mut ok, mut what)) = ended.told("the tests", limits.build) else {
        return Ok(None);
    };
    let mut evidence = Vec::new();
    if ok {
        let said = ran(&log_tail);
        match said.tests {
            _ if said.failed > 0 => {
                let failed = said.failed;
                (ok, what) = (
                    false,
                    format!("the command ends well, and says that {failed} tests failed"),
                );
            }
            Some(0) => (ok, what) = (false, "the command ran no test".to_owned()),
            Some(count) => evidence.push(format!("{count} tests")),
            None => {
                (ok, what) = (false, "the command does not say how many tests it ran".to_owned());
            }
        }
    }
    let hint = (!ok).then(|| {
        "run it by hand in a fresh clone; pytest, unittest, node --test, jest, mocha, cargo, go test -v, JUnit and TAP say how many ran"
            .to_owned()
    });
    Ok(Some(StageEnd {
        ok,
        command: command.display(),
        what,
        hint,
        ours: false,
        evidence,
        log_tail,
        ..StageEnd::default()
    }))
}

/// Runs the commands that the README marks, block by block in their order, each with the repository as it was left by the one
/// before; the first that fails is the last. None when the run is stopped meanwhile.
pub(super) fn commands(
    place: &Workplace,
    limits: Limits,
    tools: Tools<'_>,
) -> io::Result<Option<Vec<StageEnd>>> {
    let text = match read_file(&place.dir.join(README)) {
        Ok(text) => text,
        Err(error) => {
            return Ok(Some(vec![StageEnd {
                what: format!("`{README}` cannot be read: {error}"),
                ..StageEnd::default()
            }]));
        }
    };
    let mut all = Vec::new();
    for Marked { line, shell, code } in marked_blocks(&text).into_iter().take(MOST_BLOCKS) {
        let words = [shell, "-e", "-x", "-c", &code].map(str::to_owned);
        // Most of them begin by installing what the repository needs, as a build does.
        let (ended, log_tail, fetched) =
            build_with_mirror(&words, place, limits, tools.leash, tools.clock, tools.stop)?;
        let Some((ok, what)) = ended.told("it", limits.build) else {
            return Ok(None);
        };
        let fetched = fetched.unwrap_or_default();
        let asked = (!fetched.requests.is_empty())
            .then(|| format!("it had {} of the course's mirror", fetched.describe()));
        let ours = fetched.fault.filter(|_| !ok);
        all.push(StageEnd {
            ok,
            command: format!("{README}:{line}"),
            what: ours
                .as_ref()
                .map_or(what.clone(), |fault| format!("{what}, and {fault}")),
            ours: ours.is_some(),
            evidence: code
                .lines()
                .take(SHOWN_LINES)
                .map(str::to_owned)
                .chain(asked)
                .collect(),
            log_tail,
            ..StageEnd::default()
        });
        if !ok {
            break;
        }
    }
    Ok(Some(all))
}

/// Opens the reports of coverage that lie in a repository: where tools write them, or at the place that it names.
///
/// # Errors
/// When the sandbox does not answer.
pub(super) fn reports(place: &Workplace, named: Option<&str>) -> io::Result<Vec<(String, File)>> {
    let places = named.map_or_else(|| PLACES.to_vec(), |named| vec![named]);
    let mut opened = Vec::new();
    for name in places {
        opened.extend(place.open(name)?.map(|file| (name.to_owned(), file)));
    }
    Ok(opened)
}

/// Reads what the team says it has found and compares it with what was put into the log.
pub(super) fn claims(dir: &Path, release: &Release, feedback: Feedback) -> ClaimFacts {
    let faulty = |faults: String| ClaimFacts {
        faults: Some(faults),
        ..ClaimFacts::default()
    };
    let text = match read_file(&dir.join(FINDINGS)) {
        Ok(text) => text,
        Err(error) => return faulty(format!("`{FINDINGS}` cannot be read: {error}")),
    };
    let claims = match parse_claims(FINDINGS, &text) {
        Ok(claims) => claims,
        Err(faults) => return faulty(faults.to_string()),
    };
    let compared = compare(&claims, release.truths(), feedback, release.end().seconds());
    let mut details: Vec<String> = compared
        .claims
        .iter()
        .map(|(claim, found, entry)| {
            let entry = entry.as_deref().unwrap_or("nothing");
            let word = match found {
                Agreement::Agrees | Agreement::NoSuchKind => "agrees with",
                Agreement::Repeated => "says again what was said of",
                Agreement::OtherSubject => "is right about kind and time, not about whom or what:",
                Agreement::OtherTime => "is right about the kind, not about the time:",
            };
            format!("{} {word} {entry}", claim.kind)
        })
        .collect();
    details.extend(compared.missed.iter().map(|name| format!("not found: {name}")));
    ClaimFacts {
        faults: None,
        claims: claims.len() as u32,
        found: compared.found,
        findable: compared.findable,
        false_claims: compared.false_claims() as u32,
        details,
    }
}

/// Returns the report on an experiment, or why there is none to be read.
pub(super) fn experiment(dir: &Path) -> Item {
    Item::Experiment(match read_file(&dir.join(EXPERIMENT)) {
        Ok(text) => ReportText::Read(text),
        Err(error) => ReportText::Unreadable(error.to_string()),
    })
}

fn read_file(path: &Path) -> io::Result<String> {
    let about = fs::symlink_metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if about.len() > FILE_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {} KiB",
            FILE_BYTES >> 10
        )));
    }
    fs::read_to_string(path)
}
