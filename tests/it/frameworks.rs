//! Starters that are written with something else than Python's standard library: each works untouched, as the plain one does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What an untouched starter of milestone 3 earns, whatever it is written with; an experiment it has not made. As in `starter.rs`,
/// what a busy machine can spoil is left out.
const EARNED: [(&str, &str); 8] = [
    ("m3.service.starts", "pass"),
    ("m3.answers.valid", "pass"),
    ("m3.update.seen", "pass"),
    ("m3.metrics.requests", "pass"),
    ("m3.provenance.named", "pass"),
    ("m3.experiment.sticky", "pass"),
    ("m3.experiment.split", "pass"),
    ("m3.experiment.conclusion", "fail"),
];

fn reelworld() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command
        .arg("--course")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/course"));
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a program answers here. Where it must (`CI=true`), it is an error that it does not.
fn is_here(words: &[&str]) -> bool {
    let here = Command::new(words[0])
        .args(&words[1..])
        .output()
        .is_ok_and(|output| output.status.success());
    #[expect(
        clippy::disallowed_methods,
        reason = "a missing part may be passed over on a user's machine alone"
    )]
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(here || !must, "{words:?} does not work here");
    here
}

#[expect(clippy::print_stderr, reason = "what is passed over is told")]
fn passed_over(what: &str) {
    eprintln!("PASSED OVER: {what}");
}

/// Makes a starter, builds it as its own file says, and runs its tests.
fn make(home: &Path, milestone: &str, framework: &str) -> PathBuf {
    let mut command = reelworld();
    command.args([
        "starter",
        "new",
        milestone,
        "--team",
        milestone,
        "--framework",
        framework,
    ]);
    succeed(command.current_dir(home));
    let dir = home.join(milestone);
    let spec: toml::Table = fs::read_to_string(dir.join("reelworld.toml"))
        .unwrap()
        .parse()
        .unwrap();
    for command in [&spec["service"]["build"], &spec["tests"]["run"]] {
        let words: Vec<&str> = match command {
            toml::Value::String(text) => vec!["sh", "-c", text],
            list => list
                .as_array()
                .unwrap()
                .iter()
                .map(|word| word.as_str().unwrap())
                .collect(),
        };
        succeed(Command::new(words[0]).args(&words[1..]).current_dir(&dir));
    }
    let status = succeed(
        Command::new("git")
            .args(["status", "--porcelain"])
            .current_dir(&dir),
    );
    assert_eq!(status, "", "what is made is ignored");
    dir
}

/// The starter of milestone 3, which has the most to tell, is asked.
fn earns_what_is_promised(framework: &str) {
    let home = tempfile::tempdir().unwrap();
    let dir = make(home.path(), "m3", framework);
    let output = reelworld()
        .args(["check", "m3", "--json"])
        .current_dir(&dir)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let found: BTreeMap<&str, &Value> = report["criteria"]
        .as_array()
        .unwrap()
        .iter()
        .map(|criterion| (criterion["id"].as_str().unwrap(), criterion))
        .collect();
    for (id, wanted) in EARNED {
        assert_eq!(found[id]["verdict"], wanted, "{framework}: {id}: {}", found[id]);
    }
}

#[test]
fn the_starter_with_node_works_untouched() {
    if is_here(&["node", "--version"]) {
        earns_what_is_promised("node");
        let home = tempfile::tempdir().unwrap();
        make(home.path(), "m4", "node");
    } else {
        passed_over("the starter with Node.js, which is not here");
    }
}

#[test]
fn the_starters_with_flask_and_fastapi_work_untouched() {
    let place = tempfile::tempdir().unwrap();
    let venv = place.path().join("venv").display().to_string();
    let get = format!(
        "python3 -m venv {venv} && {venv}/bin/pip download --quiet --no-deps --dest {venv} waitress==3.0.2"
    );
    if is_here(&["sh", "-c", &get]) {
        earns_what_is_promised("flask");
        earns_what_is_promised("fastapi");
    } else {
        passed_over("the starters with Flask and FastAPI, because packages cannot be had here");
    }
}
