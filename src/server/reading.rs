//! Reads the requests out of a team's stream as the company published it, oddities of lines taken out again.

use std::sync::Arc;

use super::quirk::Pen;
use crate::course::{Course, Quirk};
use crate::event::{Event, Record, SimTime};
use crate::world::World;

/// A stream that is read in its order.
#[derive(Debug)]
pub struct Reading {
    quirks: Vec<Quirk>,
    branch: crate::seed::Branch,
    world: Arc<World>,
    about: SimTime,
}

impl Reading {
    /// Reads a stream of a course from its beginning on.
    pub fn new(course: &Course, world: &Arc<World>) -> Self {
        Self::near(course, world, course.calendar.start)
    }

    /// Reads a stream of a course from an event of about that moment on.
    pub fn near(course: &Course, world: &Arc<World>, about: SimTime) -> Self {
        Self {
            quirks: course.calendar.quirks.clone(),
            branch: course.key.branch("live"),
            world: Arc::clone(world),
            about,
        }
    }

    /// Reads one line, in the order of the stream; none where it is no request.
    pub fn request(&mut self, seq: u64, line: &[u8]) -> Option<Record> {
        let pen = Pen::new(&self.quirks, &self.branch, &self.world);
        let record = pen.read(seq, line, self.about)?;
        self.about = record.time;
        matches!(record.event, Event::Recommend { .. }).then_some(record)
    }
}
