//! Applying a rubric: findings in, verdicts out. No path turns an error of ours into points.

use std::collections::BTreeMap;

use super::words;
use super::{Bar, Criterion, Rubric, Rule, Test, Undecided};
use crate::scorecard::{CriterionResult, Finding, Findings, Measurement, Method, RunKind, Verdict, open};

/// What a rubric makes of what a run found.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// A line for each criterion, in the rubric's order.
    pub criteria: Vec<CriterionResult>,
    /// The points earned, bonus included.
    pub score: f64,
    /// The points to be had without bonus.
    pub max: f64,
    /// The bonus points to be had.
    pub bonus_max: f64,
    /// The points that wait for a person, without bonus.
    pub pending: f64,
    /// The points that could not be decided, or wait for what could not be, without bonus.
    pub undecided: f64,
}

/// Decides every criterion.
pub fn score(rubric: &Rubric, findings: &Findings, kind: RunKind) -> Scored {
    let mut decided: BTreeMap<&str, CriterionResult> = BTreeMap::new();
    // Needs may point forwards; the linter has ruled out circles, so each round decides at least one more.
    while decided.len() < rubric.criteria.len() {
        let before = decided.len();
        for criterion in &rubric.criteria {
            let ready = criterion
                .needs
                .iter()
                .all(|need| decided.contains_key(need.as_str()));
            if ready && !decided.contains_key(criterion.id.as_str()) {
                let result = decide(criterion, findings, kind, &decided);
                decided.insert(&criterion.id, result);
            }
        }
        assert!(
            decided.len() > before,
            "a rubric that was read has no circle of needs"
        );
    }
    let criteria: Vec<CriterionResult> = rubric
        .criteria
        .iter()
        .filter_map(|criterion| decided.remove(criterion.id.as_str()))
        .collect();
    let open = open(&criteria);
    let sum = |test: &dyn Fn(&CriterionResult) -> bool| -> f64 {
        criteria
            .iter()
            .filter(|result| test(result))
            .map(|result| result.max)
            .sum()
    };
    Scored {
        score: criteria.iter().map(|result| result.points).sum(),
        max: sum(&|result| !result.bonus),
        bonus_max: sum(&|result| result.bonus),
        pending: sum(&|result| !result.bonus && result.verdict == Verdict::PendingReview),
        undecided: sum(&|result| !result.bonus && open.contains(&result.id)),
        criteria,
    }
}

fn decide(
    criterion: &Criterion,
    findings: &Findings,
    kind: RunKind,
    decided: &BTreeMap<&str, CriterionResult>,
) -> CriterionResult {
    let mut result = blank(criterion);
    let unmet = criterion.needs.iter().find_map(|need| {
        decided
            .get(need.as_str())
            .filter(|result| result.verdict != Verdict::Pass)
            .map(|result| result.title.clone())
    });
    match &criterion.rule {
        Rule::Judged { marks, note, look_at } => {
            result.marks.clone_from(marks);
            result.evidence.clone_from(look_at);
            result.grader_note = Some(note.clone()).filter(|note| !note.is_empty());
            result.why = "a person decides".to_owned();
            result.verdict = Verdict::PendingReview;
        }
        Rule::Measured {
            method,
            test,
            self_check,
            min_n,
            undecided,
        } => {
            let test = match (kind, self_check) {
                (RunKind::Check, Some(own)) => own,
                _ => test,
            };
            result.method = *method;
            result.measure = Some(test.measure.clone());
            result.unit = Some(test.unit.clone());
            result.bar = words::bar(test);
            match findings.get(&test.measure) {
                Some(Finding::Measured(found)) => {
                    copy(&mut result, found);
                    judge(&mut result, test, found, *min_n, *undecided);
                }
                Some(Finding::NotMeasured { why, hint }) => {
                    result.why.clone_from(why);
                    result.hint.clone_from(hint);
                }
                None => {
                    result.why = match kind {
                        RunKind::Check => "a self-check did not measure it; a grade may",
                        RunKind::Grade => "this run did not measure it",
                    }
                    .to_owned();
                }
            }
        }
    }
    if let Some(title) = unmet {
        result.verdict = Verdict::Skipped;
        result.undecided = false;
        result.why = format!("needs `{title}`");
    }
    if result.verdict == Verdict::Pass {
        result.points = criterion.points;
        result.hint = None;
    } else if result.verdict == Verdict::Fail && result.hint.is_none() {
        result.hint.clone_from(&criterion.hint);
    }
    result
}

fn blank(criterion: &Criterion) -> CriterionResult {
    CriterionResult {
        id: criterion.id.clone(),
        title: criterion.title.clone(),
        text: criterion.text.clone(),
        verdict: Verdict::NoVerdict,
        points: 0.0,
        max: criterion.points,
        bonus: criterion.bonus,
        scope: criterion.scope,
        method: Method::Judged,
        visibility: criterion.visibility,
        measure: None,
        value: None,
        unit: None,
        interval: None,
        n: None,
        bar: None,
        undecided: false,
        why: String::new(),
        hint: None,
        evidence: Vec::new(),
        excluded: Vec::new(),
        needs: criterion.needs.clone(),
        marks: Vec::new(),
        grader_note: None,
    }
}

fn copy(result: &mut CriterionResult, found: &Measurement) {
    result.value = Some(found.value);
    result.interval = found.interval;
    result.n = Some(found.n);
    result.why.clone_from(&found.why);
    result.hint.clone_from(&found.hint);
    result.evidence.clone_from(&found.evidence);
    result.excluded.clone_from(&found.excluded);
}

fn judge(result: &mut CriterionResult, test: &Test, found: &Measurement, min_n: u64, undecided: Undecided) {
    if found.n < min_n {
        result.verdict = Verdict::NoVerdict;
        result.why = format!(
            "not enough to tell from ({} of {})",
            words::count(found.n),
            words::count(min_n)
        );
        return;
    }
    if result.method == Method::Sampled && found.interval.is_none() {
        result.verdict = Verdict::NoVerdict;
        "the measure came without an interval, so the bar cannot be compared with it: our fault"
            .clone_into(&mut result.why);
        return;
    }
    // Without an interval the value itself is both ends.
    let (low, high) = found.interval.map_or((found.value, found.value), |interval| {
        (interval.low, interval.high)
    });
    if !(found.value.is_finite() && low.is_finite() && high.is_finite() && low <= high) {
        result.verdict = Verdict::NoVerdict;
        "the measure came out as no number or no interval: our fault".clone_into(&mut result.why);
        return;
    }
    let (all_good, all_bad) = match test.bar {
        Bar::AtLeast(bar) => (low >= bar, high < bar),
        Bar::AtMost(bar) => (high <= bar, low > bar),
        Bar::Holds => (low >= 1.0, high < 1.0),
    };
    let short = match test.bar {
        Bar::AtLeast(bar) => bar - found.value,
        Bar::AtMost(bar) => found.value - bar,
        Bar::Holds => 0.0,
    };
    result.undecided = !all_good && !all_bad;
    result.verdict = match (all_good, all_bad, undecided) {
        (true, _, _) => Verdict::Pass,
        (false, true, _) => Verdict::Fail,
        (false, false, Undecided::BenefitOfDoubt(margin)) if short <= margin => Verdict::Pass,
        (false, false, Undecided::BenefitOfDoubt(_) | Undecided::NoVerdict) => Verdict::NoVerdict,
    };
    if result.undecided {
        let rule = if result.verdict == Verdict::Pass {
            "the bar lies inside the interval: benefit of the doubt"
        } else {
            "the bar lies inside the interval: not shown either way"
        };
        result.why = if result.why.is_empty() {
            rule.to_owned()
        } else {
            format!("{}; {rule}", result.why)
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scorecard::{Interval, MeasureInfo};

    const MEASURES: &[MeasureInfo] = &[
        MeasureInfo {
            id: "a.share",
            unit: "share",
            method: Method::Sampled,
            in_check: true,
            about: "",
        },
        MeasureInfo {
            id: "b.fact",
            unit: "fact",
            method: Method::Fact,
            in_check: true,
            about: "",
        },
        MeasureInfo {
            id: "c.truth",
            unit: "score",
            method: Method::Sampled,
            in_check: false,
            about: "",
        },
    ];

    const TEXT: &str = r#"
schema = "reelworld/rubric/v1"
id = "x"
version = "1"
title = "X"
points = 10
bonus = 2

[[criterion]]
id = "x.share"
title = "share"
text = "A share."
points = 6
method = "sampled"
measure = "a.share"
at_least = 0.9
min_n = 10
undecided = "no_verdict"
needs = ["x.fact"]

[[criterion]]
id = "x.fact"
title = "fact"
text = "A fact."
points = 3
method = "fact"
measure = "b.fact"

[[criterion]]
id = "x.judged"
title = "judged"
text = "Judged."
points = 1
method = "judged"
[[criterion.mark]]
id = "good"
text = "Good."

[[criterion]]
id = "x.truth"
title = "truth"
text = "Truth."
points = 2
bonus = true
method = "sampled"
measure = "c.truth"
at_most = 0.2
undecided = "benefit_of_doubt"
margin = 0.1
[criterion.self_check]
measure = "a.share"
at_least = 0.5
"#;

    fn rubric() -> Rubric {
        Rubric::parse("rubrics/x.toml", TEXT, MEASURES).unwrap()
    }

    fn measured(value: f64, low: f64, high: f64, n: u64) -> Finding {
        Finding::Measured(Measurement {
            value,
            interval: Some(Interval {
                low,
                high,
                level: 0.98,
            }),
            n,
            excluded: Vec::new(),
            why: String::new(),
            hint: None,
            evidence: Vec::new(),
        })
    }

    fn verdicts(findings: &Findings, kind: RunKind) -> Vec<Verdict> {
        score(&rubric(), findings, kind)
            .criteria
            .iter()
            .map(|result| result.verdict)
            .collect()
    }

    #[test]
    fn each_verdict_has_its_case() {
        use Verdict::{Fail, NoVerdict, Pass, PendingReview, Skipped};
        let findings = |share: Finding, fact: f64| -> Findings {
            [
                ("a.share".to_owned(), share),
                ("b.fact".to_owned(), measured(fact, fact, fact, 1)),
            ]
            .into()
        };
        let grade = RunKind::Grade;
        assert_eq!(
            verdicts(&findings(measured(0.95, 0.92, 0.97, 50), 1.0), grade),
            [Pass, Pass, PendingReview, NoVerdict]
        );
        assert_eq!(
            verdicts(&findings(measured(0.80, 0.72, 0.85, 50), 1.0), grade)[0],
            Fail
        );
        assert_eq!(
            verdicts(&findings(measured(0.91, 0.85, 0.95, 50), 1.0), grade)[0],
            NoVerdict
        );
        assert_eq!(
            verdicts(&findings(measured(0.95, 0.92, 0.97, 9), 1.0), grade)[0],
            NoVerdict
        );
        assert_eq!(
            verdicts(&findings(measured(0.95, 0.92, 0.97, 50), 0.0), grade)[..2],
            [Skipped, Fail]
        );
        assert_eq!(
            verdicts(&findings(measured(f64::NAN, 0.92, 0.97, 50), 1.0), grade)[0],
            NoVerdict
        );
        assert_eq!(
            verdicts(&Findings::new(), grade),
            [Skipped, NoVerdict, PendingReview, NoVerdict]
        );
        // A student's run decides the truth's criterion by what it can see.
        assert_eq!(
            verdicts(&findings(measured(0.95, 0.92, 0.97, 50), 1.0), RunKind::Check)[3],
            Pass
        );
    }

    #[test]
    fn a_run_that_found_nothing_earns_nothing_and_loses_nothing_for_good() {
        let scored = score(&rubric(), &Findings::new(), RunKind::Grade);
        assert_eq!(
            (scored.score, scored.max, scored.bonus_max, scored.pending),
            (0.0, 10.0, 2.0, 1.0)
        );
        assert!(
            scored
                .criteria
                .iter()
                .all(|result| result.verdict != Verdict::Fail)
        );
    }

    #[test]
    fn all_faults_of_a_rubric_are_told_at_once() {
        let text = TEXT
            .replace("points = 10\n", "points = 11\n")
            .replace(
                "measure = \"a.share\"\nat_least = 0.9",
                "measure = \"a.shere\"\nat_least = 0.9",
            )
            .replace("needs = [\"x.fact\"]", "needs = [\"x.fct\"]")
            .replace("title = \"fact\"", "titel = \"fact\"")
            .replace("id = \"x.judged\"", "id = \"x.share\"")
            .replace("at_most = 0.2", "at_most = 0.2\nat_least = 0.1")
            .replace(
                "measure = \"a.share\"\nat_least = 0.5",
                "measure = \"c.truth\"\nat_least = 0.5",
            );
        let faults = Rubric::parse("rubrics/x.toml", &text, MEASURES)
            .unwrap_err()
            .to_string();
        for part in [
            "rubrics/x.toml:6:10: `points` is 11, but the criteria add up to 10",
            "rubrics/x.toml:15:11: no check produces `a.shere`\n  hint: did you mean `a.share`?",
            "there is no criterion `x.fct`\n  hint: did you mean `x.fact`?",
            "unknown key `titel`\n  hint: did you mean `title`?",
            "`x.share` is the id of an earlier criterion too",
            "there are two bars",
            "`c.truth` needs the truth, which a self-check does not know",
        ] {
            assert!(faults.contains(part), "{part}\n\n{faults}");
        }
    }

    #[test]
    fn points_that_wait_for_what_we_could_not_tell_are_not_lost() {
        let nothing = score(&rubric(), &Findings::new(), RunKind::Grade);
        assert_eq!(nothing.undecided + nothing.pending + nothing.score, nothing.max);
        // When what it needs failed, the skipped criterion is the team's loss.
        let failed: Findings = [("b.fact".to_owned(), measured(0.0, 0.0, 0.0, 1))].into();
        assert_eq!(score(&rubric(), &failed, RunKind::Grade).undecided, 0.0);
    }

    #[test]
    fn the_benefit_of_the_doubt_ends_at_its_margin() {
        let verdict = |value: f64, high: f64| {
            let findings = [("c.truth".to_owned(), measured(value, 0.01, high, 50))].into();
            let result = score(&rubric(), &findings, RunKind::Grade).criteria.remove(3);
            (result.verdict, result.undecided)
        };
        assert_eq!(verdict(0.1, 0.15), (Verdict::Pass, false));
        assert_eq!(verdict(0.29, 0.9), (Verdict::Pass, true));
        // Most of the scale away from the bar, with an interval that says nothing: a run that was too short.
        assert_eq!(verdict(0.8, 0.95), (Verdict::NoVerdict, true));
    }

    #[test]
    fn what_the_measures_get_wrong_is_no_verdict() {
        let share = |share: Finding| {
            let findings = [
                ("a.share".to_owned(), share),
                ("b.fact".to_owned(), measured(1.0, 1.0, 1.0, 1)),
            ]
            .into();
            verdicts(&findings, RunKind::Grade)[0]
        };
        assert_eq!(share(measured(0.8, 0.95, 0.5, 50)), Verdict::NoVerdict);
        assert_eq!(share(measured(0.95, f64::NAN, 0.97, 50)), Verdict::NoVerdict);
        let mut bare = measured(0.95, 0.94, 0.96, 50);
        if let Finding::Measured(found) = &mut bare {
            found.interval = None;
        }
        assert_eq!(share(bare), Verdict::NoVerdict);
    }

    #[test]
    fn rubrics_that_could_not_be_decided_are_faults() {
        let mark = "[[criterion.mark]]\nid = \"good\"\ntext = \"Good.\"\n";
        let cases = [
            (
                "at_most = 0.2",
                "at_most = nan".to_owned(),
                "which nothing can be compared with",
            ),
            ("id = \"x.judged\"", "id = \"\"".to_owned(), "`id` is empty"),
            (
                "measure = \"c.truth\"",
                "measure = \"\"".to_owned(),
                "`measure` is empty",
            ),
            (
                "needs = [\"x.fact\"]",
                "needs = [\"x.judged\"]".to_owned(),
                "a person judges `x.judged`",
            ),
            (
                "method = \"fact\"",
                "method = \"fact\"\nvisibility = \"staff\"".to_owned(),
                "students do not see",
            ),
            (
                "bonus = 2\n",
                "bonus = 2\n[window.day]\npick = \"better\"\n".to_owned(),
                "has no hours",
            ),
            (
                mark,
                format!("{mark}{mark}"),
                "`good` is the id of an earlier mark too",
            ),
        ];
        for (found, instead, told) in cases {
            let text = TEXT.replacen(found, &instead, 1);
            assert_ne!(text, TEXT, "{found}");
            let faults = Rubric::parse("x.toml", &text, MEASURES).unwrap_err().to_string();
            assert!(faults.contains(told), "{told}\n\n{faults}");
        }
    }

    #[test]
    fn a_circle_of_needs_is_a_fault() {
        let text = TEXT.replace("method = \"fact\"", "method = \"fact\"\nneeds = [\"x.share\"]");
        let faults = Rubric::parse("x.toml", &text, MEASURES).unwrap_err().to_string();
        assert_eq!(faults.matches("needs itself").count(), 2, "{faults}");
    }

    proptest! {
        #[test]
        fn better_evidence_never_earns_fewer_points(
            value in 0.0..1.0_f64, half in 0.0..0.2_f64, more in 0.0..0.5_f64, fact in 0_u8..2
        ) {
            let points = |shift: f64| {
                let share = measured(value + shift, value + shift - half, value + shift + half, 50);
                let fact = f64::from(fact);
                let findings = [("a.share".to_owned(), share), ("b.fact".to_owned(), measured(fact, fact, fact, 1))].into();
                score(&rubric(), &findings, RunKind::Grade).score
            };
            prop_assert!(points(more) >= points(0.0));
        }
    }
}
