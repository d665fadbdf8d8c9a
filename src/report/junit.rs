//! The card as JUnit XML: a failed criterion is a failure, one without verdict an error, the rest of the undecided skipped.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::for_audience;
use super::words::{cut, found, harmless, points, verdict};
use crate::scorecard::{Audience, CriterionResult, Scorecard, Verdict};

/// The most signs of one line; readers of JUnit show it in a narrow box.
const LINE: usize = 2_000;

/// Writes a card for an audience.
pub fn junit(card: &Scorecard, audience: Audience) -> String {
    let card = for_audience(card, audience);
    let mut report = Report::new(format!(
        "reelworld {} {}",
        harmless(&card.milestone),
        harmless(&card.submission)
    ));
    let mut suite = TestSuite::new(harmless(&card.milestone));
    if let Ok(time) = Duration::try_from_secs_f64(card.duration_s) {
        suite.set_time(time);
        report.set_time(time);
    }
    if let Ok(began) = chrono::DateTime::parse_from_rfc3339(&card.started_at) {
        suite.set_timestamp(began);
    }
    let rubric = format!("{}@{}", card.rubric.id, card.rubric.version);
    for (name, value) in [
        ("rubric", harmless(&rubric)),
        ("seed", card.seed.to_string()),
        ("score", points(card.score)),
        ("max", points(card.max)),
        ("pending", points(card.pending)),
        ("undecided", points(card.undecided)),
    ] {
        suite.add_property((name, value.as_str()));
    }
    for criterion in &card.criteria {
        let mut case = TestCase::new(harmless(&criterion.id), status(criterion));
        case.set_classname(harmless(&card.milestone));
        if criterion.verdict == Verdict::Fail && !criterion.evidence.is_empty() {
            let lines: Vec<String> = criterion.evidence.iter().map(|line| cut(line, LINE)).collect();
            case.set_system_out(lines.join("\n"));
        }
        suite.add_test_case(case);
    }
    report.add_test_suite(suite);
    report
        .to_string()
        .expect("memory takes all that is written, and all text was made harmless")
}

fn status(criterion: &CriterionResult) -> TestCaseStatus {
    let title = cut(&criterion.title, LINE);
    let why = cut(&criterion.why, LINE);
    match criterion.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => {
            let message = format!("{title}: {}", cut(&found(criterion), LINE));
            stopped(NonSuccessKind::Failure, message, criterion)
        }
        Verdict::NoVerdict => {
            let message = format!("{title}: no verdict: {why}");
            stopped(NonSuccessKind::Error, message, criterion)
        }
        Verdict::Skipped | Verdict::PendingReview => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("{title}: {}: {why}", verdict(criterion.verdict)));
            status
        }
    }
}

fn stopped(kind: NonSuccessKind, message: String, criterion: &CriterionResult) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status.set_type(verdict(criterion.verdict));
    if let Some(hint) = &criterion.hint {
        status.set_description(format!("try: {}", cut(hint, LINE)));
    }
    status
}
