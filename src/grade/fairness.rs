//! Gaps between groups of users: which group is served worst, by how much, and how much of it comes with short histories.

use std::collections::BTreeMap;

use super::judge::{LEVEL, measured, not_measured};
use crate::evidence::UserScore;
use crate::metrics::accuracy::{Compared, Gap, Group, LEAST_GROUP, gaps};
use crate::scorecard::{Finding, Findings};

/// The attributes in which fairness compares.
pub(super) const ATTRIBUTES: [&str; 3] = ["gender", "age band", "occupation"];

/// How far each user's list is from the best possible: 0 to 1.
pub(super) fn regret(user: &UserScore) -> Option<f64> {
    let found = user.enjoyment?;
    (found.oracle > 0.0).then(|| 1.0 - found.service / found.oracle)
}

/// Sorts users by an attribute: of each its value and its history.
pub(super) fn grouped(
    users: &[&UserScore],
    attribute: &str,
    value: impl Fn(&UserScore) -> Option<f64>,
) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
    for user in users {
        if let (Some(group), Some(value)) = (user.groups.get(attribute), value(user)) {
            groups
                .entry(group.clone())
                .or_default()
                .push([value, f64::from(user.history)]);
        }
    }
    groups.into_iter().collect()
}

/// Adds what is found of the gaps between groups.
pub(super) fn fairness(users: &[&UserScore], findings: &mut Findings) {
    // A group is served worse when its regret is higher, or when its agreement with behaviour is lower.
    let by_behaviour = |user: &UserScore| user.observed.map(|found| -found.ndcg);
    let mut add = |measure: &str, finding| findings.insert(measure.to_owned(), finding);
    add("fairness.gap", worst_gap(users, Compared::AsTheyAre, regret));
    add(
        "fairness.adjusted_gap",
        worst_gap(users, Compared::AtEqualActivity, regret),
    );
    add(
        "fairness.ndcg_gap",
        worst_gap(users, Compared::AsTheyAre, by_behaviour),
    );
}

/// The largest gap of a group to the rest, with an interval that holds for all comparisons together.
fn worst_gap(
    users: &[&UserScore],
    compared: Compared,
    value: impl Fn(&UserScore) -> Option<f64> + Copy,
) -> Finding {
    let groups: Vec<(&str, Vec<Group>)> = ATTRIBUTES
        .iter()
        .map(|attribute| (*attribute, grouped(users, attribute, value)))
        .collect();
    let assessed = |groups: &[Group]| {
        groups
            .iter()
            .filter(|(_, values)| values.len() >= LEAST_GROUP)
            .count()
    };
    let comparisons: usize = groups.iter().map(|(_, groups)| assessed(groups)).sum();
    let small: usize = groups
        .iter()
        .map(|(_, groups)| groups.len() - assessed(groups))
        .sum();
    let found = groups.iter().flat_map(|(attribute, groups)| {
        gaps(groups, compared, comparisons, LEVEL)
            .into_iter()
            .map(move |gap| (*attribute, gap))
    });
    let worst = found.max_by(|a, b| a.1.interval.low.total_cmp(&b.1.interval.low));
    let Some((attribute, gap)) = worst else {
        return not_measured("no group of users is large enough to compare, or all got the same");
    };
    let (whom, beside) = match compared {
        Compared::AsTheyAre => (
            "everybody else",
            at_equal_activity(&groups, attribute, &gap, comparisons),
        ),
        Compared::AtEqualActivity => ("everybody else with as long a history", String::new()),
    };
    let why = format!(
        "{attribute} {}: {} users, against {whom}{beside}; {comparisons} groups compared, {small} too small",
        gap.group, gap.n
    );
    Finding::Measured(measured(gap.difference, Some(gap.interval), gap.n, why))
}

/// Tells of the same group's gap among users with as long a history, to stand beside the raw one.
fn at_equal_activity(
    groups: &[(&str, Vec<Group>)],
    attribute: &str,
    raw: &Gap,
    comparisons: usize,
) -> String {
    let same = groups
        .iter()
        .filter(|(name, _)| *name == attribute)
        .flat_map(|(_, groups)| gaps(groups, Compared::AtEqualActivity, comparisons, LEVEL))
        .find(|gap| gap.group == raw.group);
    same.map_or_else(String::new, |gap| {
        format!(
            " ({:.3}, {:.3} to {:.3}, against those with as long a history)",
            gap.difference, gap.interval.low, gap.interval.high
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::EnjoymentScore;
    use crate::scorecard::Measurement;

    /// Sixty women and sixty men, whose regret falls with their history and rises by `unfair` for women.
    fn users(history_of_women: u32, unfair: f64) -> Vec<UserScore> {
        (0..120)
            .map(|user| {
                let woman = user % 2 == 0;
                let history = 40 + user / 2 % 20 - if woman { 40 - history_of_women } else { 0 };
                let noise = f64::from(user * 7 % 11) / 500.0;
                let regret = 0.9 - f64::from(history) / 100.0 + noise + if woman { unfair } else { 0.0 };
                let gender = if woman { "F" } else { "M" };
                UserScore {
                    user,
                    groups: [("gender".to_owned(), gender.to_owned())].into(),
                    history,
                    enjoyment: Some(EnjoymentScore {
                        service: 0.5 * (1.0 - regret),
                        popular: 0.1,
                        oracle: 0.5,
                    }),
                    observed: None,
                    unsuitable: None,
                }
            })
            .collect()
    }

    fn found(users: &[UserScore], measure: &str) -> Measurement {
        let mut findings = Findings::new();
        fairness(&users.iter().collect::<Vec<_>>(), &mut findings);
        match findings.remove(measure) {
            Some(Finding::Measured(found)) => found,
            other => panic!("{measure}: {other:?}"),
        }
    }

    #[test]
    fn a_gap_that_comes_from_short_histories_is_told_apart_from_one_that_does_not() {
        let short = users(25, 0.0);
        let raw = found(&short, "fairness.gap");
        assert!((raw.value - 0.15).abs() < 0.01, "{raw:?}");
        let adjusted = found(&short, "fairness.adjusted_gap");
        let interval = adjusted.interval.unwrap();
        assert!(interval.low < 0.0 && 0.0 < interval.high, "{adjusted:?}");

        let unfair = users(40, 0.1);
        let raw = found(&unfair, "fairness.gap");
        assert!((raw.value - 0.1).abs() < 0.01, "{raw:?}");
        let adjusted = found(&unfair, "fairness.adjusted_gap");
        assert!((adjusted.value - 0.1).abs() < 0.01, "{adjusted:?}");
        assert!(adjusted.interval.unwrap().low > 0.05, "{adjusted:?}");
    }

    #[test]
    fn the_adjusted_gap_stands_beside_the_raw_one() {
        let raw = found(&users(25, 0.0), "fairness.gap");
        assert!(
            raw.why
                .starts_with("gender F: 60 users, against everybody else ("),
            "{raw:?}"
        );
        assert!(
            raw.why.contains("against those with as long a history)"),
            "{raw:?}"
        );
    }

    #[test]
    fn groups_that_are_too_small_are_not_compared() {
        let few: Vec<UserScore> = users(40, 0.1).into_iter().take(40).collect();
        let mut findings = Findings::new();
        fairness(&few.iter().collect::<Vec<_>>(), &mut findings);
        assert!(
            matches!(findings["fairness.gap"], Finding::NotMeasured { .. }),
            "{findings:?}"
        );
    }
}
