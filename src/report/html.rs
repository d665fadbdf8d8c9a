//! The card as one page that needs nothing else: no script, no other file, no network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;
use tera::{Context, Tera};

use super::class::who;
use super::standing::{Standing, standing};
use super::words::{counted, cut, found, interval, left_out, level, millis, points, value, verdict, whole};
use super::{for_audience, plot};
use crate::scorecard::{
    Audience, CriterionResult, Figures, Finding, Method, RunKind, Scope, Scorecard, Verdict,
};

const PAGE: &str = include_str!("../../templates/report/card.html");
const CLASS: &str = include_str!("../../templates/report/class.html");
const STYLE: &str = include_str!("../../templates/report/style.css");

/// The most signs of one piece of text: the bundle has the rest.
const LINE: usize = 2_000;
/// The most items of the list of what to look at first; more would be the table again.
const FIRST: usize = 5;

/// Why a page could not be made, which is a bug of ours.
#[derive(Debug)]
pub enum PageError {
    /// A built-in template is broken.
    Template(tera::Error),
    /// A value cannot be handed to a template.
    Value(serde_json::Error),
    /// A plot cannot be drawn.
    Plot(String),
}

impl fmt::Display for PageError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => write!(to, "a template is broken: {error}"),
            Self::Value(error) => write!(to, "a value does not fit a template: {error}"),
            Self::Plot(error) => write!(to, "a plot cannot be drawn: {error}"),
        }
    }
}

impl std::error::Error for PageError {}

/// Writes a card for an audience.
///
/// # Errors
/// When a built-in template or plot is broken, which is a bug of ours.
pub fn html(card: &Scorecard, audience: Audience) -> Result<String, PageError> {
    let standing = standing(card, audience);
    let card = for_audience(card, audience);
    let fault = |error: plot::Fault| PageError::Plot(error.to_string());
    let plots = Plots {
        latency: plot::latency(&card.figures).map_err(fault)?,
        histogram: plot::histogram(&card.figures).map_err(fault)?,
        groups: plot::groups(&card.figures).map_err(fault)?,
        exposure: plot::exposure(&card.figures).map_err(fault)?,
    };
    let page = page(&card, &standing, &plots);
    let mut context = Context::new();
    context.insert("plots", &plots);
    render("card.html", PAGE, &page, context)
}

/// Renders a template: every piece of text of the page is made harmless and cut here, so that none is forgotten.
fn render(
    name: &str,
    template: &str,
    page: &impl Serialize,
    mut context: Context,
) -> Result<String, PageError> {
    let mut page = serde_json::to_value(page).map_err(PageError::Value)?;
    make_harmless(&mut page);
    context.insert("page", &page);
    context.insert("style", STYLE);
    let mut tera = Tera::default();
    tera.add_raw_template(name, template)
        .map_err(PageError::Template)?;
    tera.render(name, &context).map_err(PageError::Template)
}

fn make_harmless(value: &mut Value) {
    match value {
        Value::String(text) => *text = cut(text, LINE),
        Value::Array(values) => values.iter_mut().for_each(make_harmless),
        Value::Object(values) => values.values_mut().for_each(make_harmless),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[derive(Serialize)]
struct Plots {
    latency: Option<String>,
    histogram: Option<String>,
    groups: Option<String>,
    exposure: Option<String>,
}

#[derive(Serialize)]
struct Page {
    submission: String,
    milestone: String,
    kind: &'static str,
    own: bool,
    earned: String,
    decided: String,
    has_bonus: bool,
    bonus: String,
    bonus_max: String,
    stack: Vec<Part>,
    stack_words: String,
    open: String,
    notes: Vec<String>,
    todo: Vec<Todo>,
    sections: Vec<Section>,
    has_figures: bool,
    deadline: String,
    latency_words: String,
    slices: Vec<Slice>,
    histogram_words: String,
    groups_words: String,
    accuracy_label: String,
    group_level: Option<String>,
    groups: Vec<GroupRow>,
    small: String,
    exposure_words: String,
    outcomes: Vec<OutcomeRow>,
    measures: Vec<Measure>,
    service: Vec<Fact>,
    log_tail: Vec<String>,
    log_open: bool,
    origin: Vec<Fact>,
    evidence: Vec<Fact>,
}

#[derive(Serialize)]
struct Part {
    class: &'static str,
    points: String,
    what: &'static str,
}

#[derive(Serialize)]
struct Todo {
    place: usize,
    title: String,
    max: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Section {
    title: &'static str,
    caption: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    place: usize,
    class: &'static str,
    sign: &'static str,
    verdict: &'static str,
    opened: bool,
    title: String,
    tags: Vec<&'static str>,
    id: String,
    text: String,
    facts: Vec<Fact>,
    evidence_label: &'static str,
    evidence: Vec<String>,
    marks: Vec<String>,
    note: Option<String>,
    hint: Option<String>,
    found: String,
    points: String,
}

#[derive(Serialize)]
struct Fact {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct Slice {
    at: String,
    n: String,
    ok: String,
    p50: String,
    p95: String,
    max: String,
}

#[derive(Serialize)]
struct GroupRow {
    attribute: String,
    group: String,
    n: String,
    value: String,
    interval: String,
}

#[derive(Serialize)]
struct OutcomeRow {
    name: String,
    n: String,
    share: String,
    width: String,
}

#[derive(Serialize)]
struct Measure {
    id: String,
    about: String,
    value: String,
    interval: String,
    n: String,
    why: String,
    left_out: String,
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

fn sign_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::NoVerdict => "?",
        Verdict::Skipped => "–",
        Verdict::PendingReview => "…",
    }
}

fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact {
        name: name.to_owned(),
        value: value.into(),
    }
}

/// Joins the lines of a text from a course file: where they break is how somebody typed them.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn page(card: &Scorecard, standing: &Standing, plots: &Plots) -> Page {
    let figures = &card.figures;
    let stack = stack(standing);
    let has_figures = [&plots.latency, &plots.histogram, &plots.groups, &plots.exposure]
        .iter()
        .any(|plot| plot.is_some())
        || !figures.outcomes.is_empty();
    let stack_words: Vec<String> = stack
        .iter()
        .map(|part| format!("{} {}", part.points, part.what))
        .collect();
    let started = card
        .criteria
        .iter()
        .all(|criterion| criterion.measure.as_deref() != Some("service.starts") || criterion.points > 0.0);
    Page {
        submission: card.submission.clone(),
        milestone: card.milestone.to_uppercase(),
        kind: match card.kind {
            RunKind::Check => "self-check",
            RunKind::Grade => "grade",
        },
        own: card.kind == RunKind::Check,
        earned: points(standing.earned),
        decided: points(standing.decided()),
        has_bonus: standing.bonus_max > 0.0,
        bonus: points(standing.bonus),
        bonus_max: points(standing.bonus_max),
        stack_words: format!("Points: {}", stack_words.join(", ")),
        stack,
        open: standing.open_words(),
        notes: card.notes.clone(),
        todo: todo(card),
        sections: sections(card),
        has_figures,
        deadline: whole(figures.deadline_ms),
        latency_words: latency_words(figures),
        slices: slices(figures),
        histogram_words: histogram_words(figures),
        groups_words: groups_words(figures),
        accuracy_label: figures.accuracy_label.clone(),
        group_level: figures
            .accuracy_by_group
            .iter()
            .find_map(|group| group.interval)
            .map(|range| level(range.level)),
        groups: group_rows(figures),
        small: small_groups(figures),
        exposure_words: exposure_words(figures),
        outcomes: outcomes(figures),
        measures: measures(card),
        service: service(card),
        log_tail: card.service.log_tail.clone(),
        log_open: !started,
        origin: origin(card),
        evidence: card
            .evidence
            .iter()
            .map(|(name, hash)| fact(name, hash.clone()))
            .collect(),
    }
}

fn stack(standing: &Standing) -> Vec<Part> {
    [
        ("pass", standing.earned, "earned"),
        ("fail", standing.lost, "not earned"),
        ("pending", standing.pending, "wait for a person"),
        ("unknown", standing.undecided, "not decided by this run"),
        ("skipped", standing.hangs, "hang on open ones"),
    ]
    .into_iter()
    .filter(|(_, sum, _)| *sum > 0.0)
    .map(|(class, sum, what)| Part {
        class,
        points: points(sum),
        what,
    })
    .collect()
}

/// Returns what failed, the most points first: skipped items follow from those.
fn todo(card: &Scorecard) -> Vec<Todo> {
    let mut failed: Vec<(usize, &CriterionResult)> = card
        .criteria
        .iter()
        .enumerate()
        .filter(|(_, criterion)| criterion.verdict == Verdict::Fail)
        .collect();
    failed.sort_by(|(_, a), (_, b)| a.bonus.cmp(&b.bonus).then(b.max.total_cmp(&a.max)));
    failed
        .into_iter()
        .take(FIRST)
        .map(|(place, criterion)| Todo {
            place,
            title: criterion.title.clone(),
            max: points(criterion.max),
            hint: criterion.hint.clone(),
        })
        .collect()
}

fn sections(card: &Scorecard) -> Vec<Section> {
    let (mut measured, mut judged) = (Vec::new(), Vec::new());
    for (place, criterion) in card.criteria.iter().enumerate() {
        let rows = if criterion.method == Method::Judged {
            &mut judged
        } else {
            &mut measured
        };
        rows.push(row(place, criterion));
    }
    let level = card
        .criteria
        .iter()
        .find_map(|criterion| criterion.interval)
        .map(|range| {
            format!(
                " Intervals are at {}, unless an item says another level.",
                level(range.level)
            )
        });
    [
        (
            "Decided by this run",
            format!("Each item is earned or not.{}", level.unwrap_or_default()),
            measured,
        ),
        (
            "Decided by a person",
            "These wait for staff, who read the report and the repository.".to_owned(),
            judged,
        ),
    ]
    .into_iter()
    .filter(|(_, _, rows)| !rows.is_empty())
    .map(|(title, caption, rows)| Section { title, caption, rows })
    .collect()
}

fn row(place: usize, criterion: &CriterionResult) -> Row {
    let mut tags = Vec::new();
    if criterion.bonus {
        tags.push("bonus");
    }
    if criterion.scope == Scope::Individual {
        tags.push("each member");
    }
    if criterion.visibility == Audience::Staff {
        tags.push("hidden from students");
    }
    if criterion.undecided {
        tags.push("close to the bar");
    }
    let is_judged = criterion.method == Method::Judged;
    Row {
        place,
        class: class_of(criterion.verdict),
        sign: sign_of(criterion.verdict),
        verdict: verdict(criterion.verdict),
        opened: matches!(criterion.verdict, Verdict::Fail | Verdict::NoVerdict),
        title: criterion.title.clone(),
        tags,
        id: criterion.id.clone(),
        text: flowing(&criterion.text),
        facts: facts(criterion),
        evidence_label: if is_judged {
            "Where to look"
        } else {
            "What was sent and what came back"
        },
        evidence: criterion.evidence.clone(),
        marks: criterion
            .marks
            .iter()
            .map(|mark| {
                let fails = if mark.fails { " (fails the item)" } else { "" };
                format!("{}{fails}", flowing(&mark.text))
            })
            .collect(),
        note: criterion.grader_note.as_deref().map(flowing),
        hint: criterion.hint.clone(),
        found: found(criterion),
        points: format!("{} / {}", points(criterion.points), points(criterion.max)),
    }
}

fn facts(criterion: &CriterionResult) -> Vec<Fact> {
    let unit = criterion.unit.as_deref().unwrap_or_default();
    let mut facts = Vec::new();
    if criterion.method != Method::Judged && !criterion.why.is_empty() {
        facts.push(fact("why", criterion.why.clone()));
    }
    if let Some(bar) = &criterion.bar {
        facts.push(fact("bar", bar.clone()));
    }
    if let Some(measure) = &criterion.measure {
        facts.push(fact("measure", measure.clone()));
    }
    if let Some(range) = criterion.interval {
        facts.push(fact(
            "interval",
            format!("{} at {}", interval(range, unit), level(range.level)),
        ));
    }
    if let Some(n) = criterion.n.filter(|_| unit != "fact") {
        facts.push(fact("observations", whole(n as f64)));
    }
    let out = left_out(&criterion.excluded);
    if let Some(out) = out.strip_prefix("left out: ") {
        facts.push(fact("left out", out));
    }
    if !criterion.needs.is_empty() {
        facts.push(fact("needs", criterion.needs.join(", ")));
    }
    facts
}

fn latency_words(figures: &Figures) -> String {
    let spread = |value: fn(&crate::scorecard::LatencySlice) -> f64| {
        let values = figures.latency_over_time.iter().map(value);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        format!("{} to {}", millis(low), millis(high))
    };
    format!(
        "Latency over time, logarithmic: the median is {} ms, the 95th percentile {} ms, the largest {} ms, the deadline {} ms",
        spread(|slice| slice.p50_ms),
        spread(|slice| slice.p95_ms),
        spread(|slice| slice.max_ms),
        whole(figures.deadline_ms)
    )
}

fn slices(figures: &Figures) -> Vec<Slice> {
    figures
        .latency_over_time
        .iter()
        .map(|slice| Slice {
            at: whole(slice.at_s),
            n: whole(slice.n as f64),
            ok: whole(slice.ok as f64),
            p50: millis(slice.p50_ms),
            p95: millis(slice.p95_ms),
            max: millis(slice.max_ms),
        })
        .collect()
}

fn histogram_words(figures: &Figures) -> String {
    let bins = &figures.latency_histogram;
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let fullest = bins.iter().rev().max_by_key(|bin| bin.count);
    fullest.map_or_else(String::new, |bin| {
        format!(
            "Distribution of latency of {} requests: most often {} to {} ms; the deadline is {} ms",
            whole(total as f64),
            millis(bin.from),
            millis(bin.to),
            whole(figures.deadline_ms)
        )
    })
}

fn groups_words(figures: &Figures) -> String {
    let words: Vec<String> = figures
        .accuracy_by_group
        .iter()
        .filter_map(|group| {
            let value = group.value?;
            Some(format!("{} {} {value:.3}", group.attribute, group.group))
        })
        .collect();
    format!("Accuracy by group: {}", words.join(", "))
}

fn group_rows(figures: &Figures) -> Vec<GroupRow> {
    figures
        .accuracy_by_group
        .iter()
        .map(|group| GroupRow {
            attribute: group.attribute.clone(),
            group: group.group.clone(),
            n: whole(group.n as f64),
            value: group
                .value
                .map_or_else(|| "too few users".to_owned(), |value| format!("{value:.3}")),
            interval: group
                .interval
                .map_or_else(String::new, |range| interval(range, "score")),
        })
        .collect()
}

fn small_groups(figures: &Figures) -> String {
    let mut by_attribute: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for group in figures
        .accuracy_by_group
        .iter()
        .filter(|group| group.value.is_none())
    {
        by_attribute
            .entry(&group.attribute)
            .or_default()
            .push(format!("{} ({})", group.group, group.n));
    }
    let parts: Vec<String> = by_attribute
        .iter()
        .map(|(attribute, groups)| format!("{attribute}: {}", groups.join(", ")))
        .collect();
    parts.join("; ")
}

fn exposure_words(figures: &Figures) -> String {
    let curve = &figures.exposure_curve;
    format!(
        "Exposure: the most recommended movie gets {} of all slots, the first {} together {}",
        value(curve.first().copied().unwrap_or(0.0), "share"),
        curve.len(),
        value(curve.iter().sum(), "share")
    )
}

fn outcomes(figures: &Figures) -> Vec<OutcomeRow> {
    let total: u64 = figures.outcomes.iter().map(|(_, count)| count).sum();
    figures
        .outcomes
        .iter()
        .map(|(name, count)| {
            let share = *count as f64 / total.max(1) as f64;
            OutcomeRow {
                name: name.clone(),
                n: whole(*count as f64),
                share: value(share, "share"),
                width: format!("{:.2}", share * 100.0),
            }
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
                        .map_or_else(String::new, |range| measured_interval(range, &row.unit)),
                    n: whole(found.n as f64),
                    why: found.why.clone(),
                    left_out: left_out(&found.excluded),
                },
                Finding::NotMeasured { why, .. } => Measure {
                    id,
                    about,
                    value: "not measured".to_owned(),
                    interval: String::new(),
                    n: String::new(),
                    why: why.clone(),
                    left_out: String::new(),
                },
            }
        })
        .collect()
}

/// The level that stands in the caption of the table of measures.
const USUAL_LEVEL: f64 = 0.98;

fn measured_interval(range: crate::scorecard::Interval, unit: &str) -> String {
    let text = interval(range, unit);
    if (range.level - USUAL_LEVEL).abs() < 1e-9 {
        text
    } else {
        format!("{text} at {}", level(range.level))
    }
}

fn service(card: &Scorecard) -> Vec<Fact> {
    let service = &card.service;
    [
        ("started with", &service.command),
        ("asked at", &service.address),
        ("start", &service.start),
        ("end", &service.end),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| fact(name, value.clone()))
    .collect()
}

fn origin(card: &Scorecard) -> Vec<Fact> {
    let world = &card.world;
    let mut about = format!(
        "{} users, {} movies, profile {}",
        whole(f64::from(world.users)),
        whole(f64::from(world.movies)),
        world.profile
    );
    if !world.fingerprint.is_empty() {
        about.push_str(&format!(", key {}", world.fingerprint));
    }
    if world.practice {
        about.push_str(", practice world");
    }
    let mut facts = vec![
        fact("began", card.started_at.clone()),
        fact("took", format!("{:.0} s", card.duration_s)),
        fact("rubric", format!("{}@{}", card.rubric.id, card.rubric.version)),
        fact("rubric's SHA-256", card.rubric.sha256.clone()),
        fact("seed", card.seed.to_string()),
        fact("tool", format!("reelworld {}", card.tool)),
    ];
    // Where no service is asked there is no world.
    if world.users > 0 {
        facts.insert(4, fact("world", about));
    }
    facts
}

#[derive(Serialize)]
struct ClassPage {
    title: String,
    size: String,
    columns: Vec<Column>,
    rows: Vec<ClassRow>,
    items: Vec<Item>,
    people: Vec<Person>,
    same_tool: Vec<[String; 2]>,
}

#[derive(Serialize)]
struct Column {
    title: String,
}

#[derive(Serialize)]
struct ClassRow {
    name: String,
    link: String,
    points: String,
    bonus: String,
    open: String,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    class: &'static str,
    sign: &'static str,
    verdict: &'static str,
    title: String,
}

#[derive(Serialize)]
struct Person {
    name: String,
    link: String,
    pending: usize,
    unknown: usize,
}

#[derive(Serialize)]
struct Item {
    title: String,
    id: String,
    pass: usize,
    fail: usize,
    unknown: usize,
    skipped: usize,
    pending: usize,
    share: String,
    width: String,
}

/// Writes a class for staff: submissions by criteria, with links to each card at `NAME/report.html`, and the pairs that claim
/// the same tool.
///
/// # Errors
/// When the built-in template is broken, which is a bug of ours.
pub fn class_html(title: &str, cards: &[Scorecard], same_tool: &[[String; 2]]) -> Result<String, PageError> {
    let columns = columns(cards);
    let rows = cards
        .iter()
        .map(|card| {
            let standing = standing(card, Audience::Staff);
            ClassRow {
                name: card.submission.clone(),
                link: format!("./{}/report.html", url_part(&card.submission)),
                points: format!("{} / {}", points(standing.earned), points(standing.decided())),
                bonus: format!("{} / {}", points(standing.bonus), points(standing.bonus_max)),
                open: points(standing.open()),
                cells: columns.iter().map(|(id, title)| cell(card, id, title)).collect(),
            }
        })
        .collect();
    let page = ClassPage {
        title: title.to_owned(),
        size: counted(cards.len(), "submission", "submissions"),
        columns: columns
            .iter()
            .map(|(_, title)| Column {
                title: (*title).to_owned(),
            })
            .collect(),
        rows,
        items: items(cards),
        people: people(cards),
        same_tool: same_tool.to_vec(),
    };
    render("class.html", CLASS, &page, Context::new())
}

/// Returns the ids and titles of all criteria that occur, in the order of the first card that has each.
fn columns(cards: &[Scorecard]) -> Vec<(&str, &str)> {
    let mut columns: Vec<(&str, &str)> = Vec::new();
    for criterion in cards.iter().flat_map(|card| &card.criteria) {
        if columns.iter().all(|(id, _)| *id != criterion.id) {
            columns.push((&criterion.id, &criterion.title));
        }
    }
    columns
}

fn cell(card: &Scorecard, id: &str, title: &str) -> Cell {
    let verdict_of = card
        .criteria
        .iter()
        .find(|criterion| criterion.id == id)
        .map(|criterion| criterion.verdict);
    Cell {
        class: verdict_of.map_or("none", class_of),
        sign: verdict_of.map_or("", sign_of),
        verdict: verdict_of.map_or("not in this submission's rubric", verdict),
        title: title.to_owned(),
    }
}

fn items(cards: &[Scorecard]) -> Vec<Item> {
    super::class::items(cards)
        .into_iter()
        .map(|item| {
            let share = item.fail_share;
            Item {
                title: item.title.to_owned(),
                id: item.id.to_owned(),
                pass: item.pass,
                fail: item.fail,
                unknown: item.no_verdict,
                skipped: item.skipped,
                pending: item.pending_review,
                share: share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0)),
                width: format!("{:.2}", share.unwrap_or(0.0) * 100.0),
            }
        })
        .collect()
}

/// Returns who needs a person: what waits for a judgement, and what could not be decided.
fn people(cards: &[Scorecard]) -> Vec<Person> {
    let (pending, unknown) = (who(cards, Verdict::PendingReview), who(cards, Verdict::NoVerdict));
    let names: BTreeSet<&str> = pending.keys().chain(unknown.keys()).copied().collect();
    names
        .into_iter()
        .map(|name| Person {
            name: name.to_owned(),
            link: format!("./{}/report.html", url_part(name)),
            pending: pending.get(name).copied().unwrap_or(0),
            unknown: unknown.get(name).copied().unwrap_or(0),
        })
        .collect()
}

/// Writes a name as one part of a path in a link: all but letters, digits and a few signs as `%` and two digits.
fn url_part(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
