//! Pages made of scorecards: for a terminal, for programs, for a browser. Pure: no file, no clock, no world.

mod html;
mod json;
mod junit;
mod plot;
mod terminal;
mod words;

use crate::scorecard::{Audience, Scorecard, Verdict, open};

pub use html::{class_html, html};
pub use json::json;
pub use junit::junit;
pub use terminal::{Style, class_table, terminal};

/// Returns what an audience may see of a card: students see neither hidden criteria nor notes to graders.
///
/// The points of hidden criteria are taken out of every sum, so that no total gives them away.
#[must_use]
pub fn for_audience(card: &Scorecard, audience: Audience) -> Scorecard {
    let mut card = card.clone();
    if audience == Audience::Staff {
        return card;
    }
    let open = open(&card.criteria);
    for hidden in card
        .criteria
        .iter()
        .filter(|criterion| criterion.visibility == Audience::Staff)
    {
        card.score -= hidden.points;
        if hidden.bonus {
            card.bonus_max -= hidden.max;
            continue;
        }
        card.max -= hidden.max;
        if hidden.verdict == Verdict::PendingReview {
            card.pending -= hidden.max;
        } else if open.contains(&hidden.id) {
            card.undecided -= hidden.max;
        }
    }
    card.criteria
        .retain(|criterion| criterion.visibility == Audience::Student);
    for criterion in &mut card.criteria {
        criterion.grader_note = None;
    }
    card
}
