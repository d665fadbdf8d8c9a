//! The card as one page that needs nothing else: no script, no other file, no network.

use serde::Serialize;
use tera::{Context, Tera};

use super::words::{found, interval, points, value, verdict};
use super::{for_audience, plot};
use crate::scorecard::{Audience, Finding, RunKind, Scorecard, Verdict};

const PAGE: &str = include_str!("../../templates/report/card.html");
const CLASS: &str = include_str!("../../templates/report/class.html");
const STYLE: &str = include_str!("../../templates/report/style.css");

#[derive(Serialize)]
struct Row {
    class: &'static str,
    verdict: &'static str,
    title: String,
    text: String,
    id: String,
    found: String,
    why: String,
    points: String,
    max: String,
    bonus: bool,
    hint: Option<String>,
    evidence: Vec<String>,
    marks: Vec<String>,
    note: Option<String>,
}

#[derive(Serialize)]
struct Measure {
    id: String,
    about: String,
    value: String,
    interval: String,
    n: String,
    why: String,
}

#[derive(Serialize)]
struct Small {
    name: String,
    n: u64,
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::NoVerdict => "unknown",
        Verdict::Skipped => "skipped",
        Verdict::PendingReview => "pending",
    }
}

fn rows(card: &Scorecard) -> Vec<Row> {
    card.criteria
        .iter()
        .map(|criterion| Row {
            class: class_of(criterion.verdict),
            verdict: verdict(criterion.verdict),
            title: criterion.title.clone(),
            text: criterion.text.clone(),
            id: criterion.id.clone(),
            found: found(criterion),
            why: criterion.why.clone(),
            points: points(criterion.points),
            max: points(criterion.max),
            bonus: criterion.bonus,
            hint: criterion.hint.clone(),
            evidence: criterion.evidence.clone(),
            marks: criterion.marks.iter().map(|mark| mark.text.clone()).collect(),
            note: criterion.grader_note.clone(),
        })
        .collect()
}

fn measures(card: &Scorecard) -> Vec<Measure> {
    card.measures
        .iter()
        .map(|row| {
            let (id, about) = (row.id.clone(), row.about.clone());
            match &row.finding {
                Finding::Measured(found) => Measure {
                    id,
                    about,
                    value: value(found.value, &row.unit),
                    interval: found
                        .interval
                        .map_or_else(String::new, |range| interval(range, &row.unit)),
                    n: found.n.to_string(),
                    why: found.why.clone(),
                },
                Finding::NotMeasured { why, .. } => Measure {
                    id,
                    about,
                    value: "not measured".to_owned(),
                    interval: String::new(),
                    n: String::new(),
                    why: why.clone(),
                },
            }
        })
        .collect()
}

/// Writes a card for an audience.
///
/// # Errors
/// When the built-in page is broken, which is a bug of ours.
pub fn html(card: &Scorecard, audience: Audience) -> Result<String, tera::Error> {
    let card = for_audience(card, audience);
    let mut context = Context::new();
    context.insert("style", STYLE);
    context.insert("rows", &rows(&card));
    context.insert("measures", &measures(&card));
    context.insert("small", &small_groups(&card));
    context.insert(
        "plots",
        &[
            plot::latency(&card.figures),
            plot::histogram(&card.figures),
            plot::groups(&card.figures),
        ],
    );
    context.insert("own", &(card.kind == RunKind::Check));
    context.insert("score", &points(card.score));
    context.insert("max", &points(card.max));
    context.insert("pending", &points(card.pending));
    context.insert("undecided", &points(card.undecided));
    context.insert("duration", &format!("{:.0}", card.duration_s));
    context.insert("card", &card);
    render("card.html", PAGE, &context)
}

fn small_groups(card: &Scorecard) -> Vec<Small> {
    let groups = card
        .figures
        .accuracy_by_group
        .iter()
        .filter(|group| group.value.is_none());
    groups
        .map(|group| Small {
            name: format!("{} {}", group.attribute, group.group),
            n: group.n,
        })
        .collect()
}

#[derive(Serialize)]
struct ClassRow {
    name: String,
    score: String,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    class: &'static str,
    verdict: &'static str,
}

/// Writes a class: submissions by criteria, with links to each card at `NAME/report.html`.
///
/// # Errors
/// When the built-in page is broken, which is a bug of ours.
pub fn class_html(title: &str, cards: &[Scorecard]) -> Result<String, tera::Error> {
    let rows: Vec<ClassRow> = cards
        .iter()
        .map(|card| ClassRow {
            name: card.submission.clone(),
            score: format!("{} / {}", points(card.score), points(card.max)),
            cells: card
                .criteria
                .iter()
                .map(|criterion| Cell {
                    class: class_of(criterion.verdict),
                    verdict: verdict(criterion.verdict),
                })
                .collect(),
        })
        .collect();
    let columns: Vec<(String, usize)> = cards.first().map_or_else(Vec::new, |first| {
        first
            .criteria
            .iter()
            .map(|criterion| {
                let failed = cards
                    .iter()
                    .filter(|card| {
                        card.criteria
                            .iter()
                            .any(|other| other.id == criterion.id && other.verdict == Verdict::Fail)
                    })
                    .count();
                (criterion.title.clone(), failed)
            })
            .collect()
    });
    let mut context = Context::new();
    context.insert("style", STYLE);
    context.insert("title", title);
    context.insert("rows", &rows);
    context.insert("columns", &columns);
    render("class.html", CLASS, &context)
}

fn render(name: &str, page: &str, context: &Context) -> Result<String, tera::Error> {
    let mut tera = Tera::default();
    tera.add_raw_template(name, page)?;
    tera.render(name, context)
}
