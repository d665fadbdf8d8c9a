//! What the figures mean: pure functions from lists, answers and times to numbers with their intervals.
//!
//! Every figure of a report comes from here and from nowhere else. Definitions are in `docs/reference/metrics.md`; values are
//! compared with those of independent libraries by `tests/it/golden_metrics.rs`.

pub mod accuracy;
pub mod beyond;
pub mod fairness;
pub mod personal;
pub mod ranking;
pub mod stats;
