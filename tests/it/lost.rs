//! A grading run whose sandboxes are taken away from outside, and whose folder another grading wants: what is no submission's doing costs none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reelworld::clock::Clock;
use serde_json::Value;

use crate::interrupt::{assert_nobody_left, root, short_course, tree};
use crate::isolation::isolation;

/// As many submissions as a machine may refuse in a row before a run is given up.
const TAKEN: [&str; 3] = ["a", "b", "c"];

struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let ground = Self(tempfile::tempdir().unwrap());
        short_course(&ground.at("course"));
        ground
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Hands in a submission whose service ends at once, after a build.
    fn hand_in(&self, name: &str, build: &str) {
        let dir = self.at("class").join(name);
        fs::create_dir_all(&dir).unwrap();
        let text = format!("[service]\nbuild = \"{build}\"\nstart = \"exit 3\"\n");
        fs::write(dir.join("reelworld.toml"), text).unwrap();
    }

    fn grade(&self, class: &Path, more: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(self.at("course"))
            .args(["grade", "m1", "--jobs", "1", "--seed", "5", "--out"])
            .arg(self.at("run"))
            .arg(class)
            .args(more)
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.at("said")).unwrap())
            .spawn()
            .unwrap()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.at("said")).unwrap()
    }

    /// How each submission ended the last time, and why where that is told.
    fn ends(&self) -> BTreeMap<String, (String, String)> {
        let text = fs::read_to_string(self.at("run/results.jsonl")).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        lines
            .map(|line| {
                (
                    word(&line["submission"]),
                    (word(&line["end"]["end"]), word(&line["end"]["why"])),
                )
            })
            .collect()
    }

    /// Verdict and reason of every criterion of a card.
    fn verdicts(&self, name: &str) -> Vec<(String, String)> {
        let report = fs::read(self.at("run").join(name).join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let criteria = report["criteria"].as_array().unwrap().iter();
        criteria
            .map(|one| {
                (
                    one["verdict"].as_str().unwrap().to_owned(),
                    one["why"].to_string(),
                )
            })
            .collect()
    }

    fn items(&self, name: &str) -> Vec<String> {
        let path = self.at("run").join(name).join("evidence/items.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn words_of(pid: u32) -> String {
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.replace('\0', " ").trim().to_owned()
}

/// Waits for a process below a run, or for the run's end.
fn wait_for(run: &mut Child, wanted: impl Fn(u32) -> bool) -> Option<u32> {
    loop {
        if let Some((pid, _)) = tree(run.id()).iter().find(|(pid, _)| wanted(*pid)) {
            return Some(*pid);
        }
        if run.try_wait().unwrap().is_some() {
            return None;
        }
        Clock::start().sleep(Duration::from_millis(10));
    }
}

/// Kills the agent of the sandbox that a run has, as a machine that runs out of memory might.
fn take_away(run: &mut Child) {
    let agent = wait_for(run, |pid| words_of(pid).ends_with(" __inside")).unwrap();
    kill(Pid::from_raw(agent.cast_signed()), Signal::SIGKILL).unwrap();
}

/// Asserts that a card holds nothing against its submission, and says why it has no verdict.
fn is_spared(ground: &Ground, name: &str) {
    let verdicts = ground.verdicts(name);
    assert!(
        verdicts
            .iter()
            .all(|(verdict, _)| !["pass", "fail"].contains(&verdict.as_str())),
        "{name}: {verdicts:?}"
    );
    let told = |(verdict, why): &(String, String)| {
        verdict == "no_verdict" && why.contains("sandbox has ended by itself")
    };
    assert!(verdicts.iter().any(told), "{name}: {verdicts:?}");
}

#[test]
fn sandboxes_that_are_taken_away_cost_no_submission_a_point_and_the_run_goes_on_where_the_machine_is_well() {
    if isolation().is_none() {
        return;
    }
    let ground = Ground::new();
    let words = |place: usize| format!("sleep 6.{place}{:07}", std::process::id());
    for (place, name) in TAKEN.iter().enumerate() {
        ground.hand_in(name, &format!("exec {}", words(place)));
    }
    ground.hand_in("d", "exit 0");
    let mut run = ground.grade(&ground.at("class"), &[]);
    let mut seen = BTreeSet::new();
    for place in 0..TAKEN.len() {
        let building = wait_for(&mut run, |pid| words_of(pid) == words(place));
        assert!(building.is_some(), "{}", ground.said());
        seen.extend(tree(run.id()));
        take_away(&mut run);
    }
    let code = run.wait().unwrap().code();
    assert_nobody_left(&seen);
    // Three refusals in a row, and the run went on: the machine makes sandboxes.
    let ends = ground.ends();
    for name in TAKEN {
        let (end, why) = &ends[name];
        assert_eq!(end, "machine", "{ends:?}");
        assert!(why.contains("which nothing inside can bring about"), "{why}");
        is_spared(&ground, name);
    }
    assert_eq!(ends["d"].0, "graded", "{ends:?}");
    assert_eq!(code, Some(1), "one of them has failed: {}", ground.said());
    // And what had no verdict is measured again.
    let again = ground
        .grade(&ground.at("class"), &["--resume"])
        .wait()
        .unwrap()
        .code();
    assert_eq!(again, Some(1), "{}", ground.said());
    let ends = ground.ends();
    assert!(ends.values().all(|(end, _)| end == "graded"), "{ends:?}");
}

#[test]
fn a_sandbox_that_is_taken_away_while_it_is_asked_holds_no_request_against_its_submission() {
    if isolation().is_none() {
        return;
    }
    let ground = Ground::new();
    let good = root().join("fixtures/services/good");
    let mut run = ground.grade(&good, &[]);
    let begun = |ground: &Ground| {
        let items = ground.items("good");
        items.iter().filter(|line| line.contains("\"exchange\"")).count()
    };
    while begun(&ground) < 40 {
        assert!(run.try_wait().unwrap().is_none(), "{}", ground.said());
        Clock::start().sleep(Duration::from_millis(20));
    }
    take_away(&mut run);
    let code = run.wait().unwrap().code();
    assert_eq!(code, Some(3), "{}", ground.said());
    assert_eq!(ground.ends()["good"].0, "machine");
    let last = ground.items("good").pop().unwrap();
    assert!(last.contains("\"lost\""), "{last}");
    is_spared(&ground, "good");
}

#[test]
fn a_second_grading_into_the_folder_of_one_that_is_at_work_is_refused() {
    if isolation().is_none() {
        return;
    }
    let ground = Ground::new();
    let words = format!("sleep 60.{:07}", std::process::id());
    ground.hand_in("waits", &format!("exec {words}"));
    let mut run = ground.grade(&ground.at("class"), &[]);
    assert!(wait_for(&mut run, |pid| words_of(pid) == words).is_some());
    let results = ground.at("run/results.jsonl");
    let before = fs::read(&results).unwrap_or_default();
    let second = ground.grade(&ground.at("class"), &["--resume"]).wait().unwrap();
    let said = ground.said();
    assert_eq!(second.code(), Some(2), "{said}");
    let folder = fs::canonicalize(ground.at("run")).unwrap();
    let wanted = format!("another grading into `{}` is at work", folder.display());
    assert!(said.contains(&wanted) && said.contains("--resume"), "{said}");
    assert!(
        wait_for(&mut run, |pid| words_of(pid) == words).is_some(),
        "the first was disturbed"
    );
    assert_eq!(fs::read(&results).unwrap_or_default(), before);
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    // Once the first has ended, the folder is free.
    ground.hand_in("waits", "exit 1");
    let third = ground.grade(&ground.at("class"), &["--resume"]).wait().unwrap();
    assert_eq!(third.code(), Some(1), "{}", ground.said());
}
