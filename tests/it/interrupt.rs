//! A grading run that is stopped at any moment: nothing is lost, nobody is left behind, and the grade stays the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reelworld::clock::Clock;
use serde_json::Value;

use crate::classroom::{LEAST_USERS, lists};
use crate::isolation::trusted_without_sandbox;

/// One that learns and answers personally, and one that leaves children behind.
const SUBMISSIONS: [&str; 2] = ["good", "leaves_children"];
/// Measures that follow from the seed and the answers alone, whatever the machine was doing.
const UNTIMED: [&str; 10] = [
    "accuracy.score",
    "accuracy.ndcg_at_20",
    "accuracy.hit_rate_at_20",
    "accuracy.recall_at_20",
    "accuracy.ndcg_lift",
    "fairness.gap",
    "fairness.adjusted_gap",
    "fairness.ndcg_gap",
    "coverage.share",
    "personalised.share",
];

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The small course, with a workload of a few seconds.
pub(super) fn short_course(to: &Path) {
    let small = crate::attacks::fixtures().join("course");
    for entry in walkdir::WalkDir::new(&small) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(&small).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
            continue;
        }
        let mut text = fs::read_to_string(entry.path()).unwrap();
        if entry.path().ends_with("m1/assignment.toml") {
            // A busy machine is given time to start a service: what is tested here is no start.
            for (from, to) in [
                ("steady_s = 12", "steady_s = 5"),
                ("peak_s = 8", "peak_s = 2"),
                ("ready_s = 15", "ready_s = 60"),
            ] {
                assert!(text.contains(from), "the small course has no `{from}`");
                text = text.replace(from, to);
            }
        }
        fs::write(target, text).unwrap();
    }
}

struct Grading {
    course: PathBuf,
    out: PathBuf,
    trust: Option<&'static str>,
}

impl Grading {
    fn start(&self, resume: bool) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
        command
            .arg("--course")
            .arg(&self.course)
            .args(["grade", "m1", "--jobs", "1", "--seed", "5", "--out"])
            .arg(&self.out)
            .args(self.trust)
            .args(SUBMISSIONS.map(|name| root().join("fixtures/services").join(name)));
        if resume {
            command.arg("--resume");
        }
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn items(&self, name: &str) -> Vec<String> {
        let path = self.out.join(name).join("evidence/items.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often the evidence of a run that was stopped was put aside.
    fn set_aside(&self, name: &str) -> usize {
        let folder = fs::read_dir(self.out.join(name).join("evidence"));
        let entries = folder.into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("interrupted-"))
            .count()
    }

    /// Starts a run and ends it with a signal as soon as a submission has so many lines of evidence.
    fn cut(&self, resume: bool, name: &str, lines: usize, signal: Signal) -> Option<i32> {
        // What an earlier run left is no sign of this one, which puts it aside before it measures anew.
        let aside = self.set_aside(name) + usize::from(!self.items(name).is_empty());
        let mut child = self.start(resume);
        let mut seen = BTreeSet::new();
        while self.set_aside(name) < aside || self.items(name).len() < lines {
            assert!(
                child.try_wait().unwrap().is_none(),
                "it ended before `{name}` had {lines} lines of evidence"
            );
            seen.extend(tree(child.id()));
            Clock::start().sleep(Duration::from_millis(20));
        }
        seen.extend(tree(child.id()));
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let code = child.wait().unwrap().code();
        assert_nobody_left(&seen);
        code
    }

    /// Lets a run come to its end.
    fn whole(&self, resume: bool) -> Option<i32> {
        let mut child = self.start(resume);
        let mut seen = BTreeSet::new();
        let end = loop {
            if let Some(end) = child.try_wait().unwrap() {
                break end;
            }
            seen.extend(tree(child.id()));
            Clock::start().sleep(Duration::from_millis(100));
        };
        assert_nobody_left(&seen);
        end.code()
    }

    /// The class as the run tells it, of the criteria that do not depend on the machine's haste.
    fn summary(&self, ids: &[String]) -> Vec<(Value, Vec<Value>)> {
        let text = fs::read(self.out.join("class.json")).unwrap();
        let class: Value = serde_json::from_slice(&text).unwrap();
        let rows = class["submissions"].as_array().unwrap().iter();
        rows.map(|row| {
            let cells = row["criteria"].as_array().unwrap().iter();
            let cells = cells.filter(|cell| ids.iter().any(|id| cell["id"] == **id));
            (row["submission"].clone(), cells.cloned().collect())
        })
        .collect()
    }

    fn report(&self, name: &str) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(&self.course)
            .arg("report")
            .arg(self.out.join(name))
            .args(["--format", "json"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A process and the moment of its start: a number may be given again.
pub(super) type Process = (u32, String);

/// Returns all processes below one, also those that are inside of sandboxes.
pub(super) fn tree(root: u32) -> Vec<Process> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<(u32, u32, String)> = processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let (parent, start) = stat(pid)?;
            Some((pid, parent, start))
        })
        .collect();
    let mut found = vec![root];
    let mut tree = Vec::new();
    while let Some(above) = found.pop() {
        for (pid, _, start) in all.iter().filter(|(_, parent, _)| *parent == above) {
            found.push(*pid);
            tree.push((*pid, start.clone()));
        }
    }
    tree
}

/// Returns the parent of a process that runs, and when it was started.
fn stat(pid: u32) -> Option<(u32, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    (fields[0] != "Z").then(|| (fields[1].parse().unwrap(), fields[19].to_owned()))
}

/// Asserts that no process is left of those that were seen below a run.
pub(super) fn assert_nobody_left(seen: &BTreeSet<Process>) {
    assert!(!seen.is_empty(), "nothing was started");
    let left = || -> Vec<&Process> {
        let runs = |(pid, start): &Process| stat(*pid).is_some_and(|(_, now)| now == *start);
        seen.iter().filter(|process| runs(process)).collect()
    };
    // The leash or the sandbox of a killed grader notices within moments.
    for _ in 0..500 {
        if left().is_empty() {
            return;
        }
        Clock::start().sleep(Duration::from_millis(20));
    }
    let words = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let left: Vec<String> = left().iter().map(|(pid, _)| words(*pid)).collect();
    panic!("left behind: {left:?}");
}

fn untimed(report: &Value) -> BTreeMap<String, Value> {
    let rows = report["measures"].as_array().unwrap().iter();
    let found: BTreeMap<String, Value> = rows
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["finding"].clone()))
        .filter(|(id, _)| UNTIMED.contains(&id.as_str()))
        .collect();
    assert_eq!(found.len(), UNTIMED.len(), "{found:?}");
    found
}

/// Verdicts and points of what does not depend on the machine's haste.
pub(super) fn decided(report: &Value) -> BTreeMap<String, (Value, Value)> {
    let criteria = report["criteria"].as_array().unwrap().iter();
    criteria
        .filter(|criterion| {
            let measure = criterion["measure"].as_str().unwrap_or("service.starts");
            UNTIMED.contains(&measure) || measure == "service.starts"
        })
        .map(|criterion| {
            let id = criterion["id"].as_str().unwrap().to_owned();
            (id, (criterion["verdict"].clone(), criterion["points"].clone()))
        })
        .collect()
}

#[test]
fn a_run_that_is_stopped_again_and_again_ends_with_the_same_grade() {
    let home = tempfile::tempdir().unwrap();
    let course = home.path().join("course");
    short_course(&course);
    let trust = trusted_without_sandbox();
    let grading = |name: &str| Grading {
        course: course.clone(),
        out: home.path().join(name),
        trust,
    };
    let whole = grading("whole");
    let code = whole.whole(false);
    assert!(code.is_some_and(|code| [0, 1, 3].contains(&code)), "{code:?}");

    let stopped = grading("stopped");
    let [first, second] = SUBMISSIONS;
    assert_eq!(stopped.cut(false, first, 40, Signal::SIGINT), Some(130));
    let partial = stopped.report(first);
    assert!(
        partial["notes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|note| note.as_str().unwrap().contains("interrupted")),
        "{}",
        partial["notes"]
    );
    // What was found before the stop is as true as in a whole run: that it starts, and what its files hold. Nothing else is told.
    let told = |report: &Value| -> BTreeMap<String, String> {
        let criteria = report["criteria"].as_array().unwrap().iter();
        criteria
            .map(|criterion| {
                let text = |key: &str| criterion[key].as_str().unwrap().to_owned();
                (text("id"), text("verdict"))
            })
            .filter(|(_, verdict)| ["pass", "fail"].contains(&verdict.as_str()))
            .collect()
    };
    let mut before = told(&whole.report(first));
    before.retain(|id, _| id.starts_with("m1.report.") || id == "m1.service.starts");
    assert_eq!(before["m1.service.starts"], "pass");
    assert_eq!(before["m1.report.code_linked"], "fail");
    assert_eq!(
        told(&partial),
        before,
        "a run that was stopped tells what it has found"
    );
    // Killed outright, nothing of the grader itself can tidy up.
    assert_eq!(stopped.cut(true, second, 60, Signal::SIGKILL), None);
    for line in stopped.items(second).iter().rev().skip(1) {
        assert!(
            serde_json::from_str::<Value>(line).is_ok(),
            "{line} is no item of evidence"
        );
    }
    let of_first = fs::read(stopped.out.join(first).join("evidence/items.jsonl")).unwrap();
    assert_eq!(stopped.cut(true, second, 20, Signal::SIGTERM), Some(130));
    // Pages that a stop swallowed are made again.
    fs::remove_file(stopped.out.join(first).join("report.json")).unwrap();
    assert_eq!(stopped.whole(true), code);
    let of_first_now = fs::read(stopped.out.join(first).join("evidence/items.jsonl")).unwrap();
    assert!(
        of_first == of_first_now,
        "what was finished is not measured again"
    );

    for name in SUBMISSIONS {
        let read = |of: &Grading| -> Value {
            serde_json::from_slice(&fs::read(of.out.join(name).join("report.json")).unwrap()).unwrap()
        };
        let (once, again) = (read(&whole), read(&stopped));
        assert_eq!(untimed(&once)["accuracy.score"]["state"], "measured", "{name}");
        let [one, other] = [&whole, &stopped].map(|of| lists(&of.out.join(name)));
        // A busy machine leaves out requests that it has sent late, and so users; of the others all is the same.
        let both: Vec<&u64> = one.keys().filter(|user| other.contains_key(user)).collect();
        assert!(both.len() >= LEAST_USERS, "{name}: {}", both.len());
        for user in &both {
            assert_eq!(one[user], other[user], "user {user} of {name}");
        }
        if both.len() == one.len() && both.len() == other.len() {
            assert_eq!(untimed(&once), untimed(&again), "{name}");
        }
        assert_eq!(decided(&once), decided(&again), "{name}");
        assert_eq!(again, stopped.report(name), "the page is what the evidence says");
    }
    assert_eq!(
        stopped.set_aside(second),
        2,
        "what was stopped is kept as evidence"
    );
    let ids: Vec<String> = decided(&whole.report(first)).into_keys().collect();
    assert_eq!(
        whole.summary(&ids),
        stopped.summary(&ids),
        "the class is the same"
    );
    let results = |of: &Grading| fs::read_to_string(of.out.join("results.jsonl")).unwrap();
    let ends = |of: &Grading, end: &str| results(of).matches(&format!("\"end\":\"{end}\"")).count();
    assert_eq!((ends(&whole, "graded"), ends(&whole, "interrupted")), (2, 0));
    // Killed outright, a run writes nothing more; the two that were stopped in good order say so.
    assert_eq!((ends(&stopped, "graded"), ends(&stopped, "interrupted")), (2, 2));
}
