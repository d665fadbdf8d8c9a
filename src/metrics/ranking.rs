//! How well a ranked list meets what is relevant to one user.
//!
//! Rules, the same for every measure: the first copy of an item counts and later copies are wasted places; a list longer than
//! k is cut at k; a shorter one wastes what is missing; order is the only order.

use std::collections::BTreeMap;

/// What is relevant to one user: a grade for each judged item.
pub type Grades = BTreeMap<u64, f64>;

/// Returns the grade of each of the first `k` places: 0 for what is unknown, and for later copies.
fn gains(list: &[u64], grades: &Grades, k: usize) -> Vec<f64> {
    let list = &list[..list.len().min(k)];
    list.iter()
        .enumerate()
        .map(|(place, item)| {
            if list[..place].contains(item) {
                0.0
            } else {
                grades.get(item).copied().unwrap_or(0.0)
            }
        })
        .collect()
}

fn hits(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> Vec<bool> {
    let list = &list[..list.len().min(k)];
    list.iter()
        .enumerate()
        .map(|(place, item)| {
            !list[..place].contains(item) && grades.get(item).is_some_and(|grade| relevant(*grade, threshold))
        })
        .collect()
}

fn relevant(grade: f64, threshold: f64) -> bool {
    grade >= threshold && grade > 0.0
}

/// Returns the number of relevant items of a user; a user without any can't be evaluated.
pub fn positives(grades: &Grades, threshold: f64) -> usize {
    grades
        .values()
        .filter(|grade| relevant(**grade, threshold))
        .count()
}

fn discount(place: usize) -> f64 {
    1.0 / libm::log2(place as f64 + 2.0)
}

/// Precision: hits among the first k, over k.
pub fn precision_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    count(&hits(list, grades, k, threshold)) / k as f64
}

/// Recall: hits among the first k, over all relevant items.
pub fn recall_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    count(&hits(list, grades, k, threshold)) / positives(grades, threshold) as f64
}

/// Capped recall: hits among the first k, over the most that k places could hold.
pub fn capped_recall_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    count(&hits(list, grades, k, threshold)) / positives(grades, threshold).min(k) as f64
}

/// Hit rate: 1 if any of the first k is relevant, else 0.
pub fn hit_rate_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    f64::from(u8::from(hits(list, grades, k, threshold).contains(&true)))
}

/// Reciprocal rank of the first hit among the first k; 0 if there is none.
pub fn reciprocal_rank_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    hits(list, grades, k, threshold)
        .iter()
        .position(|hit| *hit)
        .map_or(0.0, |place| 1.0 / (place as f64 + 1.0))
}

fn precision_sum(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    let mut found = 0.0;
    let mut sum = 0.0;
    for (place, hit) in hits(list, grades, k, threshold).into_iter().enumerate() {
        if hit {
            found += 1.0;
            sum += found / (place as f64 + 1.0);
        }
    }
    sum
}

/// Average precision at k, over the most hits that k places could hold.
pub fn average_precision_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    precision_sum(list, grades, k, threshold) / positives(grades, threshold).min(k) as f64
}

/// Average precision at k as trec_eval has it: over all relevant items.
pub fn average_precision_trec_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    precision_sum(list, grades, k, threshold) / positives(grades, threshold) as f64
}

/// Discounted cumulative gain with linear gain and a discount of log2(place + 1).
pub fn dcg_at_k(list: &[u64], grades: &Grades, k: usize) -> f64 {
    dcg(&gains(list, grades, k))
}

fn dcg(gains: &[f64]) -> f64 {
    gains
        .iter()
        .enumerate()
        .map(|(place, gain)| gain * discount(place))
        .sum()
}

fn ndcg(list: &[u64], grades: &Grades, k: usize, gain: impl Fn(f64) -> f64) -> f64 {
    let found: Vec<f64> = gains(list, grades, k).into_iter().map(&gain).collect();
    let mut ideal: Vec<f64> = grades.values().map(|grade| gain(*grade)).collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    ideal.truncate(k);
    let best = dcg(&ideal);
    if best > 0.0 { dcg(&found) / best } else { 0.0 }
}

/// Normalised DCG with linear gain; the ideal is over all judged items. The one that reports show.
pub fn ndcg_at_k(list: &[u64], grades: &Grades, k: usize) -> f64 {
    ndcg(list, grades, k, |grade| grade)
}

/// Normalised DCG with exponential gain, 2^grade - 1.
pub fn ndcg_exponential_at_k(list: &[u64], grades: &Grades, k: usize) -> f64 {
    ndcg(list, grades, k, |grade| libm::exp2(grade) - 1.0)
}

/// Normalised DCG with binary gain.
pub fn ndcg_binary_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64) -> f64 {
    ndcg(list, grades, k, |grade| {
        f64::from(u8::from(relevant(grade, threshold)))
    })
}

/// Rank-biased precision with persistence p (Moffat and Zobel 2008), cut at k.
pub fn rank_biased_precision_at_k(list: &[u64], grades: &Grades, k: usize, threshold: f64, p: f64) -> f64 {
    let weights = std::iter::successors(Some(1.0 - p), |weight| Some(weight * p));
    hits(list, grades, k, threshold)
        .into_iter()
        .zip(weights)
        .filter(|(hit, _)| *hit)
        .map(|(_, weight)| weight)
        .sum()
}

/// Envy: how much more a user would get from the best list of another user than from their own; at least 0.
///
/// `own` is the place of the user's list among `lists`; gain and discount are those of [`dcg_at_k`].
pub fn envy_at_k(lists: &[Vec<u64>], own: usize, grades: &Grades, k: usize) -> f64 {
    let Some(list) = lists.get(own) else {
        return 0.0;
    };
    let got = dcg_at_k(list, grades, k);
    lists
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != own)
        .map(|(_, other)| dcg_at_k(other, grades, k) - got)
        .fold(0.0, f64::max)
}

fn count(hits: &[bool]) -> f64 {
    hits.iter().filter(|hit| **hit).count() as f64
}
