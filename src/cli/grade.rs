//! `grade` and `report`: a class measured, decided and shown; and shown again from its evidence.

use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::args::{Grade, Report, ReportAudience, ReportFormat, Supplies};
use super::board::Board;
#[cfg(feature = "kafka")]
use super::by_queue::grade as by_queue;
use super::class_run::Class;
#[cfg(not(feature = "kafka"))]
use super::class_run::Outcome;
use super::exit::Exit;
use super::run::{Milestone, exit_of, isolation, no_world, page, truth, world_ref};
use super::simulate::available;
use super::ui::{Failure, Stop, Ui};
use crate::class::Wish;
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::evidence::{Bundle, write_whole};
use crate::grade::{Claimed, Ground, OTHERS, runs_programs, scorecard, scorecard_among};
use crate::lock::Lock;
use crate::mirror::Mirror;
use crate::report::{self, Style};
use crate::sandbox::{Isolation, Packages};
use crate::scorecard::{Audience, RunKind, Scorecard, WorldRef};
use crate::submission::{Submission, find};

/// Grades submissions.
pub(super) fn grade(
    args: &Grade,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let milestone = Milestone::open(files, &args.milestone)?;
    // Where nothing of a submission runs here, there is nothing to keep from this machine; where others measure, they say how.
    let mut isolation = match &args.queue {
        None if runs(&milestone) => isolation_of(args.trust, &args.supplies, ui, clock)?,
        None | Some(_) => None,
    };
    let submissions = find(&args.submissions).map_err(Failure::usage)?;
    let wish = wish(args, &submissions)?;
    fs::create_dir_all(&args.out)
        .map_err(|error| Failure::machine(format!("cannot make `{}`: {error}", args.out.display())))?;
    let out = absolute(&args.out)?;
    let _alone = alone(&out)?;
    if let Some(found) = isolation {
        isolation = Some(with_mirror(found, files, &args.supplies, &out, ui)?);
    }
    let data = out.join("data");
    let (ground, reference) = ground(&milestone, files, &data, ui)?;
    let class = Class {
        milestone: &milestone,
        ground: &ground,
        world: &reference,
        seed: args.seed,
        out: &out,
        data: &data,
        isolation: isolation.as_ref(),
        packages: &Packages::new(out.join("packages")),
        jobs: args.jobs.map_or_else(available, usize::from),
        deadline: Duration::from_secs_f64(args.deadline * 60.0),
        clock,
    };
    let title = format!("grading {}", args.milestone);
    let mut outcome = match &args.queue {
        None => class.measure(
            &submissions,
            &wish,
            |total, kept| Board::new(ui, clock, title, total, kept),
            stop,
        ),
        Some(queue) => by_queue(args, queue, &class, (&submissions, &wish), (ui, stop)),
    }?;
    let claimed = class.judge_together(&mut outcome)?;
    let cards: Vec<Scorecard> = outcome.cards.into_values().collect();
    let same_tool = claimed.clashes();
    show_class((&cards, &same_tool), &out, &args.milestone, args.json, ui)?;
    if let Some(failure) = outcome.given_up {
        let cards = cards.len();
        let what = match failure.exit {
            Exit::Bug => "report it with the lines above",
            _ => "mend the machine",
        };
        return Err(failure.hint(format!(
            "{cards} submissions are graded and kept; {what}, then the same command with --resume goes on"
        )));
    }
    if outcome.interrupted > 0 {
        ui.progress(format_args!(
            "interrupted with {} of {} graded; the same command with --resume goes on",
            cards.len(),
            submissions.len()
        ));
        return Ok(Exit::Interrupted);
    }
    if !outcome.missing.is_empty() {
        ui.progress(format_args!(
            "not graded, as --only did not name them: {}",
            outcome.missing.join(", ")
        ));
    }
    Ok(exit_of(&cards))
}

/// Takes the run's folder for this process alone, until it ends, however it ends: two that grade into one folder would judge each other's
/// evidence.
fn alone(out: &Path) -> Result<Lock, Failure> {
    let path = out.join(".lock");
    Lock::take(&path).map_err(|error| match error {
        TryLockError::WouldBlock => {
            Failure::usage(format!("another grading into `{}` is at work", out.display()))
                .hint("wait for it or end it, then go on with --resume; --out names another folder")
        }
        TryLockError::Error(error) => Failure::machine(format!("cannot lock `{}`: {error}", path.display())),
    })
}

#[cfg(not(feature = "kafka"))]
fn by_queue(
    _args: &Grade,
    _queue: &str,
    _class: &Class<'_>,
    _what: (&[Submission], &Wish),
    _told: (&Ui, &Stop),
) -> Result<Outcome, Failure> {
    Err(without_kafka())
}

/// Says that there is no queue.
#[cfg(not(feature = "kafka"))]
pub(super) fn without_kafka() -> Failure {
    Failure::usage("there is no queue: this program was built without its feature `kafka`")
        .hint("cargo install --features kafka makes one that has it")
}

/// Tells whether measuring a milestone runs what was handed in.
pub(super) fn runs(milestone: &Milestone) -> bool {
    milestone.assignment.workload.is_some() || runs_programs(&milestone.rubric.measures())
}

/// Finds how what others wrote is isolated, and says it; none where it is trusted.
pub(super) fn isolation_of(
    trust: bool,
    supplies: &Supplies,
    ui: &Ui,
    clock: Clock,
) -> Result<Option<Isolation>, Failure> {
    let mut isolation = (!trust).then(|| isolation(clock)).transpose()?;
    if let Some(wheels) = &supplies.wheels {
        let wheels = fs::canonicalize(wheels)
            .map_err(|error| Failure::usage(format!("`{}` is not a folder: {error}", wheels.display())))?;
        isolation = isolation.map(|isolation| isolation.with_wheels(wheels));
    }
    if let Some(isolation) = &isolation {
        let facts = isolation.facts();
        ui.progress(format_args!("{}", facts.how));
        for weak in &facts.weak {
            ui.progress(format_args!("  {weak}"));
        }
    }
    Ok(isolation)
}

/// Lets builds reach the mirror that the course declares, and says so; without one they reach nothing.
pub(super) fn with_mirror(
    isolation: Isolation,
    files: &CourseFiles,
    supplies: &Supplies,
    out: &Path,
    ui: &Ui,
) -> Result<Isolation, Failure> {
    let declared = files.course()?.mirror;
    if declared.is_empty() {
        return match &supplies.fetched {
            None => Ok(isolation),
            Some(_) => Err(Failure::usage(
                "--fetched keeps what comes from a mirror, and the course declares none",
            )
            .hint("`[mirror]` in course.toml: docs/reference/sandbox.md")),
        };
    }
    let folder = supplies
        .fetched
        .clone()
        .unwrap_or_else(|| out.join("packages").join("mirror"));
    ui.progress(format_args!("  builds reach a mirror: {}", declared.describe()));
    let mirror = Mirror::open(declared, folder.clone())
        .map_err(|error| Failure::machine(format!("cannot use `{}`: {error}", folder.display())))?;
    Ok(isolation.with_mirror(Arc::new(mirror)))
}

/// Draws the course's world and writes what is released of it; nothing where no service is asked.
pub(super) fn ground(
    milestone: &Milestone,
    files: &CourseFiles,
    data: &Path,
    ui: &Ui,
) -> Result<(Ground, WorldRef), Failure> {
    if milestone.assignment.workload.is_none() {
        return Ok((Ground::Nothing, no_world()));
    }
    let course = files.course()?;
    ui.progress(format_args!(
        "the world of {}: {} users, {} movies",
        course.name, course.world.users, course.world.movies
    ));
    let (world, release) = truth(&course);
    release
        .write(&world, data)
        .map_err(|error| Failure::machine(format!("cannot write `{}`: {error}", data.display())))?;
    let reference = world_ref(&world, course.practice);
    let ground = Ground::Truth {
        world: Arc::new(world),
        release,
    };
    Ok((ground, reference))
}

/// Reads what is wished for; a name that no submission has is an error, as the run would do nothing.
fn wish(args: &Grade, submissions: &[Submission]) -> Result<Wish, Failure> {
    for only in &args.only {
        if submissions.iter().all(|one| one.name != *only) {
            let near = submissions
                .iter()
                .map(|one| (strsim::jaro_winkler(only, &one.name), &one.name))
                .filter(|(near, _)| *near > NEAR)
                .max_by(|one, other| one.0.total_cmp(&other.0));
            let failure = Failure::usage(format!("no submission is called `{}`", only.escape_debug()));
            return Err(match near {
                Some((_, name)) => failure.hint(format!("did you mean `{name}`?")),
                None => failure,
            });
        }
    }
    Ok(Wish {
        resume: args.resume,
        only: args.only.clone(),
        retry: args.retry.is_some(),
    })
}

/// From which likeness on a name is taken for a slip of the pen.
const NEAR: f64 = 0.8;

/// Writes and prints the class.
pub(super) fn show_class(
    (cards, same_tool): (&[Scorecard], &[[String; 2]]),
    out: &Path,
    title: &str,
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    write_whole(
        &out.join("report.html"),
        page(report::class_html(title, cards, same_tool))?.as_bytes(),
    )?;
    let class = report::class_json(title, cards, same_tool);
    write_whole(&out.join("class.json"), class.as_bytes())?;
    write_whole(&out.join("class.csv"), report::class_csv(cards).as_bytes())?;
    let text = if json {
        class
    } else {
        let style = if ui.colours() { Style::Colour } else { Style::Plain };
        format!(
            "{}\n  pages: {}\n",
            report::class_table(cards, same_tool, style),
            out.join("report.html").display()
        )
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(path)
        .map_err(|error| Failure::machine(format!("cannot use `{}`: {error}", path.display())))
}

/// Shows a run again.
pub(super) fn report(args: &Report, files: &CourseFiles, ui: &Ui) -> Result<Exit, Failure> {
    let audience = match args.audience {
        ReportAudience::Student => Audience::Student,
        ReportAudience::Staff => Audience::Staff,
    };
    if !args.run.join("evidence").is_dir() {
        let (cards, same_tool) = class(&args.run, files)?;
        let style = if ui.colours() { Style::Colour } else { Style::Plain };
        let text = match args.format {
            ReportFormat::Html => page(report::class_html(
                &args.run.display().to_string(),
                &cards,
                &same_tool,
            ))?,
            ReportFormat::Terminal => report::class_table(&cards, &same_tool, style),
            ReportFormat::Json => report::class_json(&args.run.display().to_string(), &cards, &same_tool),
            ReportFormat::Csv => report::class_csv(&cards),
            ReportFormat::Junit => {
                return Err(
                    Failure::usage("this form is for one submission").hint("name a folder inside the run")
                );
            }
        };
        ui.data(&text)
            .map_err(|error| Failure::machine(error.to_string()))?;
        return Ok(Exit::Passed);
    }
    let card = card(&args.run, files)?;
    let style = if ui.colours() { Style::Colour } else { Style::Plain };
    let text = match args.format {
        ReportFormat::Terminal => report::terminal(&card, audience, style, None),
        ReportFormat::Json => report::json(&card, audience),
        ReportFormat::Html => page(report::html(&card, audience))?,
        ReportFormat::Junit => report::junit(&card, audience),
        ReportFormat::Csv => {
            return Err(Failure::usage("this form is for a class").hint("name the run's folder"));
        }
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Exit::Passed)
}

fn card(dir: &Path, files: &CourseFiles) -> Result<Scorecard, Failure> {
    let bundle = Bundle::read(&dir.join("evidence"))?;
    let milestone = Milestone::open(files, &bundle.manifest.milestone)?;
    let claimed = if is_of_a_class(&bundle, &milestone) {
        // The class is what lies beside it.
        let dir = absolute(dir)?;
        Some(claims_in(dir.parent().unwrap_or(&dir), &bundle)?)
    } else {
        None
    };
    Ok(card_of(&bundle, milestone, claimed.as_ref()))
}

fn card_of(bundle: &Bundle, milestone: Milestone, claimed: Option<&Claimed>) -> Scorecard {
    let (rubric, of) = (&milestone.rubric, milestone.rubric_ref);
    match claimed {
        Some(claimed) => scorecard_among(bundle, claimed, rubric, of),
        None => scorecard(bundle, rubric, of),
    }
}

/// Whether a submission's rubric asks what only its class can tell.
fn is_of_a_class(bundle: &Bundle, milestone: &Milestone) -> bool {
    bundle.manifest.kind == RunKind::Grade && milestone.rubric.measures().contains(OTHERS)
}

/// Returns what the submissions of a run claim that were measured for the same milestone as one of them.
fn claims_in(run: &Path, one: &Bundle) -> Result<Claimed, Failure> {
    let (mut bundles, mut missing) = (Vec::new(), 0);
    for dir in measured_in(run)? {
        match Bundle::read(&dir.join("evidence")) {
            Ok(bundle) if bundle.manifest.milestone == one.manifest.milestone => bundles.push(bundle),
            Ok(_) => {}
            Err(_) => missing += 1,
        }
    }
    Ok(Claimed::of(&bundles, missing))
}

/// Returns the folders of a run that hold evidence, in their order.
fn measured_in(run: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(run)
        .map_err(|error| Failure::usage(format!("`{}` is no run: {error}", run.display())))?;
    let mut dirs: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("evidence").is_dir())
        .collect();
    dirs.sort();
    Ok(dirs)
}

/// The cards of a class, and the pairs that claim the same tool.
type Shown = (Vec<Scorecard>, Vec<[String; 2]>);

fn class(run: &Path, files: &CourseFiles) -> Result<Shown, Failure> {
    let dirs = measured_in(run)?;
    if dirs.is_empty() {
        return Err(Failure::usage(format!(
            "`{}` holds no evidence of a run",
            run.display()
        )));
    }
    let (mut cards, mut claimed) = (Vec::new(), None);
    for dir in &dirs {
        let bundle = Bundle::read(&dir.join("evidence"))?;
        let milestone = Milestone::open(files, &bundle.manifest.milestone)?;
        if claimed.is_none() && is_of_a_class(&bundle, &milestone) {
            claimed = Some(claims_in(run, &bundle)?);
        }
        cards.push(card_of(&bundle, milestone, claimed.as_ref()));
    }
    let same_tool = claimed.map(|claimed| claimed.clashes()).unwrap_or_default();
    Ok((cards, same_tool))
}
