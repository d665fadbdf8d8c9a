//! The assignments that are built in: their points, their checklists, and what a checklist must not say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use reelworld::trouble::{FINDINGS, parse_claims};
use serde_json::Value as Json;
use toml::Value;

use crate::isolation::trusted_without_sandbox;
use crate::model::{SOLUTIONS, table};

const MILESTONES: [&str; 4] = ["m1", "m2", "m3", "m4"];
/// Assignments that ask no service.
const WITHOUT_A_SERVICE: [&str; 5] = ["final", "product", "requirements", "architecture", "mlops"];
const POINTS: [(&str, i64); 9] = [
    ("m1", 100),
    ("m2", 100),
    ("m3", 100),
    ("m4", 70),
    ("final", 30),
    ("product", 100),
    ("requirements", 100),
    ("architecture", 100),
    ("mlops", 100),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rubric(milestone: &str) -> Value {
    let file = root().join(format!("rubrics/{milestone}.toml"));
    fs::read_to_string(file)
        .unwrap()
        .parse::<toml::Table>()
        .unwrap()
        .into()
}

fn printed(words: &[&str]) -> String {
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .args(words)
        .current_dir(empty.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn assignments_have_the_points_of_the_course() {
    for (milestone, points) in POINTS {
        assert_eq!(
            rubric(milestone)["points"].as_integer(),
            Some(points),
            "{milestone}"
        );
    }
    let told = printed(&["rubric", "lint"]);
    for (milestone, _) in POINTS {
        assert!(told.contains(&format!("rubrics/{milestone}.toml: ")), "{told}");
    }
}

#[test]
fn a_checklist_has_every_criterion_and_nothing_that_is_for_graders() {
    for (milestone, _) in POINTS {
        let told = printed(&["rubric", "handout", milestone]);
        let rubric = rubric(milestone);
        for criterion in rubric["criterion"].as_array().unwrap() {
            let text = |key: &str| criterion.get(key).and_then(Value::as_str);
            assert!(told.contains(text("title").unwrap()), "{milestone}: {criterion}");
            if let Some(note) = text("grader_note") {
                assert!(!told.contains(note), "{milestone}: {note}");
            }
            for mark in criterion
                .get("mark")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let mark = mark["text"].as_str().unwrap();
                assert!(!told.contains(mark), "{milestone}: {mark}");
            }
        }
    }
}

#[test]
fn what_a_person_judges_has_marks_for_both_ways_and_something_to_look_at() {
    for (milestone, _) in POINTS {
        let rubric = rubric(milestone);
        for criterion in rubric["criterion"].as_array().unwrap() {
            if criterion["method"].as_str() != Some("judged") {
                assert!(criterion.get("measure").is_some(), "{criterion}");
                continue;
            }
            let marks = criterion["mark"].as_array().unwrap();
            let fails = |mark: &&Value| mark.get("fails").and_then(Value::as_bool) == Some(true);
            let failing = marks.iter().filter(fails).count();
            assert!(failing >= 1 && failing < marks.len(), "{criterion}");
            assert!(
                !criterion["look_at"].as_array().unwrap().is_empty(),
                "{criterion}"
            );
        }
    }
}

#[test]
fn what_a_person_judges_has_a_note_for_graders_that_says_more_than_the_criterion() {
    for (assignment, _) in POINTS {
        let rubric = rubric(assignment);
        let mut notes = BTreeSet::new();
        for criterion in rubric["criterion"].as_array().unwrap() {
            let note = criterion.get("grader_note").and_then(Value::as_str);
            if criterion["method"].as_str() != Some("judged") {
                continue;
            }
            let note = note.unwrap_or_else(|| panic!("no note: {criterion}"));
            assert!(note.split_whitespace().count() >= 5, "{criterion}");
            for key in ["text", "title"] {
                assert_ne!(criterion[key].as_str(), Some(note), "{criterion}");
            }
            assert!(notes.insert(note.to_owned()), "said twice: {criterion}");
        }
        assert!(!notes.is_empty(), "{assignment}");
    }
}

#[test]
fn individual_assignments_are_each_persons_own_and_milestones_have_a_part_for_each_member() {
    for (assignment, _) in POINTS {
        let rubric = rubric(assignment);
        let criteria = rubric["criterion"].as_array().unwrap();
        let own = criteria
            .iter()
            .filter(|criterion| criterion.get("scope").and_then(Value::as_str) == Some("individual"))
            .count();
        if MILESTONES.contains(&assignment) || assignment == "final" {
            assert!(own > 0 && own < criteria.len(), "{assignment}");
        } else {
            assert_eq!(own, criteria.len(), "{assignment}");
        }
    }
}

/// The words that a reader of findings takes for a key, from its hint about one that is none.
fn words_of_findings(table: &str) -> BTreeSet<String> {
    let text = format!("schema = \"reelworld/findings/v1\"\n[[finding]]\n{table}\n");
    let faults = parse_claims(FINDINGS, &text).unwrap_err();
    let mut refused = faults.0.iter().filter(|fault| fault.message.contains("`xyzzy`"));
    let hint = refused.next().unwrap().hint.clone().unwrap();
    let words = hint.strip_prefix("one of ").unwrap().split(", ");
    words.map(|word| word.trim_matches('`').to_owned()).collect()
}

#[test]
fn the_form_of_findings_in_the_starter_names_what_can_be_claimed_and_can_be_read() {
    let form = fs::read_to_string(root().join("templates/m4/findings.toml")).unwrap();
    // The words stand in a comment behind the key, and on the lines below that hold nothing else.
    let words_behind = |key: &str| -> BTreeSet<String> {
        let mut lines = form.lines().skip_while(|line| !line.contains(key));
        let first = lines.next().unwrap().rsplit('#').next().unwrap();
        let rest = lines
            .take_while(|line| !line.contains('='))
            .map(|line| line.trim_start_matches(['#', ' ']));
        let words = [first].into_iter().chain(rest).flat_map(|line| line.split(','));
        words
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    };
    assert_eq!(
        words_behind("kind = \"rating_attack\""),
        words_of_findings("kind = 'xyzzy'")
    );
    let effects = words_of_findings("kind = 'feedback_loop'\neffect = 'xyzzy'");
    assert_eq!(words_behind("effect = "), effects);

    let shown = form.replace("\n#  ", "\n").replace("\n#\n", "\n");
    let schema = "schema = \"reelworld/findings/v1\"\n";
    let shown = format!("{schema}{}", shown.replace(schema, ""));
    assert!(parse_claims(FINDINGS, &form).unwrap().is_empty());
    assert_eq!(parse_claims(FINDINGS, &shown).unwrap().len(), 2, "{shown}");
}

fn verdicts(report: &Json) -> BTreeMap<String, String> {
    let criteria = report["criteria"].as_array().unwrap().iter();
    criteria
        .map(|criterion| {
            let text = |key: &str| criterion[key].as_str().unwrap().to_owned();
            (text("id"), text("verdict"))
        })
        .collect()
}

#[test]
fn an_assignment_that_asks_no_service_is_checked_and_graded_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let team = dir.path().join("otters");
    fs::create_dir(&team).unwrap();
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=team", "-c", "user.email=team@example.org"]);
        let done = command.args(words).current_dir(&team).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    fs::write(team.join("README.md"), "# Otters\n").unwrap();
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "-m", "Write down who we are"]);
    for profile in ["classic", "current"] {
        let course = dir.path().join(profile);
        fs::create_dir(&course).unwrap();
        let text = format!("schema = \"reelworld/course/v1\"\nname = \"x\"\nprofile = \"{profile}\"\n");
        fs::write(course.join("course.toml"), text).unwrap();
        for assignment in WITHOUT_A_SERVICE {
            let reelworld = |words: &[&str]| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
                command.arg("--course").arg(&course).args(words);
                command.current_dir(dir.path()).output().unwrap()
            };
            let output = reelworld(&["check", assignment, "--dir", "otters", "--json", "--out", "own"]);
            assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
            let own: Json = serde_json::from_slice(&output.stdout).unwrap();
            let out = format!("run-{profile}-{assignment}");
            // Of the others nothing runs, so nothing has to be kept from this machine.
            let runs = assignment == "mlops";
            let words = ["grade", assignment, "otters", "--out", &out, "--trust"];
            let output = reelworld(&words[..if runs { 6 } else { 5 }]);
            assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("sandbox:"), "{said}");
            let report = fs::read_to_string(dir.path().join(&out).join("otters/report.json")).unwrap();
            let grade: Json = serde_json::from_str(&report).unwrap();
            for report in [&own, &grade] {
                let verdicts = verdicts(report);
                assert_eq!(verdicts[&format!("{assignment}.history.credentials")], "pass");
                assert!(
                    !verdicts.values().any(|verdict| verdict == "no_verdict"),
                    "{verdicts:?}"
                );
                let measures = report["measures"].to_string();
                assert!(!measures.contains("service.starts"), "{measures}");
            }
            earns(&grade, assignment, "bare");
            assert!(
                !dir.path().join(&out).join("data").exists(),
                "a world was drawn for nothing"
            );
            let refused = reelworld(&["check", assignment, "--service", "localhost:1", "--dir", "otters"]);
            assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        }
    }
}

/// A course whose one assignment asks for a tool that nobody else has.
const TOOLS: &str = r#"schema = "reelworld/rubric/v1"
id = "tools"
version = "1"
title = "A tool"
points = 6

[[criterion]]
id = "tools.claimed"
title = "the tool is named"
text = "It is."
points = 1
method = "fact"
measure = "tool.claimed"

[[criterion]]
id = "tools.unique"
title = "a tool that nobody else has"
text = "Nobody has."
points = 5
method = "census"
measure = "tool.others"
at_most = 0
needs = ["tools.claimed"]
"#;

#[test]
fn a_tool_that_two_of_a_class_claim_is_told_to_a_person_and_that_of_one_alone_is_unique() {
    let dir = tempfile::tempdir().unwrap();
    let course = dir.path().join("course");
    fs::create_dir_all(course.join("assignments/tools")).unwrap();
    fs::create_dir(course.join("rubrics")).unwrap();
    fs::write(course.join("rubrics/tools.toml"), TOOLS).unwrap();
    let text = "schema = \"reelworld/course/v1\"\nname = \"x\"\nprofile = \"classic\"\n";
    fs::write(course.join("course.toml"), text).unwrap();
    let text = "schema = \"reelworld/assignment/v1\"\nid = \"tools\"\nrubric = \"rubrics/tools.toml\"\n";
    fs::write(course.join("assignments/tools/assignment.toml"), text).unwrap();
    let claim = |name: &str, address: &str| {
        format!("schema = \"reelworld/tool/v1\"\nname = \"{name}\"\naddress = \"https://{address}\"\n")
    };
    let claims = [
        (
            "ada",
            Some(claim(
                "Great Expectations",
                "github.com/great-expectations/great_expectations",
            )),
        ),
        ("ben", Some(claim("great_expectations", "example.org/a/mirror"))),
        ("cai", Some(claim("Feast", "github.com/feast-dev/feast"))),
        ("dee", None),
        ("eve", Some(claim("Feast", "nowhere"))),
    ];
    for (name, tool) in &claims {
        let repository = dir.path().join(name);
        fs::create_dir(&repository).unwrap();
        fs::write(repository.join("README.md"), "# A tool\n").unwrap();
        if let Some(text) = tool {
            fs::write(repository.join("tool.toml"), text).unwrap();
        }
        for words in [
            &["init", "--quiet"][..],
            &["add", "--all"],
            &["commit", "--quiet", "-m", "Choose a tool for operations"],
        ] {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
            let done = git.args(words).current_dir(&repository).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }
    let reelworld = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
        command.arg("--course").arg(&course).args(words);
        let output = command.current_dir(dir.path()).output().unwrap();
        // Three says that something has no verdict.
        assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let of = |out: &str, name: &str| -> Json {
        let report = dir.path().join(out).join(name).join("report.json");
        serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap()
    };
    let wanted = [
        ("ada", "pass", "no_verdict"),
        ("ben", "pass", "no_verdict"),
        ("cai", "pass", "pass"),
        ("dee", "fail", "skipped"),
        ("eve", "fail", "skipped"),
    ];
    let holds = |out: &str| {
        for (name, claimed, unique) in wanted {
            let found = verdicts(&of(out, name));
            assert_eq!(found["tools.claimed"], claimed, "{name}: {found:?}");
            assert_eq!(found["tools.unique"], unique, "{name}: {found:?}");
        }
    };
    // Whoever comes first, and however many at once.
    reelworld(&[
        "grade", "tools", "ada", "ben", "cai", "dee", "eve", "--out", "one",
    ]);
    holds("one");
    let class = reelworld(&[
        "grade", "tools", "eve", "ben", "dee", "ada", "cai", "--out", "two", "--jobs", "2",
    ]);
    holds("two");
    assert!(
        class.contains("have items without a verdict: ada (1), ben (1)")
            && class.contains("the same tool: ada: Great"),
        "{class}"
    );
    // Who the other is, is for staff: a student reads their own report.
    let ada = of("one", "ada").to_string();
    assert!(
        ada.contains("claimed by 1 more of the class") && !ada.contains("ben"),
        "{ada}"
    );
    let class: Json =
        serde_json::from_str(&fs::read_to_string(dir.path().join("one/class.json")).unwrap()).unwrap();
    let pair = [
        "ada: Great Expectations, github.com/great-expectations/great_expectations",
        "ben: great_expectations, example.org/a/mirror",
    ];
    assert_eq!(class["same_tool"], serde_json::json!([pair]));
    let page = fs::read_to_string(dir.path().join("one/report.html")).unwrap();
    for claim in pair {
        assert!(page.contains(&format!("<td>{claim}</td>")), "{claim}: {page}");
    }
    assert!(of("one", "eve").to_string().contains("tool.toml:3:11"));

    // What the class decides is not measured again, is the same when it is kept, and when a report is made anew.
    let lines = || {
        fs::read_to_string(dir.path().join("one/results.jsonl"))
            .unwrap()
            .lines()
            .count()
    };
    let before = lines();
    reelworld(&[
        "grade",
        "tools",
        "ada",
        "ben",
        "cai",
        "dee",
        "eve",
        "--out",
        "one",
        "--retry",
        "no_verdict",
    ]);
    assert_eq!(lines(), before);
    holds("one");
    let again: Json = serde_json::from_str(&reelworld(&["report", "one/ada", "--format", "json"])).unwrap();
    assert_eq!(verdicts(&again)["tools.unique"], "no_verdict");
    let again: Json = serde_json::from_str(&reelworld(&["report", "one/cai", "--format", "json"])).unwrap();
    assert_eq!(verdicts(&again)["tools.unique"], "pass");

    // Who is graded before the others are is not unique yet.
    reelworld(&["grade", "tools", "cai", "dee", "--only", "cai", "--out", "part"]);
    assert_eq!(verdicts(&of("part", "cai"))["tools.unique"], "no_verdict");
    reelworld(&["grade", "tools", "cai", "dee", "--resume", "--out", "part"]);
    assert_eq!(verdicts(&of("part", "cai"))["tools.unique"], "pass");

    // Who checks their own is not told that nobody else has it.
    let own = reelworld(&["check", "tools", "--dir", "cai", "--json", "--out", "own"]);
    let own: Json = serde_json::from_str(&own).unwrap();
    assert_ne!(verdicts(&own)["tools.unique"], "pass");
}

/// Lays a solution into a folder, with a report that says the same so often that it has more words than these.
fn hand_in(assignment: &str, words: usize, to: &Path) {
    let from = root().join("fixtures/reference").join(assignment);
    for entry in walkdir::WalkDir::new(&from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(&from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
    if words > 0 {
        let report = to.join(format!("reports/{assignment}.md"));
        let text = fs::read_to_string(&report).unwrap();
        let times = words / text.split_whitespace().count() + 2;
        fs::write(report, text.repeat(times)).unwrap();
    }
    for words in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["commit", "--quiet", "-m", "Hand in what was asked for"],
    ] {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=ada", "-c", "user.email=ada@example.org"]);
        let done = git.args(words).current_dir(to).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

/// Asserts that a report has, of all that is measured, what a row of the table says of its assignment, and waits for a person with the rest.
fn earns(report: &Json, assignment: &str, row: &str) {
    let begin = format!("{assignment}.");
    let mut wanted = table(SOLUTIONS)[row].clone();
    wanted.retain(|id, _| id.starts_with(&begin));
    for criterion in report["criteria"].as_array().unwrap() {
        let verdict = wanted.remove(criterion["id"].as_str().unwrap());
        let verdict = verdict.unwrap_or_else(|| "pending_review".to_owned());
        assert_eq!(criterion["verdict"], verdict, "{row}: {criterion}");
        if verdict == "pass" {
            assert_eq!(criterion["points"], criterion["max"], "{criterion}");
        }
    }
    assert!(wanted.is_empty(), "{row}: {wanted:?}");
    assert_eq!(
        report["criteria"].as_array().unwrap().len(),
        rubric(assignment)["criterion"].as_array().unwrap().len()
    );
}

/// Grades a folder alone by an assignment of its name.
fn graded_alone(dir: &Path, assignment: &str, code: i32) -> Json {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command.args(["grade", assignment, assignment, "--out", "run"]);
    // Of the others nothing runs.
    if assignment == "mlops" {
        command.args(trusted_without_sandbox());
    }
    let output = command.current_dir(dir).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let report = dir.join("run").join(assignment).join("report.json");
    serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap()
}

#[test]
fn a_solution_of_each_assignment_without_a_service_earns_every_automatic_point() {
    for assignment in WITHOUT_A_SERVICE {
        let dir = tempfile::tempdir().unwrap();
        hand_in(assignment, 0, &dir.path().join(assignment));
        let report = graded_alone(dir.path(), assignment, 0);
        earns(&report, assignment, assignment);
        let verdicts = verdicts(&report);
        let passed = verdicts.values().filter(|verdict| *verdict == "pass").count();
        let open = verdicts.values().filter(|verdict| *verdict == "pending_review");
        assert!(passed >= 2, "{assignment}: {verdicts:?}");
        assert_eq!(
            passed + open.count(),
            verdicts.len(),
            "{assignment}: {verdicts:?}"
        );
    }
}

#[test]
fn a_solution_that_says_it_all_too_often_loses_what_the_table_says() {
    let rows = table(SOLUTIONS);
    for assignment in WITHOUT_A_SERVICE {
        // The final report may be as long as it likes.
        if !rows["wordy"].contains_key(&format!("{assignment}.report.length")) {
            assert_eq!(assignment, "final");
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        hand_in(assignment, 2_500, &dir.path().join(assignment));
        earns(&graded_alone(dir.path(), assignment, 1), assignment, "wordy");
    }
}
