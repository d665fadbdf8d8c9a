//! `grade` and `report`: a class measured, decided and shown; and shown again from its evidence.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::args::{Grade, Report, ReportAudience, ReportFormat};
use super::exit::Exit;
use super::run::{
    Milestone, Run, Walls, exit_of, isolation, no_world, page, repository, run, truth, world_ref, write_pages,
};
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::CourseFiles;
use crate::evidence::{Bundle, write_whole};
use crate::grade::{Ground, scorecard};
use crate::report::{self, Style};
use crate::scorecard::{Audience, RunKind, Scorecard, WorldRef};

/// Grades submissions.
pub(super) fn grade(
    args: &Grade,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let mut isolation = (!args.trust).then(|| isolation(clock)).transpose()?;
    if let Some(wheels) = &args.wheels {
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
    let submissions = names(&args.submissions)?;
    let milestone = Milestone::open(files, &args.milestone)?;
    fs::create_dir_all(&args.out)
        .map_err(|error| Failure::machine(format!("cannot make `{}`: {error}", args.out.display())))?;
    let out = absolute(&args.out)?;
    let data = out.join("data");
    let (ground, reference) = ground(&milestone, files, &data, ui)?;
    let mut cards = Vec::new();
    let total = submissions.len();
    for (place, (name, dir)) in submissions.iter().enumerate() {
        let own = out.join(name);
        if args.resume
            && let Some(card) = finished(&own, &milestone, &reference, args.seed)
        {
            // A run may have ended between its last item of evidence and its pages.
            write_pages(&card, &own)?;
            ui.progress(format_args!("[{}/{total}] {name}: finished before", place + 1));
            cards.push(card);
            continue;
        }
        if stop.is_set() {
            break;
        }
        ui.progress(format_args!("[{}/{total}] {name}", place + 1));
        let work = own.join("work");
        copy_submission(dir, &work)?;
        let walls = isolation.as_ref().map(|isolation| Walls {
            isolation,
            bounds: milestone.assignment.bounds,
            clock,
        });
        let subject = repository(&work, own.join("home"), &data, walls);
        let one = Run {
            name,
            source: dir.display().to_string(),
            kind: RunKind::Grade,
            subject,
            ground: &ground,
            data: milestone.assignment.workload.is_some().then(|| data.clone()),
            world: reference.clone(),
            milestone: &milestone,
            seed: args.seed,
            out: own.clone(),
        };
        let card = run(one, ui, stop, clock);
        tidy(&work);
        tidy(&own.join("home"));
        match card {
            Ok(card) => cards.push(card),
            Err(failure) if failure.exit == Exit::Interrupted => break,
            Err(failure) => return Err(failure),
        }
    }
    show_class(&cards, &out, &args.milestone, args.json, ui)?;
    if cards.len() < total {
        ui.progress(format_args!(
            "interrupted with {} of {total} graded; the same command with --resume goes on",
            cards.len()
        ));
        return Ok(Exit::Interrupted);
    }
    Ok(exit_of(&cards))
}

/// Draws the course's world and writes what is released of it; nothing where no service is asked.
fn ground(
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
        world: Box::new(world),
        release,
    };
    Ok((ground, reference))
}

/// Writes and prints the class.
pub(super) fn show_class(
    cards: &[Scorecard],
    out: &Path,
    title: &str,
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    write_whole(
        &out.join("report.html"),
        page(report::class_html(title, cards))?.as_bytes(),
    )?;
    let text = if json {
        let all: Vec<serde_json::Value> = cards
            .iter()
            .map(|card| {
                serde_json::json!({
                    "submission": card.submission, "score": card.score, "max": card.max, "pending": card.pending,
                    "undecided": card.undecided,
                    "criteria": card.criteria.iter().map(|criterion| serde_json::json!({
                        "id": criterion.id, "verdict": criterion.verdict, "points": criterion.points, "max": criterion.max,
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        format!(
            "{:#}\n",
            serde_json::json!({ "schema": "reelworld/class/v1", "submissions": all })
        )
    } else {
        let style = if ui.colours() { Style::Colour } else { Style::Plain };
        format!(
            "{}\n  pages: {}\n",
            report::class_table(cards, style),
            out.join("report.html").display()
        )
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))
}

/// Names submissions by their folders; two of the same name would overwrite each other.
fn names(paths: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut all = Vec::new();
    for path in paths {
        let real = fs::canonicalize(path)
            .map_err(|error| Failure::usage(format!("`{}` is not a submission: {error}", path.display())))?;
        if !real.is_dir() {
            return Err(Failure::usage(format!("`{}` is not a folder", path.display())));
        }
        let name = real
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if ["data", "", "..", "."].contains(&name.as_str()) {
            return Err(Failure::usage(format!(
                "`{}` cannot be a submission's name",
                path.display()
            )));
        }
        if let Some(other) = seen.insert(name.clone(), real.clone()) {
            return Err(Failure::usage(format!(
                "`{}` and `{}` have the same name",
                other.display(),
                real.display()
            )));
        }
        all.push((name, real));
    }
    Ok(all)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(path)
        .map_err(|error| Failure::machine(format!("cannot use `{}`: {error}", path.display())))
}

/// The most bytes of a submission's own files: data and models go elsewhere.
const MOST_BYTES: u64 = 512 << 20;

/// Copies a submission, so that building never changes what was handed in. Links are left out, as they may lead anywhere.
fn copy_submission(from: &Path, to: &Path) -> Result<(), Failure> {
    tidy(to);
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(from)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".reelworld")
    {
        let entry =
            entry.map_err(|error| Failure::machine(format!("cannot read the submission: {error}")))?;
        let Ok(inside) = entry.path().strip_prefix(from) else {
            continue;
        };
        let target = to.join(inside);
        let done = if entry.file_type().is_dir() {
            fs::create_dir_all(&target)
        } else if entry.file_type().is_file() {
            bytes += entry.metadata().map_or(0, |about| about.len());
            if bytes > MOST_BYTES {
                return Err(Failure::machine(format!(
                    "`{}` is larger than {} MiB",
                    from.display(),
                    MOST_BYTES >> 20
                )));
            }
            fs::copy(entry.path(), &target).map(|_| ())
        } else {
            Ok(())
        };
        done.map_err(|error| Failure::machine(format!("cannot copy to `{}`: {error}", target.display())))?;
    }
    Ok(())
}

/// Removes a folder of ours that is no evidence; one that cannot be removed is only in the way.
fn tidy(dir: &Path) {
    drop(fs::remove_dir_all(dir));
}

/// Returns the card of a submission whose evidence is whole and of this very run: seed, workload and world.
fn finished(own: &Path, milestone: &Milestone, world: &WorldRef, seed: u64) -> Option<Scorecard> {
    let bundle = Bundle::read(&own.join("evidence")).ok()?;
    let manifest = &bundle.manifest;
    let same = manifest.seed == seed
        && manifest.assignment_sha256 == milestone.assignment_sha256
        && manifest.world == *world;
    (bundle.finished() && same).then(|| scorecard(&bundle, &milestone.rubric, milestone.rubric_ref.clone()))
}

/// Shows a run again.
pub(super) fn report(args: &Report, files: &CourseFiles, ui: &Ui) -> Result<Exit, Failure> {
    let audience = match args.audience {
        ReportAudience::Student => Audience::Student,
        ReportAudience::Staff => Audience::Staff,
    };
    if !args.run.join("evidence").is_dir() {
        let cards = class(&args.run, files)?;
        let style = if ui.colours() { Style::Colour } else { Style::Plain };
        let text = match args.format {
            ReportFormat::Html => page(report::class_html(&args.run.display().to_string(), &cards))?,
            ReportFormat::Terminal => report::class_table(&cards, style),
            ReportFormat::Json | ReportFormat::Junit => {
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
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Exit::Passed)
}

fn card(dir: &Path, files: &CourseFiles) -> Result<Scorecard, Failure> {
    let bundle = Bundle::read(&dir.join("evidence"))?;
    let milestone = Milestone::open(files, &bundle.manifest.milestone)?;
    Ok(scorecard(&bundle, &milestone.rubric, milestone.rubric_ref))
}

fn class(run: &Path, files: &CourseFiles) -> Result<Vec<Scorecard>, Failure> {
    let entries = fs::read_dir(run)
        .map_err(|error| Failure::usage(format!("`{}` is no run: {error}", run.display())))?;
    let mut dirs: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("evidence").is_dir())
        .collect();
    dirs.sort();
    if dirs.is_empty() {
        return Err(Failure::usage(format!(
            "`{}` holds no evidence of a run",
            run.display()
        )));
    }
    dirs.iter().map(|dir| card(dir, files)).collect()
}
