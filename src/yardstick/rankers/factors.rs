//! Rankers by factors.

use ndarray::{Array1, Array2, Axis};

use super::neighbours::inverse;
use super::{Ranker, histories};
use crate::seed::{Branch, Draws};
use crate::yardstick::dataset::Dataset;

/// Users' and movies' positions in a space; a score is their product.
struct Positions {
    users: Array2<f64>,
    movies: Array2<f64>,
}

impl Positions {
    fn scores(&self, user: usize, scores: &mut [f64]) {
        let product = self.movies.dot(&self.users.row(user));
        for (score, value) in scores.iter_mut().zip(product) {
            *score = value;
        }
    }
}

fn normal(rows: usize, columns: usize, sd: f64, draws: &mut Draws) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || sd * draws.normal())
}

/// The projection of a user's meetings on the leading singular vectors (Cremonesi et al. 2010).
pub(super) struct PureSvd {
    histories: Vec<Vec<usize>>,
    /// Movies by singular vectors.
    vectors: Array2<f64>,
}

/// The singular vectors that are kept, those that are carried beside them, and the rounds of iteration.
const SINGULAR: usize = 16;
const BESIDE: usize = 8;
const ROUNDS: usize = 12;

impl PureSvd {
    pub(super) fn fit(data: &Dataset, branch: &Branch) -> Self {
        let histories = histories(data);
        let wide = (SINGULAR + BESIDE).min(data.movies.len());
        let mut vectors = normal(data.movies.len(), wide, 1.0, &mut branch.at(0));
        for _ in 0..ROUNDS {
            orthonormalise(&mut vectors);
            let mut next = Array2::zeros(vectors.dim());
            for history in &histories {
                let mut sum = Array1::<f64>::zeros(wide);
                for movie in history {
                    sum += &vectors.row(*movie);
                }
                for movie in history {
                    let mut row = next.row_mut(*movie);
                    row += &sum;
                }
            }
            vectors = next;
        }
        // Gram and Schmidt keep the order in which the columns have grown: the leading ones first.
        orthonormalise(&mut vectors);
        let kept = SINGULAR.min(wide);
        Self {
            histories,
            vectors: vectors.slice(ndarray::s![.., ..kept]).to_owned(),
        }
    }
}

/// Makes the columns orthonormal, each against those before it (Gram and Schmidt, twice for accuracy).
fn orthonormalise(matrix: &mut Array2<f64>) {
    for column in 0..matrix.ncols() {
        for _ in 0..2 {
            for before in 0..column {
                let product = matrix.column(before).dot(&matrix.column(column));
                let part = &matrix.column(before) * product;
                let mut own = matrix.column_mut(column);
                own -= &part;
            }
        }
        let norm = libm::sqrt(matrix.column(column).dot(&matrix.column(column)));
        let scale = if norm > 1e-12 { 1.0 / norm } else { 0.0 };
        matrix.column_mut(column).mapv_inplace(|value| value * scale);
    }
}

impl Ranker for PureSvd {
    fn name(&self) -> &'static str {
        "PureSVD"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        let mut sum = Array1::<f64>::zeros(self.vectors.ncols());
        for movie in &self.histories[user] {
            sum += &self.vectors.row(*movie);
        }
        for (score, value) in scores.iter_mut().zip(self.vectors.dot(&sum)) {
            *score = value;
        }
    }
}

/// Weighted least squares over all pairs of user and movie (Hu, Koren and Volinsky 2008).
pub(super) struct Ials(Positions);

const IALS_FACTORS: usize = 32;
const IALS_RIDGE: f64 = 5.0;
const IALS_WEIGHT: f64 = 3.0;
const IALS_ROUNDS: usize = 8;

impl Ials {
    pub(super) fn fit(data: &Dataset, branch: &Branch) -> Self {
        let met = histories(data);
        let mut viewers = vec![Vec::new(); data.movies.len()];
        for (user, history) in met.iter().enumerate() {
            for movie in history {
                viewers[*movie].push(user);
            }
        }
        let mut positions = Positions {
            users: Array2::zeros((met.len(), IALS_FACTORS)),
            movies: normal(viewers.len(), IALS_FACTORS, 0.1, &mut branch.at(0)),
        };
        for _ in 0..IALS_ROUNDS {
            solve(&met, &positions.movies, &mut positions.users);
            solve(&viewers, &positions.users, &mut positions.movies);
        }
        Self(positions)
    }
}

/// Solves for one side, the other held fast: `(Y'Y + α Σ y y' + λI) x = (1 + α) Σ y` over what each met.
fn solve(met: &[Vec<usize>], others: &Array2<f64>, own: &mut Array2<f64>) {
    let factors = others.ncols();
    let gram = others.t().dot(others) + Array2::<f64>::eye(factors) * IALS_RIDGE;
    for (mut row, met) in own.axis_iter_mut(Axis(0)).zip(met) {
        if met.is_empty() {
            row.fill(0.0);
            continue;
        }
        let of_met = others.select(Axis(0), met);
        let left = &gram + &(of_met.t().dot(&of_met) * IALS_WEIGHT);
        let right = of_met.sum_axis(Axis(0)) * (1.0 + IALS_WEIGHT);
        row.assign(&inverse(&left.view()).dot(&right));
    }
}

impl Ranker for Ials {
    fn name(&self) -> &'static str {
        "iALS"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        self.0.scores(user, scores);
    }
}

/// Factors trained so that what is met stands before what is not (Rendle et al. 2009).
pub(super) struct Bpr(Positions);

const BPR_FACTORS: usize = 32;
const BPR_RATE: f64 = 0.02;
const BPR_RIDGE: f64 = 0.05;
const BPR_ROUNDS: usize = 40;

impl Bpr {
    pub(super) fn fit(data: &Dataset, branch: &Branch) -> Self {
        let mut draws = branch.at(0);
        let movies = data.movies.len();
        let mut users = flat(data.users.len(), &mut draws);
        let mut items = flat(movies, &mut draws);
        let mut met = vec![false; data.users.len() * movies];
        for meeting in &data.meetings {
            met[meeting.user as usize * movies + meeting.movie as usize] = true;
        }
        for _ in 0..data.meetings.len() * BPR_ROUNDS {
            let meeting = &data.meetings[draws.below(data.meetings.len() as u64) as usize];
            let (user, liked) = (meeting.user as usize, meeting.movie as usize);
            let other = draws.below(movies as u64) as usize;
            if met[user * movies + other] {
                continue;
            }
            step(&mut users[user], &mut items, liked, other);
        }
        Self(Positions {
            users: stack(&users),
            movies: stack(&items),
        })
    }
}

type Row = [f64; BPR_FACTORS];

fn flat(rows: usize, draws: &mut Draws) -> Vec<Row> {
    (0..rows)
        .map(|_| std::array::from_fn(|_| 0.1 * draws.normal()))
        .collect()
}

fn stack(rows: &[Row]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), BPR_FACTORS), |(row, column)| rows[row][column])
}

/// One step up the gradient of `ln σ(score of liked - score of other)`.
fn step(user: &mut Row, items: &mut [Row], liked: usize, other: usize) {
    let ahead: f64 = (0..BPR_FACTORS)
        .map(|place| user[place] * (items[liked][place] - items[other][place]))
        .sum();
    let slope = 1.0 / (1.0 + libm::exp(ahead));
    for (place, own) in user.iter_mut().enumerate() {
        let (good, bad) = (items[liked][place], items[other][place]);
        let before = *own;
        *own += BPR_RATE * (slope * (good - bad) - BPR_RIDGE * before);
        items[liked][place] += BPR_RATE * (slope * before - BPR_RIDGE * good);
        items[other][place] += BPR_RATE * (-slope * before - BPR_RIDGE * bad);
    }
}

impl Ranker for Bpr {
    fn name(&self) -> &'static str {
        "BPR"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        self.0.scores(user, scores);
    }
}

/// Stars as mean, biases and factors (Koren, Bell and Volinsky 2009), trained by stochastic gradient.
#[derive(Debug, Clone)]
pub struct BiasedFactors {
    mean: f64,
    users: Vec<f64>,
    movies: Vec<f64>,
    user_factors: Vec<f64>,
    movie_factors: Vec<f64>,
    factors: usize,
}

const BIAS_RIDGE: (f64, f64) = (5.0, 3.0);
const MF_RATE: f64 = 0.01;
const MF_RIDGE: f64 = 0.12;
const MF_ROUNDS: usize = 60;

impl BiasedFactors {
    /// Trains on the meetings that have stars; with no factors, by biases alone (alternating ridge means).
    pub fn fit(data: &Dataset, factors: usize, branch: &Branch) -> Self {
        let rated: Vec<(usize, usize, f64)> = data
            .meetings
            .iter()
            .filter_map(|meeting| {
                let stars = f64::from(meeting.stars?);
                Some((meeting.user as usize, meeting.movie as usize, stars))
            })
            .collect();
        let mean = rated.iter().map(|(_, _, stars)| stars).sum::<f64>() / rated.len().max(1) as f64;
        let mut draws = branch.at(0);
        let mut model = Self {
            mean,
            users: vec![0.0; data.users.len()],
            movies: vec![0.0; data.movies.len()],
            user_factors: (0..data.users.len() * factors)
                .map(|_| 0.1 * draws.normal())
                .collect(),
            movie_factors: (0..data.movies.len() * factors)
                .map(|_| 0.1 * draws.normal())
                .collect(),
            factors,
        };
        for _ in 0..10 {
            model.movies = ridge_means(&rated, data.movies.len(), BIAS_RIDGE.1, |(user, movie, stars)| {
                (movie, stars - mean - model.users[user])
            });
            model.users = ridge_means(&rated, data.users.len(), BIAS_RIDGE.0, |(user, movie, stars)| {
                (user, stars - mean - model.movies[movie])
            });
        }
        if factors > 0 && !rated.is_empty() {
            for _ in 0..rated.len() * MF_ROUNDS {
                let (user, movie, stars) = rated[draws.below(rated.len() as u64) as usize];
                model.step(user, movie, stars);
            }
        }
        model
    }

    fn step(&mut self, user: usize, movie: usize, stars: f64) {
        let error = stars - self.predict(user, movie);
        let (u, m) = (user * self.factors, movie * self.factors);
        for factor in 0..self.factors {
            let (a, b) = (self.user_factors[u + factor], self.movie_factors[m + factor]);
            self.user_factors[u + factor] += MF_RATE * (error * b - MF_RIDGE * a);
            self.movie_factors[m + factor] += MF_RATE * (error * a - MF_RIDGE * b);
        }
    }

    /// Returns the predicted stars, not cut to the scale.
    pub fn predict(&self, user: usize, movie: usize) -> f64 {
        let (u, m) = (user * self.factors, movie * self.factors);
        let product: f64 = (0..self.factors)
            .map(|factor| self.user_factors[u + factor] * self.movie_factors[m + factor])
            .sum();
        self.mean + self.users[user] + self.movies[movie] + product
    }
}

/// Returns the mean of values by place, shrunk towards 0 by `ridge` values of 0.
fn ridge_means(
    rated: &[(usize, usize, f64)],
    places: usize,
    ridge: f64,
    value: impl Fn((usize, usize, f64)) -> (usize, f64),
) -> Vec<f64> {
    let mut sums = vec![(0.0, ridge); places];
    for rating in rated {
        let (place, value) = value(*rating);
        sums[place].0 += value;
        sums[place].1 += 1.0;
    }
    sums.into_iter().map(|(sum, count)| sum / count).collect()
}

/// Ranks by predicted stars: what one would rate best, not what one would watch.
pub(super) struct RatingRanker(BiasedFactors);

impl RatingRanker {
    pub(super) fn fit(data: &Dataset, branch: &Branch) -> Self {
        Self(BiasedFactors::fit(data, 4, branch))
    }
}

impl Ranker for RatingRanker {
    fn name(&self) -> &'static str {
        "MFrating"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        for (movie, score) in scores.iter_mut().enumerate() {
            *score = self.0.predict(user, movie);
        }
    }
}
