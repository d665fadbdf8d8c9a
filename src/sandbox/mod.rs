//! Somebody else's program, in a sandbox or on a leash: built, started, watched, and ended with all its children.
//!
//! A program on the leash runs as the current user: that is for one's own code. What the leash gives is a clean environment, bounded
//! waiting, bounded output, and an end for the whole process tree. A program in a sandbox sees nothing of this machine beside its own
//! files, an interpreter and the company's data, and all that it uses is bounded.

mod bounds;
mod container;
mod isolate;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod isolation;
#[cfg(target_os = "linux")]
mod isolation;
mod launch;
mod leash;
mod output;
mod packages;
mod probe;
mod spec;

pub use bounds::Bounds;
pub use container::{Containers, Unbuilt};
pub use isolate::{
    Fence, Isolation, IsolationFacts, Lost, NEWER_DATA, Outlet, Refusal, Sandbox, Serve, Surroundings,
    reopen, shut,
};
pub use isolation::{run_container, run_inside, run_keeper};
pub use launch::{
    BuildEnd, Limits, Probe, Running, Start, StartFailure, Workplace, build, build_with_mirror, free_port,
    start,
};
pub use leash::{Exit, Leash, run_leash};
pub use packages::{Maker, Packages, Prepared};
pub use probe::{Promise, promises};
pub use spec::{CommandLine, EvaluationSpec, FILE as SERVICE_FILE, ObserveSpec, Port, ServiceSpec};
