//! Nearest neighbours: what similar users watched, and what is similar to the movies watched.

use super::super::dataset::Dataset;
use super::{Incidence, Ranker};

/// The users that a user's scores come from.
const USERS: usize = 50;
/// The movies that a movie's score comes from.
const MOVIES: usize = 100;
/// What is added below the fraction of similarity between movies, so that few common viewers count for little.
const SHRINK: f64 = 20.0;

/// The nearest of one user or movie: place and similarity.
type Nearest = Vec<(u32, f64)>;

/// The sum over the most similar users who watched a movie, of their cosine (Herlocker et al. 1999, without stars).
#[derive(Debug)]
pub(super) struct UserKnn {
    nearest: Vec<Nearest>,
    movies_of: Vec<Vec<u32>>,
}

impl UserKnn {
    pub(super) fn fit(train: &Dataset) -> Self {
        let Incidence { movies_of, users_of } = Incidence::new(train);
        Self {
            nearest: nearest(&movies_of, &users_of, USERS, 0.0),
            movies_of,
        }
    }
}

impl Ranker for UserKnn {
    fn name(&self) -> &'static str {
        "UserKNN"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        scores.fill(0.0);
        for (other, similarity) in &self.nearest[user] {
            for movie in &self.movies_of[*other as usize] {
                scores[*movie as usize] += similarity;
            }
        }
    }
}

/// The sum over the movies that a user watched, where they are among the most similar to a movie, of their similarity
/// (Deshpande and Karypis 2004; cosine with shrinkage).
#[derive(Debug)]
pub(super) struct ItemKnn {
    nearest: Vec<Nearest>,
    movies_of: Vec<Vec<u32>>,
}

impl ItemKnn {
    pub(super) fn fit(train: &Dataset) -> Self {
        let Incidence { movies_of, users_of } = Incidence::new(train);
        Self {
            nearest: nearest(&users_of, &movies_of, MOVIES, SHRINK),
            movies_of,
        }
    }
}

impl Ranker for ItemKnn {
    fn name(&self) -> &'static str {
        "ItemKNN"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        let mut met = vec![false; scores.len()];
        for movie in &self.movies_of[user] {
            met[*movie as usize] = true;
        }
        for (score, nearest) in scores.iter_mut().zip(&self.nearest) {
            let watched = nearest.iter().filter(|(other, _)| met[*other as usize]);
            *score = watched.map(|(_, similarity)| *similarity).sum::<f64>();
        }
    }
}

/// Returns the `most` nearest of each thing, by c / (√(n m) + shrink) with c common features; those without any are left out.
///
/// `features_of` lists the features of each thing, and `things_of` the things of each feature. Among equals the earlier place
/// comes first.
fn nearest(features_of: &[Vec<u32>], things_of: &[Vec<u32>], most: usize, shrink: f64) -> Vec<Nearest> {
    let mut common = vec![0_u32; features_of.len()];
    let mut all = Vec::with_capacity(features_of.len());
    for (thing, features) in features_of.iter().enumerate() {
        common.fill(0);
        for feature in features {
            for other in &things_of[*feature as usize] {
                common[*other as usize] += 1;
            }
        }
        common[thing] = 0;
        let mut near: Nearest = common
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(other, count)| {
                let sizes = features.len() as f64 * features_of[other].len() as f64;
                (other as u32, f64::from(*count) / (sizes.sqrt() + shrink))
            })
            .collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.truncate(most);
        all.push(near);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_is_the_shrunk_cosine_of_common_features() {
        // Things 0 and 1 share both features of 0; thing 2 shares one with 1; thing 3 has none.
        let features_of = [vec![0, 1], vec![0, 1, 2], vec![2], vec![]];
        let things_of = [vec![0, 1], vec![0, 1], vec![1, 2]];
        let near = nearest(&features_of, &things_of, 10, 4.0);
        let root = |n: f64| n.sqrt();
        assert_eq!(near[0], [(1, 2.0 / (root(6.0) + 4.0))]);
        assert_eq!(
            near[1],
            [(0, 2.0 / (root(6.0) + 4.0)), (2, 1.0 / (root(3.0) + 4.0))]
        );
        assert!(near[3].is_empty());
        assert_eq!(nearest(&features_of, &things_of, 1, 4.0)[1].len(), 1);
    }
}
