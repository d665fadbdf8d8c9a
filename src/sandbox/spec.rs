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

/// What `[service]` in `reelworld.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// What to run once before the start.
    pub build: Option<CommandLine>,
    /// What to run.
    pub start: CommandLine,
    /// Where it listens.
    pub port: Port,
    /// The path that is asked until it answers with a valid list.
    pub ready: String,
    /// What to add to the environment.
    pub env: BTreeMap<String, String>,
}

impl ServiceSpec {
    /// Reads a `reelworld.toml`.
    ///
    /// # Errors
    /// All faults of the file at once, with their places.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        root.require("service");
        let spec = root.table("service").and_then(|service| {
            let spec = read(&service);
            service.finish();
            spec
        });
        root.finish();
        document.finish()?;
        spec.ok_or_else(|| Faults(Vec::new()))
    }
}

fn read(service: &Section<'_>) -> Option<ServiceSpec> {
    let build = command(service, "build");
    service.require("start");
    let start = command(service, "start");
    let port = service
        .integer_in("port", 1..=65_535)
        .map_or(Port::Assigned, |port| Port::Fixed(port as u16));
    let ready = service.text("ready").unwrap_or_else(|| "/recommend/1".to_owned());
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
        port,
        ready,
        env,
    })
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
