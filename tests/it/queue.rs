//! A class graded by three workers with a real Kafka between: one of them is killed at work, and nobody is graded twice or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reelworld::clock::Clock;
use reelworld::stream::{KafkaSettings, TopicName};
use serde_json::Value;

use crate::interrupt::root;
use crate::kafka::Node;

/// Submissions; all of them are at partitions of their own.
const CLASS: usize = 7;
/// Those of them that end before the grader is killed.
const FIRST: usize = 3;
/// The longest that anything here is waited for: Kafka gives the jobs of a dead worker away after ten seconds.
const LONG: Duration = Duration::from_secs(120);

fn reelworld() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command.arg("--course").arg(root().join("fixtures/course"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A submission whose build waits until a file is there, and which then fails in a way of its own.
fn submission(class: &Path, n: usize, go: &Path) {
    let folder = class.join(format!("team{n}"));
    fs::create_dir_all(&folder).unwrap();
    let build = format!("while [ ! -e {} ]; do sleep 0.05; done; exit {n}", go.display());
    let text = format!("[service]\nbuild = '''{build}'''\nstart = ['true']\n");
    fs::write(folder.join("reelworld.toml"), text).unwrap();
}

fn within<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    while clock.elapsed() < LONG {
        if let Some(found) = found() {
            return found;
        }
        clock.sleep(Duration::from_millis(50));
    }
    panic!("in vain: {what}");
}

/// The folders of all runs of a queue.
fn names(run: &Path, test: impl Fn(&str) -> bool) -> Vec<String> {
    let runs = fs::read_dir(run.join("queue")).into_iter().flatten().flatten();
    let entries = runs.flat_map(|run| fs::read_dir(run.path()).into_iter().flatten().flatten());
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| test(name))
        .collect()
}

fn stop(mut worker: Child) {
    kill(Pid::from_raw(worker.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(worker.wait().unwrap().code(), Some(130));
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The processes of a run.
struct Run<'a> {
    class: &'a Path,
    queue: String,
}

impl Run<'_> {
    fn grade(&self, out: &Path, more: &[&str]) -> Child {
        let mut command = reelworld();
        command.args(["grade", "m1"]).arg(self.class);
        command.arg("--out").arg(out).args(more).spawn().unwrap()
    }

    fn by_queue(&self, out: &Path, more: &[&str]) -> Child {
        self.grade(out, &[&["--queue", &self.queue], more].concat())
    }

    fn worker(&self, out: &Path) -> Child {
        let mut command = reelworld();
        command.args(["worker", "--trust", "--queue", &self.queue, "--out"]);
        command.arg(out).spawn().unwrap()
    }
}

/// Kills a process as a machine that fails does.
fn cut(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn three_workers_grade_everybody_once_though_one_is_killed_at_work_and_the_grader_too() {
    let Some(node) = Node::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let (class, out, first, rest) = (path("class"), path("run"), path("first"), path("rest"));
    for n in 1..=CLASS {
        submission(&class, n, if n <= FIRST { &first } else { &rest });
    }
    fs::create_dir(&out).unwrap();
    let run = Run {
        class: &class,
        queue: format!("kafka://{}/grading", node.server()),
    };
    // What strangers put there is skipped by whoever meets it.
    let topic = TopicName::new("grading").unwrap();
    let strange = [
        b"{\"schema\":\"reelworld/job/v1\"}".to_vec(),
        vec![b'['; 500_000],
        Vec::new(),
    ];
    let strange: Vec<Vec<u8>> = strange.into_iter().cycle().take(64).collect();
    KafkaSettings::new(node.server()).put(&topic, &strange).unwrap();

    let mut workers = vec![run.worker(&out), run.worker(&out), run.worker(&out)];
    let grading = run.by_queue(&out, &[]);
    // Who is at work is killed there.
    let name = within("a worker at work", || {
        let at_work = names(&out, |name| name.starts_with("at-work-"));
        at_work.into_iter().next()
    });
    let pid: u32 = name.split('-').nth(5).unwrap().parse().unwrap();
    let place = workers.iter().position(|worker| worker.id() == pid).unwrap();
    cut(workers.remove(place));
    let results = || names(&out, |name| name.strip_suffix(".json").is_some()).len();
    assert_eq!(results(), 0, "nobody is graded yet");
    fs::write(&first, "").unwrap();
    let lines = || fs::read_to_string(out.join("results.jsonl")).unwrap_or_default();
    within("a first result", || (lines().lines().count() > 0).then_some(()));
    // Without who put the jobs, workers go on, and what they find is there when another goes on with the run.
    cut(grading);
    fs::write(&rest, "").unwrap();
    within("all results", || (results() == CLASS).then_some(()));
    let mut grading = run.by_queue(&out, &["--resume"]);
    let code = within("the end of the run", || grading.try_wait().unwrap());
    assert_eq!(code.code(), Some(1));

    let text = lines();
    let graded: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let whom: BTreeSet<&str> = graded
        .iter()
        .map(|line| line["submission"].as_str().unwrap())
        .collect();
    assert_eq!((graded.len(), whom.len()), (CLASS, CLASS), "each once");
    assert!(graded.iter().all(|line| line["end"]["end"] == "graded"));
    assert_eq!(results(), CLASS);
    assert!(names(&out, |name| name.starts_with("at-work-")).is_empty());
    // The class is what one machine makes of it.
    let alone = path("alone");
    assert_eq!(run.grade(&alone, &["--trust"]).wait().unwrap().code(), Some(1));
    assert_eq!(json(out.join("class.json")), json(alone.join("class.json")));

    // A run that is at its end has nothing more to do.
    assert_eq!(run.by_queue(&out, &["--resume"]).wait().unwrap().code(), Some(1));
    assert_eq!(lines(), text);
    // One who is measured again replaces what was there, and is the only one.
    assert_eq!(
        run.by_queue(&out, &["--only", "team3"]).wait().unwrap().code(),
        Some(1)
    );
    let now = lines();
    let more = now.strip_prefix(&text).unwrap();
    assert_eq!(
        (more.lines().count(), more.contains("\"team3\"")),
        (1, true),
        "{more}"
    );
    assert_eq!(json(out.join("class.json")), json(alone.join("class.json")));
    workers.into_iter().for_each(stop);
}

#[test]
fn everybody_is_graded_once_though_the_grader_is_interrupted_and_the_broker_dies_while_somebody_is_at_work() {
    const FEW: usize = 3;
    let Some(node) = Node::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let (class, out, go) = (path("class"), path("run"), path("go"));
    for n in 1..=FEW {
        submission(&class, n, &go);
    }
    fs::create_dir(&out).unwrap();
    let run = Run {
        class: &class,
        queue: format!("kafka://{}/grading", node.server()),
    };
    let worker = run.worker(&out);
    let mut grading = run.by_queue(&out, &[]);
    within("a worker at work", || {
        (!names(&out, |name| name.starts_with("at-work-")).is_empty()).then_some(())
    });
    kill(Pid::from_raw(grading.id() as i32), Signal::SIGINT).unwrap();
    let code = within("the end of who was interrupted", || grading.try_wait().unwrap());
    assert_eq!(code.code(), Some(130));
    // What is at work needs no broker, and comes to its end without one.
    node.kill();
    fs::write(&go, "").unwrap();
    let results = || names(&out, |name| name.strip_suffix(".json").is_some()).len();
    within("a result without a broker", || (results() > 0).then_some(()));
    node.go_on();
    let mut grading = run.by_queue(&out, &["--resume"]);
    let code = within("the end of the run", || grading.try_wait().unwrap());
    assert_eq!(code.code(), Some(1));
    let text = fs::read_to_string(out.join("results.jsonl")).unwrap();
    let whom: BTreeSet<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .inspect(|line| assert_eq!(line["end"]["end"], "graded", "{line}"))
        .map(|line| line["submission"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        (text.lines().count(), whom.len()),
        (FEW, FEW),
        "each once: {text}"
    );
    // The worker has outlived the broker.
    stop(worker);
}

#[test]
fn a_worker_without_the_folder_of_the_run_does_not_begin() {
    let mut command = reelworld();
    command.stderr(Stdio::piped());
    command.args([
        "worker",
        "--trust",
        "--queue",
        "kafka://127.0.0.1:9/grading",
        "--out",
        "/nowhere",
    ]);
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(4));
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(told.contains("`/nowhere` is not here"), "{told}");
}
