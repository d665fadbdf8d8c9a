//! A small recommender: what viewers with the same history watched too. It stands in where no Python service can run.

use std::collections::{BTreeMap, BTreeSet};

use crate::release::Release;

/// Damps the similarity of movies with few viewers.
const SHRINKAGE: f64 = 10.0;
/// The places in a list.
const K: usize = 20;

/// Returns twenty movies for each released user, from item-based neighbours (cosine with shrinkage) on what was released.
pub fn neighbours(release: &Release) -> BTreeMap<u32, Vec<usize>> {
    let seen = release.seen();
    let viewers = release.viewers();
    let mut together: BTreeMap<usize, BTreeMap<usize, f64>> = BTreeMap::new();
    for movies in seen.values() {
        let weight = 1.0 / libm::log2(2.0 + movies.len() as f64);
        for a in movies {
            let row = together.entry(*a).or_default();
            for b in movies.iter().filter(|b| *b != a) {
                *row.entry(*b).or_insert(0.0) += weight;
            }
        }
    }
    let count = |movie: usize| f64::from(viewers.get(&movie).copied().unwrap_or(0));
    seen.iter()
        .map(|(user, movies)| {
            let mut scores: BTreeMap<usize, f64> = BTreeMap::new();
            for a in movies {
                for (b, both) in together
                    .get(a)
                    .into_iter()
                    .flatten()
                    .filter(|(b, _)| !movies.contains(b))
                {
                    *scores.entry(*b).or_insert(0.0) +=
                        both / (libm::sqrt(count(*a) * count(*b)) + SHRINKAGE);
                }
            }
            (*user, best(&scores, movies))
        })
        .collect()
}

fn best(scores: &BTreeMap<usize, f64>, seen: &BTreeSet<usize>) -> Vec<usize> {
    let mut order: Vec<usize> = scores
        .keys()
        .copied()
        .filter(|movie| !seen.contains(movie))
        .collect();
    order.sort_by(|a, b| scores[b].total_cmp(&scores[a]).then(a.cmp(b)));
    order.truncate(K);
    order
}
