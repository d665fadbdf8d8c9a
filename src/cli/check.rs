//! `check`: a team's own run, and the requests of the last one sent again.

use std::path::{Path, PathBuf};

use super::args::{Check, Replay};
use super::exit::Exit;
use super::run::{Milestone, Run, exit_of, leash, no_world, repository, run, truth};
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::evidence::{Bundle, Item};
use crate::exchange::{Exchange, Phase};
use crate::grade::{Ground, MeasureError, Subject, Tools, Turn, boot};
use crate::release::ReadRelease;
use crate::report::{self, Style};
use crate::sandbox::Running;
use crate::scorecard::{Audience, RunKind, WorldRef};
use crate::traffic::{Target, ask_once, resolve};

/// How many requests are sent again.
const REPLAYED: usize = 20;

/// Checks one's own service.
pub(super) fn check(
    args: &Check,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let mut milestone = Milestone::open(files, &args.milestone)?;
    let dir = std::fs::canonicalize(&args.dir)
        .map_err(|error| Failure::usage(format!("`{}` is not a folder: {error}", args.dir.display())))?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| dir.join(".reelworld").join(format!("check-{}", args.seed)));
    ui.progress(format_args!(
        "{} self-check, seed {}",
        args.milestone.to_uppercase(),
        args.seed
    ));
    if milestone.assignment.workload.is_none() && (args.service.is_some() || args.replay.is_some()) {
        return Err(Failure::usage(format!("`{}` asks no service", args.milestone))
            .hint("leave out --service and --replay: the repository is looked at"));
    }
    let (ground, world, data) = ground(args, &mut milestone, (&dir, &out), files, ui)?;
    let subject = match &args.service {
        Some(url) => Subject::Address(resolve(url, milestone.assignment.port).map_err(Failure::usage)?),
        None => repository(&dir, out.join("home"), &data, None, clock),
    };
    if let Some(which) = args.replay {
        let again = Again {
            which,
            subject,
            milestone: &milestone,
            ground: &ground,
        };
        return replay(&again, &out, ui, stop, clock);
    }
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
        data: milestone.assignment.workload.is_some().then(|| data.clone()),
        world,
        milestone: &milestone,
        seed: args.seed,
        out: out.clone(),
    };
    let card = run(one, ui, stop, clock)?;
    let text = if args.json {
        report::json(&card, Audience::Student)
    } else {
        let style = if ui.colours() { Style::Colour } else { Style::Plain };
        let place = out.join("report.html");
        report::terminal(
            &card,
            Audience::Student,
            style,
            Some(&place.display().to_string()),
        )
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    Ok(exit_of(std::slice::from_ref(&card)))
}

/// Reads what a student knows of the company; nothing where no service is asked.
fn ground(
    args: &Check,
    milestone: &mut Milestone,
    (dir, out): (&Path, &Path),
    files: &CourseFiles,
    ui: &Ui,
) -> Result<(Ground, WorldRef, PathBuf), Failure> {
    if milestone.assignment.workload.is_none() {
        return Ok((Ground::Nothing, no_world(), dir.join("data")));
    }
    let data = data_folder(args, dir, out, files, ui)?;
    let (ground, world) = ground_of(&data, milestone)?;
    Ok((ground, world, data))
}

/// Reads released data, all that a student's own run knows of the world; they also say which contract the company keeps.
pub(super) fn ground_of(data: &Path, milestone: &mut Milestone) -> Result<(Ground, WorldRef), Failure> {
    let release = ReadRelease::read(data).map_err(|error| {
        Failure::usage(error.to_string())
            .hint("the starter came with this data; git restore data/ brings it back")
    })?;
    milestone.assignment.keep_to(release.contract());
    let world = WorldRef {
        users: release.company_users,
        movies: release.movies.len() as u32,
        profile: release.profile.clone(),
        fingerprint: String::new(),
        practice: false,
    };
    Ok((Ground::Released(release), world))
}

/// Finds the released data: what was named, the repository's own, or that of the practice world, made anew.
pub(super) fn data_folder(
    args: &Check,
    dir: &Path,
    out: &Path,
    files: &CourseFiles,
    ui: &Ui,
) -> Result<PathBuf, Failure> {
    if let Some(data) = &args.data {
        return Ok(data.clone());
    }
    let own = dir.join("data");
    if own.join("release.json").is_file() {
        return Ok(own);
    }
    ui.progress(format_args!(
        "  there is no data/release.json here: the practice world's data is used"
    ));
    let course = files.course()?;
    let (world, release) = truth(&course);
    let data = out.join("data");
    release
        .write(&world, &data)
        .map_err(|error| Failure::machine(format!("cannot write `{}`: {error}", data.display())))?;
    Ok(data)
}

/// Requests to send again, and to whom.
struct Again<'a> {
    which: Replay,
    subject: Subject,
    milestone: &'a Milestone,
    ground: &'a Ground,
}

/// Sends requests of the last check again, one at a time, and tells what comes back.
fn replay(again: &Again<'_>, out: &Path, ui: &Ui, stop: &Stop, clock: Clock) -> Result<Exit, Failure> {
    let bundle = Bundle::read(&out.join("evidence"))
        .map_err(|error| Failure::from(error).hint("run `reelworld check` first"))?;
    let mut past: Vec<&Exchange> = bundle
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Exchange(exchange) if exchange.planned.phase != Phase::WarmUp => Some(exchange),
            _ => None,
        })
        .collect();
    match again.which {
        Replay::Slowest => past.sort_by_key(|exchange| std::cmp::Reverse(exchange.latency_ns())),
        Replay::Failed => past.retain(|exchange| exchange.ids().is_none() && !exchange.is_ours()),
    }
    past.truncate(REPLAYED);
    if past.is_empty() {
        let text = "nothing to send again\n";
        ui.data(text)
            .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
        return Ok(Exit::Passed);
    }
    // The service lives until it is dropped.
    let (target, _running) = reach(again, ui, stop, clock)?;
    for exchange in past {
        if stop.is_set() {
            return Ok(Exit::Interrupted);
        }
        let path = &exchange.planned.path;
        let limit = again.milestone.assignment.deadline * 4;
        let asked = Clock::start();
        let outcome = ask_once(&target, path, limit, again.ground)
            .map_err(|error| Failure::machine(error.to_string()))?;
        let now = asked.elapsed().as_millis();
        let path: String = path.chars().take(50).collect();
        let then = exchange.latency_ns() / 1_000_000;
        ui.data(&format!(
            "GET {path}\n  then {then} ms, {}\n  now  {now} ms, {}\n",
            exchange.outcome.label(),
            outcome.describe()
        ))
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))?;
    }
    Ok(Exit::Passed)
}

/// Finds the service to ask: the one that is running already, or the repository's own, started once more.
fn reach(
    again: &Again<'_>,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<(Target, Option<Running>), Failure> {
    let (spec, place) = match &again.subject {
        Subject::Address(target) => return Ok((target.clone(), None)),
        Subject::Unstartable(faults, _) | Subject::Refused { why: faults, .. } => {
            return Err(Failure::usage(faults.clone()));
        }
        Subject::Repository(spec, place) => (spec, place),
    };
    let leash = leash()?;
    let progress = |step: &str| ui.progress(format_args!("  {step}"));
    let tools = Tools {
        clock,
        stop: stop.flag(),
        leash: &leash,
        progress: &progress,
        turn: &Turn::free(),
    };
    let mut failed = None;
    let mut record = |item: &Item| {
        if let Item::Build(stage) | Item::Start(stage) = item
            && !stage.ok
        {
            failed = Some(stage.clone());
        }
        Ok(())
    };
    let limits = again.milestone.assignment.limits;
    let booted = boot(spec, place, limits, again.ground, tools, &mut record);
    match booted {
        Ok(Some((target, running))) => Ok((target, Some(running))),
        Ok(None) => {
            let stage = failed.unwrap_or_default();
            let mut message = format!("`{}`: {}", stage.command, stage.what);
            for line in &stage.log_tail {
                message.push_str(&format!("\n  | {line}"));
            }
            Err(Failure {
                exit: Exit::Failed,
                message,
                hint: stage.hint,
            })
        }
        Err(MeasureError::Interrupted) => Err(Failure {
            exit: Exit::Interrupted,
            message: "interrupted".to_owned(),
            hint: None,
        }),
        Err(error) => Err(Failure::machine(error.to_string())),
    }
}
