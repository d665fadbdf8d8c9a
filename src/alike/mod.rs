//! Whether two teams' services are one: lists more alike than good models are, downtime and code that they share (pure).
//!
//! Nothing here is a verdict. What is flagged is for a person to look at, with the evidence.

mod code;
mod lists;
mod outages;

pub use code::{SharedCode, SourceFile, shared_code};
pub use lists::{Lists, Pair, Report, alike};
pub use outages::{Shared, shared_downtime};
