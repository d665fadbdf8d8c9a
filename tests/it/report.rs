//! Cards made by hand, shown to each audience in each form.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use quick_junit::{NonSuccessKind, TestCaseStatus};
use reelworld::report::{Style, class_html, class_table, for_audience, html, json, junit, terminal};
use reelworld::scorecard::{
    Audience, Bin, CriterionResult, Excluded, Figures, Finding, GroupFigure, Interval, LatencySlice, Mark,
    MeasureRow, Measurement, Method, PhaseSpan, RubricRef, RunKind, SCHEMA, Scope, Scorecard, ServiceRef,
    Verdict, WorldRef, open,
};

/// What a team may put where it can: mark-up, steering signs, the end of a section, turned text.
const NASTY: &str = "<script>alert('x')</script> \u{1b}[31mred\u{1b}]0;title\u{7} ]]> & \"quoted\" \u{202e}gpj.exe\u{2066} \u{0}\u{9b}2J {{ card }} {% raw %}";

const HIDDEN: &str = "m1.hidden.trap";
const HIDDEN_MEASURE: &str = "trap.share";

fn criterion(id: &str, title: &str, verdict: Verdict, max: f64) -> CriterionResult {
    CriterionResult {
        id: id.to_owned(),
        title: title.to_owned(),
        text: format!("The handout's words for {title}."),
        verdict,
        points: if verdict == Verdict::Pass { max } else { 0.0 },
        max,
        bonus: false,
        scope: Scope::Team,
        method: Method::Census,
        visibility: Audience::Student,
        measure: None,
        value: None,
        unit: None,
        interval: None,
        n: None,
        bar: None,
        undecided: false,
        why: String::new(),
        hint: None,
        evidence: Vec::new(),
        excluded: Vec::new(),
        needs: Vec::new(),
        marks: Vec::new(),
        grader_note: None,
    }
}

fn share(mut of: CriterionResult, value: f64, low: f64, high: f64, n: u64, bar: &str) -> CriterionResult {
    of.method = Method::Sampled;
    of.value = Some(value);
    of.unit = Some("share".to_owned());
    of.interval = Some(Interval {
        low,
        high,
        level: 0.98,
    });
    of.n = Some(n);
    of.bar = Some(bar.to_owned());
    of
}

fn fact(mut of: CriterionResult, why: &str) -> CriterionResult {
    of.method = Method::Fact;
    of.measure = Some("service.starts".to_owned());
    of.value = Some(f64::from(u8::from(of.verdict == Verdict::Pass)));
    of.unit = Some("fact".to_owned());
    of.n = Some(1);
    of.why = why.to_owned();
    of
}

fn judged(id: &str, title: &str, max: f64) -> CriterionResult {
    let mut of = criterion(id, title, Verdict::PendingReview, max);
    of.method = Method::Judged;
    of.why = "a person decides".to_owned();
    of.evidence = vec!["report: models".to_owned()];
    of.marks = vec![Mark {
        id: "same".to_owned(),
        text: "The two models are one.".to_owned(),
        fails: true,
    }];
    of.grader_note = Some("open the links: secret advice to graders".to_owned());
    of
}

fn measured(id: &str, unit: &str, value: f64) -> MeasureRow {
    MeasureRow {
        id: id.to_owned(),
        unit: unit.to_owned(),
        about: format!("what {id} means"),
        finding: Finding::Measured(Measurement {
            value,
            interval: None,
            n: 4000,
            excluded: vec![Excluded {
                reason: "grader_late".to_owned(),
                count: 12,
            }],
            why: "3,724 of 4,000".to_owned(),
            hint: None,
            evidence: Vec::new(),
        }),
    }
}

fn figures() -> Figures {
    let slice = |at: u32| LatencySlice {
        at_s: f64::from(at),
        n: 60,
        ok: 58,
        p50_ms: 20.0 + f64::from(at % 5),
        p95_ms: 180.0 + 10.0 * f64::from(at % 7),
        max_ms: 900.0,
    };
    let group = |attribute: &str, group: &str, n: u64, value: Option<f64>| GroupFigure {
        attribute: attribute.to_owned(),
        group: group.to_owned(),
        n,
        value,
        interval: value.map(|value| Interval {
            low: value - 0.02,
            high: value + 0.02,
            level: 0.98,
        }),
    };
    Figures {
        latency_over_time: (0..40).map(slice).collect(),
        latency_histogram: (0..24)
            .map(|place| Bin {
                from: 1.4_f64.powi(place),
                to: 1.4_f64.powi(place + 1),
                count: 10 + 7 * u64::from(place.unsigned_abs() % 9),
            })
            .collect(),
        deadline_ms: 800.0,
        phases: vec![
            PhaseSpan {
                name: "steady".to_owned(),
                from_s: 0.0,
                to_s: 30.0,
            },
            PhaseSpan {
                name: "peak".to_owned(),
                from_s: 30.0,
                to_s: 40.0,
            },
        ],
        accuracy_label: "NDCG@20 on held-out behaviour".to_owned(),
        accuracy_by_group: vec![
            group("gender", "F", 178, Some(0.21)),
            group("gender", "M", 341, Some(0.24)),
            group("age band", "25-34", 153, Some(0.2)),
            group("occupation", "writer", 9, None),
        ],
        exposure_curve: (1..=20).map(|rank| 0.2 / f64::from(rank)).collect(),
        outcomes: vec![
            ("answered".to_owned(), 3724),
            ("no answer in time".to_owned(), 241),
            ("status 400".to_owned(), 35),
        ],
    }
}

fn card(kind: RunKind, submission: &str, criteria: Vec<CriterionResult>) -> Scorecard {
    let sum = |of: &dyn Fn(&CriterionResult) -> bool| -> f64 {
        criteria
            .iter()
            .filter(|criterion| of(criterion))
            .map(|criterion| criterion.max)
            .sum()
    };
    let open = open(&criteria);
    Scorecard {
        schema: SCHEMA.to_owned(),
        tool: "0.1.0".to_owned(),
        kind,
        milestone: "m1".to_owned(),
        submission: submission.to_owned(),
        rubric: RubricRef {
            id: "m1".to_owned(),
            version: "1".to_owned(),
            sha256: "ab".repeat(32),
        },
        world: WorldRef {
            users: 20_000,
            movies: 2_000,
            profile: "current".to_owned(),
            fingerprint: String::new(),
            practice: true,
        },
        seed: 7,
        started_at: "2026-09-01T10:00:00Z".to_owned(),
        duration_s: 41.2,
        score: criteria.iter().map(|criterion| criterion.points).sum(),
        max: sum(&|criterion| !criterion.bonus),
        bonus_max: sum(&|criterion| criterion.bonus),
        pending: sum(&|criterion| !criterion.bonus && criterion.verdict == Verdict::PendingReview),
        undecided: sum(&|criterion| !criterion.bonus && open.contains(&criterion.id)),
        criteria,
        measures: vec![
            measured("answers.in_time_share", "share", 0.931),
            measured("latency.p95_ms", "ms", 640.0),
            measured(HIDDEN_MEASURE, "share", 0.123_45),
            MeasureRow {
                id: "accuracy.score".to_owned(),
                unit: "score".to_owned(),
                about: "expected enjoyment".to_owned(),
                finding: Finding::NotMeasured {
                    why: "a self-check does not know the truth".to_owned(),
                    hint: None,
                },
            },
        ],
        figures: figures(),
        service: ServiceRef {
            command: "python3 service.py".to_owned(),
            address: "http://localhost:8082".to_owned(),
            start: "ready after 0.4 s".to_owned(),
            end: "stopped by us".to_owned(),
            log_tail: vec!["GET /recommend/1 200".to_owned()],
        },
        notes: vec!["12 requests are left out because the fault was ours".to_owned()],
        evidence: BTreeMap::from([("items.jsonl".to_owned(), "cd".repeat(32))]),
    }
}

/// A service that does all that is asked, with a bonus earned by the benefit of the doubt.
fn passing() -> Scorecard {
    let mut bonus = share(
        criterion("m1.bonus.fast", "99 % within 200 ms", Verdict::Pass, 2.0),
        0.993,
        0.985,
        0.998,
        1181,
        "wanted at least 99 %",
    );
    bonus.bonus = true;
    bonus.undecided = true;
    bonus.why = "1173 of 1181; the bar lies inside the interval: benefit of the doubt".to_owned();
    card(
        RunKind::Grade,
        "team-good",
        vec![
            fact(
                criterion(
                    "m1.service.starts",
                    "answers /recommend/<userid>",
                    Verdict::Pass,
                    5.0,
                ),
                "ready after 0.4 s",
            ),
            share(
                criterion("m1.answers.in_time", "answers within 800 ms", Verdict::Pass, 8.0),
                1.0,
                0.9922,
                1.0,
                1181,
                "wanted at least 95 %",
            ),
            judged("m1.report.models", "two models that differ", 8.0),
            bonus,
        ],
    )
}

/// A self-check with each of the verdicts, and a hidden criterion on which a visible one hangs.
fn failing() -> Scorecard {
    let mut slow = share(
        criterion("m1.answers.in_time", "answers within 800 ms", Verdict::Fail, 8.0),
        0.931,
        0.92,
        0.941,
        4000,
        "wanted at least 95 %",
    );
    slow.measure = Some("answers.in_time_share".to_owned());
    slow.why = "3,724 of 4,000".to_owned();
    slow.evidence = vec!["slowest: users with no history, p95 1,240 ms (others 180 ms)".to_owned()];
    slow.excluded = vec![Excluded {
        reason: "grader_late".to_owned(),
        count: 12,
    }];
    slow.hint = Some(
        "look at what one slow request does: curl -w '%{time_total}' on a user without history".to_owned(),
    );
    let mut few = criterion(
        "m1.stream.personalised",
        "10 % personalised",
        Verdict::NoVerdict,
        8.0,
    );
    few.why = "not enough traffic here (200 of 2,000)".to_owned();
    let mut hangs = criterion(
        "m1.accuracy",
        "better than the popular list",
        Verdict::Skipped,
        4.0,
    );
    hangs.needs = vec!["m1.stream.personalised".to_owned()];
    hangs.why = "needs `10 % personalised`".to_owned();
    let mut lost = criterion("m1.window", "available over the window", Verdict::Skipped, 3.0);
    lost.needs = vec!["m1.answers.in_time".to_owned()];
    lost.why = "needs `answers within 800 ms`".to_owned();
    let mut hidden = share(
        criterion(HIDDEN, "secret trap for cheats", Verdict::Fail, 7.0),
        0.123_45,
        0.1,
        0.2,
        4000,
        "wanted at least 50 %",
    );
    hidden.visibility = Audience::Staff;
    hidden.measure = Some(HIDDEN_MEASURE.to_owned());
    let mut behind = criterion("m1.behind", "honest work", Verdict::Skipped, 2.0);
    behind.needs = vec![HIDDEN.to_owned()];
    behind.why = "needs `secret trap for cheats`".to_owned();
    card(
        RunKind::Check,
        "team-slow",
        vec![
            fact(
                criterion(
                    "m1.service.starts",
                    "answers /recommend/<userid>",
                    Verdict::Pass,
                    5.0,
                ),
                "200, 20 ids, 1 line",
            ),
            slow,
            few,
            hangs,
            lost,
            hidden,
            behind,
            judged("m1.report.models", "two models that differ", 8.0),
            judged("m1.report.costs", "costs compared", 6.0),
        ],
    )
}

/// A service that never came up, with hostile text wherever a team has a say, and lines of ten thousand signs.
fn broken() -> Scorecard {
    let mut start = fact(
        criterion(
            "m1.service.starts",
            "answers /recommend/<userid>",
            Verdict::Fail,
            5.0,
        ),
        NASTY,
    );
    start.evidence = vec![NASTY.to_owned(), "x".repeat(10_000), NASTY.repeat(100)];
    start.hint = Some(NASTY.to_owned());
    let mut skipped = criterion(
        "m1.answers.valid",
        "answers are valid lists",
        Verdict::Skipped,
        8.0,
    );
    skipped.needs = vec!["m1.service.starts".to_owned()];
    skipped.why = "needs `answers /recommend/<userid>`".to_owned();
    let mut odd = criterion(NASTY, NASTY, Verdict::NoVerdict, 1.0);
    odd.why = NASTY.to_owned();
    odd.bar = Some(NASTY.to_owned());
    odd.excluded = vec![Excluded {
        reason: NASTY.to_owned(),
        count: 3,
    }];
    let mut card = card(RunKind::Grade, NASTY, vec![start, skipped, odd]);
    card.service = ServiceRef {
        command: NASTY.to_owned(),
        address: NASTY.to_owned(),
        start: NASTY.to_owned(),
        end: NASTY.to_owned(),
        log_tail: vec![NASTY.to_owned(), "y".repeat(10_000)],
    };
    card.notes = vec![NASTY.to_owned()];
    card.figures.outcomes = vec![(NASTY.to_owned(), 5)];
    card.figures.phases[0].name = NASTY.to_owned();
    card.figures.accuracy_label = NASTY.to_owned();
    card.figures.accuracy_by_group[0].group = NASTY.to_owned();
    card.figures.accuracy_by_group[3].group = NASTY.to_owned();
    card.rubric.version = NASTY.to_owned();
    card
}

fn samples() -> [Scorecard; 3] {
    [passing(), failing(), broken()]
}

/// Compares with a file beside this one; `UPDATE_SNAPSHOTS=1` writes it anew.
#[expect(
    clippy::disallowed_methods,
    reason = "a person asks the test to write what it found"
)]
fn check_snapshot(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/snapshots")
        .join(name);
    if std::env::var("UPDATE_SNAPSHOTS").is_ok() {
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap();
    assert!(
        wanted == found,
        "{name} differs; found:\n{found}\nwanted:\n{wanted}"
    );
}

/// Asserts that nothing in the text steers, turns or hides: line ends are the only control characters.
fn assert_harmless(text: &str) {
    let bad = text.chars().find(|letter| {
        (letter.is_control() && *letter != '\n')
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    });
    assert_eq!(bad, None, "{text:?}");
}

#[test]
fn a_terminal_shows_what_snapshots_hold() {
    check_snapshot(
        "grade.txt",
        &terminal(&passing(), Audience::Staff, Style::Plain, None),
    );
    check_snapshot(
        "check.txt",
        &terminal(
            &failing(),
            Audience::Student,
            Style::Plain,
            Some(".reelworld/check-7/report.html"),
        ),
    );
    check_snapshot(
        "broken.txt",
        &terminal(&broken(), Audience::Staff, Style::Plain, None),
    );
    check_snapshot("class.txt", &class_table(&samples(), &[], Style::Plain));
}

#[test]
fn lines_fit_a_terminal_unless_a_single_word_does_not() {
    for card in [passing(), failing()] {
        for line in terminal(&card, Audience::Staff, Style::Plain, None).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn colour_adds_to_a_terminal_and_changes_no_word() {
    for card in [passing(), failing()] {
        let plain = terminal(&card, Audience::Staff, Style::Plain, None);
        let coloured = terminal(&card, Audience::Staff, Style::Colour, None);
        assert_ne!(plain, coloured);
        assert_eq!(plain, anstream::adapter::strip_str(&coloured).to_string());
    }
}

#[test]
fn open_points_are_never_told_as_lost() {
    let text = terminal(&failing(), Audience::Staff, Style::Plain, None);
    // 5 earned; 8 + 3 + 7 + 2 lost; 14 wait for a person, 8 undecided, 4 hang on those 8.
    assert!(text.contains("5 of the 25 decided here"), "{text}");
    let text = text.replace('\n', " ");
    assert!(
        text.contains("Open, not lost: 14 wait for a person, 8 could not be decided, 4 hang on those."),
        "{text}"
    );
}

#[test]
fn no_form_passes_on_signs_that_steer_or_turn_text() {
    for card in samples() {
        for audience in [Audience::Student, Audience::Staff] {
            assert_harmless(&terminal(&card, audience, Style::Plain, Some(NASTY)));
            assert_harmless(&junit(&card, audience));
            assert_harmless(&html(&card, audience).unwrap());
        }
    }
    let pair = [[NASTY.to_owned(), NASTY.to_owned()]];
    assert_harmless(&class_table(&samples(), &pair, Style::Plain));
    assert_harmless(&class_html(NASTY, &samples(), &pair).unwrap());
}

#[test]
fn a_line_of_ten_thousand_signs_is_cut_and_says_so() {
    let text = terminal(&broken(), Audience::Staff, Style::Plain, None);
    assert!(text.contains("(9,600 characters more)"), "{text}");
    assert!(!text.contains(&"x".repeat(401)));
    let page = html(&broken(), Audience::Staff).unwrap();
    assert!(!page.contains(&"y".repeat(5_000)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_team_writes_reaches_terminal_and_page_as_plain_text(text in "\\PC*|[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}<>&'\"a-z ]{0,60}") {
        let mut card = broken();
        card.submission.clone_from(&text);
        card.criteria[0].why.clone_from(&text);
        card.criteria[0].evidence = vec![text.clone()];
        card.service.log_tail = vec![text.clone()];
        card.notes = vec![text.clone()];
        assert_harmless(&terminal(&card, Audience::Staff, Style::Plain, Some(&text)));
        assert_harmless(&class_table(&[card.clone()], &[], Style::Plain));
        let page = junit(&card, Audience::Staff);
        assert_harmless(&page);
        prop_assert!(quick_junit::Report::deserialize_from_str(&page).is_ok());
        prop_assert_eq!(html(&card, Audience::Staff).unwrap().matches("<script").count(), 0);
    }
}

#[test]
fn every_report_is_valid_by_the_published_schema() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/report.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for card in samples() {
        for audience in [Audience::Student, Audience::Staff] {
            let text = json(&card, audience);
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            let faults: Vec<String> = validator
                .iter_errors(&report)
                .map(|fault| format!("{}: {fault}", fault.instance_path()))
                .collect();
            assert!(faults.is_empty(), "{faults:#?}");
        }
    }
    let mut report: serde_json::Value = serde_json::from_str(&json(&passing(), Audience::Staff)).unwrap();
    report["criteria"][0]["verdict"] = "maybe".into();
    assert!(!validator.is_valid(&report), "a made-up verdict is refused");
}

#[test]
fn staff_read_back_the_very_card_from_json() {
    for card in samples() {
        let back: Scorecard = serde_json::from_str(&json(&card, Audience::Staff)).unwrap();
        assert_eq!(back, card);
    }
}

#[test]
fn a_measure_that_is_no_number_is_told_as_missing() {
    let mut card = passing();
    card.measures[0] = measured("answers.in_time_share", "share", f64::NAN);
    card.criteria[1].value = Some(f64::NAN);
    card.criteria[1].interval = Some(Interval {
        low: f64::NEG_INFINITY,
        high: f64::NAN,
        level: 0.98,
    });
    card.figures.latency_over_time[3].p95_ms = f64::INFINITY;
    card.figures.accuracy_by_group[0].value = Some(f64::NAN);
    let back: Scorecard = serde_json::from_str(&json(&card, Audience::Staff)).unwrap();
    assert!(
        matches!(&back.measures[0].finding, Finding::NotMeasured { why, .. } if why.contains("our fault"))
    );
    assert_eq!(back.criteria[1].value, None);
    let page = html(&card, Audience::Staff).unwrap();
    assert!(
        !page.contains("NaN") && !page.contains("inf "),
        "no page shows what is no number"
    );
}

#[test]
fn a_students_view_holds_no_trace_of_hidden_criteria() {
    let card = failing();
    let views = [
        json(&card, Audience::Student),
        html(&card, Audience::Student).unwrap(),
        junit(&card, Audience::Student),
        terminal(&card, Audience::Student, Style::Plain, None),
    ];
    for view in &views {
        for secret in [HIDDEN, HIDDEN_MEASURE, "secret trap", "12.3 %", "secret advice"] {
            assert!(!view.contains(secret), "`{secret}` in {view}");
        }
    }
    let staff = html(&card, Audience::Staff).unwrap();
    for known in [HIDDEN, HIDDEN_MEASURE, "secret advice"] {
        assert!(staff.contains(known), "staff miss `{known}`");
    }
}

#[test]
fn sums_of_a_students_view_are_those_of_what_it_shows() {
    let card = failing();
    let view = for_audience(&card, Audience::Student);
    assert_eq!((card.max, view.max), (51.0, 44.0));
    assert_eq!(
        (view.score, view.pending, view.undecided, view.bonus_max),
        (5.0, 14.0, 12.0, 0.0)
    );
    assert!(view.undecided.is_sign_positive() && view.bonus_max.is_sign_positive());
}

#[test]
fn plots_of_withheld_measures_are_withheld() {
    let mut card = failing();
    card.criteria[5].measure = Some("fairness.gap".to_owned());
    let view = for_audience(&card, Audience::Student);
    assert!(view.figures.accuracy_by_group.is_empty());
    assert!(!view.figures.latency_over_time.is_empty());
    let staff = for_audience(&card, Audience::Staff);
    assert!(!staff.figures.accuracy_by_group.is_empty());
}

#[test]
fn junit_tells_failures_from_errors_and_from_what_was_not_decided() {
    let page = junit(&failing(), Audience::Staff);
    let report = quick_junit::Report::deserialize_from_str(&page).unwrap();
    assert_eq!(
        (report.tests, report.failures, report.errors),
        (9, 2, 1),
        "{page}"
    );
    let suite = &report.test_suites[0];
    let status = |id: &str| {
        let case = suite.test_cases.iter().find(|case| case.name.as_str() == id);
        &case.unwrap().status
    };
    let kind = |id: &str| match status(id) {
        TestCaseStatus::NonSuccess { kind, .. } => *kind,
        other => panic!("{id}: {other:?}"),
    };
    assert_eq!(kind("m1.answers.in_time"), NonSuccessKind::Failure);
    assert_eq!(kind("m1.stream.personalised"), NonSuccessKind::Error);
    for id in ["m1.window", "m1.report.models"] {
        assert!(matches!(status(id), TestCaseStatus::Skipped { .. }), "{id}");
    }
    assert!(matches!(
        status("m1.service.starts"),
        TestCaseStatus::Success { .. }
    ));
}

/// Walks the tags of a page: each that is opened is closed, in order. Returns the values of `href` and `src`.
fn walk(page: &str) -> Vec<String> {
    const VOID: &[&str] = &["meta", "br", "hr", "!doctype", "img", "col", "wbr"];
    let mut open: Vec<String> = Vec::new();
    let mut links = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag ends");
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(|letter| !letter.is_whitespace() && *letter != '/')
            .collect::<String>()
            .to_lowercase();
        assert!(!name.is_empty(), "`<{tag}>` is no tag");
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "closing `<{tag}>`");
        } else if !VOID.contains(&name.as_str()) && !tag.ends_with('/') {
            open.push(name.clone());
        }
        for key in ["href=\"", "src=\""] {
            if let Some((_, value)) = tag.split_once(key) {
                links.push(value.split('"').next().unwrap_or_default().to_owned());
            }
        }
        if name == "style" && !tag.starts_with('/') {
            rest = &rest[rest.find("</style>").expect("the style ends")..];
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    links
}

#[test]
fn pages_are_well_formed_and_need_nothing_else() {
    for card in samples() {
        let page = html(&card, Audience::Staff).unwrap();
        let links = walk(&page);
        assert!(links.iter().all(|link| link.starts_with('#')), "{links:?}");
        for foreign in ["<script", "<link", "<iframe", "@import", "url(", "<img"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        let outside: Vec<&str> = page
            .match_indices("http")
            .map(|(at, _)| &page[at..(at + 40).min(page.len())])
            .filter(|url| {
                !url.starts_with("http://www.w3.org/2000/svg") && !url.starts_with("http://localhost")
            })
            .collect();
        assert!(outside.is_empty(), "{outside:?}");
    }
}

#[test]
fn a_page_shows_hostile_text_as_text() {
    let page = html(&broken(), Audience::Staff).unwrap();
    assert!(page.contains("&lt;script&gt;alert("));
    assert!(page.contains("\\u{1b}[31mred"));
    assert!(
        page.contains("{{ card }}"),
        "a template in a team's text is not run"
    );
}

#[test]
fn a_page_names_all_that_a_reader_needs_for_an_appeal() {
    let page = html(&failing(), Audience::Staff).unwrap();
    for part in [
        "m1.answers.in_time",
        "93.1 %",
        "(92.0 to 94.1)",
        "wanted at least 95 %",
        "12 (grader late)",
        "slowest: users with no history",
        "This is your own run: it is not a grade",
        "Open, not lost",
        "writer (9)",
        &"cd".repeat(32),
    ] {
        assert!(page.contains(part), "`{part}` is missing");
    }
    for (name, alternative) in [
        ("latency over time", "Latency over time"),
        ("groups", "Accuracy by group"),
    ] {
        assert!(
            page.contains(&format!("aria-label=\"{alternative}")),
            "{name} has no words beside it"
        );
    }
}

#[test]
fn a_class_page_keeps_criteria_apart_that_not_all_cards_have() {
    let page = class_html("m1", &samples(), &[]).unwrap();
    let links = walk(&page);
    assert!(links.contains(&"./team-good/report.html".to_owned()), "{links:?}");
    assert!(
        links
            .iter()
            .all(|link| link.starts_with('#') || (link.starts_with("./") && link.ends_with("/report.html"))),
        "{links:?}"
    );
    // The grid has a cell for each of the ids that occur in any card.
    let ids: std::collections::BTreeSet<String> = samples()
        .iter()
        .flat_map(|card| card.criteria.iter().map(|criterion| criterion.id.clone()))
        .collect();
    let rows: Vec<&str> = page
        .split("<tr class=\"submission\">")
        .skip(1)
        .map(|row| row.split("</tr>").next().unwrap_or_default())
        .collect();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(row.matches("<td class=\"cell").count(), ids.len(), "{row}");
    }
}

#[test]
fn an_empty_card_makes_every_page() {
    let mut empty = card(RunKind::Grade, "empty", Vec::new());
    empty.figures = Figures::default();
    empty.measures.clear();
    walk(&html(&empty, Audience::Student).unwrap());
    walk(&class_html("none", &[], &[]).unwrap());
    walk(&class_html("one", &[empty.clone()], &[]).unwrap());
    assert!(
        terminal(&empty, Audience::Student, Style::Plain, None).contains("Nothing was decided by this run.")
    );
    assert!(class_table(&[], &[], Style::Plain).contains("submission"));
    assert!(quick_junit::Report::deserialize_from_str(&junit(&empty, Audience::Staff)).is_ok());
}
