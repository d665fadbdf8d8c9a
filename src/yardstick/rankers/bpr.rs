//! BPR: factors under which what a user met scores above what they did not.

use super::super::dataset::Dataset;
use super::super::linear::{Vectors, dot};
use super::Incidence;
use super::factors::Factors;
use crate::seed::Branch;

/// The dimensions.
const WIDTH: usize = 32;
/// The step of each update.
const RATE: f64 = 0.02;
/// The penalty on all parameters.
const RIDGE: f64 = 0.05;
/// Updates, as a multiple of the meetings.
const EPOCHS: usize = 150;

/// Fits Bayesian personalised ranking (Rendle et al. 2009) by stochastic gradient ascent of Σ ln σ(score met - score not met).
///
/// A met pair is drawn uniformly from the log, and the other movie as well, so that movies are compared in proportion to
/// their popularity, as the library `implicit` does; a draw that the user has met as well is passed over.
pub(super) fn fit(train: &Dataset, branch: &Branch) -> Factors {
    let incidence = Incidence::new(train);
    let start = |count: usize, name: &str| {
        let mut draws = branch.branch(name).at(0);
        Vectors::from_fn(count, WIDTH, || (draws.unit() - 0.5) / WIDTH as f64)
    };
    let mut users = start(train.users.len(), "users");
    let mut movies = start(train.movies.len(), "movies");
    let mut worth = vec![0.0; train.movies.len()];
    let n = train.meetings.len() as u64;
    for epoch in 0..EPOCHS {
        let mut draws = branch.at(epoch as u64);
        for _ in 0..n {
            let met = &train.meetings[draws.below(n) as usize];
            let other = train.meetings[draws.below(n) as usize].movie;
            if incidence.movies_of[met.user as usize]
                .binary_search(&other)
                .is_ok()
            {
                continue;
            }
            let (met_movie, other) = (met.movie as usize, other as usize);
            let user = users.row_mut(met.user as usize);
            let [better, worse] = two_rows(&mut movies, met_movie, other);
            let lead = worth[met_movie] - worth[other] + dot(user, better) - dot(user, worse);
            let push = 1.0 / (1.0 + libm::exp(lead));
            for ((taste, better), worse) in user.iter_mut().zip(better).zip(worse) {
                let old = *taste;
                *taste += RATE * (push * (*better - *worse) - RIDGE * old);
                *better += RATE * (push * old - RIDGE * *better);
                *worse += RATE * (-push * old - RIDGE * *worse);
            }
            worth[met_movie] += RATE * (push - RIDGE * worth[met_movie]);
            worth[other] += RATE * (-push - RIDGE * worth[other]);
        }
    }
    Factors {
        name: "BPR",
        users,
        movies,
        worth,
    }
}

/// Returns two different vectors to be changed, in the order asked for.
fn two_rows(vectors: &mut Vectors, first: usize, second: usize) -> [&mut [f64]; 2] {
    let width = vectors.width;
    let (before, rest) = vectors.cells.split_at_mut(first.max(second) * width);
    let low = &mut before[first.min(second) * width..][..width];
    let high = &mut rest[..width];
    if first < second { [low, high] } else { [high, low] }
}
