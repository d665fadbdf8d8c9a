//! What a container file says of the image that comes of it, read without building anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The largest container file that is read.
pub(super) const FILE_BYTES: u64 = 256 << 10;
/// The names that a container file has at the top, the usual one first.
const NAMES: &[&str] = &["Dockerfile", "Containerfile"];
/// What a line of a container file may begin with.
const INSTRUCTIONS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a container file says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// The file.
    pub path: String,
    /// Images that it stands on and that are other ones tomorrow: without a version, or `latest`.
    pub loose: Vec<String>,
    /// Who the service runs as, if the file says so.
    pub user: Option<String>,
    /// The ports that it names.
    pub ports: Vec<u16>,
    /// Whether it says what is started.
    pub starts: bool,
    /// The port on which the contract has the service.
    pub port: u16,
    /// What keeps it from being a container file: line and fault.
    pub faults: Vec<String>,
}

impl ContainerFacts {
    /// Returns what keeps the image from being one that can be run elsewhere, by somebody else, in a year; nothing if all is well.
    pub fn lacks(&self) -> Vec<String> {
        let mut all = self.faults.clone();
        all.extend(
            self.loose
                .iter()
                .map(|image| format!("`{image}` has no fixed version")),
        );
        match &self.user {
            None => all.push("nothing says who the service runs as, so it is root".to_owned()),
            Some(user) if is_root(user) => all.push(format!("the service runs as `{user}`")),
            Some(_) => {}
        }
        if !self.ports.contains(&self.port) {
            all.push(format!("port {} is not exposed", self.port));
        }
        if !self.starts {
            all.push("neither CMD nor ENTRYPOINT says what is started".to_owned());
        }
        all
    }
}

fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default();
    ["root", "0"].contains(&name)
}

/// Returns the container file at the top of a folder, if there is one.
pub fn container_file(dir: &Path) -> Option<&'static str> {
    let plain = |name: &&&str| std::fs::symlink_metadata(dir.join(name)).is_ok_and(|about| about.is_file());
    NAMES.iter().find(plain).copied()
}

/// Chooses the repository's container file: the one at the top, or the one that lies least deep.
pub(super) fn choose<'a>(paths: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let rank = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let place = NAMES.iter().position(|known| *known == name)?;
        Some((path.matches('/').count(), place))
    };
    paths
        .filter_map(|path| Some((rank(path)?, path)))
        .min()
        .map(|(_, path)| path)
}

/// What is said of one stage, with what it has from the stage that it stands on.
#[derive(Debug, Clone, Default)]
struct Stage {
    user: Option<String>,
    ports: Vec<u16>,
    starts: bool,
}

/// Reads a container file.
pub(super) fn read(path: &str, text: &str, port: u16) -> ContainerFacts {
    let mut facts = ContainerFacts {
        path: path.to_owned(),
        port,
        ..ContainerFacts::default()
    };
    let mut stages: BTreeMap<String, Stage> = BTreeMap::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut loose = BTreeSet::new();
    let mut stage: Option<(String, Stage)> = None;
    for (number, line) in lines(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let word = word.to_ascii_uppercase();
        let rest = rest.trim();
        if !INSTRUCTIONS.contains(&word.as_str()) {
            let word: String = word.chars().take(20).collect();
            facts
                .faults
                .push(format!("line {number}: `{word}` is no instruction"));
            continue;
        }
        if word == "FROM" {
            if let Some((name, done)) = stage.take() {
                stages.insert(name, done);
            }
            let named: Vec<String> = rest
                .split_whitespace()
                .filter(|word| !word.starts_with("--"))
                .map(|word| substituted(word, &values))
                .collect();
            let Some(image) = named.first().filter(|image| !image.is_empty()) else {
                facts.faults.push(format!("line {number}: FROM names no image"));
                continue;
            };
            let begun = stages.get(&image.to_lowercase()).cloned().unwrap_or_else(|| {
                if !is_fixed(image) {
                    loose.insert(image.clone());
                }
                Stage {
                    // The makers of such images say so by the tag.
                    user: image.contains("nonroot").then(|| "nonroot".to_owned()),
                    ..Stage::default()
                }
            });
            let name = named
                .get(2)
                .map_or_else(|| stages.len().to_string(), |name| name.to_lowercase());
            stage = Some((name, begun));
            continue;
        }
        if word == "ARG" || word == "ENV" {
            settings(rest, word == "ENV", &mut values);
        }
        let Some((_, stage)) = &mut stage else {
            if word != "ARG" {
                facts
                    .faults
                    .push(format!("line {number}: {word} stands before any FROM"));
            }
            continue;
        };
        match word.as_str() {
            "USER" => stage.user = Some(substituted(rest, &values)),
            "EXPOSE" => {
                let ports = rest.split_whitespace().map(|port| substituted(port, &values));
                stage
                    .ports
                    .extend(ports.filter_map(|port| port.split('/').next()?.parse::<u16>().ok()));
            }
            "CMD" | "ENTRYPOINT" => stage.starts = !rest.is_empty() && rest != "[]",
            _ => {}
        }
    }
    facts.loose = loose.into_iter().collect();
    match stage {
        Some((_, last)) => {
            facts.user = last.user;
            facts.ports = last.ports;
            facts.starts = last.starts;
        }
        None => facts.faults.push("there is no FROM".to_owned()),
    }
    facts
}

/// Puts lines together that a backslash parts, and leaves out comments and what stands in a here-document.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut until: Vec<String> = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(end) = until.first() {
            if trimmed == end {
                until.remove(0);
            }
            continue;
        }
        if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        let (part, goes_on) = match trimmed.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (trimmed, false),
        };
        let (_, whole) = open.get_or_insert_with(|| (place + 1, String::new()));
        whole.push_str(part);
        whole.push(' ');
        if !goes_on && let Some((number, whole)) = open.take() {
            let instruction = whole
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            if ["RUN", "COPY", "ADD"].contains(&instruction.as_str()) {
                until = documents(&whole);
            }
            all.push((number, whole.trim().to_owned()));
        }
    }
    if let Some((number, whole)) = open {
        all.push((number, whole.trim().to_owned()));
    }
    all
}

/// Returns the words that end the here-documents that a line begins.
fn documents(line: &str) -> Vec<String> {
    line.split_whitespace()
        .filter_map(|word| word.strip_prefix("<<"))
        .map(|word| word.trim_start_matches('-').trim_matches(['"', '\'']).to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Notes `NAME=value` of ARG and ENV; an argument without a value has none.
fn settings(rest: &str, old_form: bool, values: &mut BTreeMap<String, String>) {
    let mut words = rest.split_whitespace();
    if old_form
        && let Some((name, value)) = rest.split_once(char::is_whitespace)
        && !name.contains('=')
    {
        values.insert(name.to_owned(), value.trim().to_owned());
        return;
    }
    while let Some((name, value)) = words.next().and_then(|word| word.split_once('=')) {
        let value = substituted(value.trim_matches(['"', '\'']), values);
        values.insert(name.to_owned(), value);
    }
}

/// Puts values in the place of `$NAME`, `${NAME}` and `${NAME:-value}`; what has none is left out.
fn substituted(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        let (name, usual, tail) = if let Some(inner) = after.strip_prefix('{') {
            let (inner, tail) = inner.split_once('}').unwrap_or((inner, ""));
            let (name, usual) = inner.split_once(":-").unwrap_or((inner, ""));
            (name, usual, tail)
        } else {
            let end = after.find(|sign| !is_name(sign)).unwrap_or(after.len());
            (&after[..end], "", &after[end..])
        };
        out.push_str(values.get(name).map_or(usual, String::as_str));
        rest = tail;
    }
    out + rest
}

/// Whether an image is the same one tomorrow, as far as its name says: a digest, or a version that is not `latest`.
fn is_fixed(image: &str) -> bool {
    if image == "scratch" || image.contains("@sha256:") {
        return true;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':')
        .is_some_and(|(_, version)| !version.is_empty() && version != "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 8082;

    #[test]
    fn files_that_are_sound() {
        for text in [
            "FROM python:3.12-slim\nCOPY . .\nRUN pip install -r r.txt \\\n  # why\n  && python train.py\nEXPOSE 8082\nUSER nobody\nCMD [\"python\", \"s.py\"]\n",
            "# syntax=docker/dockerfile:1\nARG VERSION=3.12\nFROM python:${VERSION} AS build\nRUN x\nFROM python:$VERSION\nENV PORT 8082\nCOPY --from=build a b\nexpose ${PORT}/tcp\nuser 1000:1000\nentrypoint [\"x\"]\n",
            "FROM --platform=linux/amd64 registry.local:5000/x/y:1.2 as base\nUSER app\nEXPOSE 8080 8082\nFROM base\nCMD x\n",
            "FROM gcr.io/distroless/python3:nonroot\nEXPOSE 8082\nCMD [\"x\"]\n",
            "FROM x@sha256:00\nUSER a\nEXPOSE 8082\nRUN <<EOF\nwhatever stands here\nFROM nothing\nEOF\nCMD x\n",
        ] {
            let found = read("Dockerfile", text, PORT);
            assert_eq!(found.lacks(), Vec::<String>::new(), "{text}\n{found:?}");
        }
    }

    #[test]
    fn each_lack_is_told() {
        let good = "FROM python:3.12\nUSER nobody\nEXPOSE 8082\nCMD x\n";
        for (from, to, wanted) in [
            ("python:3.12", "python", "`python` has no fixed version"),
            (
                "python:3.12",
                "localhost:5000/python:latest",
                "has no fixed version",
            ),
            ("python:3.12", "python:${V}", "has no fixed version"),
            ("USER nobody\n", "", "it is root"),
            ("nobody", "root", "runs as `root`"),
            ("nobody", "0:0", "runs as `0:0`"),
            ("8082", "5000", "port 8082 is not exposed"),
            ("CMD x\n", "", "neither CMD nor ENTRYPOINT"),
            ("EXPOSE", "EXPOSED", "line 3: `EXPOSED` is no instruction"),
            ("FROM python:3.12\n", "", "there is no FROM"),
            ("USER", "FROM y:1\nFROM", "it is root"),
        ] {
            let lacks = read("Dockerfile", &good.replacen(from, to, 1), PORT).lacks();
            assert!(lacks.iter().any(|lack| lack.contains(wanted)), "{to}: {lacks:?}");
        }
    }

    #[test]
    fn the_file_that_lies_least_deep_is_chosen() {
        let choose = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            choose(paths.iter()).cloned()
        };
        assert_eq!(
            choose(&["a/Dockerfile", "Containerfile", "Dockerfile"]).as_deref(),
            Some("Dockerfile")
        );
        assert_eq!(
            choose(&["x/y/Dockerfile", "z/Dockerfile"]).as_deref(),
            Some("z/Dockerfile")
        );
        assert_eq!(choose(&["Dockerfile.md", "src/a.py"]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read(text in "((FROM|ARG|ENV|USER|EXPOSE|RUN|CMD|<<E|E|as|a)?[ \\n$\\{\\}:=\\\\\\-/]){0,60}") {
            read("Dockerfile", &text, PORT);
        }
    }
}
