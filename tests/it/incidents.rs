//! Incidents through the real program: drills against services that bear them, and that do not.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use reelworld::event::SimTime;
use reelworld::incident::{Incident, Incidents, Kind};
use reelworld::sim::term_start;
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

#[test]
fn a_drill_tells_how_a_service_responds_and_leaves_the_rest_out() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "service.py",
        "base.py",
        "stream.py",
        "reelworld.toml",
        "update.py",
    ] {
        fs::copy(
            root().join("fixtures/told/careless").join(name),
            dir.path().join(name),
        )
        .unwrap();
    }
    let mut command = small(&["drill", "told", "--only", "rush", "--json", "--dir"]);
    let output = command.arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let incidents = found["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1);
    let (rush, count) = (&incidents[0], |key: &str, part: &str| {
        incidents[0][key][part].as_u64().unwrap()
    });
    assert_eq!(
        (rush["name"].as_str(), &rush["could_not_be_run"]),
        (Some("rush"), &Value::Null)
    );
    // Four times as many ask, and it answers none of them for some seconds.
    assert!(count("during", "asked") > 60, "{rush}");
    assert!(count("after", "well") < count("after", "asked") / 2, "{rush}");
    assert!(rush["lost"].as_u64().unwrap() > 30, "{rush}");
    assert_eq!(rush["recovered_s"], Value::Null, "{rush}");
}

#[test]
fn a_service_that_believes_every_line_of_the_stream_ends_with_the_first_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["service.py", "base.py", "stream.py", "reelworld.toml"] {
        let from = root().join("fixtures/told/careless").join(name);
        fs::copy(from, dir.path().join(name)).unwrap();
    }
    let mut command = small(&["drill", "told", "--only", "stream-form", "--json", "--dir"]);
    let output = command.arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let incident = &found["incidents"][0];
    assert_eq!(incident["could_not_be_run"], Value::Null, "{incident}");
    let count = |key: &str, part: &str| incident[key][part].as_u64().unwrap();
    assert!(count("during", "asked") > 20, "{incident}");
    assert!(
        count("during", "well") < count("during", "asked") / 2,
        "{incident}"
    );
    assert_eq!(count("after", "well"), 0, "{incident}");
}

#[test]
fn a_drill_that_cannot_be_says_what_can() {
    let output = small(&["drill", "told", "--only", "rash"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = told(&output);
    assert!(
        message.contains("no incident of a drill is called `rash`"),
        "{message}"
    );
    assert!(message.contains("withdrawn, nonsense, rush"), "{message}");
    let output = small(&["drill", "m1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        told(&output).contains("`m1` has no incident"),
        "{}",
        told(&output)
    );
}

#[test]
fn the_incidents_on_a_date_that_a_course_file_shows_are_read_once_they_are_no_comment() {
    let shipped = fs::read_to_string(root().join("assignments/m2/incidents.toml")).unwrap();
    let (before, shown) = shipped.split_once("\n# # ").unwrap();
    let shown = shown.replace("\n# ", "\n").replace("\n#\n", "\n\n");
    let movies = 2_000;
    let moments = |text: &str| {
        let day = || SimTime::parse(&format!("{text}T00:00"));
        SimTime::parse(text).or_else(day).ok_or_else(|| text.to_owned())
    };
    let now = Incidents::parse("incidents.toml", &shipped, movies, &moments).unwrap();
    assert!(now.0.iter().all(|incident| incident.calendar.is_none()));
    let all = Incidents::parse(
        "incidents.toml",
        &format!("{before}\n# {shown}"),
        movies,
        &moments,
    )
    .unwrap();
    let dated = &all.0[now.0.len()..];
    assert!(dated.len() >= 3, "{dated:?}");
    // A course that sets no calendar plays the built-in term, of sixteen weeks.
    let begins = term_start();
    let ends = begins.plus_seconds(16 * 7 * 86_400);
    for incident in dated {
        let dates = incident.calendar.unwrap();
        assert!(begins <= dates.from && dates.until <= ends, "{incident:?}");
        assert!(incident.drill.is_none(), "{incident:?}");
    }
    let drift = |incident: &&Incident| matches!(incident.kind, Kind::Drift(_));
    assert_eq!(dated.iter().filter(drift).count(), 1);
}
