//! The grade rewards what reality rewards: recommenders trained on the company's log, judged by what only the grader knows.

use std::collections::{BTreeMap, BTreeSet};

use reelworld::metrics::accuracy::{Compared, Gap, Group, accuracy_score, gaps};
use reelworld::metrics::stats::mean_interval;
use reelworld::release::ReleaseSpec;
use reelworld::scorecard::Interval;
use reelworld::seed::Key;
use reelworld::sim::{Viewing, term_start};
use reelworld::world::{Drift, DriftKind, Gender, Genre, Habits, UserId};
use reelworld::yardstick::{Algorithm, Ranker, kendall_tau};

use crate::company::Company;

const LEVEL: f64 = 0.95;
const DAY_S: i64 = 86_400;

impl Company {
    /// The gap of regret of each group to everybody else.
    fn gaps(
        &self,
        enjoyment: &[[f64; 3]],
        compared: Compared,
        group: impl Fn(UserId) -> &'static str,
    ) -> Vec<Gap> {
        let seen = self.release.seen();
        let mut groups: BTreeMap<&str, Vec<[f64; 2]>> = BTreeMap::new();
        for (id, [service, _, oracle]) in self.release.users.iter().zip(enjoyment) {
            let history = seen.get(&id.0).map_or(0, BTreeSet::len);
            let values = groups.entry(group(*id)).or_default();
            values.push([1.0 - service / oracle, history as f64]);
        }
        let groups: Vec<Group> = groups
            .into_iter()
            .map(|(name, values)| (name.to_owned(), values))
            .collect();
        gaps(&groups, compared, groups.len(), LEVEL)
    }

    fn is_woman(&self, id: UserId) -> bool {
        self.world
            .user(id)
            .is_some_and(|user| user.gender == Gender::Female)
    }
}

const MOVIES: u32 = 1_200;
const RELEASED: ReleaseSpec = ReleaseSpec {
    users: 1_500,
    days: 60,
    heldout_days: 1,
};

/// How much higher the first is than the second, for the same users.
fn ahead(one: &[[f64; 3]], other: &[[f64; 3]]) -> (f64, Interval) {
    let differences: Vec<f64> = one.iter().zip(other).map(|(a, b)| a[0] - b[0]).collect();
    mean_interval(&differences, LEVEL).unwrap()
}

/// Trains recommenders and returns the accuracy of each as a service is graded, with its interval.
fn scores(company: &Company, algorithms: &[Algorithm]) -> Vec<(f64, Interval)> {
    let rankers: Vec<_> = algorithms
        .iter()
        .map(|algorithm| company.fit(*algorithm, &company.release.viewings))
        .collect();
    let rankers: Vec<&dyn Ranker> = rankers.iter().map(|ranker| &**ranker).collect();
    company
        .graded(0.0, &rankers)
        .iter()
        .map(|users| accuracy_score(users, LEVEL).unwrap())
        .collect()
}

/// Recommenders that know the user's history, and those that do not or hardly, with the score of each in the world whose
/// figures this one follows (8,000 users, 2,400 movies, awareness half of appeal's variance).
const PERSONAL: [(Algorithm, f64); 4] = [
    (Algorithm::ItemKnn, 0.27),
    (Algorithm::PureSvd, 0.32),
    (Algorithm::Ease, 0.34),
    (Algorithm::Ials, 0.36),
];
const COMMON: [(Algorithm, f64); 6] = [
    (Algorithm::Random, -0.14),
    (Algorithm::ItemAvg, -0.04),
    (Algorithm::Pop, 0.0),
    (Algorithm::DemoPop, 0.02),
    (Algorithm::MfRating, 0.03),
    (Algorithm::GenrePop, 0.05),
];

#[test]
fn recommenders_rank_by_enjoyment_as_they_should() {
    for seed in 1..=3 {
        let company = Company::new(Key::from_seed(seed), Habits::default(), MOVIES, RELEASED);
        let both: Vec<(Algorithm, f64)> = COMMON.iter().chain(&PERSONAL).copied().collect();
        let found = scores(
            &company,
            &both.iter().map(|(algorithm, _)| *algorithm).collect::<Vec<_>>(),
        );
        let told: Vec<String> = both
            .iter()
            .zip(&found)
            .map(|((algorithm, _), (score, interval))| {
                format!(
                    "{} {score:.3} [{:.3}, {:.3}]",
                    algorithm.name(),
                    interval.low,
                    interval.high
                )
            })
            .collect();
        let told = told.join("\n");
        println!("as graded, seed {seed}\n{told}");
        let (common, personal) = found.split_at(COMMON.len());
        assert!(
            common[0].1.high < 0.0,
            "random is worse than popular, seed {seed}\n{told}"
        );
        assert!(common[2].0.abs() < 1e-3, "popular is nought, seed {seed}\n{told}");
        let best_common = common
            .iter()
            .map(|(_, interval)| interval.high)
            .fold(f64::MIN, f64::max);
        for (score, interval) in personal {
            assert!(interval.low > best_common, "{score}, seed {seed}\n{told}");
            assert!(
                *score > 0.1 && interval.high < 0.5,
                "{score}, seed {seed}\n{told}"
            );
        }
        let best = personal[3].1;
        let others = personal[..3].iter().map(|(_, interval)| interval.high);
        assert!(best.low > others.fold(f64::MIN, f64::max), "seed {seed}\n{told}");
        let (expected, found): (Vec<f64>, Vec<f64>) =
            both.iter().zip(&found).map(|((_, a), (b, _))| (*a, *b)).unzip();
        let tau = kendall_tau(&expected, &found);
        assert!(tau >= 0.7, "{tau}, seed {seed}\n{told}");
    }
}

#[test]
fn more_data_gives_better_models() {
    let company = Company::new(Key::from_seed(1), Habits::default(), MOVIES, RELEASED);
    for algorithm in [Algorithm::ItemKnn, Algorithm::Ials, Algorithm::Ease] {
        let rankers = [4, 15, 60].map(|days| {
            let from = term_start().plus_seconds(-days * DAY_S);
            let viewings = company.release.viewings.iter();
            let log: Vec<Viewing> = viewings.filter(|viewing| viewing.at >= from).copied().collect();
            company.fit(algorithm, &log)
        });
        let found = company.graded(0.0, &rankers.each_ref().map(|ranker| &**ranker));
        let scores: Vec<String> = found
            .iter()
            .map(|one| format!("{:.3}", accuracy_score(one, LEVEL).unwrap().0))
            .collect();
        println!("{} on 4, 15 and 60 days: {}", algorithm.name(), scores.join(", "));
        for pair in found.windows(2) {
            let (more, interval) = ahead(&pair[1], &pair[0]);
            assert!(interval.low > 0.0, "{}: {more} {interval:?}", algorithm.name());
        }
    }
}

#[test]
fn a_stale_model_loses_after_a_drift_and_not_without_one() {
    let sudden = Drift {
        kind: DriftKind::Sudden,
        genre: Genre::all().nth(3).unwrap(),
        size: 2.5,
        onset_day: 10.0,
        end_day: 400.0,
    };
    let [still, drifted] = [vec![], vec![sudden]].map(|drifts| {
        let habits = Habits {
            drifts,
            ..Habits::default()
        };
        let released = ReleaseSpec {
            days: 30,
            heldout_days: 40,
            ..RELEASED
        };
        let company = Company::new(Key::from_seed(1), habits, MOVIES, released);
        // As long a log as the stale one's, all of it after the drift.
        let from = term_start().plus_seconds(10 * DAY_S);
        let later = company.release.heldout.iter();
        let later: Vec<Viewing> = later.filter(|viewing| viewing.at >= from).copied().collect();
        let stale = company.fit(Algorithm::Ials, &company.release.viewings);
        let fresh = company.fit(Algorithm::Ials, &later);
        let found = company.graded(40.0, &[&*fresh, &*stale]);
        let [fresh, stale] = [0, 1].map(|place: usize| accuracy_score(&found[place], LEVEL).unwrap().0);
        println!("on day 40 the fresh model has {fresh:.3} and the stale one {stale:.3}");
        ahead(&found[0], &found[1])
    });
    assert!(drifted.1.low > 0.01, "the fresh model is ahead by {drifted:?}");
    assert!(
        still.1.high < 0.0,
        "without a drift the fresh one, which has not seen what the list must leave out, is ahead by {still:?}"
    );
}

/// A service that serves some users from their history and gives the others what all get.
struct Ignoring {
    personal: Box<dyn Ranker>,
    common: Box<dyn Ranker>,
    ignored: Vec<bool>,
}

impl Ranker for Ignoring {
    fn name(&self) -> &'static str {
        "Ignoring"
    }

    fn scores(&self, user: usize, scores: &mut [f64]) {
        let ranker = if self.ignored[user] {
            &self.common
        } else {
            &self.personal
        };
        ranker.scores(user, scores);
    }
}

#[test]
fn a_model_that_ignores_half_of_the_users_loses_on_fairness() {
    let company = Company::new(Key::from_seed(1), Habits::default(), MOVIES, RELEASED);
    let is_older = |id: UserId| company.world.user(id).is_some_and(|user| user.age >= 30);
    let ignored: Vec<bool> = company.release.users.iter().map(|id| is_older(*id)).collect();
    let share = ignored.iter().filter(|older| **older).count() as f64 / ignored.len() as f64;
    assert!((0.35..0.65).contains(&share), "{share}");
    let fit = |algorithm| company.fit(algorithm, &company.release.viewings);
    let ignoring = Ignoring {
        personal: fit(Algorithm::Ials),
        common: fit(Algorithm::Pop),
        ignored,
    };
    let found = company.graded(0.0, &[&*fit(Algorithm::Ials), &ignoring]);
    for compared in [Compared::AsTheyAre, Compared::AtEqualActivity] {
        let [fair, unfair] = [&found[0], &found[1]].map(|enjoyment| {
            let group = |id| if is_older(id) { "older" } else { "younger" };
            let gaps = company.gaps(enjoyment, compared, group);
            gaps.into_iter()
                .find(|gap| gap.group == "older")
                .unwrap()
                .interval
        });
        assert!(fair.high < 0.05, "{compared:?} {fair:?}");
        // The bar of milestone 1.
        assert!(unfair.low > 0.12, "{compared:?} {unfair:?}");
    }
}

#[test]
fn the_gap_grows_with_the_share_of_a_groups_events_that_a_model_never_saw() {
    let released = ReleaseSpec {
        users: 3_000,
        ..RELEASED
    };
    let company = Company::new(Key::from_seed(1), Habits::default(), MOVIES, released);
    let draws = company.branch().branch("dropped");
    let lots: Vec<f64> = (0..company.release.viewings.len() as u64)
        .map(|place| draws.at(place).unit())
        .collect();
    let rankers = [0.0, 0.4, 0.7, 0.9].map(|dropped| {
        let kept: Vec<Viewing> = company
            .release
            .viewings
            .iter()
            .zip(&lots)
            .filter(|(viewing, lot)| !company.is_woman(viewing.user) || **lot >= dropped)
            .map(|(viewing, _)| *viewing)
            .collect();
        company.fit(Algorithm::Ials, &kept)
    });
    let found = company.graded(0.0, &rankers.each_ref().map(|ranker| &**ranker));
    for compared in [Compared::AsTheyAre, Compared::AtEqualActivity] {
        let gaps: Vec<Gap> = found
            .iter()
            .map(|enjoyment| {
                let group = |id| if company.is_woman(id) { "women" } else { "men" };
                let gaps = company.gaps(enjoyment, compared, group);
                gaps.into_iter().find(|gap| gap.group == "women").unwrap()
            })
            .collect();
        for (gap, dropped) in gaps.iter().zip([0, 40, 70, 90]) {
            let Interval { low, high, .. } = gap.interval;
            let gap = gap.difference;
            println!("{compared:?}, {dropped} % dropped: {gap:.3} [{low:.3}, {high:.3}]");
        }
        let natural = &gaps[0];
        assert!(natural.interval.high < 0.04, "{compared:?} {natural:?}");
        for pair in gaps.windows(2) {
            assert!(
                pair[1].difference > pair[0].difference + 0.02,
                "{compared:?} {gaps:?}"
            );
        }
        for biased in &gaps[1..] {
            assert!(
                biased.interval.low > natural.interval.high,
                "{compared:?} {gaps:?}"
            );
        }
    }
}
