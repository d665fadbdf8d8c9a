//! Cold start: what the lists of users without history are worth to them, between a list at random and the popular one.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{LEVEL, LINES, measured, not_measured};
use crate::evidence::NewUserScore;
use crate::exchange::{Exchange, Phase, RequestKind};
use crate::metrics::accuracy::{accuracy_score, expected_enjoyment, most_popular};
use crate::release::Release;
use crate::scorecard::{Finding, Findings};
use crate::world::{UserId, World};

/// The places in a list that count.
const K: usize = 20;
/// The most users who are looked at: as many tell the share to a few hundredths, and each takes the whole catalogue's worth.
const MOST: usize = 1_000;

/// Returns what the first valid list of each asked user without history is worth; who got none at the ordinary
/// rate has an empty list.
pub(super) fn scores(world: &World, release: &Release, exchanges: &[Exchange]) -> Vec<NewUserScore> {
    let mut asked: BTreeMap<u32, &[String]> = BTreeMap::new();
    for exchange in exchanges {
        let planned = &exchange.planned;
        if !planned.phase.is_measured() || planned.kind != RequestKind::New || exchange.is_ours() {
            continue;
        }
        // Whether lists come at the highest rate as well is told elsewhere; those that do are looked at.
        if planned.phase == Phase::Peak && exchange.ids().is_none() {
            continue;
        }
        let Some(user) = planned.user else { continue };
        let list = asked.entry(user).or_default();
        if list.is_empty() {
            *list = exchange.ids().unwrap_or_default();
        }
    }
    let none = BTreeSet::new();
    let popular = most_popular(&release.popular(), &none, K);
    let mut worth = Vec::new();
    asked
        .into_iter()
        .filter(|(user, _)| world.user(UserId(*user)).is_some())
        .take(MOST)
        .map(|(user, list)| {
            world.enjoyment(UserId(user), &mut worth);
            let list: Vec<Option<usize>> = list
                .iter()
                .map(|id| world.movie_index(id).map(|index| index.0 as usize))
                .collect();
            NewUserScore {
                user,
                got_a_list: !list.is_empty(),
                service: expected_enjoyment(&list, &worth, &none, K),
                // Each place of a list at random is worth the catalogue's mean.
                random: worth.iter().sum::<f64>() / worth.len().max(1) as f64,
                popular: expected_enjoyment(&popular, &worth, &none, K),
            }
        })
        .collect()
}

/// Adds how sensible the lists of users without history are.
pub(super) fn newcomers(scores: &[&NewUserScore], findings: &mut Findings) {
    let triples: Vec<[f64; 3]> = scores
        .iter()
        .map(|score| [score.service, score.random, score.popular])
        .collect();
    let finding = match accuracy_score(&triples, LEVEL) {
        Some((value, interval)) => {
            let without = scores.iter().filter(|score| !score.got_a_list).count();
            let why = format!(
                "0 is a list at random, 1 the popular one; {} users, {without} of them without a valid list",
                scores.len()
            );
            let mut found = measured(value, Some(interval), scores.len(), why);
            let bad = scores.iter().filter(|score| score.service < score.random);
            found.evidence = bad
                .take(LINES)
                .map(|score| {
                    if score.got_a_list {
                        format!("user {}: worse than a list at random", score.user)
                    } else {
                        format!("user {}: no valid list", score.user)
                    }
                })
                .collect();
            Finding::Measured(found)
        }
        None => not_measured("too few users without history were asked about"),
    };
    findings.insert("new_users.score".to_owned(), finding);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(services: &[f64]) -> Finding {
        let scores: Vec<NewUserScore> = services
            .iter()
            .enumerate()
            .map(|(user, service)| NewUserScore {
                user: user as u32,
                got_a_list: *service > 0.0,
                service: *service,
                random: 0.1,
                popular: 0.3,
            })
            .collect();
        let mut findings = Findings::new();
        newcomers(&scores.iter().collect::<Vec<_>>(), &mut findings);
        findings.remove("new_users.score").unwrap()
    }

    #[test]
    fn a_popular_list_is_one_a_random_one_nothing_and_none_at_all_is_less() {
        let value = |services: &[f64]| match score(services) {
            Finding::Measured(found) => found.value,
            Finding::NotMeasured { why, .. } => panic!("{why}"),
        };
        assert!((value(&[0.3, 0.3, 0.3]) - 1.0).abs() < 1e-9);
        assert!(value(&[0.1, 0.1, 0.1]).abs() < 1e-9);
        assert!((value(&[0.0, 0.0, 0.0]) + 0.5).abs() < 1e-9);
        assert!(matches!(score(&[]), Finding::NotMeasured { .. }));
    }

    #[test]
    fn who_got_less_than_by_chance_is_named() {
        let Finding::Measured(found) = score(&[0.3, 0.05, 0.0]) else {
            panic!("three users are enough");
        };
        assert_eq!(
            found.evidence,
            ["user 1: worse than a list at random", "user 2: no valid list"]
        );
    }
}
