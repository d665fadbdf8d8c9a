//! Twin companies: the same viewers with the same luck, under one service or another or none, and what the service has done.
//!
//! Nobody could read these figures from a log: they compare what happened with what would have happened.

mod figures;
mod play;

pub use figures::{Figure, Measure, Truth, compare};
pub use play::{Life, STAND_INS, Service, TwinSpec, play, play_all};
