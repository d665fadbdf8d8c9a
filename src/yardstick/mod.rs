//! How lifelike a log is: the statistics of a real one, and whether algorithms rank on it as they do in reality.

mod dataset;

pub use dataset::{Dataset, Meeting, MovieRow, UserRow};
