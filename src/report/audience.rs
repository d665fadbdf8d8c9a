//! What an audience may see of a card: hidden criteria leave no trace in a student's view.

use std::collections::BTreeSet;

use crate::scorecard::{
    Audience, CriterionResult, Figures, Finding, Interval, MeasureRow, Scorecard, Verdict, open,
};

/// The reason that a student reads where a criterion was skipped because of one that only staff see.
const UNSEEN_NEED: &str = "needs something else that did not hold";

/// Empties the plots of a family of measures.
type Clear = fn(&mut Figures);

/// The plots that show a family of measures; they are withheld with any measure of it.
const PLOTS: &[(&str, Clear)] = &[
    ("latency.", |figures| {
        figures.latency_over_time.clear();
        figures.latency_histogram.clear();
    }),
    ("fairness.", |figures| figures.accuracy_by_group.clear()),
    ("exposure.", |figures| figures.exposure_curve.clear()),
];

/// Returns what an audience may see of a card.
///
/// Students see neither hidden criteria, nor measures that only those use and their plots, nor notes to graders.
/// Every sum is made anew from what is left, so that no total gives away a hidden point. Figures that are no numbers
/// become missing ones for every audience, because no page could show them and no file could hold them.
#[must_use]
pub fn for_audience(card: &Scorecard, audience: Audience) -> Scorecard {
    let mut card = card.clone();
    drop_non_numbers(&mut card);
    if audience == Audience::Student {
        hide(&mut card);
    }
    // A sum of nothing is minus zero.
    for sum in [
        &mut card.score,
        &mut card.max,
        &mut card.bonus_max,
        &mut card.pending,
        &mut card.undecided,
    ] {
        *sum += 0.0;
    }
    card
}

fn hide(card: &mut Scorecard) {
    // What is open may hang on what is hidden, so it is found while all is there.
    let open = open(&card.criteria);
    for criterion in &mut card.criteria {
        criterion.grader_note = None;
    }
    let (shown, hidden): (Vec<CriterionResult>, Vec<CriterionResult>) = std::mem::take(&mut card.criteria)
        .into_iter()
        .partition(|criterion| criterion.visibility == Audience::Student);
    card.criteria = shown;
    if hidden.is_empty() {
        return;
    }
    let ids: BTreeSet<&str> = hidden.iter().map(|criterion| criterion.id.as_str()).collect();
    for criterion in &mut card.criteria {
        let needed = criterion.needs.len();
        criterion.needs.retain(|need| !ids.contains(need.as_str()));
        // The reason may name the hidden criterion; which of several needs it names is not recorded.
        if criterion.needs.len() < needed && criterion.verdict == Verdict::Skipped {
            UNSEEN_NEED.clone_into(&mut criterion.why);
        }
    }
    withhold_measures(card, &hidden);
    let sum = |value: fn(&CriterionResult) -> f64, of: &dyn Fn(&CriterionResult) -> bool| {
        card.criteria
            .iter()
            .filter(|criterion| of(criterion))
            .map(value)
            .sum::<f64>()
    };
    let (score, max) = (
        sum(|criterion| criterion.points, &|_| true),
        sum(|criterion| criterion.max, &|criterion| !criterion.bonus),
    );
    let bonus_max = sum(|criterion| criterion.max, &|criterion| criterion.bonus);
    let pending = sum(|criterion| criterion.max, &|criterion| {
        !criterion.bonus && criterion.verdict == Verdict::PendingReview
    });
    let undecided = sum(|criterion| criterion.max, &|criterion| {
        !criterion.bonus && open.contains(&criterion.id)
    });
    card.score = score;
    card.max = max;
    card.bonus_max = bonus_max;
    card.pending = pending;
    card.undecided = undecided;
}

fn withhold_measures(card: &mut Scorecard, hidden: &[CriterionResult]) {
    let shown: BTreeSet<&str> = card
        .criteria
        .iter()
        .filter_map(|criterion| criterion.measure.as_deref())
        .collect();
    let withheld: BTreeSet<&str> = hidden
        .iter()
        .filter_map(|criterion| criterion.measure.as_deref())
        .filter(|measure| !shown.contains(measure))
        .collect();
    card.measures.retain(|row| !withheld.contains(row.id.as_str()));
    for (family, clear) in PLOTS {
        if withheld.iter().any(|measure| measure.starts_with(family)) {
            clear(&mut card.figures);
        }
    }
}

fn drop_non_numbers(card: &mut Scorecard) {
    for criterion in &mut card.criteria {
        criterion.value = criterion.value.filter(|value| value.is_finite());
        criterion.interval = criterion.interval.filter(is_finite);
    }
    for row in &mut card.measures {
        mend(row);
    }
    let figures = &mut card.figures;
    figures.latency_over_time.retain(|slice| {
        [slice.at_s, slice.p50_ms, slice.p95_ms, slice.max_ms]
            .iter()
            .all(|ms| ms.is_finite())
    });
    figures
        .latency_histogram
        .retain(|bin| bin.from.is_finite() && bin.to.is_finite() && bin.from < bin.to);
    figures
        .phases
        .retain(|phase| phase.from_s.is_finite() && phase.to_s.is_finite());
    figures.exposure_curve.retain(|share| share.is_finite());
    for group in &mut figures.accuracy_by_group {
        group.value = group.value.filter(|value| value.is_finite());
        group.interval = group.interval.filter(is_finite);
    }
}

fn mend(row: &mut MeasureRow) {
    let Finding::Measured(found) = &mut row.finding else {
        return;
    };
    found.interval = found.interval.filter(is_finite);
    if !found.value.is_finite() {
        row.finding = Finding::NotMeasured {
            why: "the measure came out as no number: our fault".to_owned(),
            hint: None,
        };
    }
}

fn is_finite(interval: &Interval) -> bool {
    [interval.low, interval.high, interval.level]
        .iter()
        .all(|end| end.is_finite())
}
