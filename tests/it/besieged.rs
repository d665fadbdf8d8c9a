//! A class of attackers, graded in one run beside a team that is well: each is held, and the run and the other's grade are as without them.
#![expect(
    clippy::disallowed_methods,
    reason = "the suite runs as another user and is told where things are"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reelworld::clock::Clock;
use serde_json::{Value, json};

use crate::attacks::{Attack, as_an_ordinary_user, fixtures, is_ordinary, model, program, runs};
use crate::interrupt::{assert_nobody_left, short_course, tree};
use crate::isolation::isolation;

/// One who attacks: scripts of `fixtures/attacks/scripts` that are run while it is built, before it serves and while it is asked.
struct Attacker {
    name: &'static str,
    build: &'static [&'static str],
    start: &'static [&'static str],
    /// Nothing where it never serves.
    asked: &'static [&'static str],
}

/// Between them they have every script. Whoever asks for a port does so in the build, when the grader does not look at ports; whoever
/// kills everybody or fails on purpose is the whole of its build.
const CLASS: [Attacker; 9] = [
    Attacker {
        name: "reads_on",
        build: &["reads_the_truth", "reads_the_machines_secrets", "follows_a_link"],
        start: &[
            "reads_another_submission",
            "reads_the_home_folder",
            "shares_memory",
        ],
        asked: &[
            "reads_the_graders_environment",
            "signals_the_grader",
            "connects_to_the_machine",
            "kills_the_agent",
            "sends_descriptors_without_end",
        ],
    },
    Attacker {
        name: "takes_all",
        build: &[
            "takes_memory",
            "takes_memory_with_many",
            "makes_files_without_end",
        ],
        start: &[],
        asked: &[
            "prints_without_end",
            "takes_memory",
            "lives_on",
            "forks_without_end",
        ],
    },
    Attacker {
        name: "looks_around",
        build: &[
            "reads_the_graders_environment",
            "reads_the_first_process",
            "finds_a_descriptor",
            "looks_for_processes",
        ],
        start: &[
            "looks_into_the_agent",
            "traces_the_grader",
            "signals_the_grader",
            "overwrites_the_results",
            "makes_a_hard_link",
        ],
        asked: &[],
    },
    Attacker {
        name: "kills",
        build: &["kills_everybody"],
        start: &["kills_the_agent", "starves_the_agent", "kills_everybody"],
        asked: &[],
    },
    Attacker {
        name: "fills",
        build: &[
            "fills_other_places",
            "sends_descriptors_without_end",
            "makes_files_without_end",
        ],
        start: &[
            "takes_memory_in_files",
            "opens_files_without_end",
            "raises_its_limits",
        ],
        asked: &[],
    },
    Attacker {
        name: "breaks_out",
        build: &[
            "calls_what_is_denied",
            "mounts",
            "makes_a_device",
            "makes_a_user_namespace",
            "becomes_root",
        ],
        start: &[
            "opens_a_raw_socket",
            "talks_below_the_network",
            "writes_to_the_kernel",
            "goes_before_others",
            "sets_the_clock",
        ],
        asked: &[],
    },
    Attacker {
        name: "multiplies",
        build: &["lives_on", "forks_without_end"],
        start: &[
            "lives_on",
            "starts_threads_without_end",
            "sends_descriptors_without_end",
        ],
        asked: &[],
    },
    Attacker {
        name: "forges",
        build: &["forges_its_end"],
        start: &[],
        asked: &[],
    },
    Attacker {
        name: "connects",
        build: &["takes_anothers_port", "connects_to_another_submission"],
        start: &["connects_out", "connects_to_the_machine"],
        asked: &[],
    },
];
/// What the attacks reach soon and one who is well does not.
const LIMITS: &str = "[limits]\nmemory_mib = 400\nbuild_memory_mib = 400\nprocesses = 200\ndisk_mib = 48\ntmp_mib = 16\nfiles = 5000\nfile_mib = 32\n";

/// A folder with the class, what is hidden beside it, and a process and sockets of ours that the attacks look for.
struct Siege {
    home: tempfile::TempDir,
    /// What every hidden place holds and no submission has been told whole.
    canary: String,
    mark: String,
    shared: PathBuf,
    victim: Child,
}

impl Siege {
    fn set() -> Self {
        let home = tempfile::tempdir().unwrap();
        let number = std::process::id();
        let (told, mark) = (format!("canary-{number}"), format!("86402.{number:09}"));
        let canary = format!("{told}-5ec7e7{number:08x}");
        let at = |path: &str| home.path().join(path);
        for path in ["secrets/truth.json", "class/good/own.txt", "results/card.json"] {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), &canary).unwrap();
        }
        fs::create_dir(at("tmp")).unwrap();
        let shared = Path::new("/dev/shm").join(format!("reelworld-{mark}"));
        fs::write(&shared, &canary).unwrap();
        let course = at("course");
        short_course(&course);
        shorten(&course.join("assignments/m1/assignment.toml"));
        let good = fixtures().join("services/good");
        for file in ["reelworld.toml", "service.py", "base.py"] {
            fs::copy(good.join(file), at("class/good").join(file)).unwrap();
        }
        let victim = Command::new("sleep")
            .arg(&mark)
            .env("SECRET", &canary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.write_all(b"the machine"));
            }
        });
        let name = std::os::unix::net::SocketAddr::from_abstract_name(&mark).unwrap();
        let listener = UnixListener::bind_addr(&name).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.write_all(b"the machine"));
            }
        });
        let about = json!({
            "canary": told,
            "truth": at("secrets/truth.json"),
            "other": at("class/good/own.txt"),
            "results": at("results/card.json"),
            "folder": home.path(),
            "home": std::env::var("HOME").unwrap_or_else(|_| "/".to_owned()),
            "victim": victim.id(),
            "mark": mark,
            "port": port,
            "abstract": mark,
            "shared": shared.file_name().unwrap().to_str().unwrap(),
            "key": 4711,
            "runaway": runaway(),
        });
        for attacker in &CLASS {
            attacker.hand_in(&at("class").join(attacker.name), &about);
        }
        Self {
            home,
            canary,
            mark,
            shared,
            victim,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Grades a folder of submissions, and asserts that nobody is left of all that ran below the run. Returns its exit code and what
    /// it said.
    fn grade(&self, class: &Path, out: &Path) -> (Option<i32>, String) {
        let said = self.at("said");
        let mut command = Command::new(program());
        command
            .arg("--course")
            .arg(self.at("course"))
            .args(["grade", "m1", "--seed", "5", "--jobs", "2", "--out"])
            .arg(out)
            .arg(class)
            .env("SECRET", &self.canary)
            .env("TMPDIR", self.at("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap());
        let mut child = command.spawn().unwrap();
        let mut seen = BTreeSet::new();
        let end = loop {
            if let Some(end) = child.try_wait().unwrap() {
                break end;
            }
            seen.extend(tree(child.id()));
            Clock::start().sleep(Duration::from_millis(50));
        };
        assert_nobody_left(&seen);
        let text = fs::read_to_string(&said).unwrap();
        fs::remove_file(&said).unwrap();
        (end.code(), text)
    }

    /// Everything that lies beside the runs, with what it holds.
    fn beside_the_runs(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let own = |path: &Path| !path.starts_with(self.at("run")) && !path.starts_with(self.at("alone"));
        let entries = walkdir::WalkDir::new(self.home.path())
            .into_iter()
            .map(Result::unwrap);
        entries
            .filter(|entry| own(entry.path()))
            .map(|entry| {
                let is_file = entry.file_type().is_file();
                let bytes = if is_file {
                    fs::read(entry.path()).unwrap()
                } else {
                    Vec::new()
                };
                (entry.path().to_owned(), bytes)
            })
            .collect()
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        drop(self.victim.kill());
        drop(self.victim.wait());
        drop(fs::remove_file(&self.shared));
    }
}

/// How long a child sleeps that is to outlive everybody: its mark among processes.
fn runaway() -> String {
    format!("86403.{:09}", std::process::id())
}

/// Makes the workload as short as one who is well can still show it in, and the bounds narrow.
fn shorten(assignment: &Path) {
    let mut text = fs::read_to_string(assignment).unwrap();
    for (from, to) in [
        ("steady_s = 5", "steady_s = 2"),
        ("steady_rate = 48", "steady_rate = 120"),
        ("peak_s = 2", "peak_s = 1"),
        ("[limits]\n", LIMITS),
    ] {
        assert!(text.contains(from), "the short course has no `{from}`");
        text = text.replace(from, to);
    }
    fs::write(assignment, text).unwrap();
}

impl Attacker {
    fn serves(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether one attack is the whole of its build.
    fn is_built_by(&self) -> Option<&'static str> {
        let alone = ["kills_everybody", "forges_its_end"];
        self.build.first().copied().filter(|first| alone.contains(first))
    }

    /// Makes a submission of it.
    fn hand_in(&self, dir: &Path, about: &Value) {
        fs::create_dir_all(dir.join("attacks")).unwrap();
        let attacks = fixtures().join("attacks");
        let scripts = [self.build, self.start, self.asked].concat();
        for name in scripts.iter().chain(&["base"]) {
            let file = format!("{name}.py");
            fs::copy(
                attacks.join("scripts").join(&file),
                dir.join("attacks").join(&file),
            )
            .unwrap();
        }
        fs::copy(attacks.join("submission/service.py"), dir.join("service.py")).unwrap();
        fs::copy(fixtures().join("services/good/base.py"), dir.join("base.py")).unwrap();
        let plan =
            json!({"build": self.build, "start": self.start, "asked": self.asked, "serves": self.serves()});
        fs::write(dir.join("plan.json"), plan.to_string()).unwrap();
        fs::write(dir.join("attack.json"), about.to_string()).unwrap();
        let build = match self.is_built_by() {
            Some(attack) => json!(["python3", format!("attacks/{attack}.py")]),
            None => json!(["python3", "service.py", "build"]),
        };
        let told = format!("[service]\nbuild = {build}\nstart = [\"python3\", \"service.py\"]\n");
        fs::write(dir.join("reelworld.toml"), told).unwrap();
        symlink(about["truth"].as_str().unwrap(), dir.join("link")).unwrap();
        symlink("/", dir.join("all")).unwrap();
        let program = Path::new("/usr/bin/id").canonicalize().unwrap();
        fs::copy(program, dir.join("setuid_id")).unwrap();
        fs::set_permissions(dir.join("setuid_id"), fs::Permissions::from_mode(0o4755)).unwrap();
    }

    /// Tells what is wrong with how its attacks have ended, by what it has printed in each stage.
    fn faults(&self, own: &Path, model: &BTreeMap<String, Attack>, weak: bool) -> Vec<String> {
        let mut faults = Vec::new();
        for (stage, attacks) in [("build", self.build), ("start", self.start), ("end", self.asked)] {
            if stage == "build" && self.is_built_by().is_some() {
                continue;
            }
            let lines = printed(own, stage);
            for name in attacks {
                // Whoever kills everybody kills who would tell of it.
                if *name == "kills_everybody" {
                    continue;
                }
                let begin = format!("attack {name} ended ");
                let Some(line) = lines.iter().find_map(|line| line.strip_prefix(&begin)) else {
                    // On a busy machine the traffic may be over before its last attacks.
                    if stage != "end" || attacks.first() == Some(name) {
                        faults.push(format!(
                            "{}, {stage}: nothing is told of {name}: {lines:?}",
                            self.name
                        ));
                    }
                    continue;
                };
                let (code, last) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
                let held = last.starts_with("held:") && code == "0";
                let killed = ["-9", "1"].contains(&code) && !last.starts_with("got:");
                let well = match model[*name].ends.as_str() {
                    // Its last line has gone the way of its flood.
                    "held" if *name == "prints_without_end" => code == "0",
                    "held" => held,
                    "held memory" => weak || held || killed,
                    "ended" => held || killed,
                    _ => !last.starts_with("got:"),
                };
                if !well {
                    faults.push(format!("{}, {stage}: {name} ended {line}", self.name));
                }
            }
        }
        faults
    }
}

/// The last lines that a submission has printed in a stage, by the evidence.
fn printed(own: &Path, stage: &str) -> Vec<String> {
    let text = fs::read_to_string(own.join("evidence/items.jsonl")).unwrap();
    let items = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    items
        .filter(|item| item["item"] == stage || stage == "start" && item["item"] == "end")
        .flat_map(|item| item["log_tail"].as_array().cloned().unwrap_or_default())
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// Verdict and points of every criterion on a card.
fn earned(own: &Path) -> BTreeMap<String, (String, Value)> {
    let report: Value = serde_json::from_slice(&fs::read(own.join("report.json")).unwrap()).unwrap();
    let criteria = report["criteria"].as_array().unwrap().iter();
    criteria
        .map(|criterion| {
            let text = |key: &str| criterion[key].as_str().unwrap().to_owned();
            (text("id"), (text("verdict"), criterion["points"].clone()))
        })
        .collect()
}

#[test]
fn the_class_has_every_attack() {
    let scripts: BTreeSet<String> = model().script.into_keys().collect();
    let class = CLASS
        .iter()
        .flat_map(|one| [one.build, one.start, one.asked].concat());
    assert_eq!(class.map(str::to_owned).collect::<BTreeSet<_>>(), scripts);
}

#[test]
fn a_class_of_attackers_harms_neither_the_run_nor_who_is_graded_beside_them() {
    let Some(isolation) = isolation() else { return };
    let mut siege = Siege::set();
    let (out, alone) = (siege.at("run"), siege.at("alone"));
    // Outside of a sandbox the very same submission finds what is hidden: what is shown below is no accident.
    let looted = Command::new("python3")
        .args(["service.py", "loot"])
        .current_dir(siege.at("class/reads_on"))
        .output()
        .unwrap();
    let looted = String::from_utf8_lossy(&looted.stdout).into_owned();
    for place in ["truth.json", "own.txt", "card.json", "environ"] {
        let found = |line: &str| line.contains(place) && line.ends_with(&siege.canary);
        assert!(looted.lines().any(found), "{place}: {looted}");
    }
    let before = siege.beside_the_runs();

    let (code, said) = siege.grade(&siege.at("class"), &out);
    assert_eq!(code, Some(1), "{said}");
    assert!(!runs(&runaway()), "a child lives on");
    assert!(
        siege.victim.try_wait().unwrap().is_none(),
        "a process of ours has ended"
    );
    assert!(runs(&siege.mark));

    // Everybody has a result, and nobody another than is due.
    let results = fs::read_to_string(out.join("results.jsonl")).unwrap();
    let results: BTreeMap<String, String> = results
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&line["submission"]), text(&line["end"]["end"]))
        })
        .collect();
    let names = CLASS.iter().map(|one| one.name).chain(["good"]);
    let graded: BTreeMap<String, String> = names.map(|name| (name.to_owned(), "graded".to_owned())).collect();
    assert_eq!(results, graded, "{said}");
    let model = model().script;
    let weak = isolation.facts().weak.iter().any(|weak| weak.contains("memory"));
    let mut faults = Vec::new();
    for attacker in &CLASS {
        let own = out.join(attacker.name);
        faults.extend(attacker.faults(&own, &model, weak));
        let (starts, _) = &earned(&own)["m1.service.starts"];
        if (starts == "pass") != attacker.serves() {
            faults.push(format!("{}: it starts: {starts}", attacker.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        printed(&out.join("forges"), "build")
            .iter()
            .any(|line| line.contains("verdict"))
    );

    // What was hidden is nowhere, and nothing but the run has changed.
    for entry in walkdir::WalkDir::new(&out) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                !text.contains(&siege.canary),
                "{} has the canary",
                entry.path().display()
            );
        }
    }
    let after = siege.beside_the_runs();
    let paths = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&before), paths(&after));
    for (path, bytes) in &before {
        assert!(after[path] == *bytes, "{} was changed", path.display());
    }

    // Who is well has the grade that it has alone.
    let beside = earned(&out.join("good"));
    for id in [
        "m1.service.starts",
        "m1.stream.personalised",
        "m1.accuracy.beats_popular",
    ] {
        assert_eq!(beside[id].0, "pass", "{id}");
    }
    if !is_ordinary() {
        siege.grade(&siege.at("class/good"), &alone);
        let (alone, open) = (earned(&alone.join("good")), ["no_verdict", "skipped"]);
        assert_eq!(
            alone.keys().collect::<Vec<_>>(),
            beside.keys().collect::<Vec<_>>()
        );
        for (id, earned) in &beside {
            // What depends on time is left open where the machine was too busy.
            if ![earned, &alone[id]]
                .iter()
                .any(|(verdict, _)| open.contains(&verdict.as_str()))
            {
                assert_eq!(*earned, alone[id], "{id}");
            }
        }
    }

    // The ordinary user has no control group. Where memory cannot be bounded in total, the run and every card say so.
    let says = |text: &str| text.contains("memory is bounded for each process, not in total");
    assert!(weak || !is_ordinary());
    assert_eq!(says(&said), weak, "{said}");
    for name in graded.keys() {
        let report: Value =
            serde_json::from_slice(&fs::read(out.join(name).join("report.json")).unwrap()).unwrap();
        assert_eq!(
            says(&report["notes"].to_string()),
            weak,
            "{name}: {}",
            report["notes"]
        );
    }
}

#[test]
fn a_class_of_attackers_is_held_for_an_ordinary_user_whose_cards_say_that_memory_is_not_bounded() {
    as_an_ordinary_user("besieged::a_class_of_attackers_harms_neither_the_run_nor_who_is_graded_beside_them");
}
