//! The company's API: what it knows of a user or a movie, for whoever asks, with bounds for each client.
//!
//! `records` decides what an answer is, `fault` what may be wrong with it, `limit` who has asked too often; this file joins
//! them, counts, and stands behind a [`Door`](crate::door::Door).

mod counts;
mod fault;
mod form;
mod limit;
mod openapi;
mod records;
mod withdrawn;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

pub use counts::Counts;
pub use fault::{ApiFault, Change, FaultKind};
pub use limit::Limit;
pub use records::{MOST_AT_ONCE, Route};
pub use withdrawn::Withdrawn;

use crate::door::{Ask, Reply, Room, decode};
use crate::seed::Branch;
use crate::world::World;
use limit::Limiter;

/// The company behind its door.
pub struct Company {
    world: Arc<World>,
    limiter: Mutex<Limiter>,
    faults: RwLock<Vec<ApiFault>>,
    withdrawn: RwLock<Vec<Withdrawn>>,
    counts: Mutex<Counts>,
    luck: Branch,
    asked: AtomicU64,
    /// The bits of the day of the term that it is.
    day: AtomicU64,
    openapi: String,
}

impl fmt::Debug for Company {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Company({})", self.world.fingerprint())
    }
}

impl Company {
    /// Makes the company of a world; the branch names the luck by which faults hit requests.
    ///
    /// Until [`Company::set_day`] says which day it is, all users have joined and all movies have come out.
    pub fn new(world: Arc<World>, limit: Limit, branch: &Branch) -> Self {
        let openapi = openapi::document(world.spec().profile);
        Self {
            limiter: Mutex::new(Limiter::new(limit)),
            faults: RwLock::default(),
            withdrawn: RwLock::default(),
            counts: Mutex::default(),
            luck: branch.branch("api faults"),
            asked: AtomicU64::new(0),
            day: AtomicU64::new(f64::INFINITY.to_bits()),
            openapi,
            world,
        }
    }

    /// Says which day of the term it is, with its fraction: who joins later is not known yet, nor what comes out later.
    pub fn set_day(&self, day: f64) {
        self.day.store(day.to_bits(), Ordering::Relaxed);
    }

    /// Says what is wrong with the API from now on; nothing is when there are none.
    pub fn set_faults(&self, faults: Vec<ApiFault>) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Says which movies are withdrawn from now on.
    pub fn set_withdrawn(&self, withdrawn: Vec<Withdrawn>) {
        *self.withdrawn.write().unwrap_or_else(PoisonError::into_inner) = withdrawn;
    }

    /// Returns what was asked and answered so far.
    pub fn counts(&self) -> Counts {
        self.lock_counts().clone()
    }

    fn lock_counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, ask: &Ask, now_ns: u64) -> (Route, Reply) {
        let Some(path) = decode(&ask.path) else {
            return (Route::Other, records::message(400, "the path is not UTF-8 text"));
        };
        let (route, ids) = Route::of(&path);
        if !matches!(ask.method.as_str(), "GET" | "HEAD") {
            let reply = records::message(405, "the API is read only").with("allow", "GET, HEAD");
            return (route, reply);
        }
        let taken = self
            .limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(ask.client, now_ns);
        if let Err(seconds) = taken {
            let reply = records::message(429, "too many requests").with("retry-after", seconds.to_string());
            return (route, reply);
        }
        if route == Route::OpenApi {
            return (route, Reply::new(200, "application/json", self.openapi.clone()));
        }
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let day = f64::from_bits(self.day.load(Ordering::Relaxed));
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        let hit = fault::hits(&faults, route, &mut self.luck.at(number));
        let mut reply = hit.instead.unwrap_or_else(|| {
            let withdrawn = self.withdrawn.read().unwrap_or_else(PoisonError::into_inner);
            records::answer(&self.world, (route, ids), day, &withdrawn, &hit.changes)
        });
        reply.wait += hit.wait;
        (route, reply)
    }
}

impl Room for Company {
    fn answer(&self, ask: &Ask, now_ns: u64) -> Reply {
        let (route, reply) = self.reply(ask, now_ns);
        self.lock_counts().add(route, reply.status, reply.wait);
        reply
    }
}

/// The longest that a fault lets an answer wait.
pub const MOST_SLOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
