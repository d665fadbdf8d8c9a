//! The contract `current` (ten stars, 600 ms, proper types, descriptions, milliseconds) from the course's file to the verdicts, through the real program.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::interrupt::short_course;
use crate::isolation::trusted_without_sandbox;
use crate::model::{holds, table};
use crate::solutions::solution;
use crate::starter::{criteria, files, root, succeed};

/// What is graded in the contract `current`, and what it earns: whose it is, criterion, verdict.
const TABLE: &str = "current.toml";
/// What goes wrong around the solution: the three incidents of milestone 2 in which the contract has a part.
const INCIDENTS: &str = "
schema = 'reelworld/incidents/v1'

[[incident]]
name = 'too-many-stars'
kind = 'malformed_stream'
fault = 'out_of_range'
share = 0.5
for_s = 1.5
watch_s = 1.0

[[incident]]
name = 'api-envelope'
kind = 'api_schema_change'
form = 'nested'
for_s = 1.5
watch_s = 1.0

[[incident]]
name = 'rush'
kind = 'traffic_spike'
factor = 3
for_s = 1.5
watch_s = 1.0
";

/// The short course for tests in the contract `current`, whose assignments name no limit of their own.
fn current_course(to: &Path) {
    short_course(to);
    for name in files(to).keys() {
        let mut text = fs::read_to_string(to.join(name)).unwrap();
        if name == Path::new("course.toml") {
            text = text.replace("[world]", "profile = 'current'\n\n[world]");
            assert!(text.contains("profile"), "{text}");
        }
        let own_limit = |line: &&str| line.starts_with("deadline_ms");
        let kept: Vec<&str> = text.lines().filter(|line| !own_limit(line)).collect();
        fs::write(to.join(name), kept.join("\n")).unwrap();
    }
    fs::write(to.join("assignments/m2/incidents.toml"), INCIDENTS).unwrap();
}

fn program(course: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command.arg("--course").arg(course);
    command
}

/// Grades a submission and returns its report.
fn graded(course: &Path, milestone: &str, dir: &Path) -> Value {
    let out = tempfile::tempdir().unwrap();
    let output = program(course)
        .args(["grade", milestone, "--seed", "7"])
        .args(trusted_without_sandbox())
        .arg("--out")
        .arg(out.path().join("run"))
        .arg(dir)
        .output()
        .unwrap();
    assert!(
        output.status.code().is_some_and(|code| [0, 1, 3].contains(&code)),
        "{output:?}"
    );
    let name = dir.file_name().unwrap();
    let report = out.path().join("run").join(name).join("report.json");
    serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap()
}

#[test]
fn what_is_graded_in_the_current_contract_earns_what_the_table_says() {
    let table = table(TABLE);
    let home = tempfile::tempdir().unwrap();
    let course = home.path().join("course");
    current_course(&course);
    let starter = || -> PathBuf {
        succeed(
            program(&course)
                .args(["starter", "new", "m1", "--team", "starter"])
                .current_dir(home.path()),
        );
        home.path().join("starter")
    };
    let found: BTreeMap<&str, Value> = std::thread::scope(|scope| {
        // They mostly wait for each other's viewers.
        let handles = [
            ("starter", scope.spawn(|| graded(&course, "m1", &starter()))),
            (
                "service",
                scope.spawn(|| graded(&course, "m1", &root().join("fixtures/services/good"))),
            ),
            (
                "solution",
                scope.spawn(|| graded(&course, "m2", &solution(home.path(), &course, 2))),
            ),
        ];
        handles
            .into_iter()
            .map(|(name, handle)| (name, handle.join().unwrap()))
            .collect()
    });
    assert!(table.keys().eq(found.keys()), "{:?}", found.keys());
    let mut faults = Vec::new();
    for (name, wanted) in &table {
        let report = &found[name.as_str()];
        assert_eq!(report["world"]["profile"], "current", "{name}");
        let measured: BTreeMap<String, Value> = criteria(report)
            .into_iter()
            .filter(|(_, criterion)| criterion["method"] != "judged")
            .collect();
        assert!(wanted.keys().eq(measured.keys()), "{name}: {:?}", measured.keys());
        for (id, wanted) in wanted {
            let verdict = measured[id]["verdict"].as_str().unwrap();
            if !holds(id, wanted, verdict) {
                faults.push(format!(
                    "{name}, {id}: {verdict}, must be {wanted}: {}",
                    measured[id]
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_starter_of_the_current_contract_is_told_so_and_knows_ten_stars_and_600_ms() {
    let home = tempfile::tempdir().unwrap();
    let course = home.path().join("course");
    current_course(&course);
    for framework in ["plain", "node"] {
        let make = [
            "starter",
            "new",
            "m4",
            "--team",
            framework,
            "--framework",
            framework,
        ];
        succeed(program(&course).args(make).current_dir(home.path()));
        let dir = home.path().join(framework);
        let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        for (name, wanted) in [
            ("README.md", "self_description_likes"),
            ("data/users.jsonl", "\"self_description_likes\":"),
            ("data/movies.jsonl", "\"cost\":"),
            ("data/movies.jsonl", "\"adult\":false"),
            ("deploy/alerts.yml", "its limit is 600 ms"),
            ("deploy/nginx.conf", "waits for 600 ms"),
            ("deploy/nginx.conf", "proxy_read_timeout 300ms;"),
            ("deploy/grafana/dashboards/service.json", "after 600 ms"),
        ] {
            assert!(
                text(name).contains(wanted),
                "{framework}: {name} does not say `{wanted}`"
            );
        }
        let mut log = String::new();
        let packed = fs::File::open(dir.join("data/log.csv.gz")).unwrap();
        MultiGzDecoder::new(packed).read_to_string(&mut log).unwrap();
        // One user in a thousand writes on the full second.
        let fine = log.lines().filter(|line| line.get(19..20) == Some(".")).count();
        assert!(10 * fine > 9 * log.lines().count(), "times are in milliseconds");
        let (runs, tests): (_, &[&str]) = match framework {
            "node" => ("node", &["--test"]),
            _ => ("python3", &["-m", "unittest", "discover", "-s", "tests"]),
        };
        let in_it = |words: &[&str]| succeed(Command::new(runs).args(words).current_dir(&dir));
        let script = |name: &str| format!("{name}.{}", if runs == "node" { "js" } else { "py" });
        in_it(&[&script("train")]);
        in_it(tests);
        // Half of the ratings have more than five stars; the log of this course has nothing wrong with it.
        let told = in_it(&[&script("evaluate")]);
        assert!(told.contains("nothing wrong"), "{framework}: {told}");
    }
}

#[test]
fn a_students_check_waits_as_long_as_the_contract_of_the_data_says() {
    let home = tempfile::tempdir().unwrap();
    let course = home.path().join("course");
    current_course(&course);
    succeed(
        program(&course)
            .args(["starter", "new", "m1", "--team", "otters"])
            .current_dir(home.path()),
    );
    // On a student's machine there is no folder of the company's course, only the data. Nobody listens: nothing is waited for.
    let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .args(["check", "m1", "--service", "http://127.0.0.1:1", "--out", "run"])
        .current_dir(home.path().join("otters"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let manifest = home.path().join("otters/run/evidence/manifest.json");
    let manifest: Value = serde_json::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
    assert_eq!(
        (&manifest["deadline_ms"], &manifest["world"]["profile"]),
        (&Value::from(600), &Value::from("current"))
    );
}
