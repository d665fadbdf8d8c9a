//! Accuracy as graded: expected enjoyment between the popular list and the oracle's, and its gaps between groups.

use std::collections::BTreeSet;

use super::stats::adjusted::{Unit, adjusted_difference};
use super::stats::{mean_interval, normal_quantile, welch};
use crate::scorecard::Interval;

/// Groups smaller than this are named and not assessed.
pub const LEAST_GROUP: usize = 30;

/// Returns the expected enjoyment of a list: the mean worth of its places, weighted by 1 / log2(place + 1), over `k` places.
///
/// `list` holds places of the catalogue, none for an unknown id; `worth` the true worth of each. What is unknown, a copy, or
/// already seen is a wasted place, and so is each place that a short list lacks.
pub fn expected_enjoyment(list: &[Option<usize>], worth: &[f64], seen: &BTreeSet<usize>, k: usize) -> f64 {
    let weight = |place: usize| 1.0 / libm::log2(place as f64 + 2.0);
    let total: f64 = (0..k).map(weight).sum();
    let mut had = BTreeSet::new();
    let mut sum = 0.0;
    for (place, item) in list.iter().take(k).enumerate() {
        if let Some(item) = item
            && had.insert(*item)
            && !seen.contains(item)
        {
            sum += weight(place) * worth.get(*item).copied().unwrap_or(0.0);
        }
    }
    sum / total
}

/// Returns the best list of `k` places there is: the unseen items of the highest worth.
pub fn oracle(worth: &[f64], seen: &BTreeSet<usize>, k: usize) -> Vec<Option<usize>> {
    let mut items: Vec<usize> = (0..worth.len()).filter(|item| !seen.contains(item)).collect();
    items.sort_by(|a, b| worth[*b].total_cmp(&worth[*a]).then(a.cmp(b)));
    items.truncate(k);
    items.into_iter().map(Some).collect()
}

/// Returns the `k` most popular items that a user has not seen, of all in the order of popularity: the list that scores 0.
pub fn most_popular(popular: &[usize], seen: &BTreeSet<usize>, k: usize) -> Vec<Option<usize>> {
    popular
        .iter()
        .copied()
        .filter(|item| !seen.contains(item))
        .take(k)
        .map(Some)
        .collect()
}

/// Returns the accuracy score and its interval: Σ(service - popular) / Σ(oracle - popular) over users.
///
/// 0 is recommending the most popular, 1 is the oracle. The interval of this ratio of sums is by the delta method, over users.
/// None with fewer than two users or no room between popular and oracle.
pub fn accuracy_score(users: &[[f64; 3]], level: f64) -> Option<(f64, Interval)> {
    let n = users.len() as f64;
    let gain: f64 = users.iter().map(|[service, popular, _]| service - popular).sum();
    let room: f64 = users.iter().map(|[_, popular, oracle]| oracle - popular).sum();
    if users.len() < 2 || room <= 0.0 {
        return None;
    }
    let score = gain / room;
    let variance: f64 = users
        .iter()
        .map(|[service, popular, oracle]| {
            let residual = (service - popular) - score * (oracle - popular);
            residual * residual
        })
        .sum::<f64>()
        / (n - 1.0);
    let half = normal_quantile(0.5 + level / 2.0)? * libm::sqrt(variance / n) / (room / n);
    Some((
        score,
        Interval {
            low: score - half,
            high: score + half,
            level,
        },
    ))
}

/// One group of users: its name, and a value and an activity for each user.
pub type Group = (String, Vec<[f64; 2]>);

/// What a gap is a gap in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// The mean of the group and that of the rest (Welch).
    AsTheyAre,
    /// Users of the group and of the rest who are equally active: less data is not itself mistreatment.
    AtEqualActivity,
}

/// A group's mean with its interval; none below the least size.
pub fn group_mean(values: &[f64], level: f64) -> Option<(f64, Interval)> {
    if values.len() < LEAST_GROUP {
        return None;
    }
    mean_interval(values, level)
}

/// The gap of one group to everybody else.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// The attribute and the group.
    pub group: String,
    /// How much higher the group's mean is than that of the rest.
    pub difference: f64,
    /// Its interval.
    pub interval: Interval,
    /// The group's size.
    pub n: usize,
}

/// Returns the gap of each assessed group of an attribute to the rest, at a level that holds for `comparisons` of them
/// together (Bonferroni). Groups below the least size are not assessed, but belong to the rest.
///
/// Activity enters as the logarithm of one more, and its square: agreement grows with history, and ever more slowly.
pub fn gaps(groups: &[Group], compared: Compared, comparisons: usize, level: f64) -> Vec<Gap> {
    let together = 1.0 - (1.0 - level) / comparisons.max(1) as f64;
    let mut found = Vec::new();
    for (place, (name, values)) in groups.iter().enumerate() {
        let rest: Vec<[f64; 2]> = groups
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place)
            .flat_map(|(_, (_, values))| values.iter().copied())
            .collect();
        if values.len() < LEAST_GROUP || rest.len() < LEAST_GROUP {
            continue;
        }
        let difference = match compared {
            Compared::AsTheyAre => {
                let figures = |of: &[[f64; 2]]| of.iter().map(|[value, _]| *value).collect::<Vec<f64>>();
                welch(&figures(values), &figures(&rest), together)
                    .map(|found| (found.difference, found.interval))
            }
            Compared::AtEqualActivity => {
                let units = |of: &[[f64; 2]], in_group: bool| {
                    of.iter()
                        .map(|[value, activity]| Unit {
                            value: *value,
                            in_group,
                            covariate: libm::log(1.0 + activity),
                        })
                        .collect::<Vec<Unit>>()
                };
                let mut all = units(values, true);
                all.extend(units(&rest, false));
                adjusted_difference(&all, together)
            }
        };
        if let Some((difference, interval)) = difference {
            found.push(Gap {
                group: name.clone(),
                difference,
                interval,
                n: values.len(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_scores_one_and_the_popular_list_zero() {
        let worth = [0.9, 0.1, 0.5, 0.3];
        let seen = BTreeSet::from([0]);
        let best = oracle(&worth, &seen, 2);
        assert_eq!(best, [Some(2), Some(3)]);
        let value = |list: &[Option<usize>]| expected_enjoyment(list, &worth, &seen, 2);
        let (top, popular) = (value(&best), value(&[Some(1), Some(0)]));
        let users = [[top, popular, top], [top, popular, top]];
        assert_eq!(accuracy_score(&users, 0.98).unwrap().0, 1.0);
        assert_eq!(
            accuracy_score(&[[popular, popular, top]; 3], 0.98).unwrap().0,
            0.0
        );
        assert_eq!(accuracy_score(&users[..1], 0.98), None);
    }

    #[test]
    fn unknown_repeated_seen_and_missing_places_are_worth_nothing() {
        let worth = [0.9, 0.1, 0.5];
        let value =
            |list: &[Option<usize>], seen: &BTreeSet<usize>| expected_enjoyment(list, &worth, seen, 3);
        let none = BTreeSet::new();
        assert_eq!(value(&[Some(0), Some(0), None], &none), value(&[Some(0)], &none));
        assert_eq!(value(&[Some(0)], &BTreeSet::from([0])), 0.0);
        assert!(value(&[Some(0), Some(2)], &none) > value(&[Some(2), Some(0)], &none));
    }

    #[test]
    fn a_group_that_is_served_worse_has_a_gap_that_excludes_zero() {
        // The less active are served worse, and the first group is less active.
        let spread = |shift: f64, activity: f64, n: usize| {
            (0..n)
                .map(|user| {
                    let activity = activity + (user % 40) as f64;
                    [
                        shift - 0.1 * libm::log(1.0 + activity) + (user % 7) as f64 * 0.02,
                        activity,
                    ]
                })
                .collect::<Vec<[f64; 2]>>()
        };
        let groups = vec![
            ("F".to_owned(), spread(0.4, 0.0, 60)),
            ("M".to_owned(), spread(0.2, 20.0, 200)),
            ("X".to_owned(), spread(0.9, 0.0, 5)),
        ];
        let found = gaps(&groups, Compared::AsTheyAre, 2, 0.98);
        assert_eq!(found.len(), 2);
        assert!(found[0].interval.low > 0.2, "{found:?}");
        let equal = gaps(&groups[..2], Compared::AtEqualActivity, 2, 0.98);
        assert_eq!(equal.len(), 2);
        let [low, high] = [equal[0].interval.low, equal[0].interval.high];
        assert!(0.17 < low && low < 0.2 && 0.2 < high && high < 0.23, "{equal:?}");
    }
}
