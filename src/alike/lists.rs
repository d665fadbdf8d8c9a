//! Lists of several teams for the same users: how alike they are beyond what popular movies explain, and whose are one another's.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::stats::{normal_quantile, quantile};
use crate::scorecard::Interval;

/// The valid lists of one team, by user, best first.
pub type Lists = BTreeMap<u32, Vec<String>>;

/// Independent good models agree less than this: of six textbook recommenders on the same log the most similar two agree by .74,
/// and some is left for teams that read the same book. A test holds the figure to what they do.
const INDEPENDENT: f64 = 0.85;
/// The same twenty movies in the same order, made for a user: one chance in many; this share of users is no chance.
const IDENTICAL: f64 = 0.05;
/// Pairs with fewer users in common are not compared.
const LEAST_USERS: usize = 30;
/// Two services of which at least so much of a list is the same for everybody have nothing personal that could be compared.
const COMMON: f64 = 0.9;
/// Lists of different users that are compared: neighbours in the order of users, at these distances.
const DISTANCES: [usize; 3] = [1, 7, 19];
/// The two-sided level of intervals.
const LEVEL: f64 = 0.98;
/// The users whose lists are quoted as evidence, and the movies of each.
const QUOTED: (usize, usize) = (3, 5);

/// How alike two teams' lists are.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The teams.
    pub teams: [String; 2],
    /// The users that both gave a list.
    pub users: usize,
    /// The mean share of a list that the two have in common for the same user.
    pub same_user: f64,
    /// The same for two different users: what popular movies explain.
    pub other_users: f64,
    /// How much of what popular movies leave is common: 0 is none, 1 all. None where both give everybody the same.
    pub agreement: Option<f64>,
    /// Its interval over users.
    pub interval: Option<Interval>,
    /// The share of users who get the very same list from both, and one that is not a common one.
    pub identical: f64,
    /// Why somebody should look at the pair; none where nobody need.
    pub reasons: Vec<String>,
    /// Lists of some users from both, for who looks.
    pub evidence: Vec<String>,
}

/// How alike the services of a class are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Every pair that could be compared, the most alike first.
    pub pairs: Vec<Pair>,
    /// The median agreement of all pairs.
    pub median: Option<f64>,
    /// The agreement above which a pair is flagged.
    pub bar: f64,
    /// Pairs with too few users in common.
    pub too_few: usize,
}

/// Compares the lists of all teams, two by two; the order of teams changes nothing.
pub fn alike(teams: &BTreeMap<String, Lists>) -> Report {
    let names: Vec<&String> = teams.keys().collect();
    let mut report = Report::default();
    for (place, a) in names.iter().enumerate() {
        for b in &names[place + 1..] {
            match compare([a, b], &teams[*a], &teams[*b]) {
                Some(pair) => report.pairs.push(pair),
                None => report.too_few += 1,
            }
        }
    }
    let mut agreements: Vec<f64> = report.pairs.iter().filter_map(|pair| pair.agreement).collect();
    agreements.sort_by(f64::total_cmp);
    report.median = quantile(&agreements, 0.5);
    report.bar = INDEPENDENT;
    for pair in &mut report.pairs {
        flag(pair, report.bar, teams);
    }
    report.pairs.sort_by(|a, b| {
        let key = |pair: &Pair| (!pair.reasons.is_empty(), pair.agreement.unwrap_or(0.0));
        let (a_key, b_key) = (key(a), key(b));
        b_key
            .0
            .cmp(&a_key.0)
            .then(b_key.1.total_cmp(&a_key.1))
            .then(a.teams.cmp(&b.teams))
    });
    report
}

fn compare(teams: [&String; 2], a: &Lists, b: &Lists) -> Option<Pair> {
    let users: Vec<u32> = a.keys().filter(|user| b.contains_key(user)).copied().collect();
    if users.len() < LEAST_USERS {
        return None;
    }
    let same: Vec<f64> = users.iter().map(|user| overlap(&a[user], &b[user])).collect();
    let mut other = Vec::new();
    for (place, user) in users.iter().enumerate() {
        for distance in DISTANCES {
            other.push(overlap(&a[user], &b[&users[(place + distance) % users.len()]]));
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (same_user, other_users) = (mean(&same), mean(&other));
    let comparable = other_users < COMMON;
    let left = 1.0 - other_users;
    let agreement = comparable.then(|| (same_user - other_users) / left);
    let variance =
        same.iter().map(|value| (value - same_user).powi(2)).sum::<f64>() / (same.len() as f64 - 1.0);
    let interval = agreement.and_then(|value| {
        let half = normal_quantile(0.5 + LEVEL / 2.0)? * (variance / same.len() as f64).sqrt() / left;
        Some(Interval {
            low: value - half,
            high: value + half,
            level: LEVEL,
        })
    });
    let common = [most_common(a), most_common(b)];
    let identical = users
        .iter()
        .filter(|user| a[*user] == b[*user] && common.iter().all(|list| *list != Some(&a[*user])))
        .count();
    Some(Pair {
        teams: teams.map(Clone::clone),
        users: users.len(),
        same_user,
        other_users,
        agreement,
        interval,
        identical: identical as f64 / users.len() as f64,
        reasons: Vec::new(),
        evidence: Vec::new(),
    })
}

/// The share of the longer list that both have.
fn overlap(a: &[String], b: &[String]) -> f64 {
    let first: BTreeSet<&String> = a.iter().collect();
    let second: BTreeSet<&String> = b.iter().collect();
    let longer = first.len().max(second.len()).max(1);
    first.intersection(&second).count() as f64 / longer as f64
}

/// The list that most users get, if more than one does.
fn most_common(lists: &Lists) -> Option<&Vec<String>> {
    let mut counts: BTreeMap<&Vec<String>, usize> = BTreeMap::new();
    for list in lists.values() {
        *counts.entry(list).or_default() += 1;
    }
    let most = counts.values().copied().max().filter(|most| *most > 1)?;
    counts
        .into_iter()
        .find(|(_, count)| *count == most)
        .map(|(list, _)| list)
}

fn flag(pair: &mut Pair, bar: f64, teams: &BTreeMap<String, Lists>) {
    if let (Some(agreement), Some(interval)) = (pair.agreement, pair.interval)
        && interval.low > bar
    {
        pair.reasons.push(format!(
            "lists for one user have {:.0} % in common, for two users {:.0} %: {agreement:.2} of what popular movies leave, and {bar:.2} is what independent models may have",
            pair.same_user * 100.0,
            pair.other_users * 100.0
        ));
    }
    if pair.identical >= IDENTICAL {
        pair.reasons.push(format!(
            "{:.0} % of {} users get the very same list, in the same order, from both",
            pair.identical * 100.0,
            pair.users
        ));
    }
    if pair.reasons.is_empty() {
        return;
    }
    let (a, b) = (&teams[&pair.teams[0]], &teams[&pair.teams[1]]);
    let first = |list: &[String]| list[..list.len().min(QUOTED.1)].join(", ");
    let mut both: Vec<(&u32, &Vec<String>)> = a.iter().filter(|(user, _)| b.contains_key(user)).collect();
    both.sort_by(|x, y| {
        overlap(y.1, &b[y.0])
            .total_cmp(&overlap(x.1, &b[x.0]))
            .then(x.0.cmp(y.0))
    });
    for (user, list) in both.into_iter().take(QUOTED.0) {
        pair.evidence
            .push(format!("user {user}, {}: {}, …", pair.teams[0], first(list)));
        pair.evidence
            .push(format!("user {user}, {}: {}, …", pair.teams[1], first(&b[user])));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::accuracy::most_popular;
    use crate::release::{Release, ReleaseSpec};
    use crate::seed::{Draws, Key};
    use crate::world::{Profile, World, WorldSpec};
    use crate::yardstick::{Algorithm, log_dataset};

    /// A class of textbook recommenders that have learnt from the same log, as good teams would.
    fn textbooks() -> BTreeMap<String, Lists> {
        let key = Key::from_seed(3);
        let spec = WorldSpec {
            users: 3_000,
            movies: 500,
            profile: Profile::Classic,
        };
        let world = World::new(&key, spec, 2);
        let spec = ReleaseSpec {
            users: 400,
            days: 30,
            heldout_days: 1,
        };
        let release = Release::make(&world, &key, spec, 2);
        let data = log_dataset(&world, &release.users, &release.viewings);
        let seen = release.seen();
        let good = [
            Algorithm::UserKnn,
            Algorithm::ItemKnn,
            Algorithm::PureSvd,
            Algorithm::Ials,
            Algorithm::Ease,
            Algorithm::Bpr,
        ];
        let mut scores = vec![0.0; data.movies.len()];
        good.into_iter()
            .map(|algorithm| {
                let ranker = algorithm.fit(&data, &key.branch("fit"));
                let lists = release.users.iter().enumerate().map(|(place, user)| {
                    ranker.scores(place, &mut scores);
                    let mut order: Vec<usize> = (0..scores.len()).collect();
                    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
                    let list = most_popular(&order, &seen[&user.0], 20);
                    (
                        user.0,
                        list.into_iter()
                            .flatten()
                            .map(|movie| movie.to_string())
                            .collect(),
                    )
                });
                (algorithm.name().to_owned(), lists.collect())
            })
            .collect()
    }

    #[test]
    fn independent_good_models_are_not_flagged_and_a_borrowed_service_is() {
        let mut class = textbooks();
        let report = alike(&class);
        let shown = |report: &Report| {
            report
                .pairs
                .iter()
                .map(|pair| format!("{:?} {:.2?} {:.3}", pair.teams, pair.agreement, pair.identical))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(report.pairs.len(), 15);
        assert!(
            report.pairs.iter().all(|pair| pair.reasons.is_empty()),
            "{}",
            shown(&report)
        );
        let most = report.pairs[0].agreement.unwrap();
        assert!((0.3..INDEPENDENT - 0.05).contains(&most), "{}", shown(&report));

        // Handed through, and handed through with every tenth place changed.
        let original = class["EASE"].clone();
        class.insert("borrower".to_owned(), original.clone());
        let mut disguised = original;
        for (number, list) in disguised.values_mut().enumerate() {
            list.swap(number % 20, (number + 7) % 20);
            list[number % 20] = (number % 500 + 1000).to_string();
        }
        class.insert("disguised".to_owned(), disguised);
        let report = alike(&class);
        let flagged: Vec<&[String; 2]> = report
            .pairs
            .iter()
            .filter(|pair| !pair.reasons.is_empty())
            .map(|pair| &pair.teams)
            .collect();
        let pair = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(
            flagged,
            [
                &pair("EASE", "borrower"),
                &pair("EASE", "disguised"),
                &pair("borrower", "disguised")
            ],
            "{}",
            shown(&report)
        );
        assert_eq!(report.pairs[0].evidence.len(), 6);
    }

    #[test]
    fn teams_that_left_the_starter_as_it_was_are_not_accused() {
        let list: Vec<String> = (0..20).map(|movie| movie.to_string()).collect();
        let lists: Lists = (0..100).map(|user| (user, list.clone())).collect();
        let class = ["a", "b"].map(|team| (team.to_owned(), lists.clone())).into();
        let report = alike(&class);
        assert_eq!(report.pairs[0].agreement, None);
        assert!(report.pairs[0].reasons.is_empty());
    }

    #[test]
    fn few_users_in_common_tell_nothing() {
        let some = |from: u32| {
            (from..from + 50)
                .map(|user| (user, vec![user.to_string()]))
                .collect()
        };
        let class = [("a".to_owned(), some(0)), ("b".to_owned(), some(40))].into();
        let report = alike(&class);
        assert_eq!((report.pairs.len(), report.too_few), (0, 1));
    }

    fn lists(draws: &mut Draws, users: u32) -> Lists {
        (0..users)
            .map(|user| (user, (0..20).map(|_| draws.below(400).to_string()).collect()))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn lists_drawn_at_random_agree_in_nothing(seed in any::<u64>()) {
            let mut draws = Key::from_seed(seed).branch("lists").at(0);
            let class = ["a", "b"].map(|team| (team.to_owned(), lists(&mut draws, 80))).into();
            let report = alike(&class);
            prop_assert!(report.pairs[0].agreement.unwrap().abs() < 0.1);
            prop_assert!(report.pairs[0].reasons.is_empty());
        }
    }
}
