//! Which submissions of a class claim the same tool: what none of them can tell alone; pure.

use super::judge::{measured, not_measured};
use crate::evidence::{Bundle, Item};
use crate::repository::{FileFacts, ToolClaim};
use crate::scorecard::Finding;

/// The measure.
pub const OTHERS: &str = "tool.others";

/// The tools that the submissions of a class claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Submission and claim, in the order of their names.
    claims: Vec<(String, ToolClaim)>,
    /// Submissions of the class whose files nobody has read yet.
    unread: usize,
}

impl Claimed {
    /// Takes the claims of a class, of which so many have no bundle; the order of the bundles does not matter.
    pub fn of<'b>(bundles: impl IntoIterator<Item = &'b Bundle>, missing: usize) -> Self {
        let mut claimed = Self {
            unread: missing,
            ..Self::default()
        };
        for bundle in bundles {
            match files(bundle) {
                Some(facts) => {
                    let name = bundle.manifest.submission.clone();
                    claimed.claims.extend(facts.tool.clone().map(|tool| (name, tool)));
                }
                // What was refused has no files that could be read.
                None => claimed.unread += usize::from(!bundle.finished()),
            }
        }
        claimed.claims.sort_by(|one, other| one.0.cmp(&other.0));
        claimed
    }

    /// Returns how many others claim the tool of a bundle. Two that claim the same have no verdict: who was first is not in a
    /// history that its author writes, so that a person decides. Who the other is, is for staff.
    pub fn finding(&self, bundle: &Bundle) -> Finding {
        let Some(own) = files(bundle).and_then(|facts| facts.tool.as_ref()) else {
            return not_measured("it claims no tool");
        };
        let name = &bundle.manifest.submission;
        let is_another = |(other, claim): &&(String, ToolClaim)| other != name && claim.is_same_as(own);
        match self.claims.iter().filter(is_another).count() {
            0 if self.unread > 0 => not_measured(&format!(
                "{} more of the class are not graded yet, and may claim the same tool",
                self.unread
            )),
            0 => {
                let of = self.claims.len();
                Finding::Measured(measured(
                    0.0,
                    None,
                    of,
                    format!("none of the {of} that claim a tool claims the same"),
                ))
            }
            others => not_measured(&format!(
                "claimed by {others} more of the class: who had it first keeps it, and a person decides that"
            )),
        }
    }

    /// Returns the pairs that claim the same tool, for staff: `ada: Feast, github.com/feast-dev/feast`.
    pub fn clashes(&self) -> Vec<[String; 2]> {
        let told = |(name, tool): &(String, ToolClaim)| format!("{name}: {}, {}", tool.name, tool.address);
        let mut pairs = Vec::new();
        for (place, one) in self.claims.iter().enumerate() {
            let later = self.claims[place + 1..].iter();
            let same = later.filter(|other| other.1.is_same_as(&one.1));
            pairs.extend(same.map(|other| [told(one), told(other)]));
        }
        pairs
    }
}

fn files(bundle: &Bundle) -> Option<&FileFacts> {
    bundle.items.iter().find_map(|item| match item {
        Item::Files(facts) => Some(facts),
        _ => None,
    })
}
