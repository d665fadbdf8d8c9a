//! Grading: measure a submission into a bundle of evidence, then decide from the bundle alone.

mod asking;
mod attack;
mod beside;
mod claimed;
mod evaluation;
mod fairness;
mod feed;
mod files;
mod given;
mod image;
mod incidents;
mod judge;
mod measure;
mod measures;
mod neighbours;
mod newcomers;
mod observe;
mod ran;
mod split;
mod told;
mod turn;

pub use claimed::{Claimed, OTHERS};
pub use given::lists_given;
pub use incidents::{responses, told as told_of_incident};
pub use judge::{Judged, judge, scorecard, scorecard_among};
pub use measure::{Ground, Job, MeasureError, Subject, Tools, boot, measure};
pub use measures::{MEASURES, info};
pub use neighbours::neighbours;
pub use observe::runs_programs;
pub use turn::{Cores, Kind, Stopped, Turn};
