//! Where recommenders put one movie, trained on a log and on its twin: the true effect of an attack, which no log could give.

use super::dataset::Dataset;
use super::evaluate::K;
use super::rankers::{Algorithm, Ranker};
use crate::metrics::stats;
use crate::scorecard::Interval;
use crate::seed::Branch;

/// The most users who are asked: the interval of a mean rank is narrow by then, and every one costs two whole rankings.
const ASKED: usize = 500;
/// The resamples of a bootstrap.
const RESAMPLES: usize = 1_000;
/// The level of an interval.
const LEVEL: f64 = 0.95;

/// Where one recommender puts a movie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The recommender's name.
    pub ranker: &'static str,
    /// How many users were asked.
    pub users: usize,
    /// The mean rank of the movie, 1 the best, among all that a user has not met.
    pub rank: Shift,
    /// The share of users who have it among their twenty.
    pub listed: Shift,
}

/// A mean over users without and with something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Trained on the log without.
    pub without: f64,
    /// Trained on the log with.
    pub with: f64,
    /// The interval of with less without, for the same users (95 %, percentile bootstrap over users).
    pub change: Option<Interval>,
}

/// Trains recommenders on a log and its twin, and tells where each puts a movie for users of the first who have not met it.
///
/// Users must have the same places in both logs; the twin may have more behind them. Five hundred are drawn where there are
/// more. Equal scores stand in the catalogue's order, as in the lists that are evaluated.
pub fn standings(
    without: &Dataset,
    with: &Dataset,
    movie: usize,
    algorithms: &[Algorithm],
    branch: &Branch,
) -> Vec<Standing> {
    let met = |data: &Dataset| -> Vec<Vec<usize>> {
        data.by_user()
            .iter()
            .map(|meetings| meetings.iter().map(|meeting| meeting.movie as usize).collect())
            .collect()
    };
    let met = [met(without), met(with)];
    let mut asked: Vec<usize> = (0..without.users.len())
        .filter(|user| met.iter().all(|met| !met[*user].contains(&movie)))
        .collect();
    branch.branch("asked").at(0).shuffle(&mut asked);
    asked.truncate(ASKED);
    asked.sort_unstable();
    let fitted = branch.branch("rankers");
    algorithms
        .iter()
        .map(|algorithm| {
            let ranks = |data: &Dataset, met: &[Vec<usize>]| -> Vec<f64> {
                let ranker = algorithm.fit(data, &fitted);
                let mut scores = vec![0.0; data.movies.len()];
                let rank = |user: &usize| rank(&*ranker, *user, movie, &met[*user], &mut scores);
                asked.iter().map(rank).collect()
            };
            let pairs = [ranks(without, &met[0]), ranks(with, &met[1])];
            let listed = |ranks: &[f64]| -> Vec<f64> {
                ranks.iter().map(|rank| f64::from(*rank <= K as f64)).collect()
            };
            let draws = branch.branch("resamples").branch(algorithm.name());
            Standing {
                ranker: algorithm.name(),
                users: asked.len(),
                listed: shift(&listed(&pairs[0]), &listed(&pairs[1]), &draws),
                rank: shift(&pairs[0], &pairs[1], &draws),
            }
        })
        .collect()
}

/// The place of a movie among those that a user has not met.
fn rank(ranker: &dyn Ranker, user: usize, movie: usize, met: &[usize], scores: &mut [f64]) -> f64 {
    ranker.scores(user, scores);
    for other in met {
        scores[*other] = f64::NEG_INFINITY;
    }
    let own = scores[movie];
    let ahead = scores
        .iter()
        .enumerate()
        .filter(|(place, score)| match score.total_cmp(&own) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => *place < movie,
            std::cmp::Ordering::Less => false,
        });
    ahead.count() as f64 + 1.0
}

fn shift(without: &[f64], with: &[f64], branch: &Branch) -> Shift {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let differences: Vec<f64> = with
        .iter()
        .zip(without)
        .map(|(with, without)| with - without)
        .collect();
    let figure = |places: &[usize]| {
        places.iter().map(|place| differences[*place]).sum::<f64>() / places.len().max(1) as f64
    };
    Shift {
        without: mean(without),
        with: mean(with),
        change: stats::bootstrap::percentile(differences.len(), figure, RESAMPLES, LEVEL, &mut branch.at(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;
    use crate::yardstick::{Meeting, MovieRow, UserRow};

    fn log(meetings: &[(u32, u32)]) -> Dataset {
        let users = meetings
            .iter()
            .map(|(user, _)| user + 1)
            .max()
            .unwrap_or_default();
        Dataset {
            users: vec![UserRow::default(); users as usize],
            movies: vec![MovieRow::default(); 30],
            meetings: meetings
                .iter()
                .enumerate()
                .map(|(at, (user, movie))| Meeting {
                    user: *user,
                    movie: *movie,
                    at: at as i64,
                    minutes: None,
                    stars: Some(3.0),
                })
                .collect(),
            ..Dataset::default()
        }
    }

    #[test]
    fn a_movie_that_strangers_watch_rises_by_as_many_places_as_it_overtakes_and_its_twin_stays() {
        // Movie 0 has two viewers, movies 1 to 24 one each; user 4 has met movie 25 alone and is asked with the others.
        let mut meetings: Vec<(u32, u32)> = (1..25).map(|movie| (movie % 4, movie)).collect();
        meetings.extend([(0, 0), (1, 0), (4, 25)]);
        let without = log(&meetings);
        meetings.extend([(5, 27), (6, 27), (7, 27)]);
        let with = log(&meetings);
        let branch = Key::from_seed(1).branch("twin");
        let found = standings(&without, &with, 27, &[Algorithm::Pop], &branch);
        assert_eq!(found[0].users, 5);
        // Unmet and unwatched movies stand in the catalogue's order: 26 is before 27, and so is each watched one unmet.
        assert_eq!((found[0].rank.with, found[0].listed.with), (1.0, 1.0));
        assert!(found[0].rank.without > 19.0 && found[0].listed.without < 1.0);
        let change = found[0].rank.change.unwrap();
        assert!(change.high < -15.0 && change.low >= -27.0, "{change:?}");
        let same = standings(
            &without,
            &without,
            27,
            &[Algorithm::Pop, Algorithm::ItemKnn],
            &branch,
        );
        for standing in same {
            assert_eq!(standing.rank.with, standing.rank.without);
            let change = standing.rank.change.unwrap();
            assert_eq!((change.low, change.high), (0.0, 0.0));
        }
    }
}
