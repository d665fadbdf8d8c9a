//! Whose turn it is: submissions are built and checked side by side, and what is timed is alone on the machine.
//!
//! Nobody's answers are timed while somebody else's build runs. Those who wait go in a fixed order: what ends a
//! submission first, then what is timed, then new work in the order of submissions, and last those that take their time.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// How often a waiting one looks at the flag that stops it.
const LOOK: Duration = Duration::from_millis(50);
/// The share of time in which somebody waited for a processor from which a limit that was missed proves nothing.
const CROWDED: f64 = 0.25;

/// What a turn is for; those that wait go in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ending a submission whose traffic is over.
    Finish,
    /// Being timed: nobody else may have a turn.
    Alone,
    /// Copying, building, reading.
    Work,
    /// Work that mostly waits, such as a start that has missed a short limit.
    Patient,
}

/// The machine that submissions take turns on.
#[derive(Debug)]
pub struct Cores {
    jobs: usize,
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    busy: usize,
    alone: bool,
    waiting: BTreeSet<(Kind, usize)>,
}

impl State {
    /// Whether one may start: nobody waits before it, and there is room.
    fn admits(&self, jobs: usize, one: (Kind, usize)) -> bool {
        let first = self.waiting.first().is_none_or(|first| *first >= one);
        let room = match one.0 {
            Kind::Alone => self.busy == 0,
            Kind::Finish | Kind::Work | Kind::Patient => self.busy < jobs,
        };
        first && room && !self.alone
    }
}

impl Cores {
    /// Takes the machine for so many submissions at once.
    pub fn new(jobs: usize, clock: Clock) -> Self {
        Self {
            jobs: jobs.max(1),
            clock,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever has panicked has left a count, which is still a count.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, one: (Kind, usize), stop: &AtomicBool) -> bool {
        let mut state = self.lock();
        state.waiting.insert(one);
        while !state.admits(self.jobs, one) {
            if stop.load(Ordering::Relaxed) {
                state.waiting.remove(&one);
                drop(state);
                self.changed.notify_all();
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.waiting.remove(&one);
        match one.0 {
            Kind::Alone => state.alone = true,
            Kind::Finish | Kind::Work | Kind::Patient => state.busy += 1,
        }
        drop(state);
        // The next in the row may have room as well.
        self.changed.notify_all();
        true
    }

    fn give(&self, kind: Kind) {
        let mut state = self.lock();
        match kind {
            Kind::Alone => state.alone = false,
            Kind::Finish | Kind::Work | Kind::Patient => state.busy -= 1,
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// One submission's turns.
#[derive(Debug)]
pub struct Turn<'a> {
    cores: Option<&'a Cores>,
    place: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    now: Option<(Kind, Duration, Option<u64>)>,
    /// The time of all turns that are over.
    spent: Duration,
}

/// The flag was set while a turn was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Turn<'static> {
    /// Returns the turns of one that has the machine to itself: it never waits.
    pub fn free() -> Self {
        Self {
            cores: None,
            place: 0,
            held: Mutex::default(),
        }
    }
}

impl<'a> Turn<'a> {
    /// Returns the turns of the submission at a place in the row.
    pub fn among(cores: &'a Cores, place: usize) -> Self {
        Self {
            cores: Some(cores),
            place,
            held: Mutex::default(),
        }
    }

    /// Whether others may be at work meanwhile.
    pub fn shared(&self) -> bool {
        self.cores.is_some_and(|cores| cores.jobs > 1)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the turn that is held and waits for another.
    ///
    /// # Errors
    /// When the flag is set first; no turn is held then.
    pub fn take(&self, kind: Kind, stop: &AtomicBool) -> Result<(), Stopped> {
        self.rest();
        let Some(cores) = self.cores else {
            return Ok(());
        };
        if !cores.take((kind, self.place), stop) {
            return Err(Stopped);
        }
        self.held().now = Some((kind, cores.clock.elapsed(), stalled_us()));
        Ok(())
    }

    /// Gives back the turn that is held, if any.
    pub fn rest(&self) {
        let Some(cores) = self.cores else { return };
        let mut held = self.held();
        if let Some((kind, since, _)) = held.now.take() {
            held.spent += cores.clock.elapsed().saturating_sub(since);
            drop(held);
            cores.give(kind);
        }
    }

    /// Returns how long turns were held so far: waiting for others is nobody's time.
    pub fn spent(&self) -> Duration {
        let held = self.held();
        let now = match (held.now, self.cores) {
            (Some((_, since, _)), Some(cores)) => cores.clock.elapsed().saturating_sub(since),
            _ => Duration::ZERO,
        };
        held.spent + now
    }

    /// Whether others held this one up in its turn, so that a limit it has missed proves nothing.
    pub fn crowded(&self) -> bool {
        let Some(cores) = self.cores.filter(|cores| cores.jobs > 1) else {
            return false;
        };
        match self.held().now {
            None | Some((Kind::Alone, ..)) => false,
            Some((_, since, stalled)) => {
                let passed = cores.clock.elapsed().saturating_sub(since).as_micros() as f64;
                match (stalled, stalled_us()) {
                    (Some(before), Some(now)) => now.saturating_sub(before) as f64 > CROWDED * passed,
                    // A machine that does not tell is taken for crowded.
                    _ => true,
                }
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.rest();
    }
}

/// Returns for how many microseconds somebody on this machine has waited for a processor since it was started.
fn stalled_us() -> Option<u64> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.rsplit_once("total=")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn those_who_wait_go_in_order_and_only_where_there_is_room() {
        let mut state = State {
            busy: 1,
            ..State::default()
        };
        assert!(state.admits(2, (Kind::Work, 5)));
        assert!(!state.admits(1, (Kind::Work, 5)));
        state.waiting = [(Kind::Alone, 9), (Kind::Work, 2), (Kind::Patient, 1)].into();
        assert!(
            !state.admits(2, (Kind::Work, 2)),
            "who is to be timed waits before it"
        );
        assert!(!state.admits(2, (Kind::Alone, 9)), "somebody is at work");
        assert!(
            state.admits(2, (Kind::Finish, 3)),
            "what ends a submission goes first"
        );
        state.busy = 0;
        assert!(state.admits(2, (Kind::Alone, 9)));
        state.alone = true;
        for kind in [Kind::Finish, Kind::Alone, Kind::Work, Kind::Patient] {
            assert!(!state.admits(9, (kind, 0)), "nobody is beside one who is timed");
        }
    }

    #[test]
    fn whoever_is_timed_is_alone() {
        let clock = Clock::start();
        let cores = Cores::new(3, clock);
        let (work, alone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (most, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for place in 0..8 {
                let (cores, work, alone, most, stop) = (&cores, &work, &alone, &most, &stop);
                scope.spawn(move || {
                    let turn = Turn::among(cores, place);
                    for round in 0..20 {
                        turn.take(Kind::Work, stop).unwrap();
                        let now = work.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        assert!(now <= 3 && alone.load(Ordering::SeqCst) == 0);
                        std::thread::yield_now();
                        work.fetch_sub(1, Ordering::SeqCst);
                        if round % 3 == 0 {
                            turn.take(Kind::Alone, stop).unwrap();
                            assert_eq!(alone.fetch_add(1, Ordering::SeqCst), 0);
                            assert_eq!(work.load(Ordering::SeqCst), 0);
                            std::thread::yield_now();
                            alone.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) > 1, "work was never side by side");
        assert_eq!(cores.lock().busy, 0);
    }

    #[test]
    fn who_is_stopped_while_waiting_holds_nobody_up() {
        let cores = Cores::new(2, Clock::start());
        let (go, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        let (first, second) = (Turn::among(&cores, 0), Turn::among(&cores, 1));
        first.take(Kind::Work, &go).unwrap();
        assert_eq!(second.take(Kind::Alone, &stop), Err(Stopped));
        assert!(cores.lock().waiting.is_empty());
        drop(first);
        second.take(Kind::Alone, &go).unwrap();
        assert!(!second.crowded() && second.shared());
        let free = Turn::free();
        free.take(Kind::Alone, &stop).unwrap();
        assert!(!free.shared() && !free.crowded());
    }
}
