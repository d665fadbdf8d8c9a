//! What the tool finds for a case of fairness.

use std::collections::BTreeMap;

use reelworld::metrics::beyond::gini_of;
use reelworld::metrics::fairness::{self as fair, ByGroup, Decision, Deserved, Rankings, WithoutRate};
use reelworld::metrics::stats::multiplicity::{Adjustment, adjusted};
use reelworld::metrics::stats::tables::{Continuity, independence};
use reelworld::metrics::stats::two_sample::{Probability, mann_whitney};
use reelworld::metrics::stats::welch;
use serde_json::{Map, Value, json};

use super::numbers;

/// A group this small has no variance, so that no comparison of means is made with it.
const LEAST: usize = 2;

fn names(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

fn decisions(input: &Value, groups: &[String]) -> Vec<Decision> {
    let (deserved, chosen) = (numbers(&input["y_true"]), numbers(&input["y_pred"]));
    groups
        .iter()
        .zip(deserved.iter().zip(&chosen))
        .map(|(group, (deserved, chosen))| Decision {
            group: group.clone(),
            deserved: if *deserved > 0.5 {
                Deserved::Yes
            } else {
                Deserved::No
            },
            chosen: *chosen > 0.5,
        })
        .collect()
}

fn rankings(input: &Value) -> Rankings {
    let group_of = input["item_group"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(item, group)| (item.parse().unwrap(), group.as_str().unwrap().to_owned()))
        .collect();
    let worth = input["rank_rel"].as_array().unwrap();
    let lists = input["rankings"]
        .as_array()
        .unwrap()
        .iter()
        .zip(worth)
        .map(|(items, worth)| super::counts(items).into_iter().zip(numbers(worth)).collect())
        .collect();
    Rankings { group_of, lists }
}

/// Returns the comparisons of means and ranks, pair by pair, and the adjusted probabilities of the former.
fn pairs(utilities: &ByGroup<Vec<f64>>) -> (Value, Value) {
    let mut compared = Map::new();
    let mut tested = Vec::new();
    let groups: Vec<(&String, &Vec<f64>)> = utilities
        .iter()
        .filter(|(_, values)| values.len() >= LEAST)
        .collect();
    for (place, (a, of_a)) in groups.iter().enumerate() {
        for (b, of_b) in &groups[place + 1..] {
            let means = welch(of_a, of_b, 0.95).unwrap();
            let ranks = mann_whitney(of_a, of_b, Probability::Asymptotic).unwrap();
            compared.insert(
                format!("{a}-{b}"),
                json!({
                    "welch_t": means.t, "welch_df": means.df, "welch_p": means.p,
                    "diff_ci95": [means.interval.low, means.interval.high],
                    "mw_u": ranks.statistic, "mw_p": ranks.p,
                }),
            );
            tested.push((format!("{a}-{b}"), means.p));
        }
    }
    let p: Vec<f64> = tested.iter().map(|(_, p)| *p).collect();
    let holm: Map<String, Value> = tested
        .into_iter()
        .map(|(pair, _)| pair)
        .zip(adjusted(&p, Adjustment::Holm).into_iter().map(Value::from))
        .collect();
    (compared.into(), holm.into())
}

/// Returns everything that the tool finds for a case.
pub(crate) fn found(input: &Value) -> Value {
    let groups = names(&input["group"]);
    let all = numbers(&input["utility"]);
    let mut utilities: ByGroup<Vec<f64>> = BTreeMap::new();
    for (group, utility) in groups.iter().zip(&all) {
        utilities.entry(group.clone()).or_default().push(*utility);
    }
    let means = fair::group_means(&utilities);
    let (worst, best) = fair::range(&means).unwrap();
    let decisions = decisions(input, &groups);
    let selected = fair::selection_rates(&decisions);
    let chosen = fair::compared(&selected, WithoutRate::Zero);
    let among = fair::rates_among(&decisions, Deserved::Yes);
    let reference = fair::largest_group(&decisions).unwrap();
    let disparities = fair::disparities(&selected, &reference);
    let keeps: BTreeMap<&String, bool> = disparities
        .iter()
        .map(|(group, disparity)| (group, fair::keeps_four_fifths(disparity.unwrap())))
        .collect();
    let table: Vec<Vec<f64>> = utilities
        .keys()
        .map(|group| {
            let of = |chosen: bool| {
                let counted = decisions
                    .iter()
                    .filter(|decision| decision.group == *group && decision.chosen == chosen);
                counted.count() as f64
            };
            vec![of(false), of(true)]
        })
        .collect();
    let chi = independence(&table, Continuity::Plain).unwrap();
    let (pairwise, holm) = pairs(&utilities);
    let rankings = rankings(input);
    let exposure = rankings.exposure(fair::logarithmic);
    let by_worth = rankings.exposure_by_worth();
    let attention: ByGroup<f64> = rankings
        .exposure(fair::geometric(0.25))
        .into_iter()
        .map(|(group, mean)| (group, 100.0 * mean))
        .collect();
    json!({
        "utility_by_group": means,
        "utility_gap": fair::gap(&means),
        "utility_gap_to_overall": fair::gap_to_overall(&utilities),
        "utility_ratio": fair::ratio(&means),
        "worst_group_utility": worst,
        "best_group_utility": best,
        "dp_difference": fair::gap(&chosen),
        "dp_ratio": fair::ratio(&chosen),
        "eo_difference": fair::equalised_odds_gap(&decisions, WithoutRate::Zero),
        "eo_ratio": fair::equalised_odds_ratio(&decisions, WithoutRate::Zero),
        "eopp_difference": fair::gap(&fair::compared(&among, WithoutRate::Zero)),
        "selection_rate_by_group": selected,
        "exposure_ratio_minmax": fair::ratio(&exposure),
        "exposure_by_group": exposure,
        "exposure_utility_ratio_minmax": fair::ratio(&by_worth),
        "exposure_utility_by_group": by_worth,
        "awrf_p25_maxmindiff": fair::gap(&attention),
        "attention_by_group_p25_pct": attention,
        "erbp_decay08_ratio": fair::ratio(&rankings.exposure(fair::geometric(0.2))),
        "ndkl": fair::discounted_divergence(&super::counts(&input["full_ranking"]), &rankings.group_of),
        "amortized_attention_unfairness_L1": rankings.attention_unfairness(),
        "iaa_first_ranking_only": rankings.first_attention_difference(),
        "utility_gini": gini_of(&all),
        "mean_pairwise_abs_gap_of_hit": fair::mean_pairwise_gap(&chosen),
        "pairwise": pairwise,
        "holm_adjusted_welch_p": holm,
        "chi2_selection": {"stat": chi.statistic, "dof": chi.degrees, "p": chi.p},
        "four_fifths_ref_group": reference,
        "tpr_disparity": fair::disparities(&among, &reference),
        "pprev_disparity": disparities,
        "four_fifths_impact_parity": keeps,
    })
}
