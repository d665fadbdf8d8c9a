//! `starter new` and `starter update`: repositories for teams, and what is newer brought into them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{StarterCommand, StarterNew, StarterUpdate};
use super::exit::Exit;
use super::run::{Milestone, truth};
use super::ui::{Failure, Stop, Ui};
use crate::clock::Clock;
use crate::course::{Course, CourseFiles, Framework, Team};
use crate::release::Release;
use crate::repository;
use crate::starter::{Begun, Left, Made, Note, Seat, Starter, StarterError, Update, What};
use crate::world::World;

/// The branch of a new repository.
const MAIN: &str = "main";
/// What stands for the team in the address of where repositories are kept.
const PLACE: &str = "{team}";
/// The name of the word that opens the team's page, in its file of secrets.
const TOKEN: &str = "REELWORLD_TOKEN";

/// Does what the word says.
pub(super) fn starter(
    command: &StarterCommand,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    match command {
        StarterCommand::New(args) if args.all => new_all(args, files, ui, stop, clock),
        StarterCommand::New(args) => new_one(args, files, ui, clock),
        StarterCommand::Update(args) => update(args, files, ui, stop, clock),
    }
}

/// The course, its world and what is released of it, for all starters of a call.
struct Shop<'a> {
    files: &'a CourseFiles,
    course: Course,
    world: World,
    release: Release,
}

impl<'a> Shop<'a> {
    fn open(files: &'a CourseFiles) -> Result<Self, Failure> {
        let course = files.course()?;
        let (world, release) = truth(&course);
        Ok(Self {
            files,
            course,
            world,
            release,
        })
    }

    /// Returns a milestone's starter, and the port of its contract.
    fn starter(&self, milestone: &str, framework: Framework) -> Result<(Starter, u16), Failure> {
        let found = Milestone::open(self.files, milestone)?;
        let text = self.files.handout(milestone)?;
        let starter = Starter::open(
            self.files,
            milestone,
            framework,
            (&found.rubric, &text),
            (&self.world, &self.release),
        )
        .map_err(|error| failed(&error))?;
        Ok((starter, found.assignment.port))
    }

    fn team(&self, name: &str) -> Option<&Team> {
        self.course.teams.iter().find(|team| team.name == name)
    }

    fn secrets(&self, team: &Team) -> BTreeMap<String, String> {
        [(TOKEN.to_owned(), team.token(&self.course.key))].into()
    }
}

/// Returns a team's seat: its port is that of its address, or the contract's.
fn seat(team: &Team, port: u16) -> Seat {
    let own = team
        .address
        .as_deref()
        .and_then(|address| address.rsplit_once(':')?.1.parse().ok());
    Seat {
        name: team.name.clone(),
        number: Some(team.number),
        port: own.unwrap_or(port),
        address: team.address.clone(),
    }
}

pub(super) fn failed(error: &StarterError) -> Failure {
    match error {
        StarterError::Io(..) => Failure::machine(error.to_string()),
        _ => Failure::usage(error.to_string()),
    }
}

fn told(ui: &Ui, text: &str) -> Result<(), Failure> {
    ui.data(text)
        .map_err(|error| Failure::machine(format!("cannot print: {error}")))
}

fn new_one(args: &StarterNew, files: &CourseFiles, ui: &Ui, clock: Clock) -> Result<Exit, Failure> {
    let name = args.team.clone().unwrap_or_default();
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&name));
    let shop = Shop::open(files)?;
    let (starter, port) = shop.starter(&args.milestone, args.framework.into())?;
    let team = shop.team(&name);
    let seat = team.map_or_else(
        || Seat {
            name: name.clone(),
            number: None,
            port,
            address: None,
        },
        |team| seat(team, port),
    );
    let secrets = team.map(|team| shop.secrets(team)).unwrap_or_default();
    let made = starter
        .write(&dir, &seat, &secrets, clock.now_utc())
        .map_err(|error| failed(&error))?;
    let git = if made.committed {
        "a git repository with a first commit"
    } else {
        "no git repository, because git is not here"
    };
    let mut text = format!("{} files in {}: {git}\n", made.files, dir.display());
    if let Some(remote) = &args.remote {
        text.push_str(&send(args, &dir, &address(remote, &name), made)?);
    }
    text.push_str(&format!(
        "next: cd {} && reelworld check {}\n",
        dir.display(),
        args.milestone
    ));
    told(ui, &text)?;
    Ok(Exit::Passed)
}

/// Pushes a new repository, or says how.
fn send(args: &StarterNew, dir: &Path, remote: &str, made: Made) -> Result<String, Failure> {
    if !args.push {
        return Ok(format!(
            "to push it: git -C {} push {remote} {MAIN}\n",
            dir.display()
        ));
    }
    if !made.committed {
        return Err(Failure::machine(
            "there is nothing to push, because git is not here",
        ));
    }
    repository::push(dir, remote, MAIN).map_err(|said| {
        Failure::machine(format!("cannot push to `{remote}`: {said}")).hint("what was made stays as it is")
    })?;
    Ok(format!("pushed to {remote}\n"))
}

fn address(remote: &str, team: &str) -> String {
    remote.replace(PLACE, team)
}

fn new_all(
    args: &StarterNew,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    if args.remote.as_ref().is_some_and(|remote| !remote.contains(PLACE)) {
        return Err(Failure::usage("every team would be pushed to the same place")
            .hint(format!("write {PLACE} where the team's name belongs in --remote")));
    }
    let shop = Shop::open(files)?;
    if shop.course.teams.is_empty() {
        return Err(Failure::usage("course.toml names no team")
            .hint("a [[team]] table for each: name, number, address, members"));
    }
    let (starter, port) = shop.starter(&args.milestone, args.framework.into())?;
    let home = args.dir.clone().unwrap_or_else(|| PathBuf::from("repos"));
    let at = clock.now_utc();
    let begun = clock.elapsed();
    let (mut text, mut bytes, mut count, mut uncommitted) = (String::new(), 0, 0, 0);
    for team in &shop.course.teams {
        if stop.is_set() {
            told(ui, &text)?;
            return Err(Failure {
                exit: Exit::Interrupted,
                message: "interrupted".to_owned(),
                hint: Some("run it again: what is there already is left alone".to_owned()),
            });
        }
        let dir = home.join(&team.name);
        let made = match starter.write(&dir, &seat(team, port), &shop.secrets(team), at) {
            Ok(made) => made,
            // A class grows: who has a repository keeps it.
            Err(StarterError::NotEmpty(_)) => {
                text.push_str(&format!("{}: there already, left alone\n", dir.display()));
                continue;
            }
            Err(error) => return Err(failed(&error)),
        };
        count += 1;
        bytes += made.bytes;
        uncommitted += usize::from(!made.committed);
        text.push_str(&format!(
            "{}: {} files, {}\n",
            dir.display(),
            made.files,
            team.topic()
        ));
        if let Some(remote) = &args.remote {
            text.push_str(&send(args, &dir, &address(remote, &team.name), made)?);
        }
    }
    text.push_str(&format!(
        "{count} repositories with {:.1} MB in {:.1} s",
        bytes as f64 / 1e6,
        (clock.elapsed() - begun).as_secs_f64()
    ));
    if uncommitted > 0 {
        text.push_str("; no git repositories, because git is not here");
    }
    text.push('\n');
    told(ui, &text)?;
    Ok(Exit::Passed)
}

fn update(
    args: &StarterUpdate,
    files: &CourseFiles,
    ui: &Ui,
    stop: &Stop,
    clock: Clock,
) -> Result<Exit, Failure> {
    let shop = Shop::open(files)?;
    let at = clock.now_utc();
    let mut starters: BTreeMap<(String, &str), (Starter, u16)> = BTreeMap::new();
    let mut results: Vec<(PathBuf, Update, Option<String>)> = Vec::new();
    let mut stopped = false;
    for dir in &args.repositories {
        if stop.is_set() {
            stopped = true;
            break;
        }
        let refused =
            |error: std::io::Error| Failure::machine(format!("cannot read `{}`: {error}", dir.display()));
        let begun = match Begun::open(dir).map_err(refused)? {
            Ok(begun) => begun,
            Err(why) => {
                results.push((dir.clone(), Update::Refused { why }, None));
                continue;
            }
        };
        let milestone = args
            .milestone
            .clone()
            .unwrap_or_else(|| begun.record.milestone.clone());
        let framework = begun.record.framework;
        let key = (milestone.clone(), framework.word());
        if !starters.contains_key(&key) {
            starters.insert(key.clone(), shop.starter(&milestone, framework)?);
        }
        let (starter, port) = &starters[&key];
        let seat = shop
            .team(&begun.record.seat.name)
            .map_or_else(|| begun.record.seat.clone(), |team| seat(team, *port));
        let done = begun.update(starter, &seat, at).map_err(|error| failed(&error))?;
        let mut pushed = None;
        if let (Some(remote), Update::Merged { branch, commit, .. }) = (&args.remote, &done) {
            let remote = address(remote, &seat.name);
            if args.push {
                begun.push(&remote, commit, branch).map_err(|said| {
                    Failure::machine(format!("cannot push to `{remote}`: {said}"))
                        .hint("the branch is in the repository: it can be pushed from there")
                })?;
            }
            pushed = Some(remote);
        }
        results.push((dir.clone(), done, pushed));
    }
    let text = if args.json {
        let all: Vec<Value> = results.iter().map(|(dir, done, _)| as_json(dir, done)).collect();
        format!(
            "{:#}\n",
            json!({ "schema": "reelworld/starter-update/v1", "repositories": all })
        )
    } else {
        let mut text = String::new();
        for (dir, done, remote) in &results {
            text.push_str(&as_text(dir, done, remote.as_deref(), args.push));
        }
        text.push_str(&summary(&results));
        text
    };
    told(ui, &text)?;
    if stopped {
        return Err(Failure {
            exit: Exit::Interrupted,
            message: "interrupted".to_owned(),
            hint: Some("run it again: what is done is not done twice".to_owned()),
        });
    }
    let all_well = results.iter().all(|(_, done, _)| !done.needs_somebody());
    Ok(if all_well { Exit::Passed } else { Exit::Failed })
}

/// Says in a word and a sentence what has become of a file.
fn said(note: &Note) -> (&'static str, String) {
    match &note.what {
        What::Added => ("added", String::new()),
        What::Updated => ("updated", String::new()),
        What::Merged => ("merged", "both have changed it, in different places".to_owned()),
        What::Conflict(places) => {
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            (
                "conflict",
                format!(
                    "both have changed the same lines: markers at {}",
                    places.join(", ")
                ),
            )
        }
        What::Removed => ("removed", "the starter has it no longer".to_owned()),
        What::Moved(to) => ("moved", format!("to {to}")),
        What::Left(why) => (
            "left",
            match why {
                Left::Deleted => "the team has deleted it; the starter has changed it",
                Left::NoLongerGiven => "the starter has it no longer; the team's work in it stays",
                Left::NoText => "both have changed it, and it cannot be merged by lines",
                Left::Unresolved => "it holds markers of an earlier merge: solve those first",
                Left::InTheWay => "something of the team's is in its place",
                Left::NoFile => "the team has a link there",
            }
            .to_owned(),
        ),
    }
}

fn files_of(notes: &[Note]) -> Vec<Value> {
    let one = |note: &Note| {
        let (word, why) = said(note);
        let lines = match &note.what {
            What::Conflict(lines) => lines.clone(),
            _ => Vec::new(),
        };
        json!({ "path": note.path, "what": word, "why": why, "lines": lines })
    };
    notes.iter().map(one).collect()
}

fn as_json(dir: &Path, done: &Update) -> Value {
    let path = dir.display().to_string();
    match done {
        Update::UpToDate { notes } => {
            json!({ "repository": path, "outcome": "up_to_date", "files": files_of(notes) })
        }
        Update::Waiting { branch } => json!({ "repository": path, "outcome": "waiting", "branch": branch }),
        Update::Refused { why } => json!({ "repository": path, "outcome": "refused", "why": why }),
        Update::Merged {
            branch,
            commit,
            onto,
            notes,
        } => {
            let files = files_of(notes);
            let outcome = if done.needs_somebody() {
                "conflicts"
            } else {
                "merged"
            };
            json!({ "repository": path, "outcome": outcome, "branch": branch, "commit": commit, "onto": onto, "files": files })
        }
    }
}

fn as_text(dir: &Path, done: &Update, remote: Option<&str>, pushed: bool) -> String {
    let dir = dir.display();
    let (branch, onto, notes) = match done {
        Update::UpToDate { notes } => return format!("{dir}: up to date\n{}", worth_knowing(notes)),
        Update::Waiting { branch } => {
            return format!(
                "{dir}: branch {branch} is there from an earlier update: merge it, or delete it to have it made anew\n"
            );
        }
        Update::Refused { why } => return format!("{dir}: refused: {why}\n"),
        Update::Merged {
            branch, onto, notes, ..
        } => (branch, onto, notes),
    };
    let counts: Vec<String> = [
        "added", "updated", "merged", "moved", "removed", "left", "conflict",
    ]
    .iter()
    .filter_map(|word| {
        let count = notes.iter().filter(|note| said(note).0 == *word).count();
        (count > 0).then(|| format!("{count} {word}"))
    })
    .collect();
    let mut text = format!(
        "{dir}: branch {branch} on {}: {}\n",
        onto.as_deref().unwrap_or("a commit of its own"),
        if counts.is_empty() {
            "no file but the record".to_owned()
        } else {
            counts.join(", ")
        }
    );
    text.push_str(&worth_knowing(notes));
    match remote {
        Some(remote) if pushed => text.push_str(&format!("  pushed to {remote}\n")),
        Some(remote) => text.push_str(&format!("  to push it: git -C {dir} push {remote} {branch}\n")),
        None => text.push_str(&format!("  to take it: git -C {dir} merge {branch}\n")),
    }
    text
}

/// What was simply taken over is in the commit; this is what somebody should know.
fn worth_knowing(notes: &[Note]) -> String {
    let mut text = String::new();
    for note in notes {
        if matches!(note.what, What::Added | What::Updated) {
            continue;
        }
        let (word, why) = said(note);
        text.push_str(&format!("  {word:<9} {}: {why}\n", note.path.escape_debug()));
    }
    text
}

fn summary(results: &[(PathBuf, Update, Option<String>)]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, done, _) in results {
        let word = match done {
            Update::UpToDate { .. } => "up to date",
            Update::Waiting { .. } => "waiting",
            Update::Refused { .. } => "refused",
            Update::Merged { .. } if done.needs_somebody() => "merged with conflicts",
            Update::Merged { .. } => "merged",
        };
        *counts.entry(word).or_insert(0) += 1;
    }
    let counts: BTreeSet<String> = counts
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    format!(
        "{} repositories: {}\n",
        results.len(),
        counts.into_iter().collect::<Vec<_>>().join(", ")
    )
}
