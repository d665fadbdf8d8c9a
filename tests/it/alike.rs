//! A class whose services are one, through the real program.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use reelworld::event::Record;
use reelworld::evidence::{Item, Manifest, SCHEMA, Writer};
use reelworld::exchange::{Exchange, Outcome, Phase, Planned, RequestKind};
use reelworld::scorecard::{RubricRef, RunKind, WorldRef};
use reelworld::seed::Key;
use reelworld::store::{Movies, Save, Store};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn small(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command
        .arg("--course")
        .arg(root().join("fixtures/course"))
        .args(words);
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes the evidence of a run in which each user got a list.
fn class_member(run: &Path, team: &str, list: impl Fn(u32) -> Vec<String>) {
    let none = || RubricRef {
        id: "m1".to_owned(),
        version: "1".to_owned(),
        sha256: String::new(),
    };
    let manifest = Manifest {
        schema: SCHEMA.to_owned(),
        tool: "0".to_owned(),
        kind: RunKind::Grade,
        milestone: "m1".to_owned(),
        submission: team.to_owned(),
        source: team.to_owned(),
        commit: None,
        identity: None,
        left_out: Vec::new(),
        rubric: none(),
        world: WorldRef {
            users: 100,
            movies: 500,
            profile: "classic".to_owned(),
            fingerprint: String::new(),
            practice: true,
        },
        seed: 7,
        assignment_sha256: String::new(),
        deadline_ms: 800,
        machine: String::new(),
        started_at: "2026-03-01T00:00:00Z".to_owned(),
    };
    let mut writer = Writer::begin(&run.join(team).join("evidence"), &manifest).unwrap();
    for user in 0..100 {
        let exchange = Exchange {
            planned: Planned {
                seq: user,
                intended_ns: u64::from(user) * 1_000_000,
                phase: Phase::Steady,
                kind: RequestKind::Known,
                path: format!("/recommend/{user}"),
                user: Some(user),
            },
            dispatched_ns: 0,
            sent_ns: Some(0),
            finished_ns: 0,
            outcome: Outcome::Answered { ids: list(user) },
        };
        writer.append(&Item::Exchange(exchange)).unwrap();
    }
    writer.finish(1.0).unwrap();
}

#[test]
fn services_that_are_one_are_named_for_a_person_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let own = |team: u64| {
        move |user: u32| {
            let mut draws = Key::from_seed(team).branch("lists").at(u64::from(user));
            (0..20).map(|_| format!("movie+{}", draws.below(500))).collect()
        }
    };
    for (team, seed) in [("falcons", 1), ("otters", 2), ("borrowers", 2)] {
        class_member(dir.path(), team, own(seed));
    }
    let output = small(&["alike"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("1 of 3 pairs of 3 submissions"), "{text}");
    assert!(
        text.contains("borrowers and otters") && !text.contains("falcons"),
        "{text}"
    );
    assert!(
        text.contains("100 % of 100 users get the very same list"),
        "{text}"
    );
    let output = small(&["alike", "--json"]).arg(dir.path()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let flagged = report["pairs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|pair| pair["flagged"] == true);
    assert_eq!(flagged.count(), 1);

    // Two teams with the honest service, of which one has renamed everything: beyond an empty base all of it is the same.
    let (a, b) = (dir.path().join("code/a"), dir.path().join("code/b"));
    for to in [&a, &b, &dir.path().join("code/none")] {
        fs::create_dir_all(to).unwrap();
    }
    let text = fs::read_to_string(root().join("fixtures/told/honest/base.py")).unwrap();
    fs::write(a.join("base.py"), &text).unwrap();
    fs::write(
        b.join("shared.py"),
        text.replace("seen", "watched").replace("lists", "tables"),
    )
    .unwrap();
    let mut command = small(&["alike", "--json", "--base"]);
    let output = command
        .arg(dir.path().join("code/none"))
        .arg("--code")
        .args([&a, &b])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["pairs"][0]["flagged"], true, "{report}");

    let output = small(&["alike"]).arg(dir.path().join("otters")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

struct OneMovie;

impl Movies for OneMovie {
    fn place(&self, id: &str) -> Option<u32> {
        (id == "a+2001").then_some(0)
    }

    fn id(&self, place: u32) -> Option<&str> {
        (place == 0).then_some("a+2001")
    }
}

#[test]
fn services_that_go_down_together_are_named_for_a_person_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("company.db");
    let mut store = Store::open(place.to_str().unwrap()).unwrap();
    let names = ["falcons", "otters", "borrowers", "herons"];
    let teams: Vec<(u32, String)> = (1..).zip(names.map(str::to_owned)).collect();
    store.set_teams(&teams).unwrap();
    for (team, name) in &teams {
        let mut draws = Key::from_seed(3)
            .branch(if name == "borrowers" { "otters" } else { name })
            .at(0);
        let spells: Vec<u64> = (0..8).map(|_| draws.below(2_000)).collect();
        let requests = (0..2_000_u64)
            .map(|minute| {
                let down = spells.iter().any(|from| (*from..from + 6).contains(&minute));
                let (day, hour) = (1 + minute / 1_440, minute / 60 % 24);
                let moment = format!("2026-03-0{day}T{hour:02}:{:02}:07,5", minute % 60);
                let line = if down {
                    format!("{moment},recommendation request a:8082, status 0, result: refused, 3 ms")
                } else {
                    format!("{moment},recommendation request a:8082, status 200, result: a+2001, 20 ms")
                };
                (minute, Record::parse(&line).unwrap())
            })
            .collect();
        let save = Save {
            team: *team,
            requests,
            counted: 2_000,
            ..Save::default()
        };
        store.save(&save, &OneMovie, 800).unwrap();
    }
    drop(store);
    let output = small(&["alike", "--store"]).arg(&place).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("1 pairs of 4 teams"), "{text}");
    assert!(text.contains("borrowers and otters"), "{text}");
    let output = small(&["alike", "--store", "nothing.db"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn two_starters_that_nobody_has_touched_are_not_flagged_although_no_base_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let compared = |teams: [&str; 2], more: &[&Path]| -> Value {
        let mut command = small(&["alike", "--json"]);
        command.args(more).arg("--code").args(teams);
        let output = command.current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for framework in ["plain", "flask", "fastapi", "node"] {
        let teams = ["falcons", "otters"].map(|team| format!("{team}-{framework}"));
        for team in &teams {
            let mut command = small(&["starter", "new", "m4", "--framework", framework, "--team", team]);
            let output = command.current_dir(dir.path()).output().unwrap();
            assert!(output.status.success(), "{framework}: {}", told(&output));
        }
        let teams = [teams[0].as_str(), teams[1].as_str()];
        let report = compared(teams, &[]);
        assert_eq!(report["submissions"], 2);
        assert_eq!(report["pairs"], serde_json::json!([]), "{framework}: {report}");
        // Without what the company gave them they are one.
        let report = compared(teams, &[Path::new("--base"), &empty]);
        assert_eq!(report["pairs"][0]["flagged"], true, "{framework}: {report}");
    }
}
