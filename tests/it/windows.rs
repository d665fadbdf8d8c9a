//! The criteria of windows, of deployed services that earn them and of some that do not: from the store, and from the streams.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::serve::{Deployed, Ground, wait_for};

/// The table: team, criterion, verdict.
const MODEL: &str = include_str!("../../fixtures/live/model.toml");

const TEAMS: [Deployed; 4] = [
    Deployed {
        name: "cranes",
        number: 1,
        service: Some("live/cranes"),
        routes: "model_path = '/model'\n",
    },
    Deployed {
        name: "owls",
        number: 2,
        service: Some("services/popular"),
        routes: "model_path = '/recommend/1'\n",
    },
    Deployed {
        name: "magpies",
        number: 3,
        service: Some("live/magpies"),
        routes: "model_path = '/model'\n",
    },
    Deployed {
        name: "gone",
        number: 4,
        service: None,
        routes: "",
    },
];

/// Puts a rubric of the course into a folder, with what makes it wait for a day or a week made shorter.
fn shorten(course: &Path, rubric: &str, changes: &[(&str, &str)]) {
    let file = Path::new("rubrics").join(rubric);
    let mut text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{rubric} has no `{from}`");
        text = text.replace(from, to);
    }
    fs::create_dir_all(course.join("rubrics")).unwrap();
    fs::write(course.join(file), text).unwrap();
}

#[test]
fn deployed_services_earn_in_their_windows_what_the_table_says() {
    let ground = Ground::of(&TEAMS, 1_000, 100, ("", ""));
    let day = [("before_h = 24", "before_h = 3"), ("after_h = 24", "after_h = 3")];
    let fewer = [
        ("at_least = 2000", "at_least = 500"),
        ("min_n = 2000", "min_n = 500"),
    ];
    shorten(ground.dir.path(), "m1.toml", &[day, fewer].concat());
    let week = [("before_h = 96", "before_h = 3"), ("after_h = 72", "after_h = 2")];
    shorten(ground.dir.path(), "m3.toml", &week);

    // Five hours and more, twelve hundred times as fast: the company closes by itself.
    let (mut server, _) = ground.open_with(&["--speed", "1200", "--stop-after", "16"]);
    let mut code = None;
    wait_for(Duration::from_secs(120), "it closes", || {
        code = server.0.try_wait().unwrap();
        code.is_some()
    });
    assert!(code.unwrap().success());

    let model: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(MODEL).unwrap();
    let names: Vec<&str> = model.keys().map(String::as_str).collect();
    let mut of_teams: Vec<&str> = TEAMS.iter().map(|team| team.name).collect();
    of_teams.sort_unstable();
    assert_eq!(names, of_teams);
    let mut faults = Vec::new();
    for milestone in ["m1", "m3"] {
        let submitted = "2026-09-01T23:00";
        let live = ground.grade_of(milestone, &names, submitted, &["--live".to_owned()]);
        let streams = ground.grade_of(milestone, &names, submitted, &ground.streams());
        assert_eq!(live, streams, "{milestone}");
        for (name, card) in names.iter().zip(live["cards"].as_array().unwrap()) {
            let criteria = card["criteria"].as_array().unwrap();
            let of_windows = model[*name]
                .iter()
                .filter(|(id, _)| id.split('.').next() == Some(milestone));
            for (id, wanted) in of_windows {
                let found = criteria.iter().find(|row| row["id"] == **id).unwrap();
                if found["verdict"] != **wanted {
                    faults.push(format!("{name} {id} must be {wanted}: {found}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
