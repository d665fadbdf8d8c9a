//! A class graded by the real program: submissions of every form, side by side, in any order, again and in part.
//!
//! Three services in three orders are graded here. All of the zoo are with `REELWORLD_ZOO=1 cargo test --release --test it --
//! --nocapture nobodys_grade`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::interrupt::{decided, root, short_course};
use crate::isolation::trusted_without_sandbox;

fn service(name: &str) -> PathBuf {
    root().join("fixtures/services").join(name)
}

/// Grades with the small course, and returns how it ended.
fn grade(course: &Path, out: &Path, words: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command
        .arg("--course")
        .arg(course)
        .args(["grade", "m1", "--seed", "5"])
        .args(trusted_without_sandbox())
        .arg("--out")
        .arg(out)
        .args(words);
    let output = command.output().unwrap();
    assert!(
        output.status.code().is_some_and(|code| [0, 1, 3].contains(&code)),
        "{output:?}"
    );
    output
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The verdicts of one submission in the class's summary.
fn verdicts(out: &Path, name: &str) -> BTreeMap<String, String> {
    let class = json(&out.join("class.json"));
    let row = class["submissions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["submission"] == name)
        .unwrap_or_else(|| panic!("{name} is not in the class"));
    let criteria = row["criteria"].as_array().unwrap().iter();
    criteria
        .map(|cell| {
            let text = |key: &str| cell[key].as_str().unwrap().to_owned();
            (text("id"), text("verdict"))
        })
        .collect()
}

/// The lines of the results: submission and end.
fn ends(out: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(out.join("results.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&line["submission"]), text(&line["end"]["end"]))
        })
        .collect()
}

#[test]
fn nobodys_grade_depends_on_who_is_graded_beside_or_before() {
    let home = tempfile::tempdir().unwrap();
    let course = home.path().join("course");
    short_course(&course);
    let names = if whole_zoo() {
        crate::forty::zoo()
    } else {
        words(&["exits", "good", "leaves_children"])
    };
    let turned = |by: usize| [&names[by..], &names[..by]].concat();
    let backwards: Vec<String> = names.iter().rev().cloned().collect();
    std::thread::scope(|scope| {
        for (jobs, order) in [
            ("1", turned(1)),
            ("2", backwards),
            ("3", turned(names.len() / 2 + 1)),
        ] {
            let (course, out) = (&course, home.path().join(jobs));
            scope.spawn(move || {
                let paths: Vec<String> = order
                    .iter()
                    .map(|name| service(name).display().to_string())
                    .collect();
                let all = [&words(&["--jobs", jobs])[..], &paths[..]].concat();
                grade(course, &out, &all);
            });
        }
    });
    let own = |jobs: &str, name: &str| home.path().join(jobs).join(name);
    let report = |jobs: &str, name: &str| json(&own(jobs, name).join("report.json"));
    for name in &names {
        let (alone, verdicts) = (lists(&own("1", name)), decided(&report("1", name)));
        for jobs in ["2", "3"] {
            // A busy machine leaves out requests that it has sent late, and so users; of the others all is the same.
            let beside = lists(&own(jobs, name));
            let both: Vec<&u64> = alone.keys().filter(|user| beside.contains_key(user)).collect();
            assert!(
                both.len() >= LEAST_USERS || !["good", "leaves_children"].contains(&name.as_str()),
                "{name} with {jobs} jobs: {}",
                both.len()
            );
            for user in both {
                assert_eq!(
                    alone[user], beside[user],
                    "user {user} of {name} with {jobs} jobs"
                );
            }
            for (id, (verdict, points)) in decided(&report(jobs, name)) {
                let open = |verdict: &Value| verdict == "no_verdict" || verdict == "skipped";
                let (before, earned) = &verdicts[&id];
                if !open(&verdict) && !open(before) {
                    assert_eq!(
                        (before, earned),
                        (&verdict, &points),
                        "{id} of {name} with {jobs} jobs"
                    );
                }
            }
            assert_eq!(
                decided(&report(jobs, name))["m1.service.starts"],
                verdicts["m1.service.starts"]
            );
        }
    }
    for jobs in ["2", "3"] {
        let shown = |out: &str| -> Vec<Value> {
            let class = json(&home.path().join(out).join("class.json"));
            let rows = class["submissions"].as_array().unwrap().iter();
            rows.map(|row| row["submission"].clone()).collect()
        };
        assert_eq!(shown("1"), names);
        assert_eq!(shown("1"), shown(jobs), "a class is shown in one order");
    }
}

/// Whether whoever runs the test by hand wants all of the zoo.
fn whole_zoo() -> bool {
    #[expect(clippy::disallowed_methods, reason = "who runs the test by hand says so")]
    let wanted = std::env::var_os("REELWORLD_ZOO");
    wanted.is_some()
}

/// The fewest users whose lists must be there to compare, of the 128 that are asked twice.
pub(super) const LEAST_USERS: usize = 20;

/// What the lists of each asked user were worth, from the evidence.
pub(super) fn lists(own: &Path) -> BTreeMap<u64, Value> {
    let text = fs::read_to_string(own.join("evidence/items.jsonl")).unwrap();
    let items = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    items
        .filter(|item| item["item"] == "user")
        .map(|item| (item["user"].as_u64().unwrap(), item))
        .collect()
}

/// Packs a service's files as a zip, below a folder of their own as packers do.
fn zip(name: &str, to: &Path, extra: Option<&str>) {
    let mut zip = zip::ZipWriter::new(File::create(to).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for entry in fs::read_dir(service(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        zip.start_file(format!("{name}-main/{file}"), options).unwrap();
        zip.write_all(&fs::read(&path).unwrap()).unwrap();
    }
    if let Some(extra) = extra {
        zip.start_file(extra, options).unwrap();
        zip.write_all(b"evil").unwrap();
    }
    zip.finish().unwrap();
}

/// Makes a repository of a service's files and returns its address at its commit.
fn repository(name: &str, at: &Path) -> String {
    fs::create_dir_all(at).unwrap();
    for entry in fs::read_dir(service(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        fs::copy(&path, at.join(path.file_name().unwrap())).unwrap();
    }
    let git = |arguments: &[&str]| {
        let mut command = reelworld::repository::plumbing(at, arguments);
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "T")
                .env(format!("GIT_{who}_EMAIL"), "t@e");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&[
        "commit",
        "--quiet",
        "-m",
        "Begin with a service that ends at once",
    ]);
    format!("file://{}@{}", at.display(), git(&["rev-parse", "HEAD"]))
}

#[test]
fn submissions_of_every_form_are_graded_kept_and_measured_again_on_demand() {
    let home = tempfile::tempdir().unwrap();
    let (course, out) = (root().join("fixtures/course"), home.path().join("run"));
    let class = home.path().join("class");
    fs::create_dir(&class).unwrap();
    zip("exits", &class.join("hawks_LATE_12_345_project.zip"), None);
    zip("exits", &class.join("slip.zip"), Some("../../../../slipped"));
    let mut tar = tar::Builder::new(GzEncoder::new(
        File::create(class.join("owls.tar.gz")).unwrap(),
        Compression::fast(),
    ));
    tar.append_dir_all("owls", service("exits")).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    let address = repository("exits", &home.path().join("remote/kites"));
    let (url, _) = address.rsplit_once('@').unwrap();
    let missing = format!("lost={url}@{}", "0123456789".repeat(4));
    let all = [
        class.display().to_string(),
        format!("evil={}", service("exits").display()),
        address.clone(),
        missing.clone(),
    ];
    grade(&course, &out, &[&words(&["--jobs", "4"])[..], &all[..]].concat());

    let folder = verdicts(&out, "evil");
    assert_eq!(folder["m1.service.starts"], "fail");
    for name in ["hawks", "owls", "kites"] {
        assert_eq!(
            verdicts(&out, name),
            folder,
            "{name}: the form of a submission changes nothing"
        );
    }
    let kites = json(&out.join("kites/evidence/manifest.json"));
    assert_eq!(kites["commit"], kites["identity"]);
    assert_eq!(verdicts(&out, "slip")["m1.service.starts"], "fail");
    let slip = fs::read_to_string(out.join("slip/report.json")).unwrap();
    assert!(slip.contains("leads out of its folder"), "{slip}");
    assert!(!out.join("slipped").exists() && !home.path().join("slipped").exists());
    // A commit that is not there is no fact about the team: a person must look.
    assert_eq!(verdicts(&out, "lost")["m1.service.starts"], "no_verdict");
    let class = json(&out.join("class.json"));
    assert_eq!(class["items"][0]["id"], "m1.service.starts");
    assert_eq!(
        (&class["items"][0]["fail"], &class["items"][0]["pass"]),
        (&5.into(), &0.into())
    );
    assert!(class["no_verdict"]["lost"].as_u64().unwrap() > 0);
    assert!(
        fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("Who needs a person")
    );
    let csv = fs::read_to_string(out.join("class.csv")).unwrap();
    assert_eq!(csv.lines().count(), 7, "{csv}");
    assert!(
        csv.starts_with("submission,points,decided,bonus,open,m1.service.starts,"),
        "{csv}"
    );
    assert!(!out.join("evil/work").exists(), "only evidence and pages stay");

    // What is measured again is what was asked for, and the results only grow.
    let first = fs::read_to_string(out.join("results.jsonl")).unwrap();
    assert_eq!(ends(&out).len(), 6);
    grade(&course, &out, &[&words(&["--resume"])[..], &all[..]].concat());
    assert_eq!(ends(&out).len(), 6, "all of it was finished");
    grade(
        &course,
        &out,
        &[&words(&["--retry", "no_verdict"])[..], &all[..]].concat(),
    );
    let graded = |name: &str| (name.to_owned(), "graded".to_owned());
    assert_eq!(
        ends(&out)[6..],
        [graded("lost")],
        "what was refused once is refused again"
    );
    grade(
        &course,
        &out,
        &[&words(&["--only", "owls"])[..], &all[..]].concat(),
    );
    assert_eq!(ends(&out)[7..], [graded("owls")]);
    assert!(
        fs::read_to_string(out.join("results.jsonl"))
            .unwrap()
            .starts_with(&first)
    );
    assert_eq!(json(&out.join("class.json")), class, "and the class is the same");
}

#[test]
fn what_no_sandbox_takes_fails_for_itself_and_what_is_ours_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    let (course, out) = (root().join("fixtures/course"), home.path().join("run"));
    let class = home.path().join("class");
    let copy = |name: &str| {
        let to = class.join(name);
        fs::create_dir_all(&to).unwrap();
        for file in ["reelworld.toml", "service.py"] {
            fs::copy(service("exits").join(file), to.join(file)).unwrap();
        }
        to
    };
    // More words than a sandbox is told at once, and as many files as a submission may have and a sandbox may hold in all.
    let start = format!(
        "[service]\nstart = ['python3', 'service.py', '{}']\n",
        "x".repeat(70_000)
    );
    fs::write(copy("wordy").join("reelworld.toml"), start).unwrap();
    let crowded = copy("crowded");
    for number in 0..49_980 {
        File::create(crowded.join(number.to_string())).unwrap();
    }
    // What is checked out is said to be the content of a file of ours, which has the form of a commit.
    let curious = copy("curious");
    let key = "5ec7e7".repeat(10) + "feed";
    fs::write(home.path().join("world.key"), &key).unwrap();
    fs::create_dir_all(curious.join(".git/objects")).unwrap();
    fs::create_dir_all(curious.join(".git/refs")).unwrap();
    fs::write(curious.join(".git/HEAD"), "ref: ../../../../world.key\n").unwrap();
    copy("plain");
    grade(
        &course,
        &out,
        &words(&["--jobs", "1", &class.display().to_string()]),
    );
    let names: Vec<String> = ends(&out)
        .into_iter()
        .map(|(name, end)| format!("{name} {end}"))
        .collect();
    assert_eq!(
        names,
        ["crowded graded", "curious graded", "plain graded", "wordy graded"]
    );
    for (name, why) in [
        ("crowded", "its sandbox has room for 50000"),
        ("wordy", "the file is larger than 24 KiB"),
        ("plain", "exit"),
    ] {
        assert_eq!(verdicts(&out, name)["m1.service.starts"], "fail", "{name}");
        let report = fs::read_to_string(out.join(name).join("report.json")).unwrap();
        let is_told = name == "crowded" && trusted_without_sandbox().is_some() || report.contains(why);
        assert!(is_told, "{report}");
    }
    let manifest = json(&out.join("curious/evidence/manifest.json"));
    assert_eq!(manifest["commit"], Value::Null);
    for entry in walkdir::WalkDir::new(&out) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            assert!(
                !String::from_utf8_lossy(&bytes).contains(&key),
                "{}",
                entry.path().display()
            );
        }
    }

    // A name that the run's folder needs for itself is nobody's.
    let taken = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .arg("--course")
        .arg(&course)
        .args(["grade", "m1", "--out"])
        .arg(home.path().join("other"))
        .arg(format!("class.json={}", class.join("plain").display()))
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(2), "{taken:?}");
}

#[test]
fn a_service_that_wants_more_threads_than_it_may_have_is_told_so() {
    if trusted_without_sandbox().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let course = dir.path().join("course");
    short_course(&course);
    let file = course.join("assignments/m1/assignment.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("[limits]\n"));
    fs::write(&file, text.replace("[limits]\n", "[limits]\nprocesses = 40\n")).unwrap();
    let out = dir.path().join("run");
    // A thread for each request, and none of them ends while it stalls.
    grade(&course, &out, &words(&[service("stalls").to_str().unwrap()]));
    let report = json(&out.join("stalls/report.json"));
    let notes = report["notes"].to_string();
    // Where no control group is handed down, nobody counts.
    if notes.contains("memory is bounded for each process") {
        eprintln!("SKIPPED, no control group here: {notes}");
        return;
    }
    assert!(
        notes.contains("(`processes` under `[limits]`), and was refused "),
        "{notes}"
    );
}

#[test]
fn a_submission_whose_time_is_over_is_told_apart_from_one_that_failed() {
    let home = tempfile::tempdir().unwrap();
    let (course, out) = (root().join("fixtures/course"), home.path().join("run"));
    let hangs = service("hangs").display().to_string();
    let graded = |more: &[&str]| {
        let all = words(&["--jobs", "2", "--deadline", "0.03", &hangs]);
        grade(&course, &out, &[&words(more)[..], &all[..]].concat())
    };
    let output = graded(&[]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("hangs: its 1 s are over"),
        "{output:?}"
    );
    let found = verdicts(&out, "hangs");
    let told: Vec<(&str, &str)> = found
        .iter()
        .map(|(id, verdict)| (id.as_str(), verdict.as_str()))
        .filter(|(_, verdict)| ["pass", "fail"].contains(verdict))
        .collect();
    // What its files hold was read before the start that used its time up, and stands.
    assert_eq!(told, [("m1.report.code_linked", "fail")]);
    assert_eq!(found["m1.report.links"], "skipped");
    assert_eq!(found["m1.service.starts"], "no_verdict");
    let wanted = [("hangs".to_owned(), "out_of_time".to_owned())];
    assert_eq!(ends(&out), wanted);
    // It had its time: only a wish to try again gives it more.
    graded(&["--resume"]);
    assert_eq!(ends(&out), wanted);
    graded(&["--retry", "no_verdict"]);
    assert_eq!(ends(&out), [&wanted[..], &wanted[..]].concat());
}
