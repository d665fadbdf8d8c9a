//! Minors who watch what is for adults only.

use std::collections::BTreeMap;

use super::Trouble;
use super::stage::Scene;
use crate::seed::Branch;
use crate::world::{MovieIndex, OF_AGE, UserId};

/// How many minors, and how much of what they watch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unsuitable {
    /// The share of viewers under 18 who do.
    pub share: f64,
    /// For how many of their viewings in the window the movie becomes one for adults.
    pub titles: u32,
}

impl Unsuitable {
    /// Chooses the viewings, by user and second of their beginning, and what is watched instead.
    pub(super) fn replacements(
        &self,
        trouble: &Trouble,
        scene: &Scene<'_>,
        branch: &Branch,
    ) -> BTreeMap<(u32, i64), MovieIndex> {
        let window = scene.window(trouble);
        let adult: Vec<MovieIndex> = scene
            .world
            .movie_indices()
            .filter(|index| scene.world.movie(*index).adult)
            .collect();
        let mut replaced = BTreeMap::new();
        for user in scene.users.iter().copied().filter(|user| is_minor(scene, *user)) {
            let mut draws = branch.at(u64::from(user.0));
            if !draws.chance(self.share) {
                continue;
            }
            let history = (scene.history)(user);
            let mut fresh: Vec<MovieIndex> = adult.clone();
            fresh.retain(|movie| history.iter().all(|viewing| viewing.movie != *movie));
            draws.shuffle(&mut fresh);
            let mut places: Vec<i64> = history
                .iter()
                .filter(|viewing| window.holds(viewing.at) && !scene.world.movie(viewing.movie).adult)
                .map(|viewing| viewing.at.seconds())
                .collect();
            draws.shuffle(&mut places);
            for (place, movie) in places.into_iter().zip(fresh).take(self.titles as usize) {
                replaced.insert((user.0, place), movie);
            }
        }
        replaced
    }
}

/// Tells whether the company knows a user as under 18.
pub(super) fn is_minor(scene: &Scene<'_>, user: UserId) -> bool {
    scene.world.user(user).is_some_and(|user| user.age < OF_AGE)
}
