//! What services and repositories tell of themselves, graded by the real program: one that tells what is so, one that does not,
//! one that believes everybody, one that tells nothing, and one whose service does not start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::attacks::is_root;
use crate::model::table;

/// The table: team, measure, verdict.
const MODEL: &str = "told/model.toml";
/// What the table leaves open, and says why.
const LEFT_OUT: [(&str, &str); 6] = [
    ("gullible", "availability.share"),
    ("gullible", "incidents.after_share"),
    ("gullible", "incidents.answered_share"),
    ("gullible", "minors.unsuitable_share"),
    ("gullible", "update.failed_share"),
    ("silent", "minors.unsuitable_share"),
];

/// Tells what a machine that is too busy can't tell, and says so; and within bounds, images are built by root alone.
fn open(measure: &str, verdict: &str) -> bool {
    let images = measure == "container.builds" && !is_root();
    let timed = measure.starts_with("incidents.") || measure == "availability.share";
    (timed || images) && verdict == "no_verdict"
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn git(dir: &Path, words: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir);
    command.args(["-c", "user.name=team", "-c", "user.email=team@example.org"]);
    let done = command.args(words).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn reelworld(course: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command.arg("--course").arg(course);
    command
}

/// What stands in for the tools that build images: a base without a version does not build.
const TOOL: &str = r#"#!/bin/sh
for word; do
    case $word in
        info) echo 1.0 with nothing; exit ;;
        build) builds=yes ;;
        --file=*) file=${word#--file=} ;;
    esac
    [ "$before" = --file ] && file=./$word
    before=$word
done
[ "$builds" ] || exit 0
grep -q '^FROM .*:[0-9]' "$file" || { echo "no base with a version in $file"; exit 1; }
"#;

/// Returns a path with that tool before all others.
#[expect(
    clippy::disallowed_methods,
    reason = "the other programs are where this machine has them"
)]
fn path_with_tool(dir: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(dir).unwrap();
    for tool in ["docker", "podman"] {
        fs::write(dir.join(tool), TOOL).unwrap();
        fs::set_permissions(dir.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

const TROUBLES: &str = "
[[trouble]]
name = 'doubled'
kind = 'duplicates'
onset_day = 12
";

/// Verdicts by measure.
fn verdicts(report: &Path) -> BTreeMap<String, (String, String)> {
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let criteria = report["criteria"].as_array().unwrap().iter();
    criteria
        .map(|criterion| {
            let text = |key: &str| criterion[key].as_str().unwrap_or_default().to_owned();
            (text("measure"), (text("verdict"), criterion.to_string()))
        })
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a sandbox may be missing on somebody's own machine, not where all is checked"
)]
fn must_have_a_sandbox() -> bool {
    std::env::var_os("CI").is_some()
}

#[test]
fn what_is_told_is_compared_with_what_is_so() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let course = dir.path().join("course");
    copy(&root.join("fixtures/course"), &course);
    let file = course.join("course.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + TROUBLES).unwrap();

    let (honest, careless, silent, broken) = ("honest", "careless", "silent", "broken");
    let gullible = "gullible";
    for name in [honest, careless, gullible] {
        copy(&root.join("fixtures/told").join(name), &dir.path().join(name));
    }
    copy(&root.join("fixtures/services/popular"), &dir.path().join(silent));
    let repository = dir.path().join(honest);
    git(&repository, &["init", "--quiet"]);
    git(&repository, &["add", "--all"]);
    git(&repository, &["commit", "--quiet", "-m", "a service"]);
    git(&repository, &["tag", "data-v1"]);
    git(
        &repository,
        &["remote", "add", "origin", "git@github.com:otters/movies.git"],
    );
    let further = [
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "Answer unknown users with the popular list",
    ];
    git(&repository, &further);
    // The careless team has pushed a key, and has taken it away again without a word.
    let repository = dir.path().join(careless);
    git(&repository, &["init", "--quiet"]);
    let key = format!("KEY = 'AKIA{}'\n", "Z7QX3LM9PT2VB6KD");
    for (content, subject) in [("", "first"), (key.as_str(), "wip"), ("", "fix")] {
        fs::write(repository.join("settings.py"), content.repeat(500)).unwrap();
        git(&repository, &["add", "--all"]);
        git(&repository, &["commit", "--quiet", "-m", subject]);
    }
    let repository = dir.path().join(honest);
    // The honest team has found what is there: the day comes from the answer key.
    let key = reelworld(&course)
        .args(["world", "truth", "--only", "troubles", "--json"])
        .output()
        .unwrap();
    let key: Value = serde_json::from_slice(&key.stdout).unwrap();
    let from = key["troubles"][0]["from"].as_str().unwrap();
    let findings = format!(
        "schema = 'reelworld/findings/v1'\n[[finding]]\nkind = 'duplicates'\nfrom = '{from}'\nevidence = 'the same line twice'\n"
    );
    fs::write(repository.join("findings.toml"), findings).unwrap();

    // The same repository with a service that ends at once: what is no matter of the service is found all the same.
    copy(&repository, &dir.path().join(broken));
    let spec = dir.path().join(broken).join("reelworld.toml");
    let text = fs::read_to_string(&spec).unwrap();
    let start = "start = [\"python3\", \"service.py\"]";
    assert!(text.contains(start));
    fs::write(&spec, text.replace(start, "start = [\"false\"]")).unwrap();

    // They mostly wait for seconds to pass, so some are graded at once; the one that must not be late has little beside it.
    let out = dir.path().join("run");
    let path = path_with_tool(&dir.path().join("bin"));
    let grade = |names: &[&str]| {
        std::thread::scope(|scope| {
            for name in names {
                let (course, path, one, out) = (&course, &path, dir.path().join(name), out.join(name));
                scope.spawn(move || {
                    let grade = |trust: &[&str]| {
                        let mut command = reelworld(course);
                        command
                            .args(["grade", "told", "--seed", "7"])
                            .args(trust)
                            .env("PATH", path);
                        command.arg("--out").arg(&out).arg(&one).output().unwrap()
                    };
                    // The one that has all of it is graded as submissions are: in a sandbox, into which the company reaches.
                    let mut output = grade(if *name == honest { &[] } else { &["--trust"] });
                    if output.status.code() == Some(4) {
                        assert!(!must_have_a_sandbox(), "no sandbox: {output:?}");
                        eprintln!("SKIPPED, no sandbox here: `{name}` is graded without");
                        output = grade(&["--trust"]);
                    }
                    let code = output.status.code();
                    assert!(code.is_some_and(|code| [0, 1, 3].contains(&code)), "{output:?}");
                });
            }
        });
    };
    grade(&[honest, broken]);
    grade(&[careless, silent, gullible]);

    let card = |name: &str| verdicts(&out.join(name).join(name).join("report.json"));
    let cards: BTreeMap<&str, _> = [honest, careless, silent, broken, gullible]
        .map(|name| (name, card(name)))
        .into();
    let model = table(MODEL);
    assert!(model.keys().eq(cards.keys()), "{:?}", model.keys());
    let mut otherwise: Vec<String> = Vec::new();
    let mut left_out = BTreeSet::new();
    for (name, card) in &cards {
        let wanted = &model[*name];
        assert!(wanted.keys().all(|measure| card.contains_key(measure)), "{name}");
        for (measure, (verdict, whole)) in card {
            match wanted.get(measure) {
                None => _ = left_out.insert((*name, measure.as_str())),
                Some(wanted) if wanted == verdict || open(measure, verdict) => {}
                Some(wanted) => otherwise.push(format!("{name}, {measure}: not `{wanted}`: {whole}")),
            }
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    assert_eq!(left_out, LEFT_OUT.into());
    let (good, bad, none) = (&cards[honest], &cards[careless], &cards[silent]);
    // Who is not moved because it reads nothing is told so.
    for (card, reads) in [(good, true), (bad, true), (none, false)] {
        let (verdict, whole) = &card["incidents.answered_share"];
        let is_told = whole.contains("of a part of the company that it never read");
        assert!(is_told != reads || verdict == "no_verdict", "{whole}");
    }
    // Some figures are far from the bars of the course. Who believes every rating has the pushed movie in every list.
    let figure = |name: &str, measure: &str| {
        let card: Value = serde_json::from_str(&cards[name][measure].1).unwrap();
        card["value"].as_f64().unwrap()
    };
    assert_eq!(figure(honest, "experiment.sticky_share"), 1.0);
    assert_eq!(figure(honest, "claims.false_count"), 0.0);
    assert_eq!(figure(careless, "claims.false_count"), 2.0);
    assert!(figure(gullible, "attack.reach_rise") > 0.9);
    // Which entries were found is for staff, in the evidence; the report has counts.
    let report = fs::read_to_string(out.join(honest).join(honest).join("report.json")).unwrap();
    assert!(
        !report.contains("doubled"),
        "a report names an entry of the answer key"
    );
}
