//! Where a submission stands: which points are earned, lost, or still open, and on whom they wait.

use super::words::points;
use crate::scorecard::{Audience, CriterionResult, Scorecard, Verdict, open};

/// What became of the points of one criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The criterion passed.
    Earned,
    /// The criterion, or one that it needs, failed.
    Lost,
    /// A person decides.
    Pending,
    /// This run could not tell.
    Undecided,
    /// A criterion that it needs is pending or undecided, so this one is open as well.
    Hangs,
}

/// The points of a card by what became of them; bonus points are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Standing {
    /// Earned, without bonus.
    pub(super) earned: f64,
    /// Lost, without bonus.
    pub(super) lost: f64,
    /// Waiting for a person, without bonus.
    pub(super) pending: f64,
    /// Not decided by this run, without bonus.
    pub(super) undecided: f64,
    /// Open because what it needs is open, without bonus.
    pub(super) hangs: f64,
    /// Bonus points earned.
    pub(super) bonus: f64,
    /// Bonus points to be had.
    pub(super) bonus_max: f64,
}

impl Standing {
    /// Returns the points on which this run has the last word, without bonus.
    pub(super) fn decided(&self) -> f64 {
        self.earned + self.lost
    }

    /// Returns the points that are neither earned nor lost, without bonus.
    pub(super) fn open(&self) -> f64 {
        self.pending + self.undecided + self.hangs
    }

    /// Says how the open points came to be open; empty where none are.
    pub(super) fn open_words(&self) -> String {
        let parts: Vec<String> = [
            (self.pending, "wait for a person"),
            (self.undecided, "could not be decided"),
            (self.hangs, "hang on those"),
        ]
        .into_iter()
        .filter(|(sum, _)| *sum > 0.0)
        .map(|(sum, what)| format!("{} {what}", points(sum)))
        .collect();
        parts.join(", ")
    }
}

/// Sums up what an audience may see of a whole card.
///
/// The card must still have its hidden criteria: a visible one may hang on them.
pub(super) fn standing(card: &Scorecard, audience: Audience) -> Standing {
    let open = open(&card.criteria);
    let mut standing = Standing::default();
    let visible = card
        .criteria
        .iter()
        .filter(|criterion| audience == Audience::Staff || criterion.visibility == Audience::Student);
    for criterion in visible {
        if criterion.bonus {
            standing.bonus += criterion.points;
            standing.bonus_max += criterion.max;
            continue;
        }
        match fate(criterion, open.contains(&criterion.id)) {
            Fate::Earned => standing.earned += criterion.points,
            Fate::Lost => standing.lost += criterion.max,
            Fate::Pending => standing.pending += criterion.max,
            Fate::Undecided => standing.undecided += criterion.max,
            Fate::Hangs => standing.hangs += criterion.max,
        }
    }
    standing
}

fn fate(criterion: &CriterionResult, is_open: bool) -> Fate {
    match criterion.verdict {
        Verdict::Pass => Fate::Earned,
        Verdict::PendingReview => Fate::Pending,
        Verdict::NoVerdict => Fate::Undecided,
        Verdict::Skipped if is_open => Fate::Hangs,
        Verdict::Fail | Verdict::Skipped => Fate::Lost,
    }
}
