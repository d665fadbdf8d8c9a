//! What the lists of recommenders are worth to viewers: rankers judged by the truth, as a service is graded.

use std::collections::{BTreeMap, BTreeSet};

use super::evaluate::{K, top};
use super::rankers::Ranker;
use crate::metrics::accuracy::{expected_enjoyment, most_popular, oracle};
use crate::world::{Moment, UserId, World};

/// Whose lists are judged, and by what.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The world that knows the truth.
    pub world: &'a World,
    /// When the lists are shown.
    pub moment: &'a Moment,
    /// The users, in the order in which the rankers' log has them.
    pub users: &'a [UserId],
    /// What each has watched, as places of the catalogue: worth nothing in a list.
    pub seen: &'a BTreeMap<u32, BTreeSet<usize>>,
    /// The movies in the order of their number of viewers, the foremost first.
    pub popular: &'a [usize],
}

/// Returns for each ranker the expected enjoyment, user by user, of its list, of the most popular list and of the oracle's:
/// what [`crate::metrics::accuracy::accuracy_score`] takes.
///
/// A ranker is asked for twenty movies that the user has not watched, whatever of that it was trained on.
pub fn graded(asked: &Asked<'_>, rankers: &[&dyn Ranker]) -> Vec<Vec<[f64; 3]>> {
    let none = BTreeSet::new();
    let (mut worth, mut scores) = (Vec::new(), vec![0.0; asked.world.spec().movies as usize]);
    let mut found = vec![Vec::with_capacity(asked.users.len()); rankers.len()];
    for (user, id) in asked.users.iter().enumerate() {
        asked.world.enjoyment_at(*id, asked.moment, &mut worth);
        let seen = asked.seen.get(&id.0).unwrap_or(&none);
        let met: Vec<usize> = seen.iter().copied().collect();
        let value = |list: &[Option<usize>]| expected_enjoyment(list, &worth, seen, K);
        let popular = value(&most_popular(asked.popular, seen, K));
        let oracle = value(&oracle(&worth, seen, K));
        for (ranker, found) in rankers.iter().zip(&mut found) {
            ranker.scores(user, &mut scores);
            let list: Vec<Option<usize>> = top(&mut scores, &met, user)
                .into_iter()
                .map(|movie| Some(movie as usize))
                .collect();
            found.push([value(&list), popular, oracle]);
        }
    }
    found
}
