//! The measures against values of independent libraries.
//!
//! The file is `fixtures/golden_metrics.json`, or another of the same form named by `REELWORLD_GOLDEN`.

use std::collections::BTreeMap;

use reelworld::metrics::ranking::{self, Grades};
use reelworld::metrics::{beyond, stats};
use serde_json::Value;

/// Keys of the file for which the tool has no measure: they are named here, so that a new key is never passed over.
const NOT_OURS: &[&str] = &[
    "ENVY_DCG",
    "calibration_kl_nats_alpha001",
    "calibration_js_bits",
    "_per_user_kl_js",
    "coverage_pct_2dp",
    "n_distinct",
    "gap_recs",
    "gap_profiles",
    "popularity_lift",
];

fn golden() -> Value {
    #[expect(
        clippy::disallowed_methods,
        reason = "the file to compare with is named from outside"
    )]
    let path = std::env::var("REELWORLD_GOLDEN")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/golden_metrics.json").to_owned());
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn close(found: f64, wanted: f64, tolerance: f64) -> bool {
    (found - wanted).abs() <= tolerance * wanted.abs().max(1.0)
}

fn ids(value: &Value) -> Vec<u64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap())
        .collect()
}

fn keyed<T>(value: &Value, read: impl Fn(&Value) -> T) -> BTreeMap<u64, T> {
    value
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.parse().unwrap(), read(value)))
        .collect()
}

fn ranked(name: &str, list: &[u64], grades: &Grades, k: usize, threshold: f64) -> Option<f64> {
    Some(match name {
        "P" => ranking::precision_at_k(list, grades, k, threshold),
        "R" => ranking::recall_at_k(list, grades, k, threshold),
        "RC" => ranking::capped_recall_at_k(list, grades, k, threshold),
        "H" => ranking::hit_rate_at_k(list, grades, k, threshold),
        "RR" => ranking::reciprocal_rank_at_k(list, grades, k, threshold),
        "AP" => ranking::average_precision_at_k(list, grades, k, threshold),
        "APT" => ranking::average_precision_trec_at_k(list, grades, k, threshold),
        "NL" => ranking::ndcg_at_k(list, grades, k),
        "NE" => ranking::ndcg_exponential_at_k(list, grades, k),
        "NB" => ranking::ndcg_binary_at_k(list, grades, k, threshold),
        "DCG" => ranking::dcg_at_k(list, grades, k),
        "RBP85" => ranking::rank_biased_precision_at_k(list, grades, k, threshold, 0.85),
        _ => return None,
    })
}

#[test]
fn ranking_measures_equal_the_libraries() {
    let golden = golden();
    let mut compared = 0;
    for case in golden["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["kind"] == "ranking")
    {
        let threshold = case["rel_threshold"].as_f64().unwrap();
        let users: BTreeMap<u64, (Vec<u64>, Grades)> = case["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| {
                let grades = keyed(&user["rel"], |grade| grade.as_f64().unwrap());
                (user["user"].as_u64().unwrap(), (ids(&user["recs"]), grades))
            })
            .collect();
        let evaluable: Vec<u64> = users
            .iter()
            .filter(|(_, (_, grades))| ranking::positives(grades, threshold) > 0)
            .map(|(user, _)| *user)
            .collect();
        assert_eq!(evaluable, ids(&case["evaluable_users"]), "{}", case["id"]);
        for (key, expected) in case["expected"].as_object().unwrap() {
            let (name, k) = key.split_once('@').unwrap();
            if name.starts_with("x_") || NOT_OURS.contains(&name) {
                continue;
            }
            let k: usize = k.parse().unwrap();
            let tolerance = expected["tol"].as_f64().unwrap_or(1e-9);
            let mut sum = 0.0;
            for user in &evaluable {
                let (list, grades) = &users[user];
                let found = ranked(name, list, grades, k, threshold)
                    .unwrap_or_else(|| panic!("no measure for `{key}`"));
                // Some libraries leave out a user who got nothing; by our rule such a user scores 0 and stays.
                let wanted = expected["per_user"][user.to_string()]
                    .as_f64()
                    .unwrap_or_else(|| {
                        assert!(
                            list.is_empty(),
                            "{} {key} has no value for user {user}",
                            case["id"]
                        );
                        0.0
                    });
                assert!(
                    close(found, wanted, tolerance),
                    "{} {key} user {user}: {found}, wanted {wanted}",
                    case["id"]
                );
                sum += found;
                compared += 1;
            }
            // A few measures are given user by user alone.
            if let Some(wanted) = expected["mean"].as_f64() {
                let mean = sum / evaluable.len() as f64;
                assert!(close(mean, wanted, tolerance), "{} {key}", case["id"]);
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn variants_that_we_do_not_take_are_told_apart() {
    let golden = golden();
    let mut apart = 0;
    for case in golden["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["kind"] == "ranking")
    {
        for (key, variant) in case["expected"].as_object().unwrap() {
            let Some(k) = key.strip_prefix("x_ndcg_clip_log2@") else {
                continue;
            };
            let ours = &case["expected"][format!("NL@{k}")]["mean"];
            if let (Some(ours), Some(variant)) = (ours.as_f64(), variant["mean"].as_f64()) {
                apart += usize::from(!close(variant, ours, 1e-9));
            }
        }
    }
    assert!(apart > 0);
}

#[test]
fn measures_beyond_accuracy_equal_the_libraries() {
    let golden = golden();
    let mut compared = 0;
    for case in golden["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["kind"] == "beyond")
    {
        let input = &case["input"];
        let lists: Vec<Vec<u64>> = keyed(&input["recs"], ids).into_values().collect();
        let train = keyed(&input["train"], ids);
        let genres = keyed(&input["genres"], |row| {
            row.as_array()
                .unwrap()
                .iter()
                .map(|value| value.as_f64().unwrap())
                .collect::<Vec<f64>>()
        });
        let mut viewers: BTreeMap<u64, f64> = BTreeMap::new();
        for item in train.values().flatten() {
            *viewers.entry(*item).or_insert(0.0) += 1.0;
        }
        let size = input["n_items"].as_u64().unwrap() as usize;
        for (key, expected) in case["expected"].as_object().unwrap() {
            if key.starts_with("x_") || NOT_OURS.contains(&key.as_str()) {
                continue;
            }
            let found = match key.as_str() {
                "coverage" => beyond::coverage(&lists, size),
                "gini" => beyond::gini(&beyond::recommended_counts(&lists), size),
                "exposure_gini_log2" => beyond::gini(&beyond::exposure(&lists), size),
                "entropy_bits" => beyond::entropy_bits(&lists),
                "novelty_miuf_bits" => beyond::novelty_miuf_bits(&lists, &viewers, train.len()),
                "arp" => beyond::average_popularity(&lists, &viewers),
                "personalization_jaccard" => beyond::personalization_jaccard(&lists),
                "personalization_cosine" => beyond::personalization_cosine(&lists),
                "ild_jaccard" => beyond::ild_jaccard(&lists, &genres),
                "ild_cosine" => beyond::ild_cosine(&lists, &genres),
                "ild_hamming" => beyond::ild_hamming(&lists, &genres),
                other => panic!("no measure for `{other}`"),
            };
            let tolerance = expected["tol"].as_f64().unwrap_or(1e-9);
            let wanted = expected["value"].as_f64().unwrap();
            assert!(
                close(found, wanted, tolerance),
                "{} {key}: {found}, wanted {wanted}",
                case["id"]
            );
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn comparisons_of_groups_equal_scipy() {
    let golden = golden();
    let mut compared = 0;
    for case in golden["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case["kind"] == "fairness")
    {
        let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let names = case["input"]["group"].as_array().unwrap();
        for (group, utility) in names.iter().zip(case["input"]["utility"].as_array().unwrap()) {
            groups
                .entry(group.as_str().unwrap())
                .or_default()
                .push(utility.as_f64().unwrap());
        }
        let Some(pairs) = case["expected"]["pairwise"]["value"].as_object() else {
            continue;
        };
        for (pair, wanted) in pairs {
            let (a, b) = pair.split_once('-').unwrap();
            let Some(found) = stats::welch(&groups[a], &groups[b], 0.95) else {
                continue;
            };
            let ends = wanted["diff_ci95"].as_array().unwrap();
            for (found, wanted) in [
                (found.t, &wanted["welch_t"]),
                (found.df, &wanted["welch_df"]),
                (found.p, &wanted["welch_p"]),
                (found.interval.low, &ends[0]),
                (found.interval.high, &ends[1]),
            ] {
                let wanted = wanted.as_f64().unwrap();
                assert!(
                    close(found, wanted, 1e-8),
                    "{} {pair}: {found}, wanted {wanted}",
                    case["id"]
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 10, "{compared}");
}
