//! Rankers that give each user and movie a short vector: their score is the inner product, and a movie's own worth.

use super::super::dataset::Dataset;
use super::super::linear::{Vectors, add_outer, add_scaled, dot, eigenvectors, orthonormalise, solve};
use super::{Incidence, Ranker};
use crate::seed::Branch;

/// The dimensions of the singular value decomposition.
const SVD_WIDTH: usize = 16;
/// Dimensions beyond those wanted, that make the subspace iteration converge sooner.
const SVD_SPARE: usize = 8;
/// Rounds of the subspace iteration.
const SVD_ROUNDS: usize = 20;

/// The dimensions of weighted least squares.
const IALS_WIDTH: usize = 32;
/// The weight of a meeting; that of a pair that did not meet is 1.
const IALS_WEIGHT: f64 = 3.0;
/// The ridge penalty of weighted least squares.
const IALS_RIDGE: f64 = 5.0;
/// Rounds of weighted least squares, each of users and then movies.
const IALS_ROUNDS: usize = 15;
/// The spread of first entries.
const IALS_START: f64 = 0.01;

/// Vectors of users and movies.
#[derive(Debug)]
pub(super) struct Factors {
    pub(super) name: &'static str,
    pub(super) users: Vectors,
    pub(super) movies: Vectors,
    /// The worth of each movie to everybody.
    pub(super) worth: Vec<f64>,
}

impl Ranker for Factors {
    fn name(&self) -> &'static str {
        self.name
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        let taste = self.users.row(user);
        for (movie, (score, worth)) in scores.iter_mut().zip(&self.worth).enumerate() {
            *score = worth + dot(taste, self.movies.row(movie));
        }
    }
}

/// Fits PureSVD: the row of who met what (0 or 1), projected on its first right singular vectors (Cremonesi et al. 2010).
///
/// The vectors are found by subspace iteration from a random start (Halko, Martinsson and Tropp 2011).
pub(super) fn pure_svd(train: &Dataset, branch: &Branch) -> Factors {
    let incidence = Incidence::new(train);
    let most = train.users.len().min(train.movies.len());
    let wide = (SVD_WIDTH + SVD_SPARE).min(most);
    let mut basis: Vec<Vec<f64>> = (0..wide)
        .map(|place| {
            let mut draws = branch.at(place as u64);
            (0..train.movies.len()).map(|_| draws.normal()).collect()
        })
        .collect();
    for _ in 0..SVD_ROUNDS {
        orthonormalise(&mut basis);
        for column in &mut basis {
            *column = sums(&incidence.users_of, &sums(&incidence.movies_of, column));
        }
    }
    orthonormalise(&mut basis);
    // Within the subspace the singular vectors are the eigenvectors of the small square (Rayleigh and Ritz).
    let images: Vec<Vec<f64>> = basis
        .iter()
        .map(|column| sums(&incidence.movies_of, column))
        .collect();
    let mut square: Vec<Vec<f64>> = images
        .iter()
        .map(|a| images.iter().map(|b| dot(a, b)).collect())
        .collect();
    let mut turned = eigenvectors(&mut square);
    turned.truncate(SVD_WIDTH);
    Factors {
        name: "PureSVD",
        users: combined(&turned, &images, train.users.len()),
        movies: combined(&turned, &basis, train.movies.len()),
        worth: vec![0.0; train.movies.len()],
    }
}

/// Returns for each list the sum of the values at its places: a product with the matrix of who met what.
fn sums(lists: &[Vec<u32>], values: &[f64]) -> Vec<f64> {
    lists
        .iter()
        .map(|list| list.iter().map(|place| values[*place as usize]).sum())
        .collect()
}

/// Returns vectors whose entries are the combinations of columns by each list of weights.
fn combined(weights: &[Vec<f64>], columns: &[Vec<f64>], count: usize) -> Vectors {
    let mut vectors = Vectors::zeros(count, weights.len());
    for (entry, weights) in weights.iter().enumerate() {
        let mut column = vec![0.0; count];
        for (weight, from) in weights.iter().zip(columns) {
            add_scaled(&mut column, *weight, from);
        }
        for (row, value) in column.into_iter().enumerate() {
            vectors.row_mut(row)[entry] = value;
        }
    }
    vectors
}

/// Fits iALS (Hu, Koren and Volinsky 2008): minimises Σ w (met - x·y)² + ridge (Σ |x|² + Σ |y|²) over all pairs, with the
/// weight w larger for pairs that met, by solving for users and movies in turn.
pub(super) fn ials(train: &Dataset, branch: &Branch) -> Factors {
    let incidence = Incidence::new(train);
    let start = |count: usize, name: &str| {
        let mut draws = branch.branch(name).at(0);
        Vectors::from_fn(count, IALS_WIDTH, || draws.normal() * IALS_START)
    };
    let mut users = start(train.users.len(), "users");
    let mut movies = start(train.movies.len(), "movies");
    for _ in 0..IALS_ROUNDS {
        ials_half(&mut users, &movies, &incidence.movies_of);
        ials_half(&mut movies, &users, &incidence.users_of);
    }
    Factors {
        name: "iALS",
        worth: vec![0.0; train.movies.len()],
        users,
        movies,
    }
}

/// Solves for each vector of one side with the other side fixed: (YᵀY + (w - 1) Σ y yᵀ + ridge) x = w Σ y, sums over those met.
fn ials_half(solved: &mut Vectors, fixed: &Vectors, met: &[Vec<u32>]) {
    let width = fixed.width;
    let mut everybody = vec![0.0; width * width];
    for vector in fixed.cells.chunks_exact(width) {
        add_outer(&mut everybody, 1.0, vector);
    }
    for place in 0..width {
        everybody[place * width + place] += IALS_RIDGE;
    }
    let mut square = everybody.clone();
    for (place, met) in met.iter().enumerate() {
        square.copy_from_slice(&everybody);
        let right = solved.row_mut(place);
        right.fill(0.0);
        for other in met {
            let vector = fixed.row(*other as usize);
            add_outer(&mut square, IALS_WEIGHT - 1.0, vector);
            add_scaled(right, IALS_WEIGHT, vector);
        }
        solve(&mut square, right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_round_of_weighted_least_squares_solves_its_normal_equations() {
        let mut entry = 0.0;
        let fixed = Vectors::from_fn(4, 2, || {
            entry += 0.37;
            libm::sin(entry * 5.0)
        });
        let met = vec![vec![0, 2], vec![], vec![1, 2, 3]];
        let mut solved = Vectors::zeros(3, 2);
        ials_half(&mut solved, &fixed, &met);
        for (place, met) in met.iter().enumerate() {
            let x = solved.row(place);
            // The gradient of the loss by each entry of x is zero.
            for entry in 0..2 {
                let mut gradient = IALS_RIDGE * x[entry];
                for other in 0..4 {
                    let (weight, wanted) = if met.contains(&other) {
                        (3.0, 1.0)
                    } else {
                        (1.0, 0.0)
                    };
                    let y = fixed.row(other as usize);
                    gradient -= weight * (wanted - dot(x, y)) * y[entry];
                }
                assert!(gradient.abs() < 1e-12, "{place} {entry} {gradient}");
            }
        }
        assert_eq!(solved.row(1), [0.0, 0.0]);
    }
}
