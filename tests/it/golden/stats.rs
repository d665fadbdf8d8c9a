//! What the tool finds for a case of statistics.

use reelworld::metrics::stats::binomial::{self, least_n_without_miss, sign_test};
use reelworld::metrics::stats::bootstrap::{Bootstrap, bootstrap};
use reelworld::metrics::stats::dependence::{autocorrelation, cluster_mean};
use reelworld::metrics::stats::means::{Arm, Unit, cuped, equivalence, paired_t, signed_rank};
use reelworld::metrics::stats::multiplicity::{Adjustment, adjusted};
use reelworld::metrics::stats::proportion::{self, TwoProportions};
use reelworld::metrics::stats::quantile::{
    Sides, harrell_davis, higher, interpolated, quantile_bounds, quantile_test,
};
use reelworld::metrics::stats::sequential::{
    Ends, Tuning, mean_by_betting, normal_mixture_bound, proportion_at_any_time,
};
use reelworld::metrics::stats::tables::{self, Continuity};
use reelworld::metrics::stats::two_sample::{Probability, kolmogorov_smirnov, mann_whitney, wasserstein};
use reelworld::metrics::stats::{clopper_pearson, mean_variance, quantile, welch, wilson};
use reelworld::scorecard::Interval;
use reelworld::seed::Key;
use serde_json::{Map, Value, json};

use super::{compare, counts, numbers};

/// Resamples of a bootstrap, as many as the tolerances of the file allow for.
const RESAMPLES: usize = 10_000;

fn ends(interval: Option<Interval>) -> Value {
    interval.map_or(Value::Null, |range| json!([range.low, range.high]))
}

fn end(value: Option<f64>) -> Value {
    match value {
        None => Value::Null,
        Some(value) if value == f64::INFINITY => "inf".into(),
        Some(value) if value == f64::NEG_INFINITY => "-inf".into(),
        Some(value) => value.into(),
    }
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap()
}

fn count(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap()
}

/// Compares a case and returns how many values it compared.
pub(crate) fn check(case: &Value) -> usize {
    let input = &case["input"];
    let wanted = &case["expected"];
    let id = case["id"].as_str().unwrap();
    let tolerance = case["tol"].as_f64().unwrap_or(1e-9).max(1e-9);
    let found = match case["fn"].as_str().unwrap() {
        "quantile_ci" => quantiles(input, wanted),
        "proportion_ci" => rows(wanted, proportion_row),
        "min_n_zero_exceedances" => rows(wanted, |row| {
            json!({"p": row["p"], "alpha": row["alpha"],
                "n": least_n_without_miss(number(row, "p"), number(row, "alpha"))})
        }),
        "bootstrap_ci" => return resampled(id, input, wanted),
        "cluster_bootstrap_ratio" => return resampled_ratio(id, input, wanted),
        "cluster_robust_mean_se" => {
            let found = cluster_mean(&clusters(input)).unwrap();
            json!({"mean": found.mean, "se": found.standard_error})
        }
        "adjust_pvalues" => {
            let p = numbers(&input["p"]);
            json!({
                "holm": adjusted(&p, Adjustment::Holm),
                "holm-sidak": adjusted(&p, Adjustment::HolmSidak),
                "bonferroni": adjusted(&p, Adjustment::Bonferroni),
                "fdr_bh": adjusted(&p, Adjustment::BenjaminiHochberg),
                "simes-hochberg": adjusted(&p, Adjustment::Hochberg),
            })
        }
        "two_sample" => two_samples(input, wanted),
        "binned_drift" => drift(input),
        "contingency" => contingency(input),
        "sign_test" => {
            let found = sign_test(count(input, "positives"), count(input, "non_zero"));
            json!({"two-sided": found.two_sided, "greater": found.greater, "less": found.less})
        }
        "two_means" => two_means(input),
        "two_proportions" => two_proportions(input),
        "cuped" => with_covariate(input),
        "confidence_sequence_bernoulli" => {
            let alpha = number(input, "alpha_opt");
            rows(wanted, |row| {
                let tuned = Tuning {
                    at: number(row, "t_opt"),
                    alpha,
                };
                let mut found = row.clone();
                found["ci"] = ends(proportion_at_any_time(
                    count(row, "k"),
                    count(row, "n"),
                    number(row, "alpha"),
                    tuned,
                ));
                found
            })
        }
        "normal_mixture_bound" => {
            let alpha = number(input, "alpha_opt");
            let sides = if input["one_sided"].as_bool().unwrap() {
                Ends::One
            } else {
                Ends::Two
            };
            rows(wanted, |row| {
                let tuned = Tuning {
                    at: number(row, "v_opt"),
                    alpha,
                };
                let mut found = row.clone();
                found["bound"] = end(normal_mixture_bound(
                    number(row, "v"),
                    number(row, "alpha"),
                    tuned,
                    sides,
                ));
                found
            })
        }
        "betting_confidence_sequence" => {
            let found = mean_by_betting(&numbers(&input["x"]), number(input, "alpha")).unwrap();
            wanted
                .as_object()
                .unwrap()
                .keys()
                .map(|after| {
                    let place: usize = after.parse().unwrap();
                    (after.clone(), ends(Some(found[place - 1])))
                })
                .collect::<Map<_, _>>()
                .into()
        }
        "acf" => {
            let lags = wanted.as_array().unwrap().len() - 1;
            json!(autocorrelation(&numbers(&input["x"]), lags))
        }
        other => panic!("{id}: no measure for `{other}`"),
    };
    compare(id, &found, wanted, tolerance)
}

/// Answers a list of cases, each of which holds its own input.
fn rows(wanted: &Value, answer: impl Fn(&Value) -> Value) -> Value {
    wanted.as_array().unwrap().iter().map(answer).collect()
}

fn quantiles(input: &Value, wanted: &Value) -> Value {
    let values = numbers(&input["x"]);
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let answer = |key: &str| -> Value {
        if let Some(of_test) = key.strip_prefix("test-p") {
            let (p, value) = of_test.split_once("-q").unwrap();
            let found = quantile_test(&values, p.parse().unwrap(), value.parse().unwrap());
            return json!({"statistic": found.statistic, "type": found.kind, "p": found.p});
        }
        if let Some((how, p)) = key.split_once("_p") {
            let p: f64 = p.parse::<f64>().unwrap() / 100.0;
            return end(match how {
                "hd" => harrell_davis(&sorted, p),
                "type7" => interpolated(&sorted, p),
                "inverted_cdf" => quantile(&sorted, p),
                "higher" => higher(&sorted, p),
                other => panic!("no measure for `{other}`"),
            });
        }
        let mut parts = key.strip_prefix('p').unwrap().splitn(3, '-');
        let mut next = || parts.next().unwrap();
        let (p, level) = (next().parse().unwrap(), next().parse().unwrap());
        let sides = match next() {
            "two-sided" => Sides::Both,
            "less" => Sides::Upper,
            "greater" => Sides::Lower,
            other => panic!("no measure for `{other}`"),
        };
        let found = quantile_bounds(&sorted, p, level, sides);
        json!([end(found.low), end(found.high)])
    };
    wanted
        .as_object()
        .unwrap()
        .keys()
        .map(|key| (key.clone(), answer(key)))
        .collect::<Map<_, _>>()
        .into()
}

fn proportion_row(row: &Value) -> Value {
    let (k, n, level) = (count(row, "k"), count(row, "n"), number(row, "level"));
    json!({
        "k": k, "n": n, "level": level,
        "clopper_pearson": ends(clopper_pearson(k, n, level)),
        "wilson": ends(wilson(k, n, level)),
        "wilson_cc": ends(proportion::wilson_corrected(k, n, level)),
        "jeffreys": ends(proportion::jeffreys(k, n, level)),
        "agresti_coull": ends(proportion::agresti_coull(k, n, level)),
        "cp_upper_one_sided": proportion::upper_bound(k, n, level),
        "cp_lower_one_sided": proportion::lower_bound(k, n, level),
        "p_less_001": binomial::at_most(k, n, 0.01),
        "p_greater_001": binomial::at_least(k, n, 0.01),
    })
}

/// Compares two ends, each within its own tolerance: that of one run of a bootstrap, from the file.
fn within(at: &str, found: Interval, wanted: &Value) -> usize {
    let tolerances = numbers(&wanted["tol"]);
    for (name, found, tolerance) in [
        ("low", found.low, tolerances[0]),
        ("high", found.high, tolerances[1]),
    ] {
        let wanted = wanted[name].as_f64().unwrap();
        assert!(
            (found - wanted).abs() <= tolerance,
            "{at} {name}: {found}, wanted {wanted}"
        );
    }
    2
}

fn resample(units: usize, level: f64, figure: impl Fn(&[usize]) -> f64) -> Bootstrap {
    let mut draws = Key::from_seed(20_261_123).branch("golden bootstrap").at(0);
    bootstrap(units, figure, RESAMPLES, level, &mut draws).unwrap()
}

fn resampled(id: &str, input: &Value, wanted: &Value) -> usize {
    let x = numbers(&input["x"]);
    let stat = input["stat"].as_str().unwrap();
    let found = resample(x.len(), number(input, "level"), |places| {
        let values: Vec<f64> = places.iter().map(|place| x[*place]).collect();
        let (mean, variance) = mean_variance(&values).unwrap();
        let n = values.len() as f64;
        match stat {
            "mean" => mean,
            "std" => (variance * (n - 1.0) / n).sqrt(),
            other => panic!("no measure for `{other}`"),
        }
    });
    let wanted = wanted.as_object().unwrap();
    wanted
        .iter()
        .map(|(key, wanted)| match key.as_str() {
            "percentile" => within(id, found.percentile, wanted),
            "basic" => within(id, found.basic, wanted),
            "BCa" => within(id, found.bca.unwrap(), wanted),
            // Another library's own noisy runs of the same interval, without a tolerance.
            "BCa_arch" => 0,
            other => panic!("{id}: no measure for `{other}`"),
        })
        .sum()
}

fn clusters(input: &Value) -> Vec<(u64, u64)> {
    counts(&input["successes"])
        .into_iter()
        .zip(counts(&input["requests"]))
        .collect()
}

fn resampled_ratio(id: &str, input: &Value, wanted: &Value) -> usize {
    let clusters = clusters(input);
    let found = resample(clusters.len(), number(input, "level"), |places| {
        let (successes, requests) = places.iter().fold((0, 0), |(successes, requests), place| {
            (successes + clusters[*place].0, requests + clusters[*place].1)
        });
        successes as f64 / requests as f64
    });
    compare(id, &json!(found.estimate), &wanted["estimate"], 1e-9) + within(id, found.bca.unwrap(), wanted)
}

fn two_samples(input: &Value, wanted: &Value) -> Value {
    let (a, b) = (numbers(&input["a"]), numbers(&input["b"]));
    let method = wanted["ks"]["method"].as_str().unwrap();
    let how = match method {
        "exact" => Probability::Exact,
        "asymp" => Probability::Asymptotic,
        other => panic!("no measure for `{other}`"),
    };
    let ks = kolmogorov_smirnov(&a, &b, how).unwrap();
    let ranks = mann_whitney(&a, &b, Probability::Asymptotic).unwrap();
    json!({
        "ks": {"method": method, "stat": ks.statistic, "p": ks.p},
        "mw_asymptotic": {"u": ranks.statistic, "p": ranks.p},
        "wasserstein": wasserstein(&a, &b),
    })
}

fn drift(input: &Value) -> Value {
    let (reference, current) = (numbers(&input["ref"]), numbers(&input["cur"]));
    let homogeneity = tables::independence(&[reference.clone(), current.clone()], Continuity::Plain).unwrap();
    let fit = tables::goodness_of_fit(&current, &reference).unwrap();
    json!({
        "js_distance_bits": tables::jensen_shannon_distance(&current, &reference),
        "kl_nats": tables::kullback_leibler(&current, &reference),
        "chi2_homogeneity": [homogeneity.statistic, homogeneity.p],
        "chi2_gof": [fit.statistic, fit.p],
        "psi": tables::stability_index(&current, &reference),
    })
}

fn contingency(input: &Value) -> Value {
    let table: Vec<Vec<f64>> = input["table"].as_array().unwrap().iter().map(numbers).collect();
    let test = |continuity| {
        let found = tables::independence(&table, continuity).unwrap();
        json!({"stat": found.statistic, "p": found.p, "dof": found.degrees})
    };
    let mut found = json!({
        "correction_True": test(Continuity::Corrected),
        "correction_False": test(Continuity::Plain),
    });
    let cells: Vec<u64> = table.iter().flatten().map(|cell| *cell as u64).collect();
    if let [a, b, c, d] = cells[..] {
        found["fisher_exact_p"] = tables::fisher_exact([[a, b], [c, d]]).into();
    }
    found
}

fn two_means(input: &Value) -> Value {
    let (a, b) = (numbers(&input["a"]), numbers(&input["b"]));
    let means = welch(&a, &b, 0.95).unwrap();
    let near = equivalence(&a, &b, 0.05).unwrap();
    let paired = paired_t(&a[..45], &b[..45]).unwrap();
    let ranks = signed_rank(&a[..45], &b[..45]).unwrap();
    json!({
        "welch": {"t": means.t, "df": means.df, "p": means.p, "ci95": ends(Some(means.interval))},
        "tost_margin_005": {"p": near.p, "p_lower": near.p_lower, "p_upper": near.p_upper},
        "noninferiority_margin_005_p": near.p_lower,
        "paired_first45": {"t": paired.statistic, "p": paired.p},
        "wilcoxon_first45": {"w": ranks.statistic, "p": ranks.p},
    })
}

fn two_proportions(input: &Value) -> Value {
    let both = TwoProportions {
        hits_1: count(input, "x1"),
        n_1: count(input, "n1"),
        hits_2: count(input, "x2"),
        n_2: count(input, "n2"),
    };
    let (z, p) = proportion::pooled_z(both).unwrap();
    json!({
        "z_pooled": z,
        "p": p,
        "ci95_newcomb": ends(proportion::newcombe(both, 0.95)),
        "ci95_wald": ends(proportion::wald(both, 0.95)),
        "ci95_score": ends(proportion::score_interval(both, 0.95)),
        "ci95_agresti-caffo": ends(proportion::agresti_caffo(both, 0.95)),
        "ratio_ci95_score": ends(proportion::score_interval_of_ratio(both, 0.95)),
        "noninferiority_minus005_score_p": proportion::noninferiority(both, 0.05),
        "tost_pm005_score_p": proportion::equivalence(both, 0.05),
    })
}

fn with_covariate(input: &Value) -> Value {
    let (before, after) = (numbers(&input["pre"]), numbers(&input["post"]));
    let units: Vec<Unit> = numbers(&input["arm"])
        .into_iter()
        .zip(before.into_iter().zip(after))
        .map(|(arm, (before, after))| Unit {
            arm: if arm > 0.5 { Arm::Treatment } else { Arm::Control },
            before,
            after,
        })
        .collect();
    let found = cuped(&units, 0.95).unwrap();
    json!({
        "theta": found.theta,
        "diff_raw": found.raw_difference,
        "diff_adjusted": found.adjusted.difference,
        "welch_t": found.adjusted.t,
        "welch_p": found.adjusted.p,
        "variance_ratio": found.variance_ratio,
    })
}
