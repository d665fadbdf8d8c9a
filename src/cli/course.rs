//! `new`, `rubric`, `doctor`: what concerns the course's files and this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::args::{Doctor, New, RubricCommand};
use super::exit::Exit;
use super::run::Milestone;
use super::simulate::available;
use super::ui::{Failure, Ui};
use crate::clock::Clock;
use crate::course::{CourseFiles, new_course_files};
use crate::coursefile::Faults;
use crate::grade::MEASURES;
use crate::rubric::{Rubric, handout};
use crate::seed::Key;

/// The measure of what a team has found in the log.
const FOUND: &str = "claims.found_share";

/// Copies the built-in course.
pub(super) fn new(args: &New, ui: &Ui) -> Result<Exit, Failure> {
    if fs::read_dir(&args.dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(format!(
            "`{}` is not empty, and nothing in it is overwritten",
            args.dir.display()
        )));
    }
    let key = Key::generate().map_err(|error| Failure::machine(format!("cannot draw a key: {error}")))?;
    let mut files = new_course_files();
    files.push((".gitignore".to_owned(), b"world.key\nruns/\n".to_vec()));
    for (path, content) in &files {
        write(&args.dir.join(path), content)?;
    }
    write_key(&args.dir.join("world.key"), &key)?;
    let text = format!(
        "{} files in {}\nworld.key is the secret that grades depend on: keep a copy, and keep it from students\nnext: cd {} && reelworld rubric lint\n",
        files.len() + 1,
        args.dir.display(),
        args.dir.display()
    );
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Exit::Passed)
}

/// Writes the key, which is its owner's alone from the first moment.
fn write_key(path: &Path, key: &Key) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let refused =
        |error: std::io::Error| Failure::machine(format!("cannot write `{}`: {error}", path.display()));
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(refused)?;
    writeln!(file, "{}", key.to_hex()).map_err(refused)
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let refused =
        |error: std::io::Error| Failure::machine(format!("cannot write `{}`: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(refused)?;
    }
    fs::write(path, content).map_err(refused)
}

/// Looks after rubrics.
pub(super) fn rubric(command: &RubricCommand, files: &CourseFiles, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        RubricCommand::Lint { files: named } => lint(named, files, ui),
        RubricCommand::Handout { milestone } => {
            let milestone = Milestone::open(files, milestone)?;
            ui.data(&handout(&milestone.rubric))
                .map_err(|error| Failure::machine(error.to_string()))?;
            Ok(Exit::Passed)
        }
    }
}

fn lint(named: &[PathBuf], files: &CourseFiles, ui: &Ui) -> Result<Exit, Failure> {
    let mut faults = Vec::new();
    let mut told = String::new();
    let has_no_trouble = match files.course() {
        Ok(course) => course.troubles.troubles.is_empty(),
        Err(found) => {
            faults.extend(found.0);
            false
        }
    };
    let mut read: Vec<Result<(String, Rubric), Faults>> = Vec::new();
    if named.is_empty() {
        for path in files.rubrics() {
            read.push(
                files
                    .rubric(&path, MEASURES)
                    .map(|(rubric, source)| (source.name, rubric)),
            );
        }
    }
    for path in named {
        let name = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read `{name}`: {error}")))?;
        read.push(Rubric::parse(&name, &text, MEASURES).map(|rubric| (name, rubric)));
    }
    for result in read {
        match result {
            Ok((name, rubric)) => {
                told.push_str(&format!(
                    "{name}: {} criteria, {} points and {} bonus points: no fault\n",
                    rubric.criteria.len(),
                    rubric.points,
                    rubric.bonus
                ));
                if rubric.measures().contains(FOUND) && has_no_trouble {
                    told.push_str(&format!(
                        "{name}: note: it asks what is wrong with the log, and course.toml has no [[trouble]]: who says so is right\n"
                    ));
                }
            }
            Err(found) => faults.extend(found.0),
        }
    }
    ui.data(&told)
        .map_err(|error| Failure::machine(error.to_string()))?;
    if faults.is_empty() {
        Ok(Exit::Passed)
    } else {
        Err(Faults(faults).into())
    }
}

/// Tells what this machine can do.
pub(super) fn doctor(args: &Doctor, files: &CourseFiles, ui: &Ui, clock: Clock) -> Result<Exit, Failure> {
    let version = |program: &str| {
        let output = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = if output.stdout.is_empty() {
            output.stderr
        } else {
            output.stdout
        };
        output.status.success().then(|| {
            String::from_utf8_lossy(&text)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
    };
    let linux = cfg!(target_os = "linux");
    let processors = available();
    let mut rows: Vec<(&str, bool, String, &str)> = vec![
        (
            "processors",
            processors >= 2,
            format!("{processors}"),
            "with one, latency is measured beside the service it measures",
        ),
        (
            "python3",
            true,
            version("python3").unwrap_or_default(),
            "install Python 3.9 or newer to run Python services; the demo stands in without it",
        ),
        (
            "git",
            true,
            version("git").unwrap_or_default(),
            "install git so that starters are repositories",
        ),
        (
            "precise timer",
            linux,
            if linux {
                "microseconds".to_owned()
            } else {
                String::new()
            },
            "elsewhere arrivals are kept to milliseconds",
        ),
    ];
    let mut sandbox = super::doctor::sandbox(clock);
    sandbox.push(super::doctor::mirror(files));
    rows.extend(
        sandbox
            .iter()
            .map(|row| (row.name, row.ok, row.found.clone(), row.hint.as_str())),
    );
    let well = |ok: bool, found: &str| ok && !found.is_empty();
    let text = if args.json {
        let all: Vec<serde_json::Value> = rows
            .iter()
            .map(|(name, ok, found, hint)| json!({"name": name, "ok": well(*ok, found), "found": found, "hint": hint}))
            .collect();
        format!(
            "{:#}\n",
            json!({ "schema": "reelworld/doctor/v1", "checks": all })
        )
    } else {
        let mut text = String::new();
        for (name, ok, found, hint) in &rows {
            let ok = well(*ok, found);
            let (mark, note) = if ok { ("ok", found.as_str()) } else { ("--", *hint) };
            text.push_str(&format!("  {mark}  {name:<54}{note}\n"));
        }
        text
    };
    ui.data(&text)
        .map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Exit::Passed)
}
