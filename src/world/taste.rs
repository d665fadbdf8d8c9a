//! Latent taste: what draws a user to a movie, how they would rate it, and what a list is truly worth to them.
//!
//! Choice is a multinomial logit over appeal and personal taste; ratings follow a second, correlated taste and are mostly
//! noise. Appeal is split into what a movie deserves (intrinsic) and how known it is (awareness): organic discovery uses
//! both, the truth that a service is graded by uses the intrinsic part alone, so that recommending what is popular is
//! not the optimum. Parameters were fitted to the choice and rating statistics of MovieLens 100K; constants carry their
//! names from `docs/reference/world.md`.

use super::genre::{GENRES, Genre, GenreSet};
use super::people::Gender;
use crate::seed::Draws;

/// The number of latent dimensions beyond the named axes.
pub(super) const LATENT: usize = 13;
/// The number of features that the choice utility is a dot product over.
pub(super) const FEATURES: usize = 4 + GENRES + LATENT;
/// The number of sums that the dot product keeps side by side: two registers of the least common machine.
const LANES: usize = 8;

/// The standard deviation in logits of what appeal is made of.
const APPEAL_SD: f64 = 3.023;
/// The standard deviation and the shape of appeal itself, a skew-normal in every world: its parts decide on the order alone.
const CURVE_SD: f64 = 3.045;
const CURVE_SKEW: f64 = -1.825;
/// How much more a movie counts for each logit of its appeal where spreads are made equal between worlds.
const ATTENTION: f64 = 0.4;
/// How recency, age and highbrow go with appeal, so weighted.
const AXIS_APPEAL: [f64; 3] = [-0.066, 0.113, 0.350];
/// The correlation of appeal with quality.
const APPEAL_QUALITY: f64 = 0.319;
/// The share of appeal's variance that is awareness and not merit.
const AWARENESS_SHARE: f64 = 0.25;
/// The shape of the skew-normal parts of appeal: a bounded head and a long dead tail, which is what real catalogues have.
const APPEAL_SKEW: f64 = -2.815;
/// The weight of a genre's general popularity in appeal.
const GENRE_POPULARITY: f64 = 1.219;
/// The bonus of movies older than eight years: those that are still offered are the better ones.
const OLD_BONUS: f64 = 0.259;
/// The geometric decay of the weights of latent dimensions.
const LATENT_DECAY: f64 = 0.889;
/// The share of a movie's latent position that it has in common with its micro-genre.
const CLUSTERED: f64 = 0.518;
/// How much further out in latent taste a movie lies for each standard deviation by which its appeal is below the mean:
/// what few know is more particular than what everybody watches.
const NICHE: f64 = 0.105;
/// The logarithm of the most that this may widen or narrow a position.
const NICHE_BOUND: f64 = 0.7;
/// The number of micro-genres.
pub(super) const CLUSTERS: usize = 104;
/// The standard deviations of personal taste: recency, era, highbrow, genre, latent.
const TASTE_RECENCY: f64 = 1.987;
const TASTE_ERA: f64 = 0.540;
const TASTE_HIGHBROW: f64 = 0.520;
const TASTE_GENRE: f64 = 0.870;
const TASTE_LATENT: f64 = 2.594;
/// How much genders and ages differ in their genres.
const GENDER_GENRE: f64 = 4.200;
const AGE_GENRE: f64 = 3.100;
/// The spread of how much appeal counts for a user.
const MAINSTREAM: f64 = 0.310;

/// The rating's latent mean and its parts.
const RATING_MEAN: f64 = 3.445;
const RATING_USER: f64 = 0.470;
const RATING_ACTIVITY: f64 = 0.105;
const RATING_QUALITY: f64 = 0.654;
const RATING_APPEAL: f64 = 0.512;
const RATING_ITEM: f64 = 0.065;
const RATING_SCALE: f64 = 0.370;
const RATING_TASTE: [f64; 4] = [0.217, 0.461, 0.612, 0.105];
/// What the least appealing movies lose in ratings: this times the square of how far their appeal is below `-DULL_FROM`.
const DULL: f64 = 0.130;
const DULL_FROM: f64 = 0.976;
/// Stable idiosyncrasy of a user about a movie, which nobody could learn from others.
const IDIOSYNCRASY: f64 = 0.864;
/// The noise of one occasion.
const OCCASION: f64 = 0.440;
/// Where the latent scale is cut into stars one to five.
const CUTS: [f64; 4] = [2.300, 3.327, 4.602, 6.167];

/// Activity in viewings in thirty days: a least number plus a Weibull of this shape and scale.
const ACTIVITY_LEAST: f64 = 4.0;
const ACTIVITY_SHAPE: f64 = 0.814;
const ACTIVITY_SCALE: f64 = 25.427;

/// What taste depends on in a movie; all standardised over the catalogue where it says so.
#[derive(Debug, Clone)]
pub(super) struct MovieTraits {
    /// Quality, standardised.
    pub(super) quality: f64,
    /// Appeal as organic viewers feel it, in logits.
    pub(super) appeal: f64,
    /// The part of appeal that is merit, in logits.
    pub(super) intrinsic: f64,
    /// Appeal, standardised, as ratings see it.
    pub(super) appeal_z: f64,
    /// The movie's own part of the rating.
    pub(super) rating_item: f64,
    /// Recency, age and highbrow, each standardised; genre indicators over the root of their number; latent position.
    pub(super) features: [f32; FEATURES],
}

/// A user's taste, regenerated whenever it is needed: a million of them would fill 140 MB.
#[derive(Debug, Clone)]
pub struct Taste {
    /// Weights over the features, the first of which is appeal.
    weights: [f32; FEATURES],
    /// The user's rating bias and scale.
    rating_bias: f64,
    rating_scale: f64,
    /// Viewings in thirty days.
    activity: f64,
}

/// What the draws of a movie need of the catalogue as a whole.
pub(super) struct Space {
    /// Centres of the micro-genres.
    centres: Vec<[f64; LATENT]>,
}

impl Space {
    pub(super) fn draw(mut draws: Draws) -> Self {
        let centres = (0..CLUSTERS).map(|_| latent(&mut draws)).collect();
        Self { centres }
    }
}

/// Draws the traits of a movie; `age` in years. Standardisation is done by [`standardise`] over all of them.
pub(super) fn movie(draws: &mut Draws, space: &Space, genres: GenreSet, age: f64) -> MovieTraits {
    let count = genres.len().max(1) as f64;
    let highbrow = genres.iter().map(Genre::highbrow).sum::<f64>() / libm::sqrt(count);
    let old = if age > 8.0 { 1.0 } else { 0.0 };
    let quality = draws.normal() + 0.35 * old + 0.25 * highbrow;
    let known = skew_normal(draws);
    let merit = skew_normal(draws);
    let mut features = [0.0_f32; FEATURES];
    features[1] = libm::exp(-age) as f32;
    features[2] = libm::log(1.0 + age) as f32;
    features[3] = (highbrow + 0.6 * quality) as f32;
    for genre in genres.iter() {
        features[4 + genre.index()] = (1.0 / libm::sqrt(count)) as f32;
    }
    // A movie's micro-genre belongs to its first genre, so that content tells something of taste.
    let first = genres.iter().next().map_or(0, Genre::index);
    let per_genre = CLUSTERS / GENRES;
    let centre = &space.centres[first * per_genre + draws.below(per_genre as u64) as usize];
    for (place, own) in latent(draws).into_iter().enumerate() {
        let position = libm::sqrt(CLUSTERED) * centre[place] + libm::sqrt(1.0 - CLUSTERED) * own;
        features[4 + GENRES + place] = position as f32;
    }
    let popularity = genres
        .iter()
        .map(|genre| libm::log(genre.share() * GENRES as f64))
        .sum::<f64>()
        / count;
    let common = GENRE_POPULARITY * 0.3 * popularity + OLD_BONUS * old;
    MovieTraits {
        quality,
        appeal: known,
        intrinsic: merit,
        appeal_z: common,
        rating_item: RATING_ITEM * draws.normal(),
        features,
    }
}

/// Standardises what must be, and makes appeal out of its parts.
pub(super) fn standardise(movies: &mut [MovieTraits]) {
    scale(
        movies,
        |movie| movie.quality,
        |movie, value| movie.quality = value,
    );
    scale(movies, |movie| movie.appeal, |movie, value| movie.appeal = value);
    scale(
        movies,
        |movie| movie.intrinsic,
        |movie, value| movie.intrinsic = value,
    );
    for axis in 1..4 {
        scale(
            movies,
            |movie| f64::from(movie.features[axis]),
            |movie, value| movie.features[axis] = value as f32,
        );
    }
    let residual = libm::sqrt(1.0 - APPEAL_QUALITY * APPEAL_QUALITY);
    for movie in movies.iter_mut() {
        let common = movie.appeal_z;
        let merit =
            APPEAL_QUALITY * movie.quality + residual * libm::sqrt(1.0 - AWARENESS_SHARE) * movie.intrinsic;
        let known = residual * libm::sqrt(AWARENESS_SHARE) * movie.appeal;
        movie.intrinsic = APPEAL_SD * merit + common;
        movie.appeal = APPEAL_SD * (merit + known) + common;
    }
    follow_curve(movies);
    for movie in movies.iter_mut() {
        movie.appeal_z = movie.appeal;
        movie.features[0] = movie.appeal as f32;
    }
    scale(
        movies,
        |movie| movie.appeal_z,
        |movie, value| movie.appeal_z = value,
    );
    make_alike(movies);
    for movie in movies {
        let wider = libm::exp((-NICHE * movie.appeal_z).clamp(-NICHE_BOUND, NICHE_BOUND)) as f32;
        for position in &mut movie.features[4 + GENRES..] {
            *position *= wider;
        }
        let dull = (-DULL_FROM - movie.appeal_z).max(0.0);
        movie.rating_item -= DULL * dull * dull;
    }
}

/// Gives every world the same popularity curve: the movie of each rank by appeal has that quantile of the curve.
///
/// The sum of the parts has a head without bound, which would differ from world to world. What is changed counts as merit.
fn follow_curve(movies: &mut [MovieTraits]) {
    let mut order: Vec<usize> = (0..movies.len()).collect();
    order.sort_by(|a, b| movies[*a].appeal.total_cmp(&movies[*b].appeal));
    for (place, value) in order.into_iter().zip(curve(movies.len())) {
        let movie = &mut movies[place];
        movie.intrinsic += value - movie.appeal;
        movie.appeal = value;
    }
}

/// Returns the quantiles of appeal, in logits, at the middles of `n` equal shares, rising; its mean is nought.
fn curve(n: usize) -> impl Iterator<Item = f64> {
    const LOW: f64 = -9.0;
    const STEP: f64 = 0.0005;
    let density = |x: f64| {
        libm::exp(-x * x / 2.0) * libm::sqrt(2.0 / std::f64::consts::PI) * normal_cdf(CURVE_SKEW * x)
    };
    let delta = CURVE_SKEW / libm::sqrt(1.0 + CURVE_SKEW * CURVE_SKEW);
    let mean = delta * libm::sqrt(2.0 / std::f64::consts::PI);
    let sd = libm::sqrt(1.0 - mean * mean);
    // The distribution function has no closed form: the density is summed up to each share in turn.
    let (mut x, mut below) = (LOW, 0.0);
    let mut next = density(x + STEP / 2.0) * STEP;
    (0..n).map(move |rank| {
        let wanted = (rank as f64 + 0.5) / n as f64;
        while below + next <= wanted && x < -LOW {
            below += next;
            x += STEP;
            next = density(x + STEP / 2.0) * STEP;
        }
        (x + STEP * (wanted - below) / next - mean) / sd * CURVE_SD
    })
}

/// Makes the spreads of what movies differ in, and how the named axes go with appeal, the same in every world.
///
/// Movies count by how much they are watched: a few movies of the head decide what a log looks like.
fn make_alike(movies: &mut [MovieTraits]) {
    let counts: Vec<f64> = movies
        .iter()
        .map(|movie| libm::exp(ATTENTION * movie.appeal))
        .collect();
    let mean = |values: &[f64]| dot(&counts, values) / counts.iter().sum::<f64>();
    let standard = |values: &mut [f64]| {
        let centre = mean(values);
        for value in values.iter_mut() {
            *value -= centre;
        }
        let squares: Vec<f64> = values.iter().map(|value| value * value).collect();
        let sd = libm::sqrt(mean(&squares)).max(1e-9);
        for value in values.iter_mut() {
            *value /= sd;
        }
    };
    let mut appeal: Vec<f64> = movies.iter().map(|movie| movie.appeal).collect();
    standard(&mut appeal);
    for (axis, rho) in (1..).zip(AXIS_APPEAL) {
        let mut own: Vec<f64> = movies
            .iter()
            .map(|movie| f64::from(movie.features[axis]))
            .collect();
        standard(&mut own);
        let products: Vec<f64> = own
            .iter()
            .zip(&appeal)
            .map(|(own, appeal)| own * appeal)
            .collect();
        let found = mean(&products);
        for (own, appeal) in own.iter_mut().zip(&appeal) {
            *own -= found * appeal;
        }
        standard(&mut own);
        for ((movie, own), appeal) in movies.iter_mut().zip(own).zip(&appeal) {
            movie.features[axis] = (rho * appeal + libm::sqrt(1.0 - rho * rho) * own) as f32;
        }
    }
    for (place, spread) in latent_spreads().into_iter().enumerate() {
        let place = 4 + GENRES + place;
        let mut own: Vec<f64> = movies
            .iter()
            .map(|movie| f64::from(movie.features[place]))
            .collect();
        standard(&mut own);
        for (movie, own) in movies.iter_mut().zip(own) {
            movie.features[place] = (spread * own) as f32;
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Draws a user's activity, the first draw of their taste: viewings in thirty days.
pub(super) fn activity(draws: &mut Draws, age: u8, gender: Gender) -> f64 {
    let weibull = libm::pow(-libm::log(draws.open_unit()), 1.0 / ACTIVITY_SHAPE) * ACTIVITY_SCALE;
    let by_group = (1.03 - 0.18 * female(gender)) * libm::exp(-0.07 * age_z(age).clamp(-2.0, 3.0));
    ACTIVITY_LEAST + weibull * by_group
}

fn age_z(age: u8) -> f64 {
    (f64::from(age) - 30.0) / 11.0
}

fn female(gender: Gender) -> f64 {
    match gender {
        Gender::Female => 1.0,
        Gender::Male => 0.0,
    }
}

/// Draws a user's taste.
pub(super) fn user(draws: &mut Draws, age: u8, gender: Gender) -> Taste {
    let activity = activity(draws, age, gender);
    let age_z = age_z(age);
    let female = female(gender);
    let log_activity = (libm::log(activity) - 3.05) / 0.8;
    let tied =
        |rho: f64, other: f64, draws: &mut Draws| rho * other + libm::sqrt(1.0 - rho * rho) * draws.normal();

    let mut weights = [0.0_f32; FEATURES];
    weights[0] = (1.0 + MAINSTREAM * tied(-0.332, log_activity, draws)) as f32;
    weights[1] = (TASTE_RECENCY * tied(-0.739, log_activity, draws)) as f32;
    weights[2] = (TASTE_ERA * tied(0.369, age_z, draws)) as f32;
    weights[3] = (TASTE_HIGHBROW * tied(0.377, age_z, draws)) as f32;
    for genre in Genre::all() {
        let group =
            GENDER_GENRE * genre.female_lift() * (female - 0.18) + AGE_GENRE * genre.age_lift() * age_z / 2.1;
        weights[4 + genre.index()] = (TASTE_GENRE * draws.normal() + group) as f32;
    }
    // The movies' latent positions carry the decaying weights; users are spherical.
    for weight in &mut weights[4 + GENRES..] {
        *weight = (TASTE_LATENT * draws.normal()) as f32;
    }
    Taste {
        weights,
        rating_bias: RATING_USER * draws.normal() + RATING_ACTIVITY * log_activity,
        rating_scale: libm::exp(RATING_SCALE * draws.normal()),
        activity,
    }
}

impl Taste {
    /// Returns how many viewings the user has in thirty days, on average.
    pub fn activity(&self) -> f64 {
        self.activity
    }

    /// Returns the user's weights of the features.
    pub(super) fn weights(&self) -> &[f32; FEATURES] {
        &self.weights
    }

    /// Returns the pull of a movie on the user when they choose by themselves, in logits, before noise.
    pub(super) fn pull(&self, movie: &MovieTraits) -> f64 {
        // Eight sums side by side, always added in this order: as fast as the machine can, and the same bits on all.
        let (weights, weights_left) = self.weights.as_chunks::<LANES>();
        let (features, features_left) = movie.features.as_chunks::<LANES>();
        let mut sums = [0.0_f32; LANES];
        for (weights, features) in weights.iter().zip(features) {
            for lane in 0..LANES {
                sums[lane] += weights[lane] * features[lane];
            }
        }
        for ((sum, weight), feature) in sums.iter_mut().zip(weights_left).zip(features_left) {
            *sum += weight * feature;
        }
        f64::from(sums.iter().sum::<f32>())
    }

    /// Moves the weights of the genres, in logits.
    pub fn lean(&mut self, by: &[f32; GENRES]) {
        for (weight, by) in self.weights[4..4 + GENRES].iter_mut().zip(by) {
            *weight += by;
        }
    }

    /// Returns the user's weight of a genre.
    pub(super) fn genre_weight(&self, genre: Genre) -> f64 {
        f64::from(self.weights[4 + genre.index()])
    }

    /// Returns the structural part of the rating on the latent scale: what could be learnt.
    pub(super) fn rating_structure(&self, movie: &MovieTraits) -> f64 {
        let [highbrow, era, genre, latent] = RATING_TASTE;
        let part = |range: std::ops::Range<usize>| -> f64 {
            range
                .map(|place| f64::from(self.weights[place]) * f64::from(movie.features[place]))
                .sum()
        };
        let taste = highbrow * part(3..4) / TASTE_HIGHBROW
            + era * part(2..3) / TASTE_ERA
            + genre * part(4..4 + GENRES) / 0.8
            + latent * part(4 + GENRES..FEATURES) / TASTE_LATENT;
        RATING_MEAN
            + self.rating_bias
            + RATING_QUALITY * movie.quality
            + RATING_APPEAL * movie.appeal_z
            + movie.rating_item
            + self.rating_scale * taste
    }

    /// Returns the expected satisfaction in [0, 1], over idiosyncrasy and occasion: (E\[stars\] - 1) / 4.
    pub(super) fn satisfaction(&self, movie: &MovieTraits) -> f64 {
        let centre = self.rating_structure(movie);
        let sd = self.rating_scale * libm::sqrt(IDIOSYNCRASY * IDIOSYNCRASY + OCCASION * OCCASION);
        CUTS.iter()
            .map(|cut| normal_cdf((centre - cut) / sd))
            .sum::<f64>()
            / CUTS.len() as f64
    }

    /// Returns how satisfied the user truly is this once, standardised (about -3 to 3): it decides how long they watch.
    pub(super) fn felt(&self, movie: &MovieTraits, idiosyncrasy: f64) -> f64 {
        (self.rating_structure(movie) + self.rating_scale * IDIOSYNCRASY * idiosyncrasy - 3.6) / 1.1
    }

    /// Returns the stars, 1 to 5, that the user gives on one occasion.
    ///
    /// `moved` is how far the ruler has moved, on the latent scale.
    pub(super) fn stars(&self, movie: &MovieTraits, idiosyncrasy: f64, occasion: f64, moved: f64) -> u8 {
        let noise = IDIOSYNCRASY * idiosyncrasy + OCCASION * occasion;
        let latent = self.rating_structure(movie) + self.rating_scale * noise + moved;
        1 + CUTS.iter().filter(|cut| latent > **cut).count() as u8
    }
}

fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Returns the spreads of the latent dimensions: they decay, and their squares add up to 1.
fn latent_spreads() -> [f64; LATENT] {
    let raw: [f64; LATENT] = std::array::from_fn(|place| libm::pow(LATENT_DECAY, place as f64));
    let norm = libm::sqrt(raw.iter().map(|spread| spread * spread).sum::<f64>());
    raw.map(|spread| spread / norm)
}

/// Draws a latent position: decaying spreads, mean square norm 1.
fn latent(draws: &mut Draws) -> [f64; LATENT] {
    latent_spreads().map(|spread| spread * draws.normal())
}

/// Draws from the skew-normal distribution of shape [`APPEAL_SKEW`] (Azzalini 1985).
fn skew_normal(draws: &mut Draws) -> f64 {
    let delta = APPEAL_SKEW / libm::sqrt(1.0 + APPEAL_SKEW * APPEAL_SKEW);
    let first = draws.normal();
    let second = draws.normal();
    delta * libm::fabs(first) + libm::sqrt(1.0 - delta * delta) * second
}

fn scale(movies: &mut [MovieTraits], get: impl Fn(&MovieTraits) -> f64, set: impl Fn(&mut MovieTraits, f64)) {
    let n = movies.len() as f64;
    let mean = movies.iter().map(&get).sum::<f64>() / n;
    let variance = movies
        .iter()
        .map(|movie| (get(movie) - mean) * (get(movie) - mean))
        .sum::<f64>()
        / n;
    let sd = libm::sqrt(variance).max(1e-9);
    for movie in movies {
        let value = (get(movie) - mean) / sd;
        set(movie, value);
    }
}
