//! What a team can make of the starters of milestones 2 to 4: solutions that earn every automatic point, through the real program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::containers::{BASE, containers};
use crate::isolation::trusted_without_sandbox;
use crate::model::{SOLUTIONS, holds, table};

/// What needs a machine that can run containers.
const CONTAINED: &str = "m3.deploy.builds";
/// What is wrong with the log in which the last solution looks for troubles.
const TROUBLES: &str = "
[[trouble]]
name = 'doubled'
kind = 'duplicates'
onset_day = 12
[[trouble]]
name = 'odd'
kind = 'out_of_range'
onset_day = 5
share = 0.01
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A milestone's solution: the starter, what a team changes of it, the tests that pass, and a commit.
pub(super) fn solution(home: &Path, course: &Path, milestone: u8) -> PathBuf {
    let name = format!("m{milestone}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command.arg("--course").arg(course).current_dir(home);
    succeed(command.args(["starter", "new", &name, "--team", &name]));
    let dir = home.join(&name);
    for before in 2..=milestone {
        copy(&root().join(format!("fixtures/reference/m{before}")), &dir);
    }
    let python = |words: &[&str]| succeed(Command::new("python3").args(words).current_dir(&dir));
    if milestone == 4 {
        let found = python(&["analysis/find.py"]);
        fs::write(dir.join("findings.toml"), found).unwrap();
    }
    if milestone == 3 {
        stand_on_the_base_of_tests(&dir);
    }
    python(&["train.py"]);
    python(&["-m", "unittest", "discover", "-s", "tests"]);
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&dir)
            .args(["-c", "user.name=team", "-c", "user.email=team@example.org"]);
        succeed(command.args(words));
    };
    // In steps that somebody can read, as the second milestone wants them.
    for (what, subject) in [
        ("tests", "Say what is wanted of lists and of their evaluation"),
        (".", "Recommend what viewers with the same history watched"),
    ] {
        git(&["add", "--all", what]);
        git(&["commit", "--quiet", "-m", subject]);
    }
    dir
}

/// Lets the starter's container file stand on the image that is here, which has less than the one that teams fetch.
fn stand_on_the_base_of_tests(dir: &Path) {
    let file = dir.join("Dockerfile");
    let mut text = fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("FROM python:3.11-slim", format!("FROM {BASE}")),
        (
            "RUN python train.py && chown -R nobody models",
            "RUN python3 train.py".to_owned(),
        ),
        ("USER nobody", "USER team".to_owned()),
        ("[\"python\", ", "[\"python3\", ".to_owned()),
    ] {
        assert!(
            text.contains(from),
            "the starter's container file has no `{from}`"
        );
        text = text.replace(from, &to);
    }
    fs::write(file, text).unwrap();
}

fn earns_every_automatic_point(milestone: u8) {
    let home = tempfile::tempdir().unwrap();
    let course = home.path().join("course");
    copy(&root().join("fixtures/course"), &course);
    if milestone == 4 {
        let file = course.join("course.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text + TROUBLES).unwrap();
    }
    let contained = milestone == 3 && containers().is_some();
    let dir = solution(home.path(), &course, milestone);
    let out = home.path().join("run");
    let name = format!("m{milestone}");
    let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .arg("--course")
        .arg(&course)
        .args(["grade", &name, "--seed", "7"])
        .args(trusted_without_sandbox())
        .arg("--out")
        .arg(&out)
        .arg(&dir)
        .output()
        .unwrap();
    assert!(
        output.status.code().is_some_and(|code| [0, 3].contains(&code)),
        "{output:?}"
    );
    let report: Value =
        serde_json::from_str(&fs::read_to_string(out.join(&name).join("report.json")).unwrap()).unwrap();
    let found: BTreeMap<&str, &Value> = report["criteria"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|criterion| criterion["verdict"] != "pending_review")
        .map(|criterion| (criterion["id"].as_str().unwrap(), criterion))
        .collect();
    let wanted = &table(SOLUTIONS)[&name];
    assert!(wanted.keys().eq(found.keys()), "{found:#?}");
    for (id, wanted) in wanted {
        let criterion = found[id.as_str()];
        let verdict = criterion["verdict"].as_str().unwrap();
        let open = id == CONTAINED && !contained && verdict == "no_verdict";
        assert!(
            holds(id, wanted, verdict) || open,
            "{id} must be {wanted}: {criterion}"
        );
        if verdict == "pass" {
            assert_eq!(criterion["points"], criterion["max"], "{id}");
        }
    }
}

#[test]
fn a_solution_of_milestone_2_earns_every_automatic_point() {
    earns_every_automatic_point(2);
}

#[test]
fn a_solution_of_milestone_3_earns_every_automatic_point() {
    earns_every_automatic_point(3);
}

#[test]
fn a_solution_of_milestone_4_earns_every_automatic_point() {
    earns_every_automatic_point(4);
}
