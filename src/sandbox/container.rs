//! Containers: what of this machine runs a submission that comes with a container file, and how far it is trusted to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::bounds::Bounds;
use super::isolate::{IsolationFacts, Outlet, Sandbox, look_up, told};
use super::isolation::{Plan, is_root, walls};
use crate::clock::Clock;

/// Where the control groups of the second kind are on a machine that has both; the usual runtime refuses such a machine.
const HYBRID: &str = "/sys/fs/cgroup/unified";
/// Where runtimes are, also for whoever's path does not have it.
const SYSTEM: &str = "/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin";

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
