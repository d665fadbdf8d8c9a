//! Rankers that need no training to speak of.

use super::{Ranker, histories};
use crate::seed::Branch;
use crate::yardstick::dataset::{Dataset, UserRow};
use crate::yardstick::linear::dot;

/// A number drawn for each user and movie.
pub(super) struct Random(Branch);

impl Random {
    pub(super) fn new(branch: Branch) -> Self {
        Self(branch)
    }
}

impl Ranker for Random {
    fn name(&self) -> &'static str {
        "Random"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        let mut draws = self.0.at(user as u64);
        scores.fill_with(|| draws.unit());
    }
}

/// The same scores for everybody.
pub(super) struct Fixed {
    name: &'static str,
    scores: Vec<f64>,
}

/// How many ratings of the mean of all a movie's own are mixed with.
const MEAN_WEIGHT: f64 = 5.0;

impl Fixed {
    pub(super) fn popularity(data: &Dataset) -> Self {
        Self {
            name: "Pop",
            scores: data.popularity().into_iter().map(f64::from).collect(),
        }
    }

    /// Popularity in the last fifth of the log's time; ties go to what was popular before.
    pub(super) fn recent(data: &Dataset) -> Self {
        let mut scores: Vec<f64> = data
            .popularity()
            .into_iter()
            .map(|count| f64::from(count) * 1e-6)
            .collect();
        let first = data.meetings.len() * 4 / 5;
        for meeting in &data.meetings[first..] {
            scores[meeting.movie as usize] += 1.0;
        }
        Self {
            name: "RecentPop",
            scores,
        }
    }

    pub(super) fn item_average(data: &Dataset) -> Self {
        let mut sums = vec![(0.0, 0.0); data.movies.len()];
        let mut all = (0.0, 0.0);
        for meeting in &data.meetings {
            let Some(stars) = meeting.stars else { continue };
            let stars = f64::from(stars);
            let of = &mut sums[meeting.movie as usize];
            *of = (of.0 + stars, of.1 + 1.0);
            all = (all.0 + stars, all.1 + 1.0);
        }
        let mean = if all.1 > 0.0 { all.0 / all.1 } else { 0.0 };
        Self {
            name: "ItemAvg",
            scores: sums
                .into_iter()
                .map(|(sum, count)| (sum + MEAN_WEIGHT * mean) / (count + MEAN_WEIGHT))
                .collect(),
        }
    }
}

impl Ranker for Fixed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn scores(&self, _: usize, scores: &mut [f64]) {
        scores.copy_from_slice(&self.scores);
    }
}

/// Returns each movie's genres as a vector of length 1: the root of the number below each of its genres.
fn genre_vectors(data: &Dataset) -> Vec<Vec<f64>> {
    data.movies
        .iter()
        .map(|movie| {
            let mut vector = vec![0.0; data.genres.len()];
            for genre in &movie.genres {
                vector[usize::from(*genre)] = 1.0 / libm::sqrt(movie.genres.len() as f64);
            }
            vector
        })
        .collect()
}

/// Returns each user's mix of genres: the mean of the vectors of what they met.
fn genre_profiles(data: &Dataset, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    histories(data)
        .into_iter()
        .map(|history| {
            let mut profile = vec![0.0; data.genres.len()];
            for movie in &history {
                for (sum, part) in profile.iter_mut().zip(&vectors[*movie]) {
                    *sum += part / history.len() as f64;
                }
            }
            profile
        })
        .collect()
}

/// How a user's mix of genres differs from the log's, against the movie's genres.
pub(super) struct GenreContent {
    vectors: Vec<Vec<f64>>,
    profiles: Vec<Vec<f64>>,
}

impl GenreContent {
    pub(super) fn fit(data: &Dataset) -> Self {
        let vectors = genre_vectors(data);
        let mut profiles = genre_profiles(data, &vectors);
        let mut all = vec![0.0; data.genres.len()];
        for meeting in &data.meetings {
            for (sum, part) in all.iter_mut().zip(&vectors[meeting.movie as usize]) {
                *sum += part / data.meetings.len() as f64;
            }
        }
        // Nothing is known of who met nothing: all movies are the same to them.
        for profile in profiles
            .iter_mut()
            .filter(|profile| profile.iter().any(|share| *share > 0.0))
        {
            for (share, of_all) in profile.iter_mut().zip(&all) {
                *share -= of_all;
            }
        }
        Self { vectors, profiles }
    }
}

impl Ranker for GenreContent {
    fn name(&self) -> &'static str {
        "GenreContent"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        for (score, vector) in scores.iter_mut().zip(&self.vectors) {
            *score = dot(&self.profiles[user], vector);
        }
    }
}

/// Popularity times the user's liking of the movie's genres, as measured against everybody's.
pub(super) struct GenrePop {
    popularity: Vec<f64>,
    vectors: Vec<Vec<f64>>,
    /// For each user and genre: their share of it over everybody's.
    liking: Vec<Vec<f64>>,
}

/// How many average meetings a user's own mix of genres is mixed with.
const PROFILE_WEIGHT: f64 = 5.0;

impl GenrePop {
    pub(super) fn fit(data: &Dataset) -> Self {
        let vectors = genre_vectors(data);
        let popularity: Vec<f64> = data.popularity().into_iter().map(f64::from).collect();
        let total = popularity.iter().sum::<f64>().max(1.0);
        let mut global = vec![1e-9; data.genres.len()];
        for (vector, count) in vectors.iter().zip(&popularity) {
            for (sum, part) in global.iter_mut().zip(vector) {
                *sum += part * count / total;
            }
        }
        let counts: Vec<usize> = histories(data).iter().map(Vec::len).collect();
        let liking = genre_profiles(data, &vectors)
            .into_iter()
            .zip(counts)
            .map(|(profile, count)| {
                let own = count as f64 / (count as f64 + PROFILE_WEIGHT);
                profile
                    .iter()
                    .zip(&global)
                    .map(|(share, of_all)| own * share / of_all + 1.0 - own)
                    .collect()
            })
            .collect();
        Self {
            popularity,
            vectors,
            liking,
        }
    }
}

impl Ranker for GenrePop {
    fn name(&self) -> &'static str {
        "GenrePop"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        let liking = &self.liking[user];
        for ((score, vector), popularity) in scores.iter_mut().zip(&self.vectors).zip(&self.popularity) {
            let weight: f64 = vector.iter().sum();
            let liked = if weight > 0.0 {
                dot(liking, vector) / weight
            } else {
                1.0
            };
            *score = popularity * liked;
        }
    }
}

/// Popularity among those of the user's gender and age band.
pub(super) struct DemoPop {
    groups: Vec<usize>,
    scores: Vec<Vec<f64>>,
}

/// How many meetings of everybody a group's own are mixed with, for each meeting of an average movie.
const GROUP_WEIGHT: f64 = 20.0;
/// Two genders and unknown, times four age bands and unknown.
const GROUPS: usize = 15;

fn group_of(user: &UserRow) -> usize {
    let gender = user.is_female.map_or(2, usize::from);
    let band = user.age.map_or(4, |age| match age {
        ..25 => 0,
        25..35 => 1,
        35..50 => 2,
        50.. => 3,
    });
    gender * 5 + band
}

impl DemoPop {
    pub(super) fn fit(data: &Dataset) -> Self {
        let groups: Vec<usize> = data.users.iter().map(group_of).collect();
        let mut members = [0.0; GROUPS];
        for group in &groups {
            members[*group] += 1.0;
        }
        let users = groups.len().max(1) as f64;
        let overall: Vec<f64> = data
            .popularity()
            .into_iter()
            .map(|count| f64::from(count) / users)
            .collect();
        let mut scores = vec![vec![0.0; data.movies.len()]; GROUPS];
        for meeting in &data.meetings {
            scores[groups[meeting.user as usize]][meeting.movie as usize] += 1.0;
        }
        for (scores, members) in scores.iter_mut().zip(members) {
            for (score, of_all) in scores.iter_mut().zip(&overall) {
                *score = (*score + GROUP_WEIGHT * of_all) / (members + GROUP_WEIGHT);
            }
        }
        Self { groups, scores }
    }
}

impl Ranker for DemoPop {
    fn name(&self) -> &'static str {
        "DemoPop"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        scores.copy_from_slice(&self.scores[self.groups[user]]);
    }
}
