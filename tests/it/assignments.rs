//! The assignments that are built in: their points, their checklists, and what a checklist must not say.

use std::path::Path;
use std::process::Command;

use toml::Value;

const MILESTONES: [(&str, i64); 4] = [("m1", 100), ("m2", 100), ("m3", 100), ("m4", 70)];

fn rubric(milestone: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("rubrics/{milestone}.toml"));
    std::fs::read_to_string(file)
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
fn milestones_have_the_points_of_the_course() {
    for (milestone, points) in MILESTONES {
        assert_eq!(
            rubric(milestone)["points"].as_integer(),
            Some(points),
            "{milestone}"
        );
    }
    let told = printed(&["rubric", "lint"]);
    for (milestone, _) in MILESTONES {
        assert!(told.contains(&format!("rubrics/{milestone}.toml: ")), "{told}");
    }
}

#[test]
fn a_checklist_has_every_criterion_and_nothing_that_is_for_graders() {
    for (milestone, _) in MILESTONES {
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
    for (milestone, _) in MILESTONES {
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
