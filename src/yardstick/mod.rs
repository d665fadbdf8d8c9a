//! How lifelike a log is: the statistics of a real one, and whether algorithms rank on it as they do in reality.

mod built_in;
mod dataset;
mod evaluate;
mod import;
mod moments;
mod rankers;
mod split;

pub use built_in::built_in_dataset;
pub use dataset::{Dataset, Meeting, MovieRow, UserRow};
pub use evaluate::{Evaluated, K, RatingErrors, evaluate, kendall_tau, ladder, rating_errors};
pub use import::{Format, ImportError, Imported, import};
pub use moments::{Moment, moments};
pub use rankers::{Algorithm, BiasedFactors, Ranker};
pub use split::{Protocol, Split};
