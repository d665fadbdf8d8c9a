//! Downtime that two services share beyond chance: one that hands its requests through to another falls when that one falls.

use std::collections::{BTreeMap, BTreeSet};

/// A minute in which this share of all services is down is the network's, or ours, and tells nothing of two of them.
const EVERYBODY: f64 = 0.5;
/// Fewer spells than this can meet by chance, however well they do.
const LEAST_SPELLS: usize = 3;
/// How seldom chance may do as much, for a class of forty teams with 780 pairs.
const CHANCE: f64 = 0.001;

/// Two services that go down together.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// The teams.
    pub teams: [String; 2],
    /// Minutes in which both were down.
    pub minutes: usize,
    /// Minutes in which each was down.
    pub each: [usize; 2],
    /// The spells of the first team in which the second was down too, and all its spells.
    pub spells: (usize, usize),
    /// How often chance does as much: of all ways to shift the one's downtime against the other's, the share that does.
    pub chance: f64,
}

/// Returns the pairs of services whose downtime meets more than chance allows, within `minutes` minutes from 0; `down` has the
/// minutes in which each was down.
///
/// Downtime comes in spells, so minutes are not independent: chance is taken from shifting one team's whole record against
/// the other's, round the clock. Minutes in which half of the class was down are left out.
pub fn shared_downtime(down: &BTreeMap<String, BTreeSet<u32>>, minutes: u32) -> Vec<Shared> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for minute in down.values().flatten().filter(|minute| **minute < minutes) {
        *counts.entry(*minute).or_default() += 1;
    }
    // Of two teams both are half of the class at once.
    let most = (EVERYBODY * down.len() as f64).max(2.0);
    let own: BTreeMap<&String, BTreeSet<u32>> = down
        .iter()
        .map(|(team, own)| {
            let kept = own.iter().copied();
            let kept = kept.filter(|minute| counts.get(minute).is_some_and(|count| *count as f64 <= most));
            (team, kept.collect())
        })
        .collect();
    let names: Vec<&String> = own.keys().copied().collect();
    let mut found = Vec::new();
    for (place, a) in names.iter().enumerate() {
        for b in &names[place + 1..] {
            found.extend(compare([a, b], [&own[a], &own[b]], minutes));
        }
    }
    found.sort_by(|a, b| a.chance.total_cmp(&b.chance).then(a.teams.cmp(&b.teams)));
    found
}

fn compare(teams: [&String; 2], [a, b]: [&BTreeSet<u32>; 2], minutes: u32) -> Option<Shared> {
    let both = meeting(a, b, 0, minutes);
    if both == 0 {
        return None;
    }
    let all = spells(a);
    let met = all
        .iter()
        .filter(|(from, to)| b.range(*from..=*to).next().is_some())
        .count();
    if met < LEAST_SPELLS {
        return None;
    }
    let as_much = (0..minutes)
        .filter(|shift| meeting(a, b, *shift, minutes) >= both)
        .count();
    let chance = as_much as f64 / f64::from(minutes);
    (chance <= CHANCE).then(|| Shared {
        teams: teams.map(Clone::clone),
        minutes: both,
        each: [a.len(), b.len()],
        spells: (met, all.len()),
        chance,
    })
}

/// How many minutes both are down when the first record is shifted round the clock.
fn meeting(a: &BTreeSet<u32>, b: &BTreeSet<u32>, shift: u32, minutes: u32) -> usize {
    let (fewer, more, shift) = if a.len() <= b.len() {
        (a, b, shift)
    } else {
        (b, a, (minutes - shift) % minutes)
    };
    fewer
        .iter()
        .filter(|minute| more.contains(&((**minute + shift) % minutes)))
        .count()
}

/// The spells of downtime: first and last minute of each.
fn spells(down: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut spells: Vec<(u32, u32)> = Vec::new();
    for minute in down {
        match spells.last_mut() {
            Some((_, to)) if *to + 1 == *minute => *to = *minute,
            _ => spells.push((*minute, *minute)),
        }
    }
    spells
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::{Draws, Key};

    const WEEK: u32 = 7 * 1440;

    /// Downtime of some spells of up to twenty minutes, anywhere in the week.
    fn record(draws: &mut Draws, spells: u32) -> BTreeSet<u32> {
        (0..spells)
            .flat_map(|_| {
                let from = draws.below(u64::from(WEEK - 30)) as u32;
                from..from + 1 + draws.below(20) as u32
            })
            .collect()
    }

    fn class(draws: &mut Draws) -> BTreeMap<String, BTreeSet<u32>> {
        (0..8)
            .map(|team| (format!("team{team}"), record(draws, 12)))
            .collect()
    }

    #[test]
    fn a_service_that_hands_requests_through_falls_with_the_other() {
        let mut draws = Key::from_seed(1).branch("down").at(0);
        let mut all = class(&mut draws);
        let mut borrower: BTreeSet<u32> = all["team3"].iter().map(|minute| minute + 1).collect();
        borrower.extend(record(&mut draws, 4));
        all.insert("borrower".to_owned(), borrower);
        let found = shared_downtime(&all, WEEK);
        let teams: Vec<&[String; 2]> = found.iter().map(|shared| &shared.teams).collect();
        assert_eq!(teams, [&["borrower".to_owned(), "team3".to_owned()]]);
        assert!(found[0].spells.0 >= 10 && found[0].chance <= CHANCE);
    }

    #[test]
    fn an_hour_in_which_the_network_was_down_accuses_nobody() {
        let mut draws = Key::from_seed(2).branch("down").at(0);
        let mut all = class(&mut draws);
        for own in all.values_mut() {
            for hour in [100, 3000, 5000, 8000] {
                own.extend(hour..hour + 60);
            }
        }
        assert_eq!(shared_downtime(&all, WEEK), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn services_that_fall_each_by_itself_are_seldom_flagged(seed in any::<u64>()) {
            let mut draws = Key::from_seed(seed).branch("down").at(0);
            // 28 pairs at one in a thousand, and three spells must meet.
            prop_assert!(shared_downtime(&class(&mut draws), WEEK).len() <= 1);
        }
    }
}
