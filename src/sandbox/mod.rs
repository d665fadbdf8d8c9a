//! Somebody else's program on a leash: built, started, watched, and ended with all its children.
//!
//! There is no isolation here yet: a program on the leash runs as the current user. What the leash gives is a clean
//! environment, bounded waiting, bounded output, and an end for the whole process tree.

mod launch;
mod leash;
mod output;
mod spec;

pub use launch::{BuildEnd, Limits, Probe, Running, Start, StartFailure, Workplace, build, free_port, start};
pub use leash::{Exit, Leash, run_leash};
pub use spec::{CommandLine, FILE as SERVICE_FILE, ObserveSpec, Port, ServiceSpec};
