//! The viewers' requests: a schedule decided before anything is sent, and the driver that keeps to it.

mod asker;
mod driver;
mod schedule;
mod target;
mod timer;

pub use asker::{Asker, Came, Question, What};
pub use driver::{DriveOptions, DriveReport, MAX_BODY, ask_once, drive, fetch};
pub use schedule::{Burst, Population, Workload, incident_schedule, odd_id, phases, schedule};
pub use target::{Sockets, Target, resolve};
