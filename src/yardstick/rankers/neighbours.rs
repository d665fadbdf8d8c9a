//! Rankers by what is met together.

use ndarray::{Array2, ArrayView2, s};

use super::{Ranker, histories};
use crate::yardstick::dataset::Dataset;

/// The neighbours that count for a movie, and how much a similarity on few viewers is shrunk.
const MOVIE_NEIGHBOURS: usize = 100;
const SHRINKAGE: f64 = 20.0;
/// The users that count as similar.
const USER_NEIGHBOURS: usize = 50;
/// The regularisation of EASE.
const RIDGE: f64 = 300.0;

/// Returns how many of the lists each pair of places occurs in together; on the diagonal, how many each place occurs in.
fn together(lists: &[Vec<usize>], places: usize) -> Array2<f64> {
    let mut counts = Array2::zeros((places, places));
    for list in lists {
        for a in list {
            let mut row = counts.row_mut(*a);
            for b in list {
                row[*b] += 1.0;
            }
        }
    }
    counts
}

/// Keeps the largest values of a row, with their places; equal ones in the order of places.
fn largest(row: impl Iterator<Item = f64>, own: usize, most: usize) -> Vec<(usize, f64)> {
    let mut kept: Vec<(usize, f64)> = row
        .enumerate()
        .filter(|(place, value)| *place != own && *value > 0.0)
        .collect();
    kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    kept.truncate(most);
    kept
}

/// What is met together with what the user met (Deshpande and Karypis 2004): cosine, shrunk.
pub(super) struct ItemKnn {
    histories: Vec<Vec<usize>>,
    /// For each movie: those among whose nearest it is, with the similarity.
    speaks_for: Vec<Vec<(usize, f64)>>,
}

impl ItemKnn {
    pub(super) fn fit(data: &Dataset) -> Self {
        let histories = histories(data);
        let counts = together(&histories, data.movies.len());
        let nearest: Vec<Vec<(usize, f64)>> = (0..data.movies.len())
            .map(|a| {
                let similar = (0..data.movies.len())
                    .map(|b| counts[[a, b]] / (libm::sqrt(counts[[a, a]] * counts[[b, b]]) + SHRINKAGE));
                largest(similar, a, MOVIE_NEIGHBOURS)
            })
            .collect();
        // A movie's own neighbours speak for it: a popular one is not carried by being everybody's neighbour.
        let mut speaks_for = vec![Vec::new(); data.movies.len()];
        for (movie, nearest) in nearest.iter().enumerate() {
            for (near, similarity) in nearest {
                speaks_for[*near].push((movie, *similarity));
            }
        }
        Self {
            histories,
            speaks_for,
        }
    }
}

impl Ranker for ItemKnn {
    fn name(&self) -> &'static str {
        "ItemKNN"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        scores.fill(0.0);
        for movie in &self.histories[user] {
            for (other, similarity) in &self.speaks_for[*movie] {
                scores[*other] += similarity;
            }
        }
    }
}

/// What the most similar users met (Herlocker et al. 1999): cosine of their sets.
pub(super) struct UserKnn {
    histories: Vec<Vec<usize>>,
    nearest: Vec<Vec<(usize, f64)>>,
}

impl UserKnn {
    pub(super) fn fit(data: &Dataset) -> Self {
        let histories = histories(data);
        let mut viewers = vec![Vec::new(); data.movies.len()];
        for (user, history) in histories.iter().enumerate() {
            for movie in history {
                viewers[*movie].push(user);
            }
        }
        let shared = |user: usize| {
            let mut counts = vec![0.0; histories.len()];
            for movie in &histories[user] {
                for other in &viewers[*movie] {
                    counts[*other] += 1.0;
                }
            }
            counts
        };
        let nearest = (0..histories.len())
            .map(|user| {
                let own = histories[user].len() as f64;
                let similar = shared(user)
                    .into_iter()
                    .zip(&histories)
                    .map(|(shared, other)| shared / libm::sqrt((own * other.len() as f64).max(1.0)));
                largest(similar, user, USER_NEIGHBOURS)
            })
            .collect();
        Self { histories, nearest }
    }
}

impl Ranker for UserKnn {
    fn name(&self) -> &'static str {
        "UserKNN"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        scores.fill(0.0);
        for (other, similarity) in &self.nearest[user] {
            for movie in &self.histories[*other] {
                scores[*movie] += similarity;
            }
        }
    }
}

/// The linear autoencoder without a diagonal (Steck 2019): `B = I - P / diag(P)`, `P` the inverse of `X'X + λI`.
pub(super) struct Ease {
    histories: Vec<Vec<usize>>,
    weights: Array2<f64>,
}

impl Ease {
    pub(super) fn fit(data: &Dataset) -> Self {
        let histories = histories(data);
        let mut gram = together(&histories, data.movies.len());
        gram.diag_mut().mapv_inplace(|value| value + RIDGE);
        let mut weights = inverse(&gram.view());
        let diagonal = weights.diag().to_owned();
        for (mut column, own) in weights.columns_mut().into_iter().zip(&diagonal) {
            column.mapv_inplace(|value| -value / own);
        }
        weights.diag_mut().fill(0.0);
        Self { histories, weights }
    }
}

impl Ranker for Ease {
    fn name(&self) -> &'static str {
        "EASE"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        scores.fill(0.0);
        for movie in &self.histories[user] {
            let row = self.weights.row(*movie);
            let row = row
                .as_slice()
                .expect("rows of a matrix in standard order lie together");
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += weight;
            }
        }
    }
}

/// Below this size a matrix is inverted element by element.
const SMALL: usize = 48;

/// Inverts a symmetric positive definite matrix by halves, so that nearly all the work is products of matrices.
pub(super) fn inverse(matrix: &ArrayView2<'_, f64>) -> Array2<f64> {
    let size = matrix.nrows();
    if size <= SMALL {
        return small_inverse(matrix);
    }
    let half = size / 2;
    let corner = inverse(&matrix.slice(s![..half, ..half]));
    let side = matrix.slice(s![..half, half..]);
    let product = corner.dot(&side);
    // The Schur complement of the first block.
    let rest = &matrix.slice(s![half.., half..]) - &side.t().dot(&product);
    let rest = inverse(&rest.view());
    let off = -product.dot(&rest);
    let mut whole = Array2::zeros((size, size));
    whole
        .slice_mut(s![..half, ..half])
        .assign(&(&corner - &off.dot(&product.t())));
    whole.slice_mut(s![half.., ..half]).assign(&off.t());
    whole.slice_mut(s![..half, half..]).assign(&off);
    whole.slice_mut(s![half.., half..]).assign(&rest);
    whole
}

/// Gauss and Jordan's elimination; a positive definite matrix needs no pivots.
fn small_inverse(matrix: &ArrayView2<'_, f64>) -> Array2<f64> {
    let size = matrix.nrows();
    let mut left = matrix.to_owned();
    let mut right = Array2::eye(size);
    for pivot in 0..size {
        let value = left[[pivot, pivot]];
        for column in 0..size {
            left[[pivot, column]] /= value;
            right[[pivot, column]] /= value;
        }
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = left[[row, pivot]];
            if factor == 0.0 {
                continue;
            }
            for column in 0..size {
                left[[row, column]] -= factor * left[[pivot, column]];
                right[[row, column]] -= factor * right[[pivot, column]];
            }
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    #[test]
    fn an_inverse_times_its_matrix_is_one() {
        let mut draws = Key::from_seed(1).branch("matrix").at(0);
        let size = 130;
        let root = Array2::from_shape_simple_fn((size, size), || draws.normal());
        let matrix = root.dot(&root.t()) + Array2::<f64>::eye(size);
        let one = inverse(&matrix.view()).dot(&matrix);
        let off = (&one - &Array2::<f64>::eye(size))
            .iter()
            .fold(0.0_f64, |most, value| most.max(value.abs()));
        assert!(off < 1e-8, "{off}");
    }
}
