//! How lifelike a log is: the statistics of a real one, and whether algorithms rank on it as they do in reality.

mod built_in;
mod compare;
mod dataset;
mod evaluate;
mod graded;
mod import;
mod linear;
mod rankers;
mod sample;
mod split;
mod standing;
mod statistics;

pub use built_in::{built_in_dataset, log_dataset};
pub use compare::{Comparison, Row, Verdict, compare};
pub use dataset::{Dataset, Meeting, MovieRow, UserRow};
pub use evaluate::{Evaluated, K, RatingErrors, evaluate, kendall_tau, ladder, rating_errors};
pub use graded::{Asked, graded};
pub use import::{
    BadImport, Imported, LineFault, LogFormat, MAX_FAULTS, Skipped, SkippedLines, Written, import,
    write_folder,
};
pub use rankers::{Algorithm, Ranker, StarModel, fit_star_model};
pub use sample::{REFERENCE_SIZE, Size, TooSmall, sample};
pub use split::{Protocol, Split};
pub use standing::{Shift, Standing, standings};
pub use statistics::{Figure, statistics};
