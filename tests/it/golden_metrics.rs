//! The measures against values of independent libraries.
//!
//! The file is `fixtures/golden_metrics.json`, or another of the same form named by `REELWORLD_GOLDEN`.

use std::collections::BTreeMap;

use reelworld::metrics::beyond;
use reelworld::metrics::ranking::{self, Grades};
use serde_json::{Map, Value, json};

use super::golden;

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
            if name.starts_with("x_") {
                continue;
            }
            let k: usize = k.parse().unwrap();
            let tolerance = expected["tol"].as_f64().unwrap_or(1e-9);
            let mut sum = 0.0;
            for user in &evaluable {
                let (list, grades) = &users[user];
                let found = if name == "ENVY_DCG" {
                    let lists: Vec<Vec<u64>> = users.values().map(|(list, _)| list.clone()).collect();
                    let own = users.keys().position(|other| other == user).unwrap();
                    Some(ranking::envy_at_k(&lists, own, grades, k))
                } else {
                    ranked(name, list, grades, k, threshold)
                };
                let found = found.unwrap_or_else(|| panic!("no measure for `{key}`"));
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
        let profiles: Vec<Vec<u64>> = train.values().cloned().collect();
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
        let calibrations: BTreeMap<String, beyond::Calibration> = keyed(&input["recs"], ids)
            .iter()
            .filter_map(|(user, list)| {
                let found = beyond::calibration(train.get(user)?, list, &genres)?;
                Some((user.to_string(), found))
            })
            .collect();
        let calibrated = calibrations.len() as f64;
        let lift = beyond::popularity_lift(&lists, &profiles, &viewers, train.len());
        let size = input["n_items"].as_u64().unwrap() as usize;
        for (key, expected) in case["expected"].as_object().unwrap() {
            if key.starts_with("x_") {
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
                "coverage_pct_2dp" => (beyond::coverage(&lists, size) * 1e4).round() / 1e2,
                "n_distinct" => beyond::distinct(&lists) as f64,
                "calibration_kl_nats_alpha001" => {
                    calibrations.values().map(|found| found.kl_nats).sum::<f64>() / calibrated
                }
                "calibration_js_bits" => {
                    calibrations.values().map(|found| found.js_bits).sum::<f64>() / calibrated
                }
                "gap_recs" => lift.unwrap().recommended,
                "gap_profiles" => lift.unwrap().watched,
                "popularity_lift" => lift.unwrap().lift,
                "_per_user_kl_js" => {
                    let found: Map<String, Value> = calibrations
                        .iter()
                        .map(|(user, found)| (user.clone(), json!([found.kl_nats, found.js_bits])))
                        .collect();
                    compared += golden::compare(key, &found.into(), &expected["value"], 1e-9);
                    continue;
                }
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
fn measures_of_groups_equal_the_libraries() {
    let file = golden();
    let mut compared = 0;
    for case in of_kind(&file, "fairness") {
        let found = golden::fairness::found(&case["input"]);
        let at = case["id"].as_str().unwrap();
        for (key, expected) in case["expected"].as_object().unwrap() {
            if key.starts_with("x_") {
                assert!(expected["variant"].as_bool().unwrap(), "{at} {key}");
                continue;
            }
            let tolerance = expected["tol"].as_f64().unwrap_or(1e-9);
            let found = found
                .get(key)
                .unwrap_or_else(|| panic!("{at}: no measure for `{key}`"));
            compared += golden::compare(&format!("{at} {key}"), found, &expected["value"], tolerance);
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn statistics_equal_the_libraries() {
    let file = golden();
    let compared: usize = of_kind(&file, "stats").map(golden::stats::check).sum();
    assert!(compared > 500, "{compared}");
}

#[test]
fn every_case_is_of_a_kind_that_is_compared() {
    for case in golden()["cases"].as_array().unwrap() {
        let kind = case["kind"].as_str().unwrap();
        assert!(
            ["ranking", "beyond", "fairness", "stats"].contains(&kind),
            "{}: `{kind}`",
            case["id"]
        );
    }
}

fn of_kind<'a>(file: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    file["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(move |case| case["kind"] == kind)
}
