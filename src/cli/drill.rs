//! `drill`: a milestone's incidents at once against one's own service, and how it responded to each.

use super::args::{Check, Drill};
use super::check::{data_folder, ground_of};
use super::exit::Exit;
use super::run::{Milestone, Run, repository, run};
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::evidence::{Bundle, IncidentFacts};
use crate::grade::{Subject, responses, told_of_incident};
use crate::incident::{Incidents, Response};
use crate::rubric::Rule;
use crate::scorecard::{RunKind, Verdict};
use crate::traffic::{Workload, resolve};

/// The seconds of ordinary traffic before the first incident: enough lists for a movie to be recommended most.
const BEFORE_S: f64 = 4.0;

/// Runs the incidents and tells how the service responded.
pub(super) fn drill(
    args: &Drill,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let mut milestone = incidents_alone(Milestone::open(files, &args.milestone)?, args)?;
    let dir = std::fs::canonicalize(&args.dir)
        .map_err(|error| Failure::usage(format!("`{}` is not a folder: {error}", args.dir.display())))?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| dir.join(".reelworld").join(format!("drill-{}", args.seed)));
    let like_check = Check {
        milestone: args.milestone.clone(),
        service: args.service.clone(),
        dir: args.dir.clone(),
        data: args.data.clone(),
        seed: args.seed,
        out: args.out.clone(),
        replay: None,
        json: args.json,
    };
    let data = data_folder(&like_check, &dir, &out, files, ui)?;
    let (ground, world) = ground_of(&data, &mut milestone)?;
    let subject = match &args.service {
        Some(url) => Subject::Address(resolve(url, milestone.assignment.port).map_err(Failure::usage)?),
        None => repository(&dir, out.join("home"), &data, None, clock),
    };
    let name = dir.file_name().map_or_else(
        || "service".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let one = Run {
        name: &name,
        source: args.service.clone().unwrap_or_else(|| dir.display().to_string()),
        kind: RunKind::Check,
        subject,
        ground: &ground,
        data: Some(data.clone()),
        world,
        milestone: &milestone,
        seed: args.seed,
        out: out.clone(),
    };
    let card = run(one, ui, stop, clock)?;
    let found = responses(&Bundle::read(&out.join("evidence"))?);
    if found.is_empty() {
        ui.progress(format_args!("  no incident was run: {}", card.service.start));
    }
    let text = if args.json {
        json(&found)
    } else if found.is_empty() {
        format!("no incident was run: the service {}\n", card.service.start)
    } else {
        table(&found)
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    let any = |verdict: Verdict| card.criteria.iter().any(|criterion| criterion.verdict == verdict);
    Ok(if found.is_empty() || any(Verdict::Fail) {
        Exit::Failed
    } else if any(Verdict::NoVerdict) {
        Exit::NoVerdict
    } else {
        Exit::Passed
    })
}

/// Keeps of a milestone what its incidents need: a few seconds of ordinary traffic, and the criteria that are about them.
fn incidents_alone(mut milestone: Milestone, args: &Drill) -> Result<Milestone, Failure> {
    if milestone.assignment.workload.is_none() {
        return Err(Failure::usage(format!("`{}` asks no service", args.milestone))
            .hint("the milestones do: reelworld drill m2"));
    }
    let drilled: Vec<String> = milestone
        .incidents
        .drill(0.0)
        .into_iter()
        .map(|(incident, _)| incident.name.clone())
        .collect();
    if drilled.is_empty() {
        return Err(Failure::usage(format!(
            "`{}` has no incident that can be run at once",
            args.milestone
        ))
        .hint("a milestone's incidents stand in assignments/MILESTONE/incidents.toml"));
    }
    if let Some(name) = &args.only {
        milestone.incidents = milestone
            .incidents
            .only(name)
            .filter(|_| drilled.contains(name))
            .ok_or_else(|| {
                Failure::usage(format!("no incident of a drill is called `{name}`"))
                    .hint(format!("there are {}", drilled.join(", ")))
            })?;
    }
    let Incidents(all) = &mut milestone.incidents;
    all.retain(|incident| incident.drill.is_some());
    milestone.assignment.workload = milestone.assignment.workload.map(|usual| Workload {
        steady: (BEFORE_S, usual.steady.1),
        peak: (0.0, usual.steady.1),
        ..usual
    });
    let criteria = &mut milestone.rubric.criteria;
    criteria.retain(|criterion| match &criterion.rule {
        Rule::Measured { test, .. } => ["incidents.", "takedown."]
            .iter()
            .any(|begin| test.measure.starts_with(begin)),
        Rule::Judged { .. } => false,
    });
    for criterion in criteria.iter_mut() {
        criterion.needs.clear();
    }
    if milestone.rubric.criteria.is_empty() {
        return Err(Failure::usage(format!(
            "the rubric of `{}` asks for nothing that has to do with incidents",
            args.milestone
        )));
    }
    Ok(milestone)
}

fn table(found: &[(IncidentFacts, Response)]) -> String {
    let mut text = String::new();
    for (facts, response) in found {
        text.push_str(&format!("  {}\n", facts.what));
        match &facts.fault {
            Some(fault) => text.push_str(&format!("    {}: could not be run: {fault}\n", facts.name)),
            None => text.push_str(&format!("    {}\n", told_of_incident(facts, response))),
        }
    }
    text
}

fn json(found: &[(IncidentFacts, Response)]) -> String {
    let incidents: Vec<serde_json::Value> = found
        .iter()
        .map(|(facts, response)| {
            serde_json::json!({
                "name": facts.name, "kind": facts.kind, "what": facts.what,
                "from_s": facts.from_s, "to_s": facts.to_s, "watched_until_s": facts.until_s,
                "could_not_be_run": facts.fault,
                "during": { "asked": response.during.0, "well": response.during.1 },
                "after": { "asked": response.after.0, "well": response.after.1 },
                "lost": response.lost, "noticed_s": response.noticed_s, "recovered_s": response.recovered_s,
            })
        })
        .collect();
    format!(
        "{:#}\n",
        serde_json::json!({ "schema": "reelworld/drill/v1", "incidents": incidents })
    )
}
