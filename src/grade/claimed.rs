//! Which submissions of a class claim the same tool: what none of them can tell alone; pure.

use super::judge::{measured, not_measured};
use crate::evidence::{Bundle, Item};
use crate::repository::ToolClaim;
use crate::scorecard::Finding;

/// The measure.
pub const OTHERS: &str = "tool.others";

/// The tools that the submissions of a class claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Submission and claim, in the order of their names.
    claims: Vec<(String, ToolClaim)>,
}

impl Claimed {
    /// Takes the claims of a class; the order of the bundles does not matter.
    pub fn of<'b>(bundles: impl IntoIterator<Item = &'b Bundle>) -> Self {
        let mut claims: Vec<(String, ToolClaim)> = bundles
            .into_iter()
            .filter_map(|bundle| Some((bundle.manifest.submission.clone(), claim(bundle)?.clone())))
            .collect();
        claims.sort_by(|one, other| one.0.cmp(&other.0));
        Self { claims }
    }

    /// Returns how many others claim the tool of a bundle. Two that claim the same have no verdict: who was first is not in a
    /// history that its author writes, so that a person decides.
    pub fn finding(&self, bundle: &Bundle) -> Finding {
        let Some(own) = claim(bundle) else {
            return not_measured("it claims no tool");
        };
        let others: Vec<String> = self
            .claims
            .iter()
            .filter(|(name, claim)| *name != bundle.manifest.submission && claim.is_same_as(own))
            .map(|(name, claim)| format!("`{name}` (`{}`, {})", claim.name, claim.address))
            .collect();
        if others.is_empty() {
            let of = self.claims.len();
            return Finding::Measured(measured(0.0, None, of, format!("none of {of} that claim a tool")));
        }
        not_measured(&format!(
            "claimed by {} too: who had it first keeps it, and a person decides that",
            others.join(", ")
        ))
    }
}

fn claim(bundle: &Bundle) -> Option<&ToolClaim> {
    bundle.items.iter().find_map(|item| match item {
        Item::Files(facts) => facts.tool.as_ref(),
        _ => None,
    })
}
