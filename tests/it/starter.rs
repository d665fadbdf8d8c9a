//! A team's repository as it comes from the company, and the solution that it can become, through the real program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::interrupt::short_course;
use crate::isolation::trusted_without_sandbox;
use crate::model::{SOLUTIONS, holds, table};

/// What the untouched starter of each milestone earns: milestone, criterion, verdict.
const TABLE: &str = "starters.toml";
/// What a machine without containers, or without the image that the starters stand on, can't tell.
const CONTAINED: &str = "m3.deploy.builds";

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, with the small course for tests.
fn small() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command.arg("--course").arg(root().join("fixtures/course"));
    command
}

fn starter(dir: &Path, team: &str) -> Output {
    small()
        .args(["starter", "new", "m1", "--team", team])
        .current_dir(dir)
        .output()
        .unwrap()
}

pub(super) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(dir)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".git")
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(dir).unwrap().to_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

pub(super) fn criteria(report: &Value) -> BTreeMap<String, Value> {
    report["criteria"]
        .as_array()
        .unwrap()
        .iter()
        .map(|criterion| (criterion["id"].as_str().unwrap().to_owned(), criterion.clone()))
        .collect()
}

/// Asserts a verdict; what depends on time may be left open.
fn assert_verdict(criteria: &BTreeMap<String, Value>, id: &str, wanted: &str) {
    let criterion = &criteria[id];
    let found = criterion["verdict"].as_str().unwrap();
    assert!(holds(id, wanted, found), "{id} must be {wanted}: {criterion}");
}

#[test]
fn a_new_starter_is_a_clean_repository_whose_own_tests_pass() {
    let home = tempfile::tempdir().unwrap();
    let output = starter(home.path(), "otters");
    assert!(output.status.success(), "{output:?}");
    let dir = home.path().join("otters");
    let in_it = |program: &str, words: &[&str]| succeed(Command::new(program).args(words).current_dir(&dir));
    assert_eq!(in_it("git", &["rev-list", "--count", "HEAD"]).trim(), "1");
    in_it("python3", &["train.py"]);
    in_it("python3", &["-m", "unittest", "discover", "-s", "tests"]);
    assert_eq!(
        in_it("git", &["status", "--porcelain"]),
        "",
        "what is made is ignored"
    );
}

#[test]
fn a_new_starter_holds_what_is_asked_and_no_trace_of_a_template() {
    let home = tempfile::tempdir().unwrap();
    assert!(starter(home.path(), "otters").status.success());
    let files = files(&home.path().join("otters"));
    for (name, content) in &files {
        assert!(name.extension().is_none_or(|end| end != "tera"), "{name:?}");
        // The data is no template, and packed bytes may hold any two letters.
        if name.starts_with("data") {
            continue;
        }
        let text = String::from_utf8_lossy(content);
        for mark in ["{{", "{%", "{#"] {
            assert!(!text.contains(mark), "{name:?} holds `{mark}`");
        }
    }
    let text = |name: &str| String::from_utf8(files[Path::new(name)].clone()).unwrap();
    assert!(text("README.md").starts_with("# otters: "));
    assert_eq!(
        text("HANDOUT.md"),
        fs::read_to_string(root().join("assignments/m1/handout.md")).unwrap()
    );
    let rubric: toml::Table = fs::read_to_string(root().join("rubrics/m1.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let checklist = text("CHECKLIST.md");
    for criterion in rubric["criterion"].as_array().unwrap() {
        let title = criterion["title"].as_str().unwrap();
        assert!(checklist.contains(title), "the checklist misses `{title}`");
    }
}

#[test]
fn the_starter_of_each_milestone_adds_to_the_one_before_and_passes_its_own_tests() {
    let home = tempfile::tempdir().unwrap();
    let mut before: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for milestone in ["m1", "m2", "m3", "m4"] {
        succeed(
            small()
                .args(["starter", "new", milestone, "--team", milestone])
                .current_dir(home.path()),
        );
        let dir = home.path().join(milestone);
        let own = files(&dir);
        for name in before.keys() {
            assert!(own.contains_key(name), "{milestone} lacks {name:?}");
        }
        assert!(own.len() > before.len(), "{milestone} adds nothing");
        let in_it = |words: &[&str]| succeed(Command::new("python3").args(words).current_dir(&dir));
        in_it(&["train.py"]);
        in_it(&["-m", "unittest", "discover", "-s", "tests"]);
        if milestone != "m1" {
            assert!(in_it(&["evaluate.py"]).contains("hit rate at 20"));
        }
        let status = succeed(
            Command::new("git")
                .args(["status", "--porcelain"])
                .current_dir(&dir),
        );
        assert_eq!(status, "", "{milestone}: what is made is ignored");
        before = own;
    }
}

/// Makes the starter of a milestone and returns what it earns of what is measured, with what the card says of it.
fn earned(home: &Path, milestone: &str) -> BTreeMap<String, (String, String)> {
    succeed(
        small()
            .args(["starter", "new", milestone, "--team", milestone])
            .current_dir(home),
    );
    let output = small()
        .args(["grade", milestone, milestone, "--seed", "7"])
        .args(trusted_without_sandbox())
        .args(["--out", &format!("run-{milestone}")])
        .current_dir(home)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = home.join(format!("run-{milestone}/{milestone}/report.json"));
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let measured = criteria(&report)
        .into_iter()
        .filter(|(_, criterion)| criterion["method"] != "judged");
    measured
        .map(|(id, criterion)| {
            let verdict = criterion["verdict"].as_str().unwrap().to_owned();
            (id, (verdict, criterion.to_string()))
        })
        .collect()
}

#[test]
fn untouched_starters_earn_what_the_table_says_of_all_that_is_measured() {
    let table = table(TABLE);
    let home = tempfile::tempdir().unwrap();
    // They mostly wait: the one with many incidents beside the others.
    let found: BTreeMap<&str, _> = std::thread::scope(|scope| {
        let parts: [&[&str]; 2] = [&["m2"], &["m1", "m4", "m3"]];
        let handles = parts.map(|part| {
            let home = home.path();
            let grade = move |milestone: &&'static str| (*milestone, earned(home, milestone));
            scope.spawn(move || part.iter().map(grade).collect::<Vec<_>>())
        });
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap())
            .collect()
    });
    assert!(table.keys().eq(found.keys()), "{:?}", table.keys());
    let mut faults = Vec::new();
    for (milestone, wanted) in &table {
        let found = &found[milestone.as_str()];
        assert!(wanted.keys().eq(found.keys()), "{milestone}: {:?}", found.keys());
        for (id, wanted) in wanted {
            let (verdict, card) = &found[id];
            let contained = id == CONTAINED && verdict == "no_verdict";
            if !holds(id, wanted, verdict) && !contained {
                faults.push(format!("{id}: {verdict}, must be {wanted}: {card}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_overwritten_by_a_starter() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("otters")).unwrap();
    fs::write(home.path().join("otters/thesis.txt"), "a year's work").unwrap();
    let output = starter(home.path(), "otters");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("is not empty, and nothing in it is overwritten"),
        "{told}"
    );
    assert_eq!(files(home.path()).len(), 1);
}

#[test]
fn a_team_whose_name_leads_out_of_its_folder_is_refused() {
    for team in ["", "..", "../otters", "a/b", ".git", "two words", "otters\n", "ö"] {
        let home = tempfile::tempdir().unwrap();
        let output = starter(home.path(), team);
        assert_eq!(output.status.code(), Some(2), "`{team}`: {output:?}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "`{team}`");
    }
}

#[test]
fn a_check_of_the_untouched_starter_is_a_report_by_its_schema_and_can_be_replayed() {
    let home = tempfile::tempdir().unwrap();
    let course = home.path().join("course");
    short_course(&course);
    let short = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
        command.arg("--course").arg(&course);
        command
    };
    assert!(starter(home.path(), "otters").status.success());
    let output = short()
        .args(["check", "m1", "--json", "--seed", "7"])
        .current_dir(home.path().join("otters"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = criteria(&report);
    assert_verdict(&found, "m1.answers.valid", "pass");
    assert_verdict(&found, "m1.stream.personalised", "fail");
    assert!(report["score"].as_f64().unwrap() < report["max"].as_f64().unwrap());
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(root().join("docs/reference/report.schema.json")).unwrap())
            .unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<String> = validator
        .iter_errors(&report)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // The service that the check started has ended: a replay starts it once more.
    let again = succeed(
        short()
            .args(["check", "--replay", "slowest"])
            .current_dir(home.path().join("otters")),
    );
    assert_eq!(again.matches("\n  now ").count(), 20, "{again}");
    // An odd request may be among the slowest: what is no number is refused, everybody else gets a list.
    let asked: Vec<&str> = again.split("GET /recommend/").skip(1).collect();
    assert_eq!(asked.len(), 20, "{again}");
    for request in asked {
        let path = request.lines().next().unwrap_or_default();
        let number = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit());
        let wanted = if number { "200, 20 ids: " } else { "400" };
        let now = request.lines().find(|line| line.starts_with("  now ")).unwrap();
        assert!(now.contains(wanted), "GET /recommend/{request}");
    }
}

#[test]
fn the_reference_solution_earns_every_automatic_point() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("run");
    // Handed in as teams do: as a repository with a commit.
    let dir = home.path().join("m1");
    for (name, content) in files(&root().join("fixtures/reference/m1")) {
        fs::create_dir_all(dir.join(&name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), content).unwrap();
    }
    for words in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["commit", "--quiet", "-m", "Serve what neighbours watched"],
    ] {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=team", "-c", "user.email=team@example.org"]);
        succeed(git.args(words).current_dir(&dir));
    }
    // The built-in course: the small one offers too few requests for the criterion that counts answers.
    let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .args(["grade", "m1", "--seed", "7"])
        .args(trusted_without_sandbox())
        .arg("--out")
        .arg(&out)
        .arg(&dir)
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(
        output.status.code().is_some_and(|code| [0, 3].contains(&code)),
        "{output:?}"
    );
    let report: Value =
        serde_json::from_str(&fs::read_to_string(out.join("m1/report.json")).unwrap()).unwrap();
    let found = criteria(&report);
    let automatic: Vec<&String> = found
        .iter()
        .filter(|(_, criterion)| criterion["verdict"] != "pending_review")
        .map(|(id, _)| id)
        .collect();
    let wanted = &table(SOLUTIONS)["m1"];
    assert!(wanted.keys().eq(automatic), "{found:#?}");
    for (id, wanted) in wanted {
        assert_verdict(&found, id, wanted);
        if found[id]["verdict"] == "pass" {
            assert_eq!(found[id]["points"], found[id]["max"], "{id}");
        }
    }
}
