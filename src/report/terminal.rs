//! The card for a person at a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use anstyle::{AnsiColor, Style as Ansi};

use super::for_audience;
use super::words::{found, harmless, mark, points};
use crate::scorecard::{Audience, CriterionResult, Method, RunKind, Scorecard, Verdict};

/// Whether colours may be used; they never carry anything alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With colours.
    Colour,
}

/// The width of the column of titles.
const TITLE: usize = 36;

/// Writes a card; `place` is where the page for a browser is.
pub fn terminal(card: &Scorecard, audience: Audience, style: Style, place: Option<&str>) -> String {
    let card = for_audience(card, audience);
    let mut text = String::new();
    let kind = match card.kind {
        RunKind::Check => "self-check",
        RunKind::Grade => "grade",
    };
    let name = match card.kind {
        RunKind::Check => String::new(),
        RunKind::Grade => format!(" of {}", harmless(&card.submission)),
    };
    let milestone = card.milestone.to_uppercase();
    let rubric = format!("{}@{}", card.rubric.id, card.rubric.version);
    let _ok = writeln!(
        text,
        "{milestone} {kind}{name}   rubric {rubric}   seed {}   {:.0} s\n",
        card.seed, card.duration_s
    );
    let judged = |criterion: &&CriterionResult| criterion.method == Method::Judged;
    for criterion in card.criteria.iter().filter(|criterion| !judged(criterion)) {
        line(&mut text, criterion, style);
    }
    let count = |verdict: Verdict| {
        card.criteria
            .iter()
            .filter(|criterion| criterion.verdict == verdict)
            .count()
    };
    let _ok = write!(
        text,
        "\n  {} pass, {} fail, {} no verdict, {} skipped.",
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::NoVerdict),
        count(Verdict::Skipped)
    );
    let people = card.criteria.iter().filter(judged).count();
    if people > 0 {
        let _ok = write!(text, " {people} more items are judged by staff.");
    }
    text.push('\n');
    let _ok = write!(
        text,
        "  {} of {} points so far",
        points(card.score),
        points(card.max)
    );
    let mut open = Vec::new();
    if card.bonus_max > 0.0 {
        open.push(format!(
            "up to {} bonus points count in it",
            points(card.bonus_max)
        ));
    }
    if card.pending > 0.0 {
        open.push(format!("{} wait for a person", points(card.pending)));
    }
    if card.undecided > 0.0 {
        open.push(format!(
            "{} could not be decided and are not lost",
            points(card.undecided)
        ));
    }
    let _ok = writeln!(
        text,
        "{}{}.",
        if open.is_empty() { "" } else { "; " },
        open.join("; ")
    );
    for note in &card.notes {
        let _ok = writeln!(text, "  note: {}", harmless(note));
    }
    if card.kind == RunKind::Check {
        text.push_str("  This is your own run: it is not a grade.");
        text.push_str(if place.is_some() { "" } else { "\n" });
    }
    if let Some(place) = place {
        let _ok = writeln!(
            text,
            "{}Report: {}",
            if card.kind == RunKind::Check { " " } else { "  " },
            harmless(place)
        );
    }
    text
}

fn line(text: &mut String, criterion: &CriterionResult, style: Style) {
    let verdict = paint(
        &format!("{:<4}", mark(criterion.verdict)),
        criterion.verdict,
        style,
    );
    let title = harmless(&criterion.title);
    let bonus = if criterion.bonus { " (bonus)" } else { "" };
    let title = format!("{title}{bonus}");
    let pad = " ".repeat(TITLE.saturating_sub(title.chars().count()).max(1));
    let _ok = writeln!(text, "  {verdict}  {title}{pad}{}", harmless(&found(criterion)));
    if criterion.verdict == Verdict::Fail {
        for line in criterion
            .evidence
            .iter()
            .take(if criterion.unit.as_deref() == Some("fact") {
                14
            } else {
                3
            })
        {
            let _ok = writeln!(text, "          {}", harmless(line));
        }
    }
    if matches!(criterion.verdict, Verdict::Fail | Verdict::NoVerdict) {
        if criterion.unit.as_deref() != Some("fact")
            && criterion.verdict == Verdict::NoVerdict
            && criterion.value.is_some()
        {
            let _ok = writeln!(text, "          {}", harmless(&criterion.why));
        }
        if let Some(hint) = &criterion.hint {
            let _ok = writeln!(text, "          try: {}", harmless(hint));
        }
    }
}

fn paint(word: &str, verdict: Verdict, style: Style) -> String {
    if style == Style::Plain {
        return word.to_owned();
    }
    let colour = match verdict {
        Verdict::Pass => AnsiColor::Green,
        Verdict::Fail => AnsiColor::Red,
        Verdict::NoVerdict | Verdict::PendingReview => AnsiColor::Yellow,
        Verdict::Skipped => AnsiColor::BrightBlack,
    };
    let ansi = Ansi::new().fg_color(Some(colour.into()));
    format!("{ansi}{word}{ansi:#}")
}

/// Writes a class: a line for each submission, and what fails most.
pub fn class_table(cards: &[Scorecard], style: Style) -> String {
    let width = cards
        .iter()
        .map(|card| harmless(&card.submission).chars().count())
        .max()
        .unwrap_or(0)
        .max(10);
    let mut text = format!(
        "  {:width$}  {:>10}  pass fail    ?    -  needs a person  first to fail\n",
        "submission", "points"
    );
    let mut fails: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for card in cards {
        let count = |verdict: Verdict| {
            card.criteria
                .iter()
                .filter(|criterion| criterion.verdict == verdict)
                .count()
        };
        let failed: Vec<&CriterionResult> = card
            .criteria
            .iter()
            .filter(|criterion| criterion.verdict == Verdict::Fail)
            .collect();
        for criterion in &failed {
            fails.entry(&criterion.id).or_insert((0, &criterion.title)).0 += 1;
        }
        let verdict = if failed.is_empty() {
            Verdict::Pass
        } else {
            Verdict::Fail
        };
        let score = format!("{:>10}", format!("{}/{}", points(card.score), points(card.max)));
        let _ok = writeln!(
            text,
            "  {:width$}  {}  {:>4} {:>4} {:>4} {:>4}  {:>14}  {}",
            harmless(&card.submission),
            paint(&score, verdict, style),
            count(Verdict::Pass),
            count(Verdict::Fail),
            count(Verdict::NoVerdict),
            count(Verdict::Skipped),
            count(Verdict::PendingReview),
            failed.first().map_or("", |criterion| criterion.title.as_str()),
        );
    }
    let most = fails.values().max_by_key(|(count, _)| *count);
    if let Some((count, title)) = most {
        let _ok = writeln!(text, "\n  fails most: {title} ({count} of {})", cards.len());
    }
    text
}
