//! Company time: how it goes on from the clock of this machine, and who sits down in each of its hours.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::team::Stage;
use crate::event::SimTime;
use crate::sim::{Arrival, arrivals};

/// The hours whose arrivals are kept: the present one, and those of teams that are behind or ahead.
const KEPT: usize = 6;

/// The way company time goes on: evenly, however the clock on the wall is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// The company's moment when it began.
    pub(super) origin: SimTime,
    /// Company seconds a second.
    pub(super) speed: f64,
}

impl Pace {
    /// Returns the company's moment so many nanoseconds after it began.
    pub(super) fn at(&self, elapsed_ns: u64) -> SimTime {
        SimTime(self.origin.0 + (elapsed_ns as f64 / 1e3 * self.speed) as i64)
    }
}

/// An hour, in seconds since 1970, and the bits of the factor on everybody's sessions.
type Key = (i64, u64);

/// Who sits down in which hour, the same for all teams.
#[derive(Debug, Default)]
pub(super) struct Hours {
    known: BTreeMap<Key, Arc<Vec<Arrival>>>,
    /// Factors on top of the usual one, by span: more viewers than usual.
    pub(super) spikes: Vec<(SimTime, SimTime, f64)>,
    current: Option<(Key, Arc<Vec<Arrival>>)>,
}

impl Hours {
    /// Returns who sits down in a second.
    pub(super) fn at(&mut self, stage: &Stage<'_>, second: i64) -> &[Arrival] {
        let hour = second.div_euclid(3600) * 3600;
        let key = (hour, stage.factor.to_bits());
        if self.current.as_ref().is_none_or(|(known, _)| *known != key) {
            let all = self.hour(stage, key);
            self.current = Some((key, all));
        }
        let all: &[Arrival] = self.current.as_ref().map_or(&[], |(_, all)| all.as_slice());
        let from = all.partition_point(|arrival| arrival.second < second);
        let until = from + all[from..].partition_point(|arrival| arrival.second == second);
        &all[from..until]
    }

    fn hour(&mut self, stage: &Stage<'_>, key: Key) -> Arc<Vec<Arrival>> {
        if let Some(all) = self.known.get(&key) {
            return Arc::clone(all);
        }
        let begin = SimTime::from_seconds(key.0);
        let spike: f64 = self
            .spikes
            .iter()
            .filter(|(from, until, _)| *from <= begin && begin < *until)
            .map(|(_, _, factor)| *factor)
            .product();
        let all = arrivals(stage.world, stage.scene.branch, begin, stage.factor * spike);
        while self.known.len() >= KEPT {
            self.known.pop_first();
        }
        let all = Arc::new(all);
        self.known.insert(key, Arc::clone(&all));
        all
    }
}
