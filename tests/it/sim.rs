//! The viewers leave a log from which a recommender can learn: the ladder of rankers, scored as submissions are.

use std::collections::{BTreeMap, BTreeSet};

use reelworld::metrics::accuracy::{accuracy_score, expected_enjoyment, oracle};
use reelworld::release::{Release, ReleaseSpec};
use reelworld::scorecard::Interval;
use reelworld::seed::Key;
use reelworld::world::{Gender, MovieIndex, Profile, UserId, World, WorldSpec};

/// Length of a list of recommendations.
const K: usize = 20;
/// Users that are graded; enough for clear intervals, few enough for a quick test.
const GRADED: usize = 250;
/// Confidence of the intervals, as in the rubric.
const LEVEL: f64 = 0.98;
/// Pulls the similarity of movies with few viewers in common towards 0.
const SHRINKAGE: f64 = 10.0;
/// The weight of a ranker's own order against the popularity that fills the rest of a list.
const TIE: f64 = 1e-6;

type Scores = BTreeMap<&'static str, (f64, Interval)>;

/// What a team could learn from: who watched what, by place in the catalogue.
struct Panel {
    world: World,
    seen: BTreeMap<u32, BTreeSet<usize>>,
    viewers: Vec<f64>,
}

impl Panel {
    fn draw(seed: u64, users: u32) -> Self {
        let key = Key::from_seed(seed);
        let spec = WorldSpec {
            users: 20_000,
            movies: 2_000,
            profile: Profile::Classic,
        };
        let world = World::new(&key, spec, 2);
        let spec = ReleaseSpec {
            users,
            days: 30,
            heldout_days: 7,
        };
        let release = Release::make(&world, &key, spec, 2);
        let mut viewers = vec![0.0; world.spec().movies as usize];
        for (movie, count) in release.viewers() {
            viewers[movie] = f64::from(count);
        }
        Self {
            seen: release.seen(),
            world,
            viewers,
        }
    }

    fn graded(&self) -> Vec<u32> {
        self.seen.keys().copied().take(GRADED).collect()
    }

    /// Counts viewers of each movie among some users.
    fn viewers_among(&self, belongs: impl Fn(UserId) -> bool) -> Vec<f64> {
        let mut counts = vec![0.0; self.viewers.len()];
        for (user, seen) in &self.seen {
            if belongs(UserId(*user)) {
                for movie in seen {
                    counts[*movie] += 1.0;
                }
            }
        }
        counts
    }

    /// Cosine similarity of movies over their viewers, shrunk where few have seen both.
    fn similarities(&self) -> Vec<Vec<f32>> {
        let n = self.viewers.len();
        let mut both = vec![vec![0.0_f32; n]; n];
        for seen in self.seen.values() {
            for a in seen {
                for b in seen {
                    if a != b {
                        both[*a][*b] += 1.0;
                    }
                }
            }
        }
        for (a, row) in both.iter_mut().enumerate() {
            for (b, value) in row.iter_mut().enumerate() {
                let common = f64::from(*value);
                if common > 0.0 {
                    let cosine = common / (self.viewers[a] * self.viewers[b]).sqrt();
                    *value = (cosine * common / (common + SHRINKAGE)) as f32;
                }
            }
        }
        both
    }

    /// Scores a ranker on the graded users.
    fn score(&self, mut lists: impl FnMut(u32) -> Vec<Option<usize>>) -> (f64, Interval) {
        let mut worth = Vec::new();
        let users: Vec<[f64; 3]> = self
            .graded()
            .into_iter()
            .map(|user| {
                self.world.enjoyment(UserId(user), &mut worth);
                let seen = &self.seen[&user];
                let value = |list: &[Option<usize>]| expected_enjoyment(list, &worth, seen, K);
                [
                    value(&lists(user)),
                    value(&top(&self.viewers, seen)),
                    value(&oracle(&worth, seen, K)),
                ]
            })
            .collect();
        accuracy_score(&users, LEVEL).expect("the popular list leaves room")
    }

    /// Scores the ranker that recommends unseen movies by a value for each.
    fn score_by(&self, mut values: impl FnMut(u32) -> Vec<f64>) -> (f64, Interval) {
        self.score(|user| top(&values(user), &self.seen[&user]))
    }

    fn ladder(&self) -> Scores {
        let mut scores = Scores::new();
        let chance = Key::from_seed(99).branch("random ranker");
        scores.insert(
            "random",
            self.score_by(|user| {
                let mut draws = chance.at(u64::from(user));
                self.viewers.iter().map(|_| draws.unit()).collect()
            }),
        );
        let foremost: Vec<Option<usize>> = top(&self.viewers, &BTreeSet::new());
        scores.insert("the same twenty for all", self.score(|_| foremost.clone()));
        let women = self.viewers_among(|user| self.gender(user) == Gender::Female);
        let men = self.viewers_among(|user| self.gender(user) == Gender::Male);
        scores.insert(
            "popular by gender",
            self.score_by(|user| match self.gender(UserId(user)) {
                Gender::Female => women.clone(),
                Gender::Male => men.clone(),
            }),
        );
        scores.insert("popular by genre", self.score_by(|user| self.by_genre(user)));
        let similar = self.similarities();
        scores.insert(
            "item-knn",
            self.score_by(|user| {
                let mut values: Vec<f64> = self.viewers.iter().map(|count| TIE * count).collect();
                for movie in &self.seen[&user] {
                    for (value, similarity) in values.iter_mut().zip(&similar[*movie]) {
                        *value += f64::from(*similarity);
                    }
                }
                values
            }),
        );
        scores
    }

    /// Popularity times how much more of a movie's genres the user watched than everybody.
    fn by_genre(&self, user: u32) -> Vec<f64> {
        let genres = |movie: usize| self.world.movie(MovieIndex(movie as u32)).genres;
        let mut own = vec![1.0; 20];
        let mut all = vec![1.0; 20];
        for movie in &self.seen[&user] {
            for genre in genres(*movie).iter() {
                own[genre.index()] += 1.0;
            }
        }
        for (movie, count) in self.viewers.iter().enumerate() {
            for genre in genres(movie).iter() {
                all[genre.index()] += count;
            }
        }
        let share = |counts: &[f64], place: usize| counts[place] / counts.iter().sum::<f64>();
        let lift: Vec<f64> = (0..20)
            .map(|place| share(&own, place) / share(&all, place))
            .collect();
        (0..self.viewers.len())
            .map(|movie| {
                let of_movie = genres(movie);
                let mean =
                    of_movie.iter().map(|genre| lift[genre.index()]).sum::<f64>() / of_movie.len() as f64;
                self.viewers[movie] * mean.sqrt()
            })
            .collect()
    }

    fn gender(&self, user: UserId) -> Gender {
        self.world
            .user(user)
            .expect("the panel has users of the world")
            .gender
    }
}

/// The unseen movies of the highest value.
fn top(values: &[f64], seen: &BTreeSet<usize>) -> Vec<Option<usize>> {
    oracle(values, seen, K)
}

#[test]
fn rankers_stand_in_the_order_of_what_they_know() {
    let panel = Panel::draw(7, 3_000);
    let scores = panel.ladder();
    let table = format!("{scores:#.3?}");
    let of = |name: &str| scores[name].0;
    let low = |name: &str| scores[name].1.low;
    let high = |name: &str| scores[name].1.high;
    assert!(high("random") < of("the same twenty for all"), "{table}");
    // The zero of the scale is the most popular of what a user has not watched: repeating what they watched falls below.
    assert!(high("the same twenty for all") < 0.0, "{table}");
    assert!(low("popular by genre") > 0.0, "{table}");
    for simple in ["popular by gender", "popular by genre"] {
        assert!(low("item-knn") > high(simple), "{table}");
    }
    assert!(low("item-knn") > 0.1 && high("item-knn") < 0.8, "{table}");
}

#[test]
fn a_panel_has_enough_to_learn_from_and_a_long_tail() {
    let panel = Panel::draw(8, 600);
    let mut sizes: Vec<usize> = panel.seen.values().map(BTreeSet::len).collect();
    sizes.sort_unstable();
    let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    assert!((35.0..60.0).contains(&mean), "{mean}");
    assert!(sizes[0] >= 4, "{}", sizes[0]);
    assert!(sizes[sizes.len() - 1] as f64 > 3.0 * mean, "{sizes:?}");
}
