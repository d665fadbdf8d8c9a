//! Containers: what of this machine runs a submission that comes with a container file, and how far it is trusted to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::bounds::Bounds;
use super::isolate::{IsolationFacts, Outlet, Sandbox, look_up, told};
use super::isolation::{Plan, is_root, walls};
use super::launch::BuildEnd;
use super::leash::Exit;
use crate::clock::Clock;

/// Where the control groups of the second kind are on a machine that has both; the usual runtime refuses such a machine.
const HYBRID: &str = "/sys/fs/cgroup/unified";
/// Where runtimes are, also for whoever's path does not have it.
const SYSTEM: &str = "/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin";

/// The code with which Podman ends that could not do what it was asked for, whoever is at fault.
const PODMANS_OWN: i32 = 125;
/// How Podman's last line begins where the container file or what it copies is at fault, as Podman 4 and 5 have it. Podman has one code
/// for these and for its own faults, so that they can be told apart by its words alone.
const OF_THE_FILE: [&str; 8] = [
    "building at STEP ",
    "building: no stages to build",
    "no FROM statement found",
    "determining starting point for build: ",
    "creating build container: invalid reference format",
    "dockerfile parse error",
    "no contents in ",
    "stat ",
];
/// How it ends where an image is not on this machine.
const NOT_HERE: [&str; 3] = [
    ": image not known",
    ": no stage or image found with that name",
    ": no such image",
];
/// The most images that are named where one is missing.
const MOST_IMAGES: usize = 20;

/// Whose fault it is that an image was not built, where it is not that of a step of the container file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unbuilt {
    /// It stands on an image that this machine does not have, and these it has.
    NotHere {
        /// What Podman said of it.
        said: String,
        /// The images that can be stood on.
        there: Vec<String>,
    },
    /// Podman itself has failed, and what it said.
    Tool(String),
}

/// Podman as this machine has it.
#[derive(Debug, Clone)]
pub struct Containers {
    program: PathBuf,
    /// Podman and the options that every call of it has.
    tool: Vec<String>,
    facts: IsolationFacts,
}

impl Containers {
    /// Finds out whether this machine runs containers with bounds.
    ///
    /// # Errors
    /// Why it does not, and what would help.
    pub fn find(program: &Path, path: &str) -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err(format!("{} runs no containers by itself", std::env::consts::OS));
        }
        let podman = look_up("podman", path)
            .ok_or("`podman` is not installed: apt install podman runc (a Docker daemon is not used)")?;
        if !is_root() {
            return Err(
                "containers are run by root: an ordinary user's cannot be bounded everywhere".to_owned(),
            );
        }
        let mut tool = vec![
            podman.display().to_string(),
            "--cgroup-manager=cgroupfs".to_owned(),
            "--log-level=error".to_owned(),
        ];
        if Path::new(HYBRID).is_dir() {
            let runc = look_up("runc", SYSTEM).ok_or(
                "this machine has control groups of both kinds, which podman's usual runtime refuses: apt install runc",
            )?;
            tool.push(format!("--runtime={}", runc.display()));
        }
        let ask = [
            "info",
            "--format={{.Version.Version}} with {{.Host.OCIRuntime.Name}}",
        ];
        let found = told(Command::new(&tool[0]).args(&tool[1..]).args(ask))
            .ok_or_else(|| format!("`{} info` fails: see what it says", tool.join(" ")))?;
        let facts = IsolationFacts {
            how: format!("container: podman {found}"),
            details: vec![
                "own files (read-only), processes and network; only the harness reaches its ports".to_owned(),
                "no capabilities, no new privileges, no socket of podman, podman's filter of system calls"
                    .to_owned(),
                "images of this machine alone, nothing is fetched".to_owned(),
            ],
            weak: Vec::new(),
        };
        Ok(Self {
            program: program.to_owned(),
            tool,
            facts,
        })
    }

    /// Returns what is isolated and how.
    pub fn facts(&self) -> &IsolationFacts {
        &self.facts
    }

    /// Makes an environment for the outside into one for a container: where the data is.
    pub fn adapt(&self, env: &mut BTreeMap<String, String>) {
        env.retain(|name, _| !name.starts_with("PIP_"));
        if env.contains_key("REELWORLD_DATA") {
            env.insert("REELWORLD_DATA".to_owned(), walls::DATA.to_owned());
        }
    }

    /// Returns a sandbox whose commands run in containers of a submission's image; it begins with the first of them.
    pub fn sandbox(
        &self,
        dir: &Path,
        data: Option<&Path>,
        bounds: Bounds,
        outlets: Vec<Outlet>,
        clock: Clock,
    ) -> Arc<Sandbox> {
        let plan = Plan {
            program: self.program.clone(),
            bwrap: PathBuf::new(),
            bounds,
            binds: data
                .map(|data| (data.to_owned(), walls::DATA.to_owned()))
                .into_iter()
                .collect(),
            container: Some(self.tool.clone()),
        };
        // An image is built with no network at all.
        Sandbox::of(plan, (dir, outlets), None, clock, self.facts.clone())
    }
}

/// Tells whose fault it is that an image was not built, by the last line that Podman has printed: its own comes after all that the
/// steps have. None where a step has failed, or the file is none.
pub(super) fn unbuilt(tool: &[String], end: &BuildEnd, lines: &[String]) -> Option<Unbuilt> {
    if !matches!(end, BuildEnd::Failed(Exit::Failure(PODMANS_OWN))) {
        return None;
    }
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    let said = last.map_or("it said nothing", |line| line.trim());
    let what = said.strip_prefix("Error: ").unwrap_or(said);
    if NOT_HERE.iter().any(|end| what.ends_with(end)) {
        return Some(Unbuilt::NotHere {
            said: what.to_owned(),
            there: images(tool),
        });
    }
    let of_the_file = OF_THE_FILE.iter().any(|begin| what.starts_with(begin));
    (!of_the_file).then(|| Unbuilt::Tool(what.to_owned()))
}

/// Returns the names of the images that this machine has.
fn images(tool: &[String]) -> Vec<String> {
    let ask = ["images", "--format={{.Repository}}:{{.Tag}}"];
    let said = tool
        .split_first()
        .and_then(|(program, options)| told(Command::new(program).args(options).args(ask)));
    let mut names: Vec<String> = said
        .iter()
        .flat_map(|said| said.lines())
        .filter(|name| !name.contains("<none>"))
        .map(|name| name.trim_start_matches("docker.io/library/").to_owned())
        .collect();
    names.sort();
    names.dedup();
    names.truncate(MOST_IMAGES);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_own_faults_are_told_from_those_of_the_file_and_from_missing_images() {
        let end = |code| BuildEnd::Failed(Exit::Failure(code));
        let of = |code, line: &str| {
            unbuilt(
                &[],
                &end(code),
                &["STEP 1/2: FROM base".to_owned(), line.to_owned(), String::new()],
            )
        };
        for line in [
            "Error: building at STEP \"RUN exit 125\": while running runtime: exit status 125",
            "Error: building at STEP \"COPY missing /x\": checking on sources under \"/tmp/ctx\": copier: stat: \"/missing\": no such file or directory",
            "Error: no FROM statement found",
            "Error: building: no stages to build",
            "Error: determining starting point for build: no FROM statement found",
            "Error: creating build container: invalid reference format",
            "Error: stat /tmp/ctx/Dockerfile: no such file or directory",
        ] {
            assert_eq!(of(125, line), None, "{line}");
        }
        for line in [
            "Error: creating build container: python:3.99: image not known",
            "Error: COPY --from=other:1: no stage or image found with that name",
        ] {
            assert!(matches!(of(125, line), Some(Unbuilt::NotHere { .. })), "{line}");
        }
        for line in [
            "Error: creating runtime static files directory: mkdir /run/x: not a directory",
            "Error: overlay: can't stat imageStore dir /nowhere/x: stat /nowhere/x: no such file or directory",
            "Error: no valid executable found for OCI runtime /nonexistent: invalid argument",
        ] {
            assert!(
                matches!(of(125, line), Some(Unbuilt::Tool(said)) if line.ends_with(&said)),
                "{line}"
            );
            assert_eq!(
                of(3, line),
                None,
                "a step that prints this ends with its own code"
            );
        }
        assert_eq!(
            unbuilt(&[], &end(125), &[]),
            Some(Unbuilt::Tool("it said nothing".to_owned()))
        );
    }
}
