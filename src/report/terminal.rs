//! The card for a person at a terminal.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style as Ansi};

use super::for_audience;
use super::standing::{Standing, standing};
use super::words::{counted, cut, found, harmless, left_out, mark, points};
use crate::scorecard::{Audience, CriterionResult, Method, RunKind, Scorecard, Verdict};

/// Whether colours may be used; they never carry anything alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With colours.
    Colour,
}

/// The width of a terminal that nobody has widened.
const WIDTH: usize = 80;
/// The width of the column of titles.
const CLAIM: usize = 100;
const TITLE: usize = 36;
/// Where the column of values begins: two spaces, the verdict, two spaces, the title.
const VALUE: usize = 8 + TITLE;
/// Where evidence and hints begin, deeper than any title.
const DEEP: usize = 10;
/// The most signs of one line of evidence: what is longer is on the page and in the bundle.
const LINE: usize = 400;
/// The most lines of evidence under a figure.
const LINES: usize = 3;
/// The most lines of evidence under a fact, which has no figure to speak for it: what we asked and the end of a log.
const FACT_LINES: usize = 14;
/// The most signs of a submission's name in a table.
const NAME: usize = 24;

/// Writes a card; `place` is where the page for a browser is.
pub fn terminal(card: &Scorecard, audience: Audience, style: Style, place: Option<&str>) -> String {
    let standing = standing(card, audience);
    let card = for_audience(card, audience);
    let mut text = header(&card);
    let (judged, measured): (Vec<&CriterionResult>, Vec<&CriterionResult>) = card
        .criteria
        .iter()
        .partition(|criterion| criterion.method == Method::Judged);
    for criterion in &measured {
        text.push_str(&line(criterion, style));
    }
    text.push('\n');
    text.push_str(&wrap(&verdicts(&measured, judged.len()), 0));
    for sentence in sums(&standing, card.kind) {
        text.push_str(&wrap(&sentence, 0));
    }
    for note in &card.notes {
        text.push_str(&wrap(&format!("Note: {}", cut(note, LINE)), 0));
    }
    let own = "This is your own run: it is not a grade.";
    // A path is never wrapped: people copy it.
    let end = match (card.kind, place) {
        (RunKind::Check, Some(place)) => format!("{own} Report: {}\n", harmless(place)),
        (RunKind::Check, None) => format!("{own}\n"),
        (RunKind::Grade, Some(place)) => format!("Report: {}\n", harmless(place)),
        (RunKind::Grade, None) => String::new(),
    };
    text.push_str(&end);
    text
}

fn header(card: &Scorecard) -> String {
    let kind = match card.kind {
        RunKind::Check => "self-check".to_owned(),
        RunKind::Grade => format!("grade of {}", cut(&card.submission, LINE)),
    };
    format!(
        "{} {kind}   rubric {}@{}   seed {}   {:.0} s\n\n",
        harmless(&card.milestone.to_uppercase()),
        harmless(&card.rubric.id),
        harmless(&card.rubric.version),
        card.seed,
        card.duration_s
    )
}

fn line(criterion: &CriterionResult, style: Style) -> String {
    let verdict = paint(
        &format!("{:<4}", mark(criterion.verdict)),
        criterion.verdict,
        style,
    );
    let bonus = if criterion.bonus { " (bonus)" } else { "" };
    let title = format!("{}{bonus}", cut(&criterion.title, LINE));
    let value = cut(&found(criterion), LINE);
    let mut text = if title.chars().count() < TITLE {
        format!("  {verdict}  {title:<TITLE$}{}", wrap(&value, VALUE).trim_start())
    } else {
        format!("  {verdict}  {title}\n{}", wrap(&value, VALUE))
    };
    let is_fact = criterion.unit.as_deref() == Some("fact");
    let has_figure = criterion.value.is_some() && !is_fact;
    // Where a figure stands in the column, what decided against it stands below.
    let say_why = has_figure
        && criterion.verdict != Verdict::Skipped
        && (criterion.undecided || criterion.verdict == Verdict::NoVerdict);
    if say_why {
        text.push_str(&wrap(&cut(&criterion.why, LINE), DEEP));
    }
    match criterion.verdict {
        Verdict::Pass | Verdict::Skipped | Verdict::PendingReview => {}
        Verdict::Fail | Verdict::NoVerdict => {
            let most = if is_fact { FACT_LINES } else { LINES };
            for line in criterion.evidence.iter().take(most) {
                text.push_str(&wrap(&cut(line, LINE), DEEP));
            }
            let more = criterion.evidence.len().saturating_sub(most);
            if more > 0 {
                let more = counted(more, "line", "lines");
                text.push_str(&wrap(&format!("… {more} more on the page"), DEEP));
            }
            let out = left_out(&criterion.excluded);
            if !out.is_empty() {
                text.push_str(&wrap(&cut(&out, LINE), DEEP));
            }
            if let Some(hint) = &criterion.hint {
                text.push_str(&wrap(&format!("try: {}", cut(hint, LINE)), DEEP));
            }
        }
    }
    text
}

/// Breaks text at spaces so that lines fit, where words allow it; each line is indented as the first, and ended.
fn wrap(text: &str, indent: usize) -> String {
    let (text, indent) = {
        let own = text.trim_start_matches(' ');
        (own, indent + text.len() - own.len())
    };
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let long = word.chars().count();
        if used > 0 && indent + used + 1 + long > WIDTH {
            lines.push('\n');
            used = 0;
        }
        if used == 0 {
            lines.push_str(&" ".repeat(indent));
        } else {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += long;
    }
    lines.push('\n');
    lines
}

/// Counts verdicts, those that do not occur left out.
fn verdicts(measured: &[&CriterionResult], judged: usize) -> String {
    let counts: Vec<String> = [
        (Verdict::Pass, "pass"),
        (Verdict::Fail, "fail"),
        (Verdict::NoVerdict, "no verdict"),
        (Verdict::Skipped, "skipped"),
        (Verdict::PendingReview, "pending review"),
    ]
    .into_iter()
    .filter_map(|(verdict, word)| {
        let count = measured
            .iter()
            .filter(|criterion| criterion.verdict == verdict)
            .count();
        (count > 0).then(|| format!("{count} {word}"))
    })
    .collect();
    let mut text = if counts.is_empty() {
        "Nothing was decided by this run.".to_owned()
    } else {
        format!("{}.", counts.join(", "))
    };
    match judged {
        0 => {}
        1 => text.push_str(" 1 more item is judged by staff."),
        _ => text.push_str(&format!(" {judged} more items are judged by staff.")),
    }
    text
}

/// Says what is earned, of what this run decided, and what is still open: nobody should take open points for lost ones.
fn sums(standing: &Standing, kind: RunKind) -> Vec<String> {
    let so_far = match kind {
        RunKind::Check => "this run would earn",
        RunKind::Grade => "earned so far",
    };
    let bonus = if standing.bonus_max > 0.0 {
        format!(
            ", and {} of {} bonus points",
            points(standing.bonus),
            points(standing.bonus_max)
        )
    } else {
        String::new()
    };
    let mut sentences = vec![format!(
        "Points {so_far}: {} of the {} decided here{bonus}.",
        points(standing.earned),
        points(standing.decided())
    )];
    let open = standing.open_words();
    if !open.is_empty() {
        sentences.push(format!("Open, not lost: {open}."));
    }
    sentences
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

/// Writes a class for staff: a line for each submission, what fails most, and who needs a person; with the pairs that
/// claim the same tool.
pub fn class_table(cards: &[Scorecard], same_tool: &[[String; 2]], style: Style) -> String {
    let name = |card: &Scorecard| cut(&card.submission, NAME);
    let width = cards
        .iter()
        .map(|card| name(card).chars().count())
        .max()
        .unwrap_or(0)
        .max("submission".len());
    let mut text = format!(
        "  {:width$}  {:>9}  {:>5}  {:>5}  pass fail    ?    -  costs most\n",
        "submission", "points", "bonus", "open"
    );
    for card in cards {
        let standing = standing(card, Audience::Staff);
        let count = |verdict: Verdict| count(card, verdict);
        let fail = format!("{:>4}", count(Verdict::Fail));
        let fail = if count(Verdict::Fail) > 0 {
            paint(&fail, Verdict::Fail, style)
        } else {
            fail
        };
        let row = format!(
            "  {:width$}  {:>9}  {:>5}  {:>5}  {:>4} {fail} {:>4} {:>4}  {}",
            name(card),
            format!("{}/{}", points(standing.earned), points(standing.decided())),
            format!("{}/{}", points(standing.bonus), points(standing.bonus_max)),
            points(standing.open()),
            count(Verdict::Pass),
            count(Verdict::NoVerdict),
            count(Verdict::Skipped),
            worst(card).map_or_else(String::new, |criterion| cut(&criterion.title, TITLE)),
        );
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text.push('\n');
    for sentence in class_sentences(cards) {
        text.push_str(&wrap(&sentence, 2));
    }
    for [one, other] in same_tool {
        let sentence = format!("the same tool: {}; {}", cut(one, CLAIM), cut(other, CLAIM));
        text.push_str(&wrap(&sentence, 2));
    }
    text
}

fn count(card: &Scorecard, verdict: Verdict) -> usize {
    card.criteria
        .iter()
        .filter(|criterion| criterion.verdict == verdict)
        .count()
}

/// Returns the failed criterion with the most points, the first of equals.
fn worst(card: &Scorecard) -> Option<&CriterionResult> {
    let failed = card
        .criteria
        .iter()
        .filter(|criterion| criterion.verdict == Verdict::Fail);
    failed.fold(None, |worst: Option<&CriterionResult>, criterion| match worst {
        Some(worst) if worst.max >= criterion.max => Some(worst),
        _ => Some(criterion),
    })
}

fn class_sentences(cards: &[Scorecard]) -> Vec<String> {
    let mut sentences = vec![
        "points: earned of what was decided here; open: not lost, a person or another run decides".to_owned(),
    ];
    let mut fails: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for criterion in cards.iter().flat_map(|card| &card.criteria) {
        if criterion.verdict == Verdict::Fail {
            fails.entry(&criterion.id).or_insert((0, &criterion.title)).0 += 1;
        }
    }
    let most = fails.values().map(|(count, _)| *count).max().unwrap_or(0);
    let titles: Vec<String> = fails
        .values()
        .filter(|(count, _)| *count == most)
        .map(|(_, title)| cut(title, TITLE))
        .collect();
    if most > 0 {
        sentences.push(format!(
            "fails most: {} ({most} of {})",
            titles.join(", "),
            cards.len()
        ));
    }
    for (verdict, what) in [
        (Verdict::PendingReview, "wait for a person"),
        (Verdict::NoVerdict, "have items without a verdict"),
    ] {
        let names: Vec<String> = cards
            .iter()
            .filter(|card| count(card, verdict) > 0)
            .map(|card| format!("{} ({})", cut(&card.submission, NAME), count(card, verdict)))
            .collect();
        if !names.is_empty() {
            sentences.push(format!("{what}: {}", names.join(", ")));
        }
    }
    sentences
}
