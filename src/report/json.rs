//! The card as JSON: versioned, with the schema `docs/reference/report.schema.json`.

use super::for_audience;
use crate::scorecard::{Audience, Scorecard};

/// Writes a card for an audience.
pub fn json(card: &Scorecard, audience: Audience) -> String {
    let mut text =
        serde_json::to_string_pretty(&for_audience(card, audience)).expect("a card holds only plain values");
    text.push('\n');
    text
}
