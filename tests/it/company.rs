//! A company with its log and what only the grader knows of it, for tests of what the log can teach.

use reelworld::release::{Release, ReleaseSpec};
use reelworld::seed::{Branch, Key};
use reelworld::sim::Viewing;
use reelworld::world::{Habits, Moment, Profile, World, WorldSpec};
use reelworld::yardstick::{Algorithm, Asked, Dataset, Ranker, graded, log_dataset};

/// A company, and what it released.
pub(super) struct Company {
    pub(super) key: Key,
    pub(super) world: World,
    pub(super) release: Release,
}

impl Company {
    /// Makes a company with twice as many users as it releases.
    pub(super) fn new(key: Key, habits: Habits, movies: u32, released: ReleaseSpec) -> Self {
        let spec = WorldSpec {
            users: 2 * released.users,
            movies,
            profile: Profile::Classic,
        };
        let world = World::new(&key, spec, 2).with_habits(habits);
        let release = Release::make(&world, &key, released, 2);
        Self { key, world, release }
    }

    pub(super) fn branch(&self) -> Branch {
        self.key.branch("graded")
    }

    /// Some of the log as recommenders take it.
    pub(super) fn log(&self, viewings: &[Viewing]) -> Dataset {
        log_dataset(&self.world, &self.release.users, viewings)
    }

    pub(super) fn fit(&self, algorithm: Algorithm, viewings: &[Viewing]) -> Box<dyn Ranker> {
        algorithm.fit(&self.log(viewings), &self.branch())
    }

    /// The enjoyment of each ranker's lists on a day of the term.
    pub(super) fn graded(&self, day: f64, rankers: &[&dyn Ranker]) -> Vec<Vec<[f64; 3]>> {
        let moment: Moment = self.world.habits().moment(day);
        let asked = Asked {
            world: &self.world,
            moment: &moment,
            users: &self.release.users,
            seen: &self.release.seen(),
            popular: &self.release.popular(),
        };
        graded(&asked, rankers)
    }
}
