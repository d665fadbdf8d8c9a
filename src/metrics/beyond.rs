//! What lists are like beyond accuracy: coverage, concentration, novelty, diversity, difference between users.

use std::collections::{BTreeMap, BTreeSet};

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

/// Coverage: the share of the catalogue that is recommended to anybody.
pub fn coverage(lists: &[Vec<u64>], catalogue: usize) -> f64 {
    recommended_counts(lists).len() as f64 / catalogue as f64
}

/// The Gini coefficient of shares over a whole catalogue: items that never occur count as 0.
pub fn gini(shares: &BTreeMap<u64, f64>, catalogue: usize) -> f64 {
    let mut sorted: Vec<f64> = shares.values().copied().collect();
    sorted.resize(catalogue.max(sorted.len()), 0.0);
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
