//! What lists are like beyond accuracy: coverage, concentration, novelty, diversity, difference between users.

use std::collections::{BTreeMap, BTreeSet};

use super::stats::tables::jensen_shannon_bits;

/// The weight of a profile's own genres in the genres of a list, so that a genre that it lacks is not infinitely wrong.
const CALIBRATION_ALPHA: f64 = 0.01;

/// Returns how often each item is recommended, over all lists.
pub fn recommended_counts(lists: &[Vec<u64>]) -> BTreeMap<u64, f64> {
    let mut counts = BTreeMap::new();
    for item in lists.iter().flatten() {
        *counts.entry(*item).or_insert(0.0) += 1.0;
    }
    counts
}

/// Returns the exposure of each item: the sum of 1 / log2(place + 1) over all lists.
pub fn exposure(lists: &[Vec<u64>]) -> BTreeMap<u64, f64> {
    let mut exposure = BTreeMap::new();
    for list in lists {
        for (place, item) in list.iter().enumerate() {
            *exposure.entry(*item).or_insert(0.0) += 1.0 / libm::log2(place as f64 + 2.0);
        }
    }
    exposure
}

/// What a play costs on average when items are played in proportion to their exposure; none where no exposed item has a price.
pub fn cost_per_play(exposure: &BTreeMap<u64, f64>, costs: &BTreeMap<u64, f64>) -> Option<f64> {
    let priced = || {
        exposure
            .iter()
            .filter_map(|(item, exposure)| Some((exposure, costs.get(item)?)))
    };
    let total: f64 = priced().map(|(exposure, _)| exposure).sum();
    (total > 0.0).then(|| priced().map(|(exposure, cost)| exposure * cost).sum::<f64>() / total)
}

/// Coverage: the share of the catalogue that is recommended to anybody.
pub fn coverage(lists: &[Vec<u64>], catalogue: usize) -> f64 {
    recommended_counts(lists).len() as f64 / catalogue as f64
}

/// The Gini coefficient of shares over a whole catalogue: items that never occur count as 0.
pub fn gini(shares: &BTreeMap<u64, f64>, catalogue: usize) -> f64 {
    let mut shares: Vec<f64> = shares.values().copied().collect();
    shares.resize(catalogue.max(shares.len()), 0.0);
    gini_of(&shares)
}

/// The Gini coefficient of figures that are not negative: 0 where all are equal, towards 1 where one has everything.
pub fn gini_of(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let total: f64 = sorted.iter().sum();
    if total <= 0.0 {
        return 0.0;
    }
    let weighted: f64 = sorted
        .iter()
        .enumerate()
        .map(|(place, share)| (2.0 * (place as f64 + 1.0) - n - 1.0) * share)
        .sum();
    weighted / (n * total)
}

/// The entropy of recommended items in bits.
pub fn entropy_bits(lists: &[Vec<u64>]) -> f64 {
    let counts = recommended_counts(lists);
    let total: f64 = counts.values().sum();
    -counts
        .values()
        .map(|count| count / total * libm::log2(count / total))
        .sum::<f64>()
}

/// Novelty: the mean over users of the mean of -log2(viewers / users); an item without a viewer counts as one.
pub fn novelty_miuf_bits(lists: &[Vec<u64>], viewers: &BTreeMap<u64, f64>, users: usize) -> f64 {
    mean_of_means(lists, |item| {
        -libm::log2(viewers.get(&item).copied().unwrap_or(0.0).max(1.0) / users as f64)
    })
}

/// Average recommendation popularity: the mean over users of the mean number of viewers.
pub fn average_popularity(lists: &[Vec<u64>], viewers: &BTreeMap<u64, f64>) -> f64 {
    mean_of_means(lists, |item| viewers.get(&item).copied().unwrap_or(0.0))
}

fn mean_of_means(lists: &[Vec<u64>], value: impl Fn(u64) -> f64) -> f64 {
    let lists: Vec<&Vec<u64>> = lists.iter().filter(|list| !list.is_empty()).collect();
    let sum: f64 = lists
        .iter()
        .map(|list| list.iter().map(|item| value(*item)).sum::<f64>() / list.len() as f64)
        .sum();
    sum / lists.len() as f64
}

/// The Jaccard similarity of two lists as sets.
pub fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let a: BTreeSet<u64> = a.iter().copied().collect();
    let b: BTreeSet<u64> = b.iter().copied().collect();
    let both = a.intersection(&b).count() as f64;
    let any = a.union(&b).count() as f64;
    if any > 0.0 { both / any } else { 1.0 }
}

/// Personalisation: the mean over all pairs of users of 1 - Jaccard of their lists.
pub fn personalization_jaccard(lists: &[Vec<u64>]) -> f64 {
    pair_mean(lists, |a, b| 1.0 - jaccard(a, b))
}

/// Personalisation by cosine: the mean over all pairs of users of 1 - overlap / sqrt(lengths).
pub fn personalization_cosine(lists: &[Vec<u64>]) -> f64 {
    pair_mean(lists, |a, b| {
        let set: BTreeSet<u64> = a.iter().copied().collect();
        let both = b.iter().filter(|item| set.contains(item)).count() as f64;
        1.0 - both / libm::sqrt(a.len() as f64 * b.len() as f64)
    })
}

fn pair_mean(lists: &[Vec<u64>], distance: impl Fn(&[u64], &[u64]) -> f64) -> f64 {
    let mut sum = 0.0;
    let mut pairs = 0.0;
    for (place, a) in lists.iter().enumerate() {
        for b in &lists[place + 1..] {
            sum += distance(a, b);
            pairs += 1.0;
        }
    }
    sum / pairs
}

/// Intra-list diversity: the mean over users of the mean Jaccard distance of genre sets over the pairs of a list.
pub fn ild_jaccard(lists: &[Vec<u64>], genres: &BTreeMap<u64, Vec<f64>>) -> f64 {
    per_list_pairs(lists, genres, |a, b| {
        let both = a.iter().zip(b).filter(|(a, b)| **a > 0.0 && **b > 0.0).count() as f64;
        let any = a.iter().zip(b).filter(|(a, b)| **a > 0.0 || **b > 0.0).count() as f64;
        if any > 0.0 { 1.0 - both / any } else { 0.0 }
    })
}

/// Intra-list diversity by the cosine of genre vectors.
pub fn ild_cosine(lists: &[Vec<u64>], genres: &BTreeMap<u64, Vec<f64>>) -> f64 {
    per_list_pairs(lists, genres, |a, b| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        1.0 - dot(a, b) / libm::sqrt(dot(a, a) * dot(b, b))
    })
}

/// Intra-list diversity by the number of genres in which two items differ.
pub fn ild_hamming(lists: &[Vec<u64>], genres: &BTreeMap<u64, Vec<f64>>) -> f64 {
    per_list_pairs(lists, genres, |a, b| {
        a.iter().zip(b).filter(|(a, b)| a != b).count() as f64
    })
}

fn per_list_pairs(
    lists: &[Vec<u64>],
    genres: &BTreeMap<u64, Vec<f64>>,
    distance: impl Fn(&[f64], &[f64]) -> f64,
) -> f64 {
    let mut sum = 0.0;
    let mut counted = 0.0;
    for list in lists {
        let known: Vec<&Vec<f64>> = list.iter().filter_map(|item| genres.get(item)).collect();
        let mut inner = 0.0;
        let mut pairs = 0.0;
        for (place, a) in known.iter().enumerate() {
            for b in &known[place + 1..] {
                inner += distance(a, b);
                pairs += 1.0;
            }
        }
        if pairs > 0.0 {
            sum += inner / pairs;
            counted += 1.0;
        }
    }
    if counted > 0.0 { sum / counted } else { 0.0 }
}

/// The number of different items that are recommended.
pub fn distinct(lists: &[Vec<u64>]) -> usize {
    recommended_counts(lists).len()
}

/// How far the genres of a list are from those of its user's profile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// The divergence of Kullback and Leibler in nats, smoothed (Steck 2018); it has no bound and depends on the smoothing.
    pub kl_nats: f64,
    /// The divergence of Jensen and Shannon in bits, in [0, 1]: the one to grade.
    pub js_bits: f64,
}

/// Compares the genres of a list with those of a profile; none where either has no item with a genre.
pub fn calibration(profile: &[u64], list: &[u64], genres: &BTreeMap<u64, Vec<f64>>) -> Option<Calibration> {
    let wanted = genre_shares(profile, genres)?;
    let given = genre_shares(list, genres)?;
    let kl_nats = wanted
        .iter()
        .zip(&given)
        .filter(|(wanted, _)| **wanted > 0.0)
        .map(|(wanted, given)| {
            let smoothed = (1.0 - CALIBRATION_ALPHA) * given + CALIBRATION_ALPHA * wanted;
            wanted * libm::log(wanted / smoothed)
        })
        .sum();
    Some(Calibration {
        kl_nats,
        js_bits: jensen_shannon_bits(&wanted, &given),
    })
}

/// Returns the share of each genre in items, each item shared out evenly among its genres.
fn genre_shares(items: &[u64], genres: &BTreeMap<u64, Vec<f64>>) -> Option<Vec<f64>> {
    let mut shares = vec![0.0; genres.values().map(Vec::len).max()?];
    let mut counted = 0.0;
    for row in items.iter().filter_map(|item| genres.get(item)) {
        let total: f64 = row.iter().sum();
        if total > 0.0 {
            counted += 1.0;
            for (share, genre) in shares.iter_mut().zip(row) {
                *share += genre / total;
            }
        }
    }
    (counted > 0.0).then(|| shares.into_iter().map(|share| share / counted).collect())
}

/// How much more popular recommended items are than those that users watched by themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PopularityLift {
    /// The mean over users of the mean share of users who watched what is recommended.
    pub recommended: f64,
    /// The same of what users watched by themselves.
    pub watched: f64,
    /// The difference over the latter: 0 as popular, 1 twice as popular, negative less popular.
    pub lift: f64,
}

/// Compares the popularity of lists with that of profiles (Abdollahpouri 2019); none where profiles have no popularity.
pub fn popularity_lift(
    lists: &[Vec<u64>],
    profiles: &[Vec<u64>],
    viewers: &BTreeMap<u64, f64>,
    users: usize,
) -> Option<PopularityLift> {
    let recommended = average_popularity(lists, viewers) / users as f64;
    let watched = average_popularity(profiles, viewers) / users as f64;
    (watched > 0.0).then(|| PopularityLift {
        recommended,
        watched,
        lift: (recommended - watched) / watched,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_most_decides_what_a_play_costs() {
        let exposure = exposure(&[vec![1, 2], vec![1, 3]]);
        let costs = BTreeMap::from([(1, 0.10), (2, 0.02)]);
        // Two first places, and one second place of 1 / log2(3); the third movie has no price.
        let second = 1.0 / libm::log2(3.0);
        let wanted = (2.0 * 0.10 + second * 0.02) / (2.0 + second);
        assert!((cost_per_play(&exposure, &costs).unwrap() - wanted).abs() < 1e-12);
        assert_eq!(cost_per_play(&exposure, &BTreeMap::new()), None);
    }
}
