//! `world inspect` and `world import` through the door that people use.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn reelworld() -> Command {
    Command::cargo_bin("reelworld").unwrap()
}

const LOG: &str = "\
2023-02-08T02:29:01,7,GET /data/m/heat+1995/0.mpg
2023-02-08T02:30:01,7,GET /data/m/heat+1995/1.mpg
2023-02-08T02:31:02,7,GET /rate/heat+1995=5
2023-02-08T02:33:30,9,GET /rate/fargo+1996=4
2023-02-08T02:34:01,9,GET /da ta/m/heat+1995/2.mpg
";

fn log_in(dir: &Path) -> String {
    let path = dir.join("movielog.csv");
    fs::write(&path, LOG).unwrap();
    path.display().to_string()
}

#[test]
fn a_log_that_is_not_lifelike_is_said_to_be_so_and_its_damaged_line_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_in(dir.path());
    let run = reelworld().args(["world", "inspect", &path]).assert().code(1);
    let out = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    let err = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(
        out.starts_with("movielog.csv: 2 users, 2 movies, 2 meetings"),
        "{out}"
    );
    assert!(
        out.contains("rating mean") && out.contains("\nnot lifelike: "),
        "{out}"
    );
    assert!(
        err.contains("left out 1 lines with one character inserted; the first: line 5"),
        "{err}"
    );
}

#[test]
fn json_holds_every_figure_and_the_same_seed_gives_the_same_bytes() {
    let args = [
        "world",
        "inspect",
        "--built-in",
        "--users",
        "60",
        "--movies",
        "80",
        "--days",
        "30",
        "--json",
    ];
    let run = || reelworld().args(args).assert().get_output().stdout.clone();
    let out = run();
    assert_eq!(out, run());
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(report["schema"], "reelworld/inspect/v1");
    assert_eq!((&report["users"], &report["movies"]), (&60.into(), &80.into()));
    assert_eq!(report["same_size"], false);
    let figures = report["figures"].as_array().unwrap();
    for name in ["gini", "vu", "KL", "sv2", "gAUC", "completed", "hour 20"] {
        assert!(figures.iter().any(|figure| figure["name"] == name), "{name}");
    }
}

#[test]
fn bad_input_ends_with_two_and_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("u.data");
    fs::write(&path, "1\t2\t3\t4\n1\tx\t3\t4\n").unwrap();
    let folder = dir.path().display().to_string();
    let run = reelworld().args(["world", "inspect", &folder]).assert().code(2);
    let err = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(
        err.contains("u.data:2: a movie must be a number, found `x`"),
        "{err}"
    );
    let log = log_in(dir.path());
    let run = reelworld()
        .args(["world", "inspect", &log, "--sample", "943x1682"])
        .assert()
        .code(2);
    let err = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(err.contains("cannot take a sample of 943x1682"), "{err}");
}

#[test]
fn an_imported_log_reads_back_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_in(dir.path());
    let out = dir.path().join("out").display().to_string();
    let args = ["world", "import", &path, "--out", &out];
    reelworld().args(args).assert().code(0);
    for file in ["users.jsonl", "movies.jsonl", "log.csv.gz"] {
        assert!(Path::new(&out).join(file).is_file(), "{file}");
    }
    let run = reelworld()
        .args(["world", "inspect", &out, "--json"])
        .assert()
        .code(1);
    let report: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(report["source"]["format"], "release");
    assert_eq!(report["meetings"], 2);
    reelworld().args(args).assert().code(2);
}

#[test]
fn a_catalogue_of_tmdb_becomes_the_companys_files_and_is_no_log_to_be_inspected() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("movies.csv");
    let text = "id,title,genres,release_date\n7,\"Lamp, the\",\"[{\"\"id\"\": 18, \"\"name\"\": \"\"Drama\"\"}]\",2009-01-02\n";
    fs::write(&table, text).unwrap();
    let (table, out) = (
        table.display().to_string(),
        dir.path().join("out").display().to_string(),
    );
    reelworld()
        .args(["world", "import", &table, "--out", &out])
        .assert()
        .code(0);
    let record = fs::read_to_string(Path::new(&out).join("movies.jsonl")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(
        (&record["id"], &record["tmdb_id"]),
        (&"lamp_+the+2009".into(), &7.into())
    );
    let run = reelworld().args(["world", "inspect", &table]).assert().code(2);
    let err = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(err.contains("nobody has watched or rated anything"), "{err}");
    fs::write(&table, text.replace("2009-01-02", "2009")).unwrap();
    let run = reelworld()
        .args(["world", "import", &table, "--out", &format!("{out}2")])
        .assert()
        .code(2);
    let err = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(
        err.contains("movies.csv:2:53: `release_date` must be as 1999-12-31"),
        "{err}"
    );
}
