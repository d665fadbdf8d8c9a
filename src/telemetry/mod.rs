//! What a service says of itself: its metrics, its versions, its experiments; read, and compared with what we saw.

mod agree;
mod experiment;
mod exposition;

pub use agree::{Bucket, Counted, bucket_of, counted, requests_error};
pub use experiment::{Arms, Conclusion, EXPERIMENT, ExperimentReport, Reported, Split, split};
pub use exposition::{ExpositionError, Sample, Selector, SelectorError, parse_exposition, total};
