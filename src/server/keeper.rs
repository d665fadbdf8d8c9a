//! The keeper: the one thread that writes the store, in order, again and again until it succeeds.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Clock;
use crate::event::{Event, SimTime};
use crate::store::{Movies, Played, Save, Spell, Store, StoreError};

/// What waits to be written at most; the rest stays where it came from.
const MOST_WAITING: usize = 256;
/// How long it waits before it tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often it tries when the server ends.
const LAST_TRIES: u32 = 10;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Order {
    /// What is new of a team.
    Save(Box<Save>),
    /// A span in which the company was down.
    Outage(Spell),
    /// An incident that is run.
    Incident(Played),
    /// A movie is withdrawn that has been recommended much before a moment: which, and then the incident, are noted.
    Withdraw(Played, SimTime),
    /// A text is kept under a name.
    Note(String, String),
    /// Single requests before a moment are not needed any more.
    Forget(SimTime),
}

/// What the keeper tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) saves: AtomicU64,
    pub(super) failures: AtomicU64,
    fault: Mutex<Option<String>>,
    /// The second of the last checkpoint of each team that was written.
    checkpoints: Mutex<BTreeMap<u32, i64>>,
    withdrawn: Mutex<BTreeMap<String, String>>,
}

impl Told {
    /// Returns why the store takes nothing at the moment.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the second of the last checkpoint of a team that was written since the server was started.
    pub(super) fn checkpoint(&self, team: u32) -> Option<i64> {
        let checkpoints = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoints.get(&team).copied()
    }

    fn set_checkpoint(&self, save: &Save) {
        if let Some(checkpoint) = &save.checkpoint {
            let mut checkpoints = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
            checkpoints.insert(save.team, checkpoint.second);
        }
    }

    /// Returns the movie that an incident of a name withdraws, once that is decided.
    pub(super) fn withdrawn(&self, name: &str) -> Option<String> {
        let withdrawn = self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner);
        withdrawn.get(name).cloned()
    }

    fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// A running keeper.
pub(super) struct Keeper {
    orders: Option<SyncSender<Order>>,
    ending: Arc<AtomicBool>,
    pub(super) told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(
        place: String,
        store: Store,
        movies: Arc<dyn Movies + Send + Sync>,
        deadline_ms: u64,
        clock: Clock,
    ) -> io::Result<Self> {
        let (orders, waiting) = sync_channel(MOST_WAITING);
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::new(Told::default());
        let work = Work {
            place,
            store: Some(store),
            movies,
            deadline_ms,
            clock,
            ending: Arc::clone(&ending),
            told: Arc::clone(&told),
        };
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || work.run(&waiting))?;
        Ok(Self {
            orders: Some(orders),
            ending,
            told,
            thread: Some(thread),
        })
    }

    /// Takes an order, or gives it back when too many wait.
    pub(super) fn order(&self, order: Order) -> Result<(), Order> {
        match self.orders.as_ref().map(|orders| orders.try_send(order)) {
            Some(Ok(())) | None => Ok(()),
            Some(Err(TrySendError::Full(order) | TrySendError::Disconnected(order))) => Err(order),
        }
    }

    /// Takes an order for certain, however long it takes: for the end of the server.
    pub(super) fn order_last(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // Without the thread there is nobody who could write.
            drop(orders.send(order));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Work {
    place: String,
    store: Option<Store>,
    movies: Arc<dyn Movies + Send + Sync>,
    deadline_ms: u64,
    clock: Clock,
    ending: Arc<AtomicBool>,
    told: Arc<Told>,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut tries_left = LAST_TRIES;
        for order in orders {
            loop {
                let done = self.write(&order);
                match done {
                    Ok(()) => {
                        self.told.saves.fetch_add(1, Ordering::Relaxed);
                        self.told.set_fault(None);
                        break;
                    }
                    Err(error) => {
                        self.told.failures.fetch_add(1, Ordering::Relaxed);
                        self.told.set_fault(Some(error));
                        // A connection that broke is not used again.
                        self.store = None;
                        if self.ending.load(Ordering::Relaxed) {
                            tries_left = tries_left.saturating_sub(1);
                            if tries_left == 0 {
                                // The next start makes it again from the stream.
                                return;
                            }
                        }
                        self.clock.sleep(AGAIN);
                    }
                }
            }
        }
    }

    fn write(&mut self, order: &Order) -> Result<(), String> {
        let store = if let Some(store) = &mut self.store {
            store
        } else {
            let store = Store::open(&self.place).map_err(|error| error.to_string())?;
            self.store.insert(store)
        };
        let done = match order {
            Order::Save(save) => store
                .save(save, self.movies.as_ref(), self.deadline_ms)
                .map(|()| self.told.set_checkpoint(save)),
            Order::Outage(spell) => store.add_outage(spell),
            Order::Incident(played) => store.add_incident(played),
            Order::Withdraw(played, before) => {
                let chosen = withdraw(store, self.movies.as_ref(), played, *before);
                chosen.map(|chosen| {
                    let mut withdrawn = self.told.withdrawn.lock().unwrap_or_else(PoisonError::into_inner);
                    withdrawn.extend(chosen.map(|movie| (played.name.clone(), movie)));
                })
            }
            Order::Note(name, told) => store.set_note(name, told),
            Order::Forget(moment) => store.forget_before(*moment),
        };
        done.map_err(|error| error.to_string())
    }
}

/// How far back it is looked what all services have recommended most, in seconds.
const LOOK_BACK_S: i64 = 3_600;

/// Notes an incident with the movie that all services together have recommended most in the hour before a moment, and returns
/// it; nothing where none had any.
fn withdraw(
    store: &mut Store,
    movies: &dyn Movies,
    played: &Played,
    before: SimTime,
) -> Result<Option<String>, StoreError> {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    let span = (before.plus_seconds(-LOOK_BACK_S), before);
    for (team, _) in store.teams()? {
        for record in store.requests(team, span, movies)? {
            let Event::Recommend {
                status: 200, result, ..
            } = &record.event
            else {
                continue;
            };
            let places: Option<Vec<u32>> = result.split(", ").map(|id| movies.place(id)).collect();
            for place in places.unwrap_or_default() {
                *counts.entry(place).or_default() += 1;
            }
        }
    }
    let most = counts.values().max().copied();
    let place = counts.iter().find(|(_, count)| Some(**count) == most);
    let Some(movie) = place.and_then(|(place, _)| movies.id(*place)) else {
        return Ok(None);
    };
    let mut truth: Value = serde_json::from_str(&played.truth).unwrap_or_default();
    truth["movie"] = Value::from(movie);
    store.add_incident(&Played {
        truth: truth.to_string(),
        ..played.clone()
    })?;
    Ok(Some(movie.to_owned()))
}
