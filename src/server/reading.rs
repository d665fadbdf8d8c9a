//! Reads the requests out of a team's stream as the company published it, oddities of lines taken out again.

use std::sync::Arc;

use super::planned::{Planned, spoil};
use super::quirk::Pen;
use crate::course::{Course, Quirk};
use crate::event::{Event, Record};
use crate::seed::Branch;
use crate::trouble::Spoil;
use crate::world::World;

/// A stream that is read, in any order.
#[derive(Debug)]
pub struct Reading {
    quirks: Vec<Quirk>,
    spoil: Spoil,
    branch: Branch,
    world: Arc<World>,
}

impl Reading {
    /// Reads streams of a course whose calendar has these incidents.
    pub fn new(course: &Course, planned: &[Planned], world: &Arc<World>) -> Self {
        let branch = course.key.branch("live");
        Self {
            quirks: course.calendar.quirks.clone(),
            spoil: spoil(planned, &branch, world),
            branch,
            world: Arc::clone(world),
        }
    }

    /// Reads one line; none where it is no request.
    pub fn request(&self, seq: u64, line: &[u8]) -> Option<Record> {
        let pen = Pen::new(&self.quirks, &self.spoil, &self.branch, &self.world);
        let record = pen.read(seq, line)?;
        matches!(record.event, Event::Recommend { .. }).then_some(record)
    }
}
