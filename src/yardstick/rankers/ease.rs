//! EASE: one linear model from all movies that a user watched to each other movie.

use super::super::dataset::Dataset;
use super::super::linear::invert;
use super::{Incidence, Ranker};

/// The ridge penalty.
const RIDGE: f64 = 300.0;

/// The model of Steck (2019), "Embarrassingly shallow autoencoders": scores X B with B = I - P / diag(P), P = (XᵀX + λ)⁻¹.
///
/// X (users x movies) is 1 where they met. With fewer users than movies the inverse is of users instead, where
/// X P = (X Xᵀ + λ)⁻¹ X and λ P = I - Xᵀ (X Xᵀ + λ)⁻¹ X (Woodbury): the same scores for a fraction of the work.
#[derive(Debug)]
pub(super) struct Ease {
    side: Side,
    /// The inverse, of which row follows row; as wide as there are movies, or users.
    inverse: Vec<f64>,
    /// The diagonal of P.
    diagonal: Vec<f64>,
    incidence: Incidence,
}

/// What the inverse is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Movies,
    Users,
}

impl Ease {
    pub(super) fn fit(train: &Dataset) -> Self {
        let side = if train.users.len() < train.movies.len() {
            Side::Users
        } else {
            Side::Movies
        };
        Self::fit_on(side, train, RIDGE)
    }

    fn fit_on(side: Side, train: &Dataset, ridge: f64) -> Self {
        let incidence = Incidence::new(train);
        let (features_of, things_of) = match side {
            Side::Movies => (&incidence.users_of, &incidence.movies_of),
            Side::Users => (&incidence.movies_of, &incidence.users_of),
        };
        let n = features_of.len();
        let mut inverse = vec![0.0; n * n];
        for (place, row) in inverse.chunks_exact_mut(n.max(1)).enumerate() {
            row[place] = ridge;
            for feature in &features_of[place] {
                for other in &things_of[*feature as usize] {
                    row[*other as usize] += 1.0;
                }
            }
        }
        invert(&mut inverse, n);
        let diagonal = match side {
            Side::Movies => (0..n).map(|movie| inverse[movie * n + movie]).collect(),
            Side::Users => incidence
                .users_of
                .iter()
                .map(|users| (1.0 - square_sum(&inverse, n, users)) / ridge)
                .collect(),
        };
        Self {
            side,
            inverse,
            diagonal,
            incidence,
        }
    }

    /// Returns the user's row of X P.
    fn products(&self, user: usize) -> Vec<f64> {
        let movies_of = &self.incidence.movies_of[user];
        match self.side {
            Side::Movies => {
                let n = self.diagonal.len();
                let mut sums = vec![0.0; n];
                for movie in movies_of {
                    let from = *movie as usize * n;
                    for (sum, entry) in sums.iter_mut().zip(&self.inverse[from..from + n]) {
                        *sum += entry;
                    }
                }
                sums
            }
            Side::Users => {
                let n = self.incidence.movies_of.len();
                let row = &self.inverse[user * n..(user + 1) * n];
                let sum = |users: &Vec<u32>| users.iter().map(|user| row[*user as usize]).sum();
                self.incidence.users_of.iter().map(sum).collect()
            }
        }
    }
}

/// Returns the sum of a matrix (n x n) over all pairs of some places.
fn square_sum(matrix: &[f64], n: usize, places: &[u32]) -> f64 {
    let mut sum = 0.0;
    for row in places {
        let row = &matrix[*row as usize * n..(*row as usize + 1) * n];
        sum += places.iter().map(|place| row[*place as usize]).sum::<f64>();
    }
    sum
}

impl Ranker for Ease {
    fn name(&self) -> &'static str {
        "EASE"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        let products = self.products(user);
        for (score, (product, diagonal)) in scores.iter_mut().zip(products.iter().zip(&self.diagonal)) {
            *score = -product / diagonal;
        }
        for movie in &self.incidence.movies_of[user] {
            scores[*movie as usize] += 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yardstick::rankers::tests::pairs_log as log;

    fn all_scores(model: &Ease, users: usize, movies: usize) -> Vec<Vec<f64>> {
        (0..users)
            .map(|user| {
                let mut scores = vec![0.0; movies];
                model.scores(user, &mut scores);
                scores
            })
            .collect()
    }

    #[test]
    fn three_movies_have_the_closed_form() {
        // Movies 0 and 1 share one viewer, movie 2 stands alone: with a ridge of 1, XᵀX + 1 = [[3, 1, 0], [1, 2, 0], [0, 0, 2]],
        // whose inverse is [[2, -1, 0], [-1, 3, 0], [0, 0, 2.5]] / 5, so that B is 1/3 from 0 to 1 and 1/2 from 1 to 0.
        let data = log(3, 3, &[(0, 0), (0, 1), (1, 0), (2, 2)]);
        for side in [Side::Movies, Side::Users] {
            let scores = all_scores(&Ease::fit_on(side, &data, 1.0), 3, 3);
            let wanted = [[0.5, 1.0 / 3.0, 0.0], [0.0, 1.0 / 3.0, 0.0], [0.0, 0.0, 0.0]];
            for (scores, wanted) in scores.iter().zip(&wanted) {
                for (score, wanted) in scores.iter().zip(wanted) {
                    assert!((score - wanted).abs() < 1e-6, "{side:?} {scores:?} {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn both_sides_give_the_same_scores() {
        let pairs: Vec<(u32, u32)> = (0..9)
            .flat_map(|user| {
                (0..7)
                    .filter(move |movie| (user * 5 + movie * 3) % 4 < 2)
                    .map(move |movie| (user, movie))
            })
            .collect();
        let data = log(9, 7, &pairs);
        let by_movies = all_scores(&Ease::fit_on(Side::Movies, &data, 2.0), 9, 7);
        let by_users = all_scores(&Ease::fit_on(Side::Users, &data, 2.0), 9, 7);
        for (a, b) in by_movies.iter().flatten().zip(by_users.iter().flatten()) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}
