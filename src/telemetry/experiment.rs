//! Experiments: whether users stay in their arm, whether the arms have their share, and whether a claimed result is right.

use std::collections::BTreeMap;

use crate::coursefile::{Document, Faults, Section};
use crate::metrics::stats::{normal_quantile, normal_tail, proportion, wilson};
use crate::scorecard::Interval;

/// The name of the file in a repository.
pub const EXPERIMENT: &str = "experiment.toml";
/// The schema name of a report on an experiment.
const SCHEMA: &str = "reelworld/experiment/v1";
/// How far a difference, told or made from rounded figures, may be off: this share of it.
const OFF_SHARE: f64 = 0.05;
/// How far a p-value may be off: an exact test, a pooled and an unpooled one differ by about as much.
const OFF_P: f64 = 0.02;
/// Below this two p-values say the same.
const TINY_P: f64 = 1e-3;

/// Who was in which arm when asked twice: user, first and second answer.
pub type Arms = [(u32, Option<String>, Option<String>)];

/// What the answers say of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Users who got an arm both times.
    pub asked: u64,
    /// Of them, those who got the same one, which was announced.
    pub same: u64,
    /// The arm whose share is farthest from what was announced.
    pub arm: String,
    /// How far: found minus announced.
    pub gap: f64,
    /// The interval of that.
    pub interval: Interval,
    /// Answers with an arm that was not announced.
    pub unknown: u64,
    /// An announced arm that nobody is in, though some must be.
    pub empty: Option<String>,
}

/// Of as many users as an arm should have among those who were asked, nobody is in it by chance once in some hundred times.
const SURELY_SOME: f64 = 5.0;

/// Looks at the answers; none where nobody got an arm twice, or no arm was announced.
pub fn split(arms: &Arms, announced: &BTreeMap<String, f64>, level: f64) -> Option<Split> {
    let both: Vec<(&str, &str)> = arms
        .iter()
        .filter_map(|(_, first, second)| Some((first.as_deref()?, second.as_deref()?)))
        .collect();
    let asked = both.len() as u64;
    let of_arm = |arm: &str| both.iter().filter(|(first, _)| *first == arm).count() as u64;
    let (arm, gap, interval) = announced
        .iter()
        .filter_map(|(arm, share)| {
            let hits = of_arm(arm);
            let found = wilson(hits, asked, level)?;
            let interval = Interval {
                low: found.low - share,
                high: found.high - share,
                ..found
            };
            Some((arm, hits as f64 / asked as f64 - share, interval))
        })
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    Some(Split {
        asked,
        same: both
            .iter()
            .filter(|(first, second)| first == second && announced.contains_key(*first))
            .count() as u64,
        arm: arm.clone(),
        gap,
        interval,
        empty: announced
            .iter()
            .find(|(arm, share)| **share * asked as f64 >= SURELY_SOME && of_arm(arm) == 0)
            .map(|(arm, _)| arm.clone()),
        unknown: both
            .iter()
            .filter(|(first, _)| !announced.contains_key(*first))
            .count() as u64,
    })
}

/// What was counted in one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reported {
    /// Of so many users, so many did it.
    Share {
        /// Users.
        n: u64,
        /// Those who did.
        hits: u64,
    },
    /// The mean of so many values.
    Mean {
        /// Values.
        n: u64,
        /// Their mean.
        mean: f64,
        /// Their standard deviation.
        sd: f64,
    },
}

/// What a team reports of an experiment: two arms, and what it concludes.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentReport {
    /// The arm that was there before.
    pub control: Reported,
    /// The arm that is tried.
    pub treatment: Reported,
    /// The difference that is claimed: treatment minus control.
    pub difference: f64,
    /// The two-sided p-value that is claimed.
    pub p_value: f64,
    /// The level below which a p-value is called significant.
    pub alpha: f64,
    /// Whether the team calls it significant.
    pub significant: bool,
}

/// What comes out when a report is computed again.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    /// The difference.
    pub difference: f64,
    /// The p-value: pooled two-proportion z, or Welch by the normal distribution. Yates' correction of the first is as good.
    pub p_value: f64,
    /// What does not agree with the report; empty where all does.
    pub wrong: Vec<String>,
}

impl ExperimentReport {
    /// Reads a report.
    ///
    /// # Errors
    /// All faults of the file, with their places.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        root.require("schema");
        root.choice("schema", &[(SCHEMA, ())]);
        let arm = |name: &str| {
            root.require(name);
            root.table(name).and_then(|section| {
                let arm = reported(&section);
                section.finish();
                arm
            })
        };
        let (control, treatment) = (arm("control"), arm("treatment"));
        root.require("claim");
        let claim = root.table("claim").and_then(|section| {
            for key in ["difference", "p_value", "significant"] {
                section.require(key);
            }
            let difference = section.number("difference");
            let p_value = section.number_in("p_value", 0.0..=1.0);
            let significant = section.flag("significant");
            let alpha = section.number_in("alpha", 1e-6..=0.2).unwrap_or(0.05);
            section.finish();
            Some((difference?, p_value?, significant?, alpha))
        });
        root.finish();
        document.finish()?;
        let whole = |control, treatment, (difference, p_value, significant, alpha)| Self {
            control,
            treatment,
            difference,
            p_value,
            alpha,
            significant,
        };
        match (control, treatment, claim) {
            (Some(control), Some(treatment), Some(claim)) => Ok(whole(control, treatment, claim)),
            // Every way to lack one of them has told a fault above.
            _ => Err(Faults(Vec::new())),
        }
    }

    /// Computes the report again from its own numbers; none where they allow no test: an empty arm, a share beside a mean,
    /// no spread at all.
    pub fn conclude(&self) -> Option<Conclusion> {
        let (difference, p_value, careful) = match (self.control, self.treatment) {
            (Reported::Share { n: n0, hits: x0 }, Reported::Share { n: n1, hits: x1 }) => {
                let both = proportion::TwoProportions {
                    hits_1: x1,
                    n_1: n1,
                    hits_2: x0,
                    n_2: n0,
                };
                let difference = x1 as f64 / n1 as f64 - x0 as f64 / n0 as f64;
                match proportion::pooled_z(both) {
                    Some((z, p_value)) => {
                        let step = f64::midpoint(1.0 / n0 as f64, 1.0 / n1 as f64);
                        let shrunk = z.abs() * (1.0 - step / difference.abs()).max(0.0);
                        let careful = if difference == 0.0 {
                            1.0
                        } else {
                            2.0 * normal_tail(shrunk)
                        };
                        (difference, p_value, careful)
                    }
                    // All did it, or nobody, in both.
                    None if difference == 0.0 => (0.0, 1.0, 1.0),
                    None => return None,
                }
            }
            (
                Reported::Mean {
                    n: n0,
                    mean: m0,
                    sd: s0,
                },
                Reported::Mean {
                    n: n1,
                    mean: m1,
                    sd: s1,
                },
            ) => {
                let error = libm::sqrt(s0 * s0 / n0 as f64 + s1 * s1 / n1 as f64);
                let z = (m1 - m0) / error;
                if !z.is_finite() {
                    return None;
                }
                let p_value = 2.0 * normal_tail(z.abs());
                (m1 - m0, p_value, p_value)
            }
            _ => return None,
        };
        Some(Conclusion {
            difference,
            p_value,
            wrong: self.wrong(difference, (p_value, careful)),
        })
    }

    /// Says what is wrong with what was told; the p-value may lie anywhere between two that tests of the same numbers give.
    fn wrong(&self, difference: f64, (p_value, careful): (f64, f64)) -> Vec<String> {
        let mut wrong = Vec::new();
        let error = normal_quantile(1.0 - p_value / 2.0)
            .filter(|z| *z > 0.0)
            .map_or(0.0, |z| difference.abs() / z);
        // Rounding may hide a twentieth of the difference, or of its standard error where the difference is near nothing.
        let slack = OFF_SHARE * difference.abs().max(error);
        if (self.difference - difference).abs() > slack {
            wrong.push(format!(
                "the difference is {difference:.4}, reported is {:.4}",
                self.difference
            ));
        }
        let both_tiny = self.p_value < TINY_P && p_value < TINY_P;
        if !both_tiny && !(p_value - OFF_P..=careful + OFF_P).contains(&self.p_value) {
            wrong.push(format!(
                "the p-value is {p_value:.4}, reported is {:.4}",
                self.p_value
            ));
        }
        // Where tests of the same numbers may differ, the team's own decides.
        let near = (p_value - OFF_P / 2.0..careful + OFF_P / 2.0).contains(&self.alpha);
        let is_so = if near { self.p_value } else { p_value } < self.alpha;
        if self.significant != is_so {
            let word = if is_so { "is" } else { "is not" };
            wrong.push(format!("at {} it {word} significant", self.alpha));
        }
        wrong
    }
}

fn reported(section: &Section<'_>) -> Option<Reported> {
    section.require("n");
    let n = section.integer_in("n", 2..=1_000_000_000_000)?;
    if section.has("mean") || section.has("sd") {
        section.require("mean");
        section.require("sd");
        let (mean, sd) = (section.number("mean"), section.number_in("sd", 0.0..=1e12));
        return Some(Reported::Mean {
            n: n as u64,
            mean: mean?,
            sd: sd?,
        });
    }
    section.require("hits");
    let hits = section.integer_in("hits", 0..=n)?;
    Some(Reported::Share {
        n: n as u64,
        hits: hits as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(control: &str, treatment: &str, claim: &str) -> ExperimentReport {
        let text = format!(
            "schema = 'reelworld/experiment/v1'\n[control]\n{control}\n[treatment]\n{treatment}\n[claim]\n{claim}\n"
        );
        ExperimentReport::parse(EXPERIMENT, &text).unwrap()
    }

    fn arms(letters: &str) -> Vec<(u32, Option<String>, Option<String>)> {
        letters
            .split(' ')
            .zip(1..)
            .map(|(pair, user)| {
                let arm = |place: usize| {
                    pair.get(place..=place)
                        .filter(|arm| *arm != "-")
                        .map(str::to_owned)
                };
                (user, arm(0), arm(1))
            })
            .collect()
    }

    #[test]
    fn users_who_change_their_arm_and_arms_off_their_share_are_seen() {
        let announced = [("A".to_owned(), 0.5), ("B".to_owned(), 0.5)].into();
        let found = split(&arms("AA AA AA BB BA A- CC"), &announced, 0.95).unwrap();
        assert_eq!((found.asked, found.same, found.unknown), (6, 4, 1));
        // Who changes to and from an arm that nobody announced counts against it once.
        let found_twice = split(&arms("AA CA"), &announced, 0.95).unwrap();
        assert_eq!((found_twice.same, found_twice.unknown), (1, 1));
        assert_eq!(found.arm, "B");
        assert!((found.gap - (2.0 / 6.0 - 0.5)).abs() < 1e-12);
        assert!(found.interval.low < found.gap && found.gap < found.interval.high);
        // Nobody in an arm is no chance where many were asked.
        assert_eq!(found.empty, None);
        let few = [("A".to_owned(), 0.96), ("B".to_owned(), 0.04)].into();
        let one_arm = |asked: usize| split(&arms(&["AA"; 200][..asked].join(" ")), &few, 0.95).unwrap();
        assert_eq!(
            (one_arm(100).empty, one_arm(200).empty),
            (None, Some("B".to_owned()))
        );
        assert_eq!(split(&arms("A- -B"), &announced, 0.95), None);
        assert_eq!(split(&arms("AA"), &BTreeMap::new(), 0.95), None);
    }

    #[test]
    fn a_right_report_is_right_and_a_wrong_one_is_told_why() {
        // 120 of 1,000 against 150 of 1,000: z = 1.9625, p = .0497 (pooled; statsmodels proportions_ztest).
        let (control, treatment) = ("n = 1000\nhits = 120", "n = 1000\nhits = 150");
        let wrong = |claim: &str| report(control, treatment, claim).conclude().unwrap().wrong;
        let good = report(
            control,
            treatment,
            "difference = 0.03\np_value = 0.0497\nsignificant = true",
        );
        let found = good.conclude().unwrap();
        assert!((found.p_value - 0.0497).abs() < 2e-4, "{found:?}");
        assert_eq!(found.wrong, Vec::<String>::new());
        assert_eq!(
            wrong("difference = 0.05\np_value = 0.0497\nsignificant = true"),
            ["the difference is 0.0300, reported is 0.0500"]
        );
        assert_eq!(
            wrong("difference = 0.03\np_value = 0.0001\nsignificant = true"),
            ["the p-value is 0.0496, reported is 0.0001"]
        );
        assert_eq!(
            report(
                "n = 1000\nhits = 120",
                "n = 1000\nhits = 125",
                "difference = 0.005\np_value = 0.73\nsignificant = true"
            )
            .conclude()
            .unwrap()
            .wrong,
            ["at 0.05 it is not significant"]
        );
        // One-sided p-values are half of what they should be.
        assert!(!wrong("difference = 0.03\np_value = 0.025\nsignificant = true").is_empty());
    }

    #[test]
    fn a_test_with_yates_correction_is_as_right_as_one_without() {
        let reported = |control: u32, treatment: u32, claim: &str| {
            let arm = |hits: u32| format!("n = 100\nhits = {hits}");
            let report = report(&arm(control), &arm(treatment), claim);
            report.conclude().unwrap().wrong
        };
        // scipy: chi2_contingency of [[12, 88], [20, 80]] is .1228 without the correction, .1770 with it.
        for (p_value, is_right) in [(0.1228, true), (0.1770, true), (0.09, false), (0.21, false)] {
            let claim = format!("difference = 0.08\np_value = {p_value}\nsignificant = false");
            assert_eq!(reported(12, 20, &claim).is_empty(), is_right, "{p_value}");
        }
        // Where the two lie on both sides of the level, the verdict must follow from the one that is told.
        let both = |p_value: f64, word: &str| {
            let claim = format!("difference = 0.11\np_value = {p_value}\nsignificant = {word}");
            reported(12, 23, &claim).is_empty()
        };
        assert!(both(0.0407, "true") && both(0.0627, "false"));
        assert!(!both(0.0407, "false") && !both(0.0627, "true"));
        // Nobody did it: there is no difference, and no test is needed to say so.
        let none = "difference = 0\np_value = 1\nsignificant = false";
        assert_eq!(reported(0, 0, none), Vec::<String>::new());
    }

    #[test]
    fn means_are_compared_by_welch() {
        // z = .3 / sqrt(1/400 + 4/400) = 2.683, p = .0073.
        let found = report(
            "n = 400\nmean = 3.4\nsd = 1.0",
            "n = 400\nmean = 3.7\nsd = 2.0",
            "difference = 0.3\np_value = 0.0073\nsignificant = true",
        )
        .conclude()
        .unwrap();
        assert!((found.p_value - 0.0073).abs() < 1e-4, "{found:?}");
        assert_eq!(found.wrong, Vec::<String>::new());
        let claim = "difference = 0.3\np_value = 0.01\nsignificant = true";
        assert_eq!(
            report(
                "n = 400\nmean = 3.4\nsd = 0",
                "n = 400\nmean = 3.7\nsd = 0",
                claim
            )
            .conclude(),
            None
        );
        assert_eq!(
            report("n = 400\nmean = 3.4\nsd = 1", "n = 400\nhits = 7", claim).conclude(),
            None
        );
    }

    #[test]
    fn faults_are_told_with_their_places() {
        let text = "schema = 'reelworld/experiment/v1'\n[control]\nn = 10\nhits = 11\n[treatment]\nn = 10\n[claim]\np_value = 2\n";
        let faults = ExperimentReport::parse(EXPERIMENT, text).unwrap_err().to_string();
        for part in [
            "experiment.toml:4:8: `hits` is 11",
            "`hits` is missing",
            "`difference` is missing",
            "experiment.toml:8:11: `p_value` is 2",
            "`significant` is missing",
        ] {
            assert!(faults.contains(part), "{faults}");
        }
    }
}
