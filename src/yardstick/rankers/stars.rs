//! Models of the stars that a user gives: biases and factors, and the ranker that recommends what it predicts highest.

use super::super::dataset::Dataset;
use super::super::linear::{Vectors, add_outer, add_scaled, dot, solve};
use super::Ranker;
use crate::seed::Branch;

/// The factors of the model that ranks.
const RANKING_FACTORS: usize = 4;
/// The ridge penalty on biases.
const BIAS_RIDGE: f64 = 3.0;
/// The ridge penalty on factors.
const FACTOR_RIDGE: f64 = 8.0;
/// Rounds of alternating least squares.
const ROUNDS: usize = 15;
/// The spread of first factors.
const START: f64 = 0.1;

/// A model of stars: mean + bias of user + bias of movie + inner product of their factors (Koren, Bell and Volinsky 2009).
#[derive(Debug, Clone)]
pub struct StarModel {
    mean: f64,
    /// For each user the bias, then the factors.
    users: Vectors,
    /// For each movie the bias, then the factors.
    movies: Vectors,
}

impl StarModel {
    /// Returns the stars that a user is expected to give to a movie, not confined to the scale.
    pub fn predict(&self, user: usize, movie: usize) -> f64 {
        let (user, movie) = (self.users.row(user), self.movies.row(movie));
        self.mean + user[0] + movie[0] + dot(&user[1..], &movie[1..])
    }
}

/// One user's stars for one movie, or the same seen from the movie.
type Star = (u32, f64);

/// Fits a model with so many factors (0: biases alone) by alternating least squares with a ridge penalty.
///
/// Where nobody gave stars everything is 0.
pub fn fit_star_model(train: &Dataset, factors: usize, branch: &Branch) -> StarModel {
    let (mut sum, mut count) = (0.0, 0.0);
    let mut by_user: Vec<Vec<Star>> = vec![Vec::new(); train.users.len()];
    let mut by_movie: Vec<Vec<Star>> = vec![Vec::new(); train.movies.len()];
    for meeting in &train.meetings {
        if let Some(stars) = meeting.stars.map(f64::from) {
            sum += stars;
            count += 1.0;
            by_user[meeting.user as usize].push((meeting.movie, stars));
            by_movie[meeting.movie as usize].push((meeting.user, stars));
        }
    }
    let mean = sum / f64::max(count, 1.0);
    let start = |rows: usize, name: &str| {
        let mut draws = branch.branch(name).at(0);
        let mut vectors = Vectors::from_fn(rows, factors + 1, || draws.normal() * START);
        let biases = vectors.cells.iter_mut().step_by(factors + 1);
        biases.for_each(|bias| *bias = 0.0);
        vectors
    };
    let mut users = start(train.users.len(), "users");
    let mut movies = start(train.movies.len(), "movies");
    for _ in 0..ROUNDS {
        half(&mut users, &movies, &by_user, mean);
        half(&mut movies, &users, &by_movie, mean);
    }
    StarModel { mean, users, movies }
}

/// Solves for the biases and factors of one side with those of the other side fixed.
fn half(solved: &mut Vectors, fixed: &Vectors, given: &[Vec<Star>], mean: f64) {
    let width = fixed.width;
    let mut square = vec![0.0; width * width];
    let mut known = vec![0.0; width];
    for (place, given) in given.iter().enumerate() {
        square.fill(0.0);
        for entry in 0..width {
            square[entry * width + entry] = if entry == 0 { BIAS_RIDGE } else { FACTOR_RIDGE };
        }
        let right = solved.row_mut(place);
        right.fill(0.0);
        for (other, stars) in given {
            known.copy_from_slice(fixed.row(*other as usize));
            let left = stars - mean - known[0];
            known[0] = 1.0;
            add_outer(&mut square, 1.0, &known);
            add_scaled(right, left, &known);
        }
        solve(&mut square, right);
    }
}

/// Movies by the stars that a model of four factors predicts.
#[derive(Debug)]
pub(super) struct MfRating(StarModel);

impl MfRating {
    pub(super) fn fit(train: &Dataset, branch: &Branch) -> Self {
        Self(fit_star_model(train, RANKING_FACTORS, branch))
    }
}

impl Ranker for MfRating {
    fn name(&self) -> &'static str {
        "MFrating"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        for (movie, score) in scores.iter_mut().enumerate() {
            *score = self.0.predict(user, movie);
        }
    }
}
