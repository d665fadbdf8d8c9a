//! A class that is graded while somebody kills the grader again and again: it comes to what it comes to undisturbed.
//!
//! Here it is a handful of submissions and one kill. Forty copies of the zoo with the whole assignment, and three kills, are what
//! `REELWORLD_COPIES=40 cargo test --release --test it -- --nocapture forty::` grades; it prints
//! how long the undisturbed run took. With the other run, which is killed, that is about an hour on two processors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reelworld::clock::Clock;
use serde_json::Value;

use crate::interrupt::{root, short_course};
use crate::isolation::trusted_without_sandbox;

/// The handful: what does not build, what ends at once, and what answers everything.
const HANDFUL: [&str; 3] = ["does_not_build", "exits", "popular"];
/// Kills of forty copies.
const KILLS: usize = 3;
/// The lines of evidence that somebody who is killed at work has at least.
const AT_WORK: usize = 20;
/// What a machine that is too busy cannot tell, and says so.
const TIMED: [&str; 3] = ["m1.answers.in_time", "m1.answers.peak", "m1.bonus.fast"];
/// The longest that one run may take.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// How many copies whoever runs the test by hand wants; none for the handful.
fn copies() -> Option<usize> {
    #[expect(clippy::disallowed_methods, reason = "who runs the test by hand says so")]
    let wanted = std::env::var("REELWORLD_COPIES");
    wanted.ok().map(|count| count.parse().unwrap())
}

/// The services of the zoo.
pub(super) fn zoo() -> Vec<String> {
    let entries = fs::read_dir(root().join("fixtures/services")).unwrap().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn copy(name: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(root().join("fixtures/services").join(name)).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

struct Class {
    folder: PathBuf,
    course: Option<PathBuf>,
}

impl Class {
    fn grade(&self, out: &Path, resume: bool) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
        if let Some(course) = &self.course {
            command.arg("--course").arg(course);
        }
        command.args(["grade", "m1", "--jobs", "2", "--seed", "5", "--out"]);
        command.arg(out).arg(&self.folder);
        command.args(trusted_without_sandbox());
        command.args(resume.then_some("--resume"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn whole(&self, out: &Path, resume: bool) {
        let code = self.grade(out, resume).wait().unwrap().code();
        assert!(code.is_some_and(|code| [0, 1, 3].contains(&code)), "{code:?}");
    }

    /// Grades until so many have come to an end and somebody else is at work, and kills the grader then.
    fn cut(&self, out: &Path, resume: bool, ends: usize) {
        let mut grading = self.grade(out, resume);
        let clock = Clock::start();
        let begun = |name: &String| {
            let items = fs::read(out.join(name).join("evidence/items.jsonl")).unwrap_or_default();
            items.iter().filter(|byte| **byte == b'\n').count() >= AT_WORK
        };
        loop {
            let ended: BTreeSet<String> = graded(out).into_iter().collect();
            if ended.len() >= ends && self.names().difference(&ended).any(begun) {
                break;
            }
            assert!(
                grading.try_wait().unwrap().is_none(),
                "it ended before it was killed"
            );
            assert!(clock.elapsed() < PATIENCE, "nothing to kill");
            clock.sleep(Duration::from_millis(50));
        }
        grading.kill().unwrap();
        grading.wait().unwrap();
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(&self.folder).unwrap().flatten();
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }
}

/// The submissions that were graded, as often as they were.
fn graded(out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out.join("results.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["end"]["end"] == "graded")
        .map(|line| line["submission"].as_str().unwrap().to_owned())
        .collect()
}

/// The class as its summary has it: of each submission each criterion with its verdict and points.
fn summary(out: &Path) -> BTreeMap<(String, String), (Value, Value)> {
    let class: Value = serde_json::from_slice(&fs::read(out.join("class.json")).unwrap()).unwrap();
    let mut all = BTreeMap::new();
    for row in class["submissions"].as_array().unwrap() {
        for cell in row["criteria"].as_array().unwrap() {
            let text = |of: &Value| of.as_str().unwrap().to_owned();
            let key = (text(&row["submission"]), text(&cell["id"]));
            all.insert(key, (cell["verdict"].clone(), cell["points"].clone()));
        }
    }
    all
}

#[test]
fn a_class_whose_grader_is_killed_comes_to_what_it_comes_to_undisturbed() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("class");
    let copies = copies();
    let names: Vec<String> = match copies {
        None => HANDFUL.map(str::to_owned).into(),
        Some(copies) => zoo().into_iter().cycle().take(copies).collect(),
    };
    for (number, name) in names.iter().enumerate() {
        copy(name, &folder.join(format!("{:02}-{name}", number + 1)));
    }
    // By hand, it is the assignment as courses have it.
    let course = copies.is_none().then(|| {
        let course = home.path().join("course");
        short_course(&course);
        course
    });
    let class = Class { folder, course };
    let (alone, killed) = (home.path().join("alone"), home.path().join("killed"));
    let clock = Clock::start();
    class.whole(&alone, false);
    if copies.is_some() {
        let minutes = clock.elapsed().as_secs_f64() / 60.0;
        super::broker::say(&format!("{} submissions in {minutes:.1} minutes", names.len()));
    }

    let kills = if copies.is_some() { KILLS } else { 1 };
    for kill in 0..kills {
        // Of forty, a quarter, half and three quarters have ended. Of the handful one alone is ever seen at work, and who of the
        // others has ended by then is chance.
        let ends = copies.map_or(0, |_| names.len() * (kill + 1) / (kills + 1));
        class.cut(&killed, kill > 0, ends);
    }
    class.whole(&killed, true);

    let mut ends = graded(&killed);
    ends.sort();
    assert_eq!(ends, class.names().into_iter().collect::<Vec<_>>(), "each once");
    let (one, other) = (summary(&alone), summary(&killed));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (key, cell) in &one {
        let open = [cell, &other[key]].iter().any(|cell| cell.0 == "no_verdict");
        if !(open && TIMED.contains(&key.1.as_str())) {
            assert_eq!(cell, &other[key], "{key:?}");
        }
    }
}
