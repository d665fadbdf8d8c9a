//! A class for programs and spreadsheets: grades, which criterion fails most, and who needs a person.

use std::collections::BTreeMap;

use serde::Serialize;

use super::standing::standing;
use super::words::harmless;
use crate::scorecard::{Audience, Scorecard, Verdict};

/// The schema name of a class.
const SCHEMA: &str = "reelworld/class/v1";

#[derive(Serialize)]
struct Class<'a> {
    schema: &'static str,
    title: &'a str,
    submissions: Vec<Row<'a>>,
    /// The most failed first.
    items: Vec<Item<'a>>,
    /// Who waits for a person's judgement, and on how many criteria.
    pending_review: BTreeMap<&'a str, usize>,
    /// Who has something that could not be decided, and on how many criteria.
    no_verdict: BTreeMap<&'a str, usize>,
    /// The pairs that claim the same tool, if any do.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    same_tool: &'a [[String; 2]],
}

#[derive(Serialize)]
struct Row<'a> {
    submission: &'a str,
    score: f64,
    max: f64,
    pending: f64,
    undecided: f64,
    criteria: Vec<Cell<'a>>,
}

#[derive(Serialize)]
struct Cell<'a> {
    id: &'a str,
    verdict: Verdict,
    points: f64,
    max: f64,
}

/// How a class fared with one criterion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Item<'a> {
    /// The criterion.
    pub(super) id: &'a str,
    /// Its title.
    pub(super) title: &'a str,
    /// Submissions that passed.
    pub(super) pass: usize,
    /// Submissions that failed.
    pub(super) fail: usize,
    /// Submissions for which it could not be decided.
    pub(super) no_verdict: usize,
    /// Submissions for which it was skipped.
    pub(super) skipped: usize,
    /// Submissions for which a person decides.
    pub(super) pending_review: usize,
    /// The share of failures among those that were decided; none where nothing was.
    pub(super) fail_share: Option<f64>,
}

/// Returns how the class fared with each criterion, the most failed first and equals in the rubric's order.
pub(super) fn items(cards: &[Scorecard]) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    for criterion in cards.iter().flat_map(|card| &card.criteria) {
        let known = items.iter().position(|item| item.id == criterion.id);
        let place = known.unwrap_or_else(|| {
            items.push(Item {
                id: &criterion.id,
                title: &criterion.title,
                pass: 0,
                fail: 0,
                no_verdict: 0,
                skipped: 0,
                pending_review: 0,
                fail_share: None,
            });
            items.len() - 1
        });
        let item = &mut items[place];
        let count = match criterion.verdict {
            Verdict::Pass => &mut item.pass,
            Verdict::Fail => &mut item.fail,
            Verdict::NoVerdict => &mut item.no_verdict,
            Verdict::Skipped => &mut item.skipped,
            Verdict::PendingReview => &mut item.pending_review,
        };
        *count += 1;
    }
    for item in &mut items {
        let decided = item.pass + item.fail;
        item.fail_share = (decided > 0).then(|| item.fail as f64 / decided as f64);
    }
    items.sort_by_key(|item| std::cmp::Reverse(item.fail));
    items
}

/// Returns the submissions that have a verdict somewhere, and how often.
pub(super) fn who(cards: &[Scorecard], verdict: Verdict) -> BTreeMap<&str, usize> {
    cards
        .iter()
        .map(|card| {
            let with = card
                .criteria
                .iter()
                .filter(|criterion| criterion.verdict == verdict);
            (card.submission.as_str(), with.count())
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Writes a class for programs, for staff; with the pairs that claim the same tool.
pub fn class_json(title: &str, cards: &[Scorecard], same_tool: &[[String; 2]]) -> String {
    let row = |card| {
        let card: &Scorecard = card;
        Row {
            submission: &card.submission,
            score: card.score,
            max: card.max,
            pending: card.pending,
            undecided: card.undecided,
            criteria: card
                .criteria
                .iter()
                .map(|criterion| Cell {
                    id: &criterion.id,
                    verdict: criterion.verdict,
                    points: criterion.points,
                    max: criterion.max,
                })
                .collect(),
        }
    };
    let class = Class {
        schema: SCHEMA,
        title,
        submissions: cards.iter().map(row).collect(),
        items: items(cards),
        pending_review: who(cards, Verdict::PendingReview),
        no_verdict: who(cards, Verdict::NoVerdict),
        same_tool,
    };
    let mut text = serde_json::to_string_pretty(&class).expect("a class holds only plain values");
    text.push('\n');
    text
}

/// Writes a class as a table for spreadsheets, for staff: a line for each submission, a column for each criterion.
pub fn class_csv(cards: &[Scorecard]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for criterion in cards.iter().flat_map(|card| &card.criteria) {
        if !columns.contains(&criterion.id.as_str()) {
            columns.push(&criterion.id);
        }
    }
    let head = ["submission", "points", "decided", "bonus", "open"];
    let mut text = line(head.into_iter().chain(columns.iter().copied()).map(str::to_owned));
    for card in cards {
        let sums = standing(card, Audience::Staff);
        let figures = [sums.earned, sums.decided(), sums.bonus, sums.open()];
        let cells = columns.iter().map(|column| {
            let found = card.criteria.iter().find(|criterion| criterion.id == *column);
            found.map_or("", |criterion| word(criterion.verdict)).to_owned()
        });
        let name = std::iter::once(guarded(&card.submission));
        text.push_str(&line(
            name.chain(figures.map(|figure| figure.to_string())).chain(cells),
        ));
    }
    text
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::NoVerdict => "no_verdict",
        Verdict::Skipped => "skipped",
        Verdict::PendingReview => "pending_review",
    }
}

/// Takes the power of a formula from a field that a team has chosen: spreadsheets run what begins with these signs.
fn guarded(text: &str) -> String {
    let text = harmless(text);
    if text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    {
        format!("'{text}")
    } else {
        text
    }
}

/// Writes a line of fields, each in quotes where it needs them.
fn line(fields: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = fields
        .map(|field| {
            if field.contains(['"', ',', ';', '\n', '\r']) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                field
            }
        })
        .collect();
    format!("{}\r\n", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_cannot_be_a_formula_and_cannot_break_out_of_its_field() {
        for (name, written) in [
            ("falcons", "falcons"),
            ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
            (" +1", "' +1"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
        ] {
            assert_eq!(line(std::iter::once(guarded(name))), format!("{written}\r\n"));
        }
    }

    /// Reads a line as spreadsheets do.
    fn fields(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        let mut signs = line.trim_end_matches("\r\n").chars().peekable();
        while let Some(sign) = signs.next() {
            let field = fields.last_mut().unwrap();
            match sign {
                '"' if quoted && signs.peek() == Some(&'"') => {
                    signs.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                other => field.push(other),
            }
        }
        fields
    }

    proptest! {
        #[test]
        fn whatever_a_name_is_it_is_one_field_and_no_formula(names in prop::collection::vec("(?s:.{0,12})|[=+@,;\"\r\n-]{0,6}", 1..5)) {
            let written = line(names.iter().map(|name| guarded(name)));
            let read = fields(&written);
            prop_assert_eq!(read.len(), names.len());
            for field in read {
                prop_assert!(!field.trim_start().starts_with(['=', '+', '-', '@']), "{field:?}");
                prop_assert!(!field.contains(['\n', '\r', '\u{1b}']), "{field:?}");
            }
        }
    }
}
