//! How well rankers foresee what is held out, with intervals over users; the ladder that a log makes of them.

use std::collections::BTreeMap;

use super::dataset::Dataset;
use super::rankers::{Algorithm, Ranker, fit_star_model};
use super::split::Split;
use crate::metrics::ranking::{self, Grades};
use crate::metrics::{beyond, stats};
use crate::scorecard::Interval;
use crate::seed::Branch;

/// The places in a list that count.
pub const K: usize = 20;
/// The resamples of every bootstrap.
const RESAMPLES: usize = 1_000;
/// The level of every interval.
const LEVEL: f64 = 0.95;

/// What one ranker gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The ranker's name.
    pub name: String,
    /// The users who could be evaluated: those with something held out.
    pub users: Vec<usize>,
    /// NDCG@20 of each of them.
    pub ndcg: Vec<f64>,
    /// Recall@20 of each.
    pub recall: Vec<f64>,
    /// Whether anything was hit, 1 or 0, of each.
    pub hit: Vec<f64>,
    /// The share of the catalogue that is in any list.
    pub coverage: f64,
    /// The Gini coefficient of how often each movie is in a list.
    pub gini: f64,
}

impl Evaluated {
    /// Returns the mean NDCG@20.
    pub fn mean_ndcg(&self) -> f64 {
        mean(&self.ndcg)
    }

    /// Returns the mean recall@20.
    pub fn mean_recall(&self) -> f64 {
        mean(&self.recall)
    }

    /// Returns the mean hit rate at 20.
    pub fn mean_hit(&self) -> f64 {
        mean(&self.hit)
    }

    /// Returns the interval of the mean NDCG@20 over resampled users (95 %, percentile bootstrap).
    pub fn interval(&self, branch: &Branch) -> Option<Interval> {
        resampled(self.ndcg.len(), &|places| of(places, &self.ndcg), branch)
    }

    /// Returns the interval of the difference of the mean NDCG@20 to another ranker's on the same users.
    pub fn ahead_of(&self, other: &Self, branch: &Branch) -> Option<Interval> {
        (self.users == other.users)
            .then(|| {
                let difference = |places: &[usize]| of(places, &self.ndcg) - of(places, &other.ndcg);
                resampled(self.ndcg.len(), &difference, branch)
            })
            .flatten()
    }

    /// Returns the mean NDCG@20 of some of the users; none when there are none.
    pub fn mean_of(&self, test: impl Fn(usize) -> bool) -> Option<f64> {
        let own: Vec<f64> = self
            .users
            .iter()
            .zip(&self.ndcg)
            .filter(|(user, _)| test(**user))
            .map(|(_, ndcg)| *ndcg)
            .collect();
        (!own.is_empty()).then(|| mean(&own))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn of(places: &[usize], values: &[f64]) -> f64 {
    places.iter().map(|place| values[*place]).sum::<f64>() / places.len().max(1) as f64
}

fn resampled(units: usize, figure: &dyn Fn(&[usize]) -> f64, branch: &Branch) -> Option<Interval> {
    stats::bootstrap::percentile(units, figure, RESAMPLES, LEVEL, &mut branch.at(0))
}

/// Asks a ranker for twenty movies for each user who has something held out: the whole catalogue is ranked, what the user
/// met in training is left out, and all that is held out counts alike. Equal scores stand in an order of
/// their own for each user, by a hash: the catalogue's order would favour whatever it is sorted by.
pub fn evaluate(split: &Split, ranker: &dyn Ranker) -> Evaluated {
    let movies = split.train.movies.len();
    let mut met = vec![Vec::new(); split.train.users.len()];
    for meeting in &split.train.meetings {
        met[meeting.user as usize].push(meeting.movie as usize);
    }
    let mut found = Evaluated {
        name: ranker.name().to_owned(),
        users: Vec::new(),
        ndcg: Vec::new(),
        recall: Vec::new(),
        hit: Vec::new(),
        coverage: 0.0,
        gini: 0.0,
    };
    let mut lists = Vec::new();
    let mut scores = vec![0.0; movies];
    for (user, heldout) in split.heldout.iter().enumerate() {
        if heldout.is_empty() {
            continue;
        }
        ranker.scores(user, &mut scores);
        let list = top(&mut scores, &met[user], user);
        let grades: Grades = heldout
            .iter()
            .map(|meeting| (u64::from(meeting.movie), 1.0))
            .collect();
        found.users.push(user);
        found.ndcg.push(ranking::ndcg_at_k(&list, &grades, K));
        found.recall.push(ranking::recall_at_k(&list, &grades, K, 1.0));
        found.hit.push(ranking::hit_rate_at_k(&list, &grades, K, 1.0));
        lists.push(list);
    }
    if !lists.is_empty() {
        found.coverage = beyond::coverage(&lists, movies);
        let mut counts: BTreeMap<u64, f64> = BTreeMap::new();
        for movie in lists.iter().flatten() {
            *counts.entry(*movie).or_default() += 1.0;
        }
        found.gini = beyond::gini(&counts, movies);
    }
    found
}

/// Returns the twenty movies with the highest scores beside those that were met.
pub(super) fn top(scores: &mut [f64], met: &[usize], user: usize) -> Vec<u64> {
    for movie in met {
        scores[*movie] = f64::NEG_INFINITY;
    }
    let mut order: Vec<usize> = (0..scores.len())
        .filter(|movie| scores[*movie] > f64::NEG_INFINITY)
        .collect();
    let lot = |movie: usize| {
        // The mixing of splitmix64 (Steele, Lea and Flood 2014).
        let mixed = ((user as u64) << 32 | movie as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    };
    let better = |a: &usize, b: &usize| {
        let by_score = scores[*b].total_cmp(&scores[*a]);
        by_score.then_with(|| lot(*a).cmp(&lot(*b))).then(a.cmp(b))
    };
    if order.len() > K {
        order.select_nth_unstable_by(K, better);
        order.truncate(K);
    }
    order.sort_by(better);
    order.into_iter().map(|movie| movie as u64).collect()
}

/// Trains and evaluates every algorithm, on as many threads as are given; the result depends on the branch alone.
pub fn ladder(split: &Split, algorithms: &[Algorithm], branch: &Branch, threads: usize) -> Vec<Evaluated> {
    let mut found: Vec<(usize, Evaluated)> = Vec::new();
    std::thread::scope(|scope| {
        let threads = threads.max(1);
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    algorithms
                        .iter()
                        .enumerate()
                        .skip(thread)
                        .step_by(threads)
                        .map(|(place, algorithm)| {
                            (place, evaluate(split, &*algorithm.fit(&split.train, branch)))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for handle in handles {
            found.extend(handle.join().expect("training does not panic"));
        }
    });
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, evaluated)| evaluated).collect()
}

/// Kendall's tau between two orders of the same things, by their values: 1 the same order, -1 the reverse.
pub fn kendall_tau(a: &[f64], b: &[f64]) -> f64 {
    let mut agree = 0.0;
    let mut pairs = 0.0;
    for i in 0..a.len() {
        for j in 0..i {
            let product = (a[i] - a[j]) * (b[i] - b[j]);
            agree += if product == 0.0 { 0.0 } else { product.signum() };
            pairs += 1.0;
        }
    }
    agree / f64::max(pairs, 1.0)
}

/// The root mean square error of stars that are held out, by model; none when no held-out meeting has stars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatingErrors {
    /// The mean of all.
    pub global: f64,
    /// The user's mean.
    pub user: f64,
    /// The movie's mean.
    pub movie: f64,
    /// Both biases.
    pub bias: f64,
    /// Both biases and four factors.
    pub factors4: f64,
}

/// Predicts the stars that are held out.
pub fn rating_errors(split: &Split, branch: &Branch) -> Option<RatingErrors> {
    let bias = fit_star_model(&split.train, 0, branch);
    let factors = fit_star_model(&split.train, 4, branch);
    let rated: Vec<(usize, usize, f64)> = split
        .heldout
        .iter()
        .flatten()
        .filter_map(|meeting| {
            let stars = f64::from(meeting.stars?);
            Some((meeting.user as usize, meeting.movie as usize, stars))
        })
        .collect();
    if rated.is_empty() {
        return None;
    }
    let (users, movies, global) = means(&split.train);
    let error = |predict: &dyn Fn(usize, usize) -> f64| {
        let squares = rated.iter().map(|(user, movie, stars)| {
            let error = stars - predict(*user, *movie).clamp(1.0, 5.0);
            error * error
        });
        libm::sqrt(squares.sum::<f64>() / rated.len() as f64)
    };
    Some(RatingErrors {
        global: error(&|_, _| global),
        user: error(&|user, _| users[user]),
        movie: error(&|_, movie| movies[movie]),
        bias: error(&|user, movie| bias.predict(user, movie)),
        factors4: error(&|user, movie| factors.predict(user, movie)),
    })
}

/// Returns each user's and each movie's mean stars, and that of all, which stands in where there are none.
fn means(data: &Dataset) -> (Vec<f64>, Vec<f64>, f64) {
    let mut users = vec![(0.0, 0.0); data.users.len()];
    let mut movies = vec![(0.0, 0.0); data.movies.len()];
    let mut all = (0.0, 0.0);
    for meeting in &data.meetings {
        let Some(stars) = meeting.stars.map(f64::from) else {
            continue;
        };
        for of in [
            &mut users[meeting.user as usize],
            &mut movies[meeting.movie as usize],
            &mut all,
        ] {
            *of = (of.0 + stars, of.1 + 1.0);
        }
    }
    let global = all.0 / f64::max(all.1, 1.0);
    let mean = |(sum, count): (f64, f64)| if count > 0.0 { sum / count } else { global };
    (
        users.into_iter().map(mean).collect(),
        movies.into_iter().map(mean).collect(),
        global,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;
    use crate::yardstick::{Meeting, MovieRow, Protocol, UserRow};

    /// Knows all that is held out.
    struct Seer(Vec<Vec<Meeting>>);

    impl Ranker for Seer {
        fn name(&self) -> &'static str {
            "seer"
        }

        fn scores(&self, user: usize, scores: &mut [f64]) {
            scores.fill(0.0);
            for meeting in &self.0[user] {
                scores[meeting.movie as usize] = 1.0;
            }
        }
    }

    fn split() -> Split {
        let mut draws = Key::from_seed(2).branch("log").at(0);
        let mut data = Dataset {
            users: vec![UserRow::default(); 40],
            movies: vec![MovieRow::default(); 200],
            ..Dataset::default()
        };
        for user in 0..40 {
            for place in 0..25 {
                data.meetings.push(Meeting {
                    user,
                    movie: draws.below(200) as u32,
                    at: place,
                    minutes: None,
                    stars: Some(3.0),
                });
            }
        }
        data.settle();
        Split::new(&data, Protocol::Random, &Key::from_seed(2).branch("split"))
    }

    #[test]
    fn who_knows_the_future_is_perfect_and_who_draws_lots_is_not() {
        let split = split();
        let branch = Key::from_seed(2).branch("fit");
        let seer = evaluate(&split, &Seer(split.heldout.clone()));
        assert!((seer.mean_ndcg() - 1.0).abs() < 1e-12 && (seer.mean_recall() - 1.0).abs() < 1e-12);
        let lots = evaluate(&split, &*Algorithm::Random.fit(&split.train, &branch));
        assert!(lots.mean_ndcg() < 0.3 && lots.coverage > 0.9);
        let ahead = seer.ahead_of(&lots, &branch).unwrap();
        assert!(ahead.low > 0.5, "{ahead:?}");
        assert_eq!(lots.mean_of(|user| user == 1_000), None);
    }

    #[test]
    fn a_ladder_is_the_same_on_any_number_of_threads() {
        let split = split();
        let branch = Key::from_seed(2).branch("fit");
        let some = [Algorithm::Pop, Algorithm::ItemKnn, Algorithm::Random];
        assert_eq!(
            ladder(&split, &some, &branch, 1),
            ladder(&split, &some, &branch, 2)
        );
    }

    #[test]
    fn stars_that_never_differ_are_foreseen() {
        let errors = rating_errors(&split(), &Key::from_seed(2).branch("mf")).unwrap();
        assert!(
            errors.global < 1e-9 && errors.bias < 1e-9 && errors.factors4 < 0.1,
            "{errors:?}"
        );
    }

    #[test]
    fn tau_tells_an_order_from_its_reverse() {
        assert_eq!(kendall_tau(&[1.0, 2.0, 3.0], &[2.0, 4.0, 9.0]), 1.0);
        assert_eq!(kendall_tau(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        assert!((kendall_tau(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]) - 1.0 / 3.0).abs() < 1e-12);
    }
}
