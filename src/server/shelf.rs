//! The shelf: the people who sleep, read out of the store again, on a thread of its own that tries until it succeeds.
//!
//! A million viewers of forty teams do not fit into memory. Awake are those who may come within a minute or so, and those
//! whom no checkpoint has yet as they are; everybody else is in the store alone.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::sim::Person;
use crate::store::{Store, StoreError};

/// How long it waits before it tries again.
const AGAIN: Duration = Duration::from_millis(500);

/// Who has the people who sleep.
pub(super) trait Sleepers {
    /// Returns those of some people of a team whom a checkpoint had, as it had them.
    ///
    /// # Errors
    /// When the store fails.
    fn read(&mut self, team: u32, users: &[u32]) -> Result<Vec<(u32, Person)>, StoreError>;
}

/// A store that is opened when it is needed, and again after it failed.
pub(super) struct Books {
    place: String,
    store: Option<Store>,
    /// How many people could not be read: they begin anew.
    unreadable: Arc<AtomicU64>,
}

impl Books {
    pub(super) fn new(place: String, unreadable: Arc<AtomicU64>) -> Self {
        Self {
            place,
            store: None,
            unreadable,
        }
    }
}

impl Sleepers for Books {
    fn read(&mut self, team: u32, users: &[u32]) -> Result<Vec<(u32, Person)>, StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::open(&self.place)?,
        };
        // A connection that broke is not used again.
        let store = self.store.insert(store);
        let found = store.people(team, users);
        if found.is_err() {
            self.store = None;
        }
        let mut people = Vec::new();
        for (user, state) in found? {
            match serde_json::from_slice(&state) {
                Ok(person) => people.push((user, person)),
                Err(_) => drop(self.unreadable.fetch_add(1, Ordering::Relaxed)),
            }
        }
        Ok(people)
    }
}

/// People who are wanted, of the team at a place.
struct Wanted {
    place: usize,
    team: u32,
    users: Vec<u32>,
}

/// A running shelf.
pub(super) struct Shelf {
    wanted: Option<Sender<Wanted>>,
    found: Receiver<(usize, Vec<(u32, Person)>)>,
    fault: Arc<Mutex<Option<String>>>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shelf {
    pub(super) fn start(books: impl Sleepers + Send + 'static, clock: Clock) -> io::Result<Self> {
        let (wanted, orders) = channel();
        let (answers, found) = channel();
        let fault = Arc::new(Mutex::new(None));
        let ending = Arc::new(AtomicBool::new(false));
        let (told, ends) = (Arc::clone(&fault), Arc::clone(&ending));
        let thread = std::thread::Builder::new()
            .name("shelf".to_owned())
            .spawn(move || {
                let mut books = books;
                for Wanted { place, team, users } in orders {
                    let people = loop {
                        match books.read(team, &users) {
                            Ok(people) => break people,
                            Err(error) => *lock(&told) = Some(error.to_string()),
                        }
                        if ends.load(Ordering::Relaxed) {
                            return;
                        }
                        clock.sleep(AGAIN);
                    };
                    *lock(&told) = None;
                    if answers.send((place, people)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            wanted: Some(wanted),
            found,
            fault,
            ending,
            thread: Some(thread),
        })
    }

    /// Asks for people of a team, who are found later.
    pub(super) fn want(&self, place: usize, team: u32, users: Vec<u32>) {
        if let Some(wanted) = &self.wanted {
            // Without the thread there is nobody who could read.
            drop(wanted.send(Wanted { place, team, users }));
        }
    }

    /// Returns what was found since this was last called: the place of the team, and its people.
    pub(super) fn found(&self) -> VecDeque<(usize, Vec<(u32, Person)>)> {
        self.found.try_iter().collect()
    }

    /// Returns why nobody can be read at the moment.
    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn lock(fault: &Mutex<Option<String>>) -> std::sync::MutexGuard<'_, Option<String>> {
    fault.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Checkpoint, Movies, Save};

    /// A catalogue of no movie.
    struct Nothing;

    impl Movies for Nothing {
        fn place(&self, _: &str) -> Option<u32> {
            None
        }

        fn id(&self, _: u32) -> Option<&str> {
            None
        }
    }

    /// Fails as often as it is told to.
    struct Shaky(u32);

    impl Sleepers for Shaky {
        fn read(&mut self, _: u32, users: &[u32]) -> Result<Vec<(u32, Person)>, StoreError> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(StoreError::from_words("the disk is gone"));
            }
            Ok(users.iter().map(|user| (*user, Person::default())).collect())
        }
    }

    #[test]
    fn people_are_found_once_the_store_is_there_again_and_until_then_it_is_told() {
        let clock = Clock::start();
        let shelf = Shelf::start(Shaky(2), clock).unwrap();
        shelf.want(3, 7, vec![1, 2]);
        let (mut faults, mut found) = (Vec::new(), Vec::new());
        while found.is_empty() {
            found.extend(shelf.found());
            faults.extend(shelf.fault());
            clock.sleep(Duration::from_millis(1));
        }
        let users: Vec<u32> = found[0].1.iter().map(|(user, _)| *user).collect();
        assert_eq!((found[0].0, users), (3, vec![1, 2]));
        assert!(faults.contains(&"the disk is gone".to_owned()), "{faults:?}");
        assert_eq!(shelf.fault(), None);
    }

    #[test]
    fn who_cannot_be_read_is_counted_and_the_others_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("store.sqlite").display().to_string();
        let whole = serde_json::to_vec(&Person::default()).unwrap();
        let save = Save {
            team: 7,
            checkpoint: Some(Checkpoint {
                people: vec![(1, whole), (2, b"{\"seen\":".to_vec())],
                ..Checkpoint::default()
            }),
            ..Save::default()
        };
        Store::open(&place).unwrap().save(&save, &Nothing, 800).unwrap();
        let unreadable = Arc::new(AtomicU64::new(0));
        let mut books = Books::new(place, Arc::clone(&unreadable));
        assert_eq!(books.read(7, &[1, 2, 3]).unwrap(), [(1, Person::default())]);
        assert_eq!(books.read(8, &[1]).unwrap(), []);
        assert_eq!(unreadable.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_shelf_whose_store_is_gone_ends_all_the_same() {
        let shelf = Shelf::start(Shaky(u32::MAX), Clock::start()).unwrap();
        shelf.want(0, 7, vec![1]);
        drop(shelf);
    }
}
