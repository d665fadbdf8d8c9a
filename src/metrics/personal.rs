//! Whether lists are made for their users: not what most others get, and the same when the user asks again.

use std::collections::BTreeMap;

use super::beyond::jaccard;

/// Fewer users than this can't tell.
pub const LEAST_USERS: usize = 50;
/// A service is consistent when two answers to one user are more alike than answers to two users, by this much Jaccard.
const MARGIN: f64 = 0.05;
/// Pairs of different users that are compared: neighbours in the order of asking, at these distances.
const DISTANCES: [usize; 3] = [1, 7, 19];

/// How personal the answers of a service are.
#[derive(Debug, Clone, PartialEq)]
pub struct Personal {
    /// Of all answers wanted, the share that was given and personal.
    pub share: f64,
    /// The mean Jaccard similarity of two answers to the same user.
    pub same_user: f64,
    /// The mean Jaccard similarity of answers to different users.
    pub other_users: f64,
    /// The share of answers that were the most common list.
    pub most_common: f64,
    /// The number of users.
    pub users: usize,
}

/// Judges two answers to each of some users; an answer that was not given, or no valid list, is empty.
///
/// An answer is personal when it is not the most common list of the run, provided that the service is consistent: lists that
/// change at random between two calls differ from everybody's, but are nobody's. None with fewer than [`LEAST_USERS`] users.
pub fn personalised(answers: &[[Vec<u64>; 2]]) -> Option<Personal> {
    if answers.len() < LEAST_USERS {
        return None;
    }
    let mut counts: BTreeMap<&[u64], u64> = BTreeMap::new();
    for list in answers.iter().flatten().filter(|list| !list.is_empty()) {
        *counts.entry(list).or_default() += 1;
    }
    let given = counts.values().sum();
    let most = counts.values().copied().max().unwrap_or(0);
    personalised_of_all(answers, (most, given, answers.len() as u64 * 2))
}

/// Judges all requests of a longer record: how often the most common list was given, how many answers were, and how many were wanted.
///
/// Whether lists change at random is seen by two answers to each of some of the users. None with fewer than [`LEAST_USERS`] of them.
pub fn personalised_of_all(
    answers: &[[Vec<u64>; 2]],
    (most, given, wanted): (u64, u64, u64),
) -> Option<Personal> {
    if answers.len() < LEAST_USERS {
        return None;
    }
    // A list that only one user got is common to nobody.
    let common = if most > 2 { most } else { 0 };
    let (mut same, mut same_n) = (0.0, 0.0);
    let (mut other, mut other_n) = (0.0, 0.0);
    for (place, [first, second]) in answers.iter().enumerate() {
        if !first.is_empty() && !second.is_empty() {
            same += jaccard(first, second);
            same_n += 1.0;
        }
        for distance in DISTANCES {
            let [neighbour, _] = &answers[(place + distance) % answers.len()];
            if !first.is_empty() && !neighbour.is_empty() {
                other += jaccard(first, neighbour);
                other_n += 1.0;
            }
        }
    }
    let same_user = if same_n > 0.0 { same / same_n } else { 0.0 };
    let other_users = if other_n > 0.0 { other / other_n } else { 0.0 };
    let personal = given.saturating_sub(common);
    // With few personal answers the whole service looks alike; consistency is then asked of the personal ones alone.
    let consistent = same_user > other_users + MARGIN * personal as f64 / given.max(1) as f64;
    let share = if consistent {
        personal as f64 / wanted.max(1) as f64
    } else {
        0.0
    };
    let most_common = if given > 0 {
        most as f64 / given as f64
    } else {
        0.0
    };
    Some(Personal {
        share,
        same_user,
        other_users,
        most_common,
        users: answers.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Key;

    fn answers(list: impl Fn(u64, u64) -> Vec<u64>) -> Vec<[Vec<u64>; 2]> {
        (0..200).map(|user| [list(user, 0), list(user, 1)]).collect()
    }

    fn share(list: impl Fn(u64, u64) -> Vec<u64>) -> f64 {
        personalised(&answers(list)).unwrap().share
    }

    #[test]
    fn a_personal_list_counts_and_a_constant_or_random_one_does_not() {
        assert_eq!(share(|user, _| (user..user + 20).collect()), 1.0);
        assert_eq!(share(|_, _| (0..20).collect()), 0.0);
        let random = |user: u64, call: u64| {
            let mut draws = Key::from_seed(1).branch("lists").at(user * 2 + call);
            (0..20).map(|_| draws.below(2000)).collect::<Vec<u64>>()
        };
        assert_eq!(share(random), 0.0);
    }

    #[test]
    fn a_tenth_of_personal_lists_is_a_tenth() {
        let mixed = |user: u64, _: u64| {
            if user.is_multiple_of(10) {
                (user..user + 20).collect()
            } else {
                (5000..5020).collect()
            }
        };
        assert!((share(mixed) - 0.1).abs() < 0.001);
    }

    #[test]
    fn answers_that_were_not_given_are_not_personal() {
        let half = |user: u64, _: u64| {
            if user.is_multiple_of(2) {
                (user..user + 20).collect()
            } else {
                Vec::new()
            }
        };
        assert_eq!(share(half), 0.5);
        assert_eq!(personalised(&answers(|_, _| vec![1])[..49]), None);
    }
}
