//! How groups fare: of users in what they get, of movies in how much they are shown.

use std::collections::BTreeMap;

/// Added to each share before its logarithm, so that a group without a place does not make a ranking infinitely unfair.
const SMOOTHING: f64 = 1e-7;
/// The four-fifths rule: a rate within these of the reference group's counts as alike.
const FOUR_FIFTHS: std::ops::RangeInclusive<f64> = 0.8..=1.25;

/// A figure for each group, by the group's name.
pub type ByGroup<T> = BTreeMap<String, T>;

/// Returns the mean of each group that has a value.
pub fn group_means(groups: &ByGroup<Vec<f64>>) -> ByGroup<f64> {
    groups
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(group, values)| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (group.clone(), mean)
        })
        .collect()
}

/// Returns the lowest and the highest figure of any group; none without groups.
pub fn range(figures: &ByGroup<f64>) -> Option<(f64, f64)> {
    let low = figures.values().copied().min_by(f64::total_cmp)?;
    let high = figures.values().copied().max_by(f64::total_cmp)?;
    Some((low, high))
}

/// Returns the gap between the best and the worst served group.
///
/// Of noisy groups it is never 0, not even for a fair service: decide by intervals, as [`super::accuracy::gaps`] has them.
pub fn gap(figures: &ByGroup<f64>) -> Option<f64> {
    let (low, high) = range(figures)?;
    Some(high - low)
}

/// Returns the figure of the worst served group over that of the best; none where the best has 0.
pub fn ratio(figures: &ByGroup<f64>) -> Option<f64> {
    let (low, high) = range(figures)?;
    (high > 0.0).then(|| low / high)
}

/// Returns the largest gap of a group's mean to the mean over all users, in which large groups weigh more.
pub fn gap_to_overall(groups: &ByGroup<Vec<f64>>) -> Option<f64> {
    let all: Vec<f64> = groups.values().flatten().copied().collect();
    let overall = all.iter().sum::<f64>() / all.len() as f64;
    group_means(groups)
        .values()
        .map(|mean| (mean - overall).abs())
        .max_by(f64::total_cmp)
}

/// Returns the mean gap over all pairs of groups; none with fewer than two.
pub fn mean_pairwise_gap(figures: &ByGroup<f64>) -> Option<f64> {
    let figures: Vec<f64> = figures.values().copied().collect();
    let gaps: Vec<f64> = figures
        .iter()
        .enumerate()
        .flat_map(|(place, a)| figures[place + 1..].iter().map(move |b| (a - b).abs()))
        .collect();
    (!gaps.is_empty()).then(|| gaps.iter().sum::<f64>() / gaps.len() as f64)
}

/// One decision about one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The user's group.
    pub group: String,
    /// Whether the user should have been chosen.
    pub deserved: Deserved,
    /// Whether the user was chosen.
    pub chosen: bool,
}

/// Whether a user should be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deserved {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// Returns the share of each group that was chosen.
pub fn selection_rates(decisions: &[Decision]) -> ByGroup<Option<f64>> {
    rates(decisions, |_| true)
}

/// Returns the share chosen of those in each group who deserved it (`Yes`) or did not (`No`); none in a group without any.
pub fn rates_among(decisions: &[Decision], deserved: Deserved) -> ByGroup<Option<f64>> {
    rates(decisions, |decision| decision.deserved == deserved)
}

fn rates(decisions: &[Decision], counts: impl Fn(&Decision) -> bool) -> ByGroup<Option<f64>> {
    let mut found: ByGroup<(u32, u32)> = BTreeMap::new();
    for decision in decisions {
        let (chosen, n) = found.entry(decision.group.clone()).or_default();
        if counts(decision) {
            *n += 1;
            *chosen += u32::from(decision.chosen);
        }
    }
    found
        .into_iter()
        .map(|(group, (chosen, n))| (group, (n > 0).then(|| f64::from(chosen) / f64::from(n))))
        .collect()
}

/// What becomes of a group that has no rate because nobody in it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutRate {
    /// It is not assessed: what decides anything does this.
    LeftOut,
    /// Its rate is 0, as fairlearn has it: a gap out of nothing, for comparison with that library.
    Zero,
}

/// Returns the rates that are to be compared.
pub fn compared(rates: &ByGroup<Option<f64>>, without: WithoutRate) -> ByGroup<f64> {
    rates
        .iter()
        .filter_map(|(group, rate)| match (rate, without) {
            (Some(rate), _) => Some((group.clone(), *rate)),
            (None, WithoutRate::Zero) => Some((group.clone(), 0.0)),
            (None, WithoutRate::LeftOut) => None,
        })
        .collect()
}

/// Returns the gap of equalised odds: the larger of the gaps among those who deserved it and among those who did not.
pub fn equalised_odds_gap(decisions: &[Decision], without: WithoutRate) -> Option<f64> {
    let yes = gap(&compared(&rates_among(decisions, Deserved::Yes), without))?;
    let no = gap(&compared(&rates_among(decisions, Deserved::No), without))?;
    Some(yes.max(no))
}

/// Returns the ratio of equalised odds: the smaller of the two ratios.
pub fn equalised_odds_ratio(decisions: &[Decision], without: WithoutRate) -> Option<f64> {
    let yes = ratio(&compared(&rates_among(decisions, Deserved::Yes), without))?;
    let no = ratio(&compared(&rates_among(decisions, Deserved::No), without))?;
    Some(yes.min(no))
}

/// Returns the largest group, the first by name among equals: the reference of the four-fifths rule.
pub fn largest_group(decisions: &[Decision]) -> Option<String> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for decision in decisions {
        *sizes.entry(&decision.group).or_default() += 1;
    }
    let most = sizes.values().copied().max()?;
    sizes
        .into_iter()
        .find(|(_, size)| *size == most)
        .map(|(group, _)| group.to_owned())
}

/// Returns each group's rate over that of the reference; none where either has no rate or the reference's is 0.
pub fn disparities(rates: &ByGroup<Option<f64>>, reference: &str) -> ByGroup<Option<f64>> {
    let base = rates.get(reference).copied().flatten().filter(|base| *base > 0.0);
    rates
        .iter()
        .map(|(group, rate)| (group.clone(), rate.zip(base).map(|(rate, base)| rate / base)))
        .collect()
}

/// Tells whether a disparity keeps the four-fifths rule, in either direction.
pub fn keeps_four_fifths(disparity: f64) -> bool {
    FOUR_FIFTHS.contains(&disparity)
}

/// Rankings of items that belong to groups, with the worth of each place's item to the user who got it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rankings {
    /// The group of each item of the catalogue, ranked or not.
    pub group_of: BTreeMap<u64, String>,
    /// The rankings, each a list of item and worth.
    pub lists: Vec<Vec<(u64, f64)>>,
}

/// Returns the weight of a place by logarithmic discount, 1 / log2(place + 1), the first place being 0 here.
pub fn logarithmic(place: usize) -> f64 {
    1.0 / libm::log2(place as f64 + 2.0)
}

/// Returns the weight of a place by a viewer who goes on with probability `1 - stop` after each.
pub fn geometric(stop: f64) -> impl Fn(usize) -> f64 {
    move |place| stop * libm::pow(1.0 - stop, place as f64)
}

impl Rankings {
    fn sums(&self, value: impl Fn(usize, f64) -> f64) -> ByGroup<f64> {
        let mut sums: ByGroup<f64> = self.group_of.values().map(|group| (group.clone(), 0.0)).collect();
        for list in &self.lists {
            for (place, (item, worth)) in list.iter().enumerate() {
                if let Some(sum) = self.group_of.get(item).and_then(|group| sums.get_mut(group)) {
                    *sum += value(place, *worth);
                }
            }
        }
        sums
    }

    /// Returns the exposure of each group over its number of items: the weights of its places, over all rankings.
    pub fn exposure(&self, weight: impl Fn(usize) -> f64) -> ByGroup<f64> {
        let mut sizes: ByGroup<f64> = BTreeMap::new();
        for group in self.group_of.values() {
            *sizes.entry(group.clone()).or_default() += 1.0;
        }
        let mut sums = self.sums(|place, _| weight(place));
        for (group, sum) in &mut sums {
            *sum /= sizes[group];
        }
        sums
    }

    /// Returns the exposure of each group over the worth of its ranked items; groups without worth are left out.
    pub fn exposure_by_worth(&self) -> ByGroup<f64> {
        let worth = self.sums(|_, worth| worth);
        self.sums(|place, _| logarithmic(place))
            .into_iter()
            .filter(|(group, _)| worth[group] > 0.0)
            .map(|(group, exposure)| {
                let of_group = worth[&group];
                (group, exposure / of_group)
            })
            .collect()
    }

    /// Returns attention and worth of each ranked item, summed over all rankings.
    fn by_item(&self) -> BTreeMap<u64, (f64, f64)> {
        let mut items: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for list in &self.lists {
            for (place, (item, worth)) in list.iter().enumerate() {
                let sums = items.entry(*item).or_default();
                sums.0 += logarithmic(place);
                sums.1 += worth;
            }
        }
        items
    }

    /// Returns how far shares of attention are from shares of worth over all rankings, item by item (Biega 2018); in [0, 2].
    ///
    /// None where there is no attention or no worth.
    pub fn attention_unfairness(&self) -> Option<f64> {
        let items = self.by_item();
        let attention: f64 = items.values().map(|(attention, _)| attention).sum();
        let worth: f64 = items.values().map(|(_, worth)| worth).sum();
        (attention > 0.0 && worth > 0.0).then(|| {
            items
                .values()
                .map(|(of_attention, of_worth)| (of_attention / attention - of_worth / worth).abs())
                .sum()
        })
    }

    /// Returns the plain difference of attention and worth in the first ranking alone.
    ///
    /// What one library returns under the name of the amortised measure; it has no bound and says nothing of later rankings.
    pub fn first_attention_difference(&self) -> Option<f64> {
        let first = self.lists.first()?;
        let differences = first.iter().enumerate();
        Some(
            differences
                .map(|(place, (_, worth))| (logarithmic(place) - worth).abs())
                .sum(),
        )
    }
}

/// Returns how far the groups in each beginning of a ranking are from the groups in all of it, discounted (Geyik 2019).
///
/// None for an empty ranking or an item without a group.
pub fn discounted_divergence(ranking: &[u64], group_of: &BTreeMap<u64, String>) -> Option<f64> {
    let groups: Vec<&str> = ranking
        .iter()
        .map(|item| group_of.get(item).map(String::as_str))
        .collect::<Option<_>>()?;
    let mut whole: BTreeMap<&str, f64> = BTreeMap::new();
    for group in &groups {
        *whole.entry(group).or_default() += 1.0 / groups.len() as f64;
    }
    let mut begun: BTreeMap<&str, f64> = whole.keys().map(|group| (*group, 0.0)).collect();
    let (mut sum, mut weights) = (0.0, 0.0);
    for (place, group) in groups.iter().enumerate() {
        *begun.entry(group).or_default() += 1.0;
        let divergence: f64 = begun
            .iter()
            .map(|(group, count)| {
                let share = count / (place as f64 + 1.0) + SMOOTHING;
                share * libm::log(share / (whole[group] + SMOOTHING))
            })
            .sum();
        sum += divergence * logarithmic(place);
        weights += logarithmic(place);
    }
    (weights > 0.0).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(group: &str, deserved: Deserved, chosen: bool) -> Decision {
        Decision {
            group: group.to_owned(),
            deserved,
            chosen,
        }
    }

    #[test]
    fn a_group_where_nobody_deserves_it_makes_no_gap_unless_asked() {
        let decisions = [
            decision("A", Deserved::Yes, true),
            decision("A", Deserved::No, false),
            decision("B", Deserved::No, false),
        ];
        assert_eq!(equalised_odds_gap(&decisions, WithoutRate::LeftOut), Some(0.0));
        assert_eq!(equalised_odds_gap(&decisions, WithoutRate::Zero), Some(1.0));
        assert_eq!(equalised_odds_ratio(&decisions, WithoutRate::LeftOut), None);
    }

    #[test]
    fn a_reference_without_a_rate_leaves_every_disparity_open() {
        let rates = ByGroup::from([("A".to_owned(), Some(0.0)), ("B".to_owned(), Some(0.5))]);
        assert!(disparities(&rates, "A").values().all(Option::is_none));
        assert_eq!(disparities(&rates, "B")["A"], Some(0.0));
    }

    #[test]
    fn attention_in_proportion_to_worth_is_fair() {
        let fair = Rankings {
            group_of: BTreeMap::from([(1, "X".to_owned()), (2, "Y".to_owned())]),
            lists: vec![vec![(1, logarithmic(0)), (2, logarithmic(1))]],
        };
        assert_eq!(fair.attention_unfairness(), Some(0.0));
        assert_eq!(fair.first_attention_difference(), Some(0.0));
        assert_eq!(ratio(&fair.exposure_by_worth()), Some(1.0));
    }
}
