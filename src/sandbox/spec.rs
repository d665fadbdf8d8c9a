//! How a repository says how to build, start and probe its service: `reelworld.toml`.

use std::collections::BTreeMap;

use crate::coursefile::{Document, Faults, Section};

/// The file's name in a repository.
pub const FILE: &str = "reelworld.toml";

/// A command: words to execute, or a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A program and its arguments, executed as they are.
    Words(Vec<String>),
    /// A line that `sh -c` runs.
    Shell(String),
}

impl CommandLine {
    /// Returns the words to execute.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.clone(),
            Self::Shell(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
        }
    }

    /// Returns the words that a person would type, with no shell in front.
    pub fn plain_words(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.clone(),
            Self::Shell(line) => line.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Returns the command as a person would type it.
    pub fn display(&self) -> String {
        match self {
            Self::Words(words) => words.join(" "),
            Self::Shell(line) => line.clone(),
        }
    }
}

/// Where a service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// On this port, always.
    Fixed(u16),
    /// On the port that it is given in `$PORT`.
    Assigned,
}

/// What `reelworld.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// What to run once before the start.
    pub build: Option<CommandLine>,
    /// What to run.
    pub start: CommandLine,
    /// The container file of the image that the service runs from, where it does; then build and start are ours.
    pub container: Option<String>,
    /// Where it listens.
    pub port: Port,
    /// The path that is asked until it answers with a valid list.
    pub ready: String,
    /// What to add to the environment.
    pub env: BTreeMap<String, String>,
    /// What to run to bring a new model into the running service.
    pub update: Option<CommandLine>,
    /// The path by which the company tells the service that a movie is withdrawn, with `{movie}` in the movie's place.
    pub takedown: Option<String>,
    /// What to run to test the repository.
    pub tests: Option<CommandLine>,
    /// Where the tests write their report of coverage; none where tools do by themselves.
    pub coverage: Option<String>,
    /// What to run to evaluate the model offline.
    pub evaluation: Option<EvaluationSpec>,
    /// Where the service tells of itself.
    pub observe: ObserveSpec,
}

/// What `[evaluation]` says: how the model is evaluated offline, and where that leaves its split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationSpec {
    /// What to run.
    pub run: CommandLine,
    /// The file of the events that the model learns from.
    pub train: String,
    /// The file of the events that it is tested on.
    pub test: String,
}

/// What `[observability]` says: where a service tells of itself. All of it is optional.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObserveSpec {
    /// The path of the metrics.
    pub metrics: Option<String>,
    /// The counter of requests, as a selector.
    pub requests: Option<String>,
    /// The histogram of latency in seconds, as a selector.
    pub latency: Option<String>,
    /// The service's own alert, as a selector on the page of metrics: it rises when something is wrong.
    pub alerts: Option<String>,
    /// The path that names the versions behind a user's list, with `{user}` in the user's place.
    pub provenance: Option<String>,
    /// The path that names a user's arm of the experiment, with `{user}` in the user's place.
    pub experiment: Option<String>,
    /// The announced share of each arm.
    pub arms: BTreeMap<String, f64>,
}

impl ObserveSpec {
    /// Returns a path with a user in the place of `{user}`.
    pub fn path_for(path: &str, user: u32) -> String {
        path.replace(USER, &user.to_string())
    }

    /// Returns a path with a movie in the place of `{movie}`; ids hold nothing that a path could not.
    pub fn path_for_movie(path: &str, movie: &str) -> String {
        path.replace(MOVIE, movie)
    }
}

/// The largest file: a command of it, with its environment, goes into a sandbox as one message.
pub(super) const MOST_BYTES: usize = 24 << 10;
/// The path that is asked until it answers with a valid list, where nothing else is said.
const READY: &str = "/recommend/1";
/// Where a path names the user.
const USER: &str = "{user}";
/// Where a path names the movie.
const MOVIE: &str = "{movie}";

/// How a command begins that builds a submission's image, and one that runs it.
pub(super) const CONTAINER_BUILD: [&str; 2] = ["container", "build"];
pub(super) const CONTAINER_RUN: [&str; 2] = ["container", "run"];

impl ServiceSpec {
    /// Returns how a service is built and started whose repository has a container file and says nothing else.
    pub fn in_container(file: &str) -> Self {
        let command = |words: [&str; 2], more: &[&str]| {
            CommandLine::Words(words.iter().chain(more).map(|word| (*word).to_owned()).collect())
        };
        Self {
            build: Some(command(CONTAINER_BUILD, &["--file", file])),
            start: command(CONTAINER_RUN, &[]),
            container: Some(file.to_owned()),
            port: Port::Assigned,
            ready: READY.to_owned(),
            env: BTreeMap::new(),
            update: None,
            takedown: None,
            tests: None,
            coverage: None,
            evaluation: None,
            observe: ObserveSpec::default(),
        }
    }

    /// Reads a `reelworld.toml`.
    ///
    /// # Errors
    /// All faults of the file at once, with their places.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        if text.len() > MOST_BYTES {
            let hint = "put long commands into a script of the repository, and name that".to_owned();
            root.fault_at(
                "service",
                format!("the file is larger than {} KiB", MOST_BYTES >> 10),
                Some(hint),
            );
        }
        root.require("service");
        let observe = root
            .table("observability")
            .map_or_else(ObserveSpec::default, |section| {
                let observe = read_observe(&section);
                section.finish();
                observe
            });
        let (tests, coverage) = root.table("tests").map_or((None, None), |section| {
            section.require("run");
            let found = (command(&section, "run"), inside(&section, "coverage"));
            section.finish();
            found
        });
        let evaluation = root.table("evaluation").and_then(|section| {
            let evaluation = read_evaluation(&section);
            section.finish();
            evaluation
        });
        let spec = root.table("service").and_then(|service| {
            let spec = read(&service);
            service.finish();
            spec
        });
        root.finish();
        document.finish()?;
        let spec = spec.ok_or_else(|| Faults(Vec::new()))?;
        Ok(Self {
            tests,
            coverage,
            evaluation,
            observe,
            ..spec
        })
    }
}

fn read(service: &Section<'_>) -> Option<ServiceSpec> {
    let container = inside(service, "container");
    if service.has("container") {
        for key in ["build", "start"] {
            if service.has(key) {
                let hint = format!("the image of `container` says what is run; take `{key}` away");
                service.fault_at(
                    key,
                    format!("`{key}` and `container` exclude each other"),
                    Some(hint),
                );
            }
        }
    } else {
        service.require("start");
    }
    let image = container.as_deref().map(ServiceSpec::in_container);
    let (build, start) = match image {
        Some(image) => (image.build, Some(image.start)),
        None => (command(service, "build"), command(service, "start")),
    };
    let port = service
        .integer_in("port", 1..=65_535)
        .map_or(Port::Assigned, |port| Port::Fixed(port as u16));
    let ready = service.text("ready").unwrap_or_else(|| READY.to_owned());
    if !ready.starts_with("/recommend/") {
        let hint =
            "probing the real route is what tells a service that is healthy from one that only says so"
                .to_owned();
        service.fault_at("ready", "`ready` must begin with `/recommend/`", Some(hint));
    }
    let env = service.text_map("env");
    Some(ServiceSpec {
        build,
        start: start?,
        container,
        port,
        ready,
        env,
        update: command(service, "update"),
        takedown: path_naming(service, "takedown", MOVIE),
        tests: None,
        coverage: None,
        evaluation: None,
        observe: ObserveSpec::default(),
    })
}

fn read_evaluation(section: &Section<'_>) -> Option<EvaluationSpec> {
    for key in ["run", "train", "test"] {
        section.require(key);
    }
    let run = command(section, "run");
    let (train, test) = (inside(section, "train"), inside(section, "test"));
    Some(EvaluationSpec {
        run: run?,
        train: train?,
        test: test?,
    })
}

/// Reads the path of a file in the repository.
fn inside(section: &Section<'_>, key: &str) -> Option<String> {
    let path = section.text(key)?;
    let plain = |part: &str| !part.is_empty() && part != "..";
    if path.split('/').all(plain) {
        return Some(path);
    }
    section.fault_at(
        key,
        format!("`{key}` must be the path of a file in the repository"),
        None,
    );
    None
}

/// Reads a path of the service.
fn path(section: &Section<'_>, key: &str) -> Option<String> {
    let path = section.text(key)?;
    if path.starts_with('/') {
        return Some(path);
    }
    section.fault_at(key, format!("`{key}` must be a path that begins with `/`"), None);
    None
}

/// Reads a path that names a user or a movie.
fn path_naming(section: &Section<'_>, key: &str, what: &str) -> Option<String> {
    let path = path(section, key)?;
    if path.contains(what) {
        return Some(path);
    }
    let noun = what.trim_matches(['{', '}']);
    let hint = format!("write `{what}` where the {noun} stands: \"/{key}/{what}\"");
    section.fault_at(key, format!("`{key}` names no {noun}"), Some(hint));
    None
}

fn read_observe(section: &Section<'_>) -> ObserveSpec {
    let mut arms = BTreeMap::new();
    if let Some(table) = section.table("arms") {
        for arm in table.keys() {
            if let Some(share) = table.number_in(&arm, 0.0..=1.0) {
                arms.insert(arm, share);
            }
        }
        table.finish();
        if arms.values().filter(|share| **share > 0.0).count() < 2 {
            section.fault_at("arms", "an experiment has two arms or more", None);
        }
        let sum: f64 = arms.values().sum();
        if (sum - 1.0).abs() > 0.001 {
            section.fault_at(
                "arms",
                format!("the shares of `arms` sum to {sum}, not to 1"),
                None,
            );
        }
    }
    ObserveSpec {
        metrics: path(section, "metrics"),
        requests: section.text("requests"),
        latency: section.text("latency"),
        alerts: section.text("alerts"),
        provenance: path_naming(section, "provenance", USER),
        experiment: path_naming(section, "experiment", USER),
        arms,
    }
}

fn command(service: &Section<'_>, key: &str) -> Option<CommandLine> {
    if !service.has(key) {
        return None;
    }
    if service.is_text(key) {
        return service.text(key).map(CommandLine::Shell);
    }
    let words = service.texts(key);
    if words.is_empty() {
        service.fault_at(key, format!("`{key}` is an empty command"), None);
        return None;
    }
    Some(CommandLine::Words(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_reads() {
        let text = "[service]\nbuild = ['make']\nstart = 'python3 app.py'\nport = 8082\nready = '/recommend/7'\nenv = { A = 'b' }\n";
        let spec = ServiceSpec::parse(FILE, text).unwrap();
        assert_eq!(spec.build, Some(CommandLine::Words(vec!["make".to_owned()])));
        assert_eq!(spec.start.words(), ["sh", "-c", "python3 app.py"]);
        assert_eq!(
            (spec.port, spec.ready.as_str()),
            (Port::Fixed(8082), "/recommend/7")
        );
        assert_eq!(spec.env["A"], "b");
    }

    #[test]
    fn a_container_file_stands_for_build_and_start() {
        let text = "[service]\ncontainer = 'deploy/Dockerfile'\nenv = { A = 'b' }\n";
        let spec = ServiceSpec::parse(FILE, text).unwrap();
        let alone = ServiceSpec::in_container("deploy/Dockerfile");
        assert_eq!((&spec.build, &spec.start), (&alone.build, &alone.start));
        assert_eq!(alone.start.display(), "container run");
        assert_eq!(spec.env["A"], "b");
        for (text, said) in [
            ("container = 'Dockerfile'\nstart = 'a'", "exclude each other"),
            ("container = '../Dockerfile'", "must be the path of a file"),
            ("container = '/etc/passwd'", "must be the path of a file"),
        ] {
            let faults = ServiceSpec::parse(FILE, &format!("[service]\n{text}\n")).unwrap_err();
            assert!(faults.to_string().contains(said), "{text}: {faults}");
        }
    }

    #[test]
    fn what_a_service_tells_of_itself_is_read() {
        let text = "[service]\nstart = 'a'\nupdate = ['b']\n[tests]\nrun = ['c']\n[observability]\nmetrics = '/metrics'\n\
                    requests = 'n_total{route=\"r\"}'\nprovenance = '/v/{user}'\narms = { A = 0.9, B = 0.1 }\n";
        let spec = ServiceSpec::parse(FILE, text).unwrap();
        assert_eq!(spec.update, Some(CommandLine::Words(vec!["b".to_owned()])));
        assert_eq!(spec.tests, Some(CommandLine::Words(vec!["c".to_owned()])));
        assert_eq!(spec.observe.requests.as_deref(), Some("n_total{route=\"r\"}"));
        assert_eq!(
            ObserveSpec::path_for(spec.observe.provenance.as_deref().unwrap(), 7),
            "/v/7"
        );
        assert_eq!(spec.observe.arms["B"], 0.1);

        let text = "[service]\nstart = 'a'\n[tests]\nrun = 'b'\ncoverage = 'out/c.xml'\n[evaluation]\nrun = ['c']\ntrain = 'a.csv'\ntest = 'b.csv'\n";
        let spec = ServiceSpec::parse(FILE, text).unwrap();
        assert_eq!(spec.coverage.as_deref(), Some("out/c.xml"));
        assert_eq!(spec.evaluation.unwrap().test, "b.csv");
        let text = "[service]\nstart = 'a'\n[evaluation]\nrun = ['c']\ntrain = '../a.csv'\n";
        let faults = ServiceSpec::parse(FILE, text).unwrap_err().to_string();
        assert!(faults.contains("`test` is missing"), "{faults}");
        assert!(
            faults.contains("`train` must be the path of a file in the repository"),
            "{faults}"
        );

        let text = "[service]\nstart = 'a'\ntakedown = '/gone/{movie}'\n[observability]\nmetrics = '/m'\nalerts = 'alerts_firing'\n";
        let spec = ServiceSpec::parse(FILE, text).unwrap();
        assert_eq!(spec.observe.alerts.as_deref(), Some("alerts_firing"));
        assert_eq!(
            ObserveSpec::path_for_movie(spec.takedown.as_deref().unwrap(), "jaws+1975"),
            "/gone/jaws+1975"
        );

        let text = "[service]\nstart = 'a'\n[tests]\n[observability]\nmetrics = 'metrics'\nprovenance = '/v'\narms = { A = 0.9 }\n";
        let faults = ServiceSpec::parse(FILE, text).unwrap_err().to_string();
        for part in [
            "`run` is missing",
            "reelworld.toml:5:11: `metrics` must be a path",
            "reelworld.toml:6:14: `provenance` names no user",
            "an experiment has two arms or more",
            "`arms` sum to 0.9",
        ] {
            assert!(faults.contains(part), "{faults}");
        }
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let spec = ServiceSpec::parse(FILE, "[service]\nstart = ['./run']\n").unwrap();
        assert_eq!(
            (spec.build, spec.port, spec.ready.as_str()),
            (None, Port::Assigned, "/recommend/1")
        );
    }

    #[test]
    fn faults_are_told_with_their_places() {
        let text = "[service]\nstrat = ['./run']\nport = 70000\nready = '/health'\n";
        let faults = ServiceSpec::parse(FILE, text).unwrap_err().to_string();
        for part in [
            "reelworld.toml:2:1: unknown key `strat`\n  hint: did you mean `start`?",
            "`start` is missing",
            "reelworld.toml:3:8: `port` is 70000",
            "reelworld.toml:4:9: `ready` must begin with `/recommend/`",
        ] {
            assert!(faults.contains(part), "{faults}");
        }
        assert!(
            ServiceSpec::parse(FILE, "")
                .unwrap_err()
                .to_string()
                .contains("`service` is missing")
        );
    }
}
