//! The card as JUnit XML: a failed criterion is a failure, one without verdict an error, the rest of the undecided skipped.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::for_audience;
use super::words::{found, harmless, verdict};
use crate::scorecard::{Audience, Scorecard, Verdict};

/// Writes a card for an audience.
pub fn junit(card: &Scorecard, audience: Audience) -> String {
    let card = for_audience(card, audience);
    let mut report = Report::new(format!(
        "reelworld {} {}",
        harmless(&card.milestone),
        harmless(&card.submission)
    ));
    let mut suite = TestSuite::new(harmless(&card.milestone));
    for criterion in &card.criteria {
        let status = match criterion.verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Fail => failure(NonSuccessKind::Failure, &harmless(&found(criterion))),
            Verdict::NoVerdict => failure(NonSuccessKind::Error, &harmless(&criterion.why)),
            Verdict::Skipped | Verdict::PendingReview => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(format!(
                    "{}: {}",
                    verdict(criterion.verdict),
                    harmless(&criterion.why)
                ));
                status
            }
        };
        let mut case = TestCase::new(criterion.id.clone(), status);
        case.set_classname(card.milestone.clone());
        if !criterion.evidence.is_empty() && criterion.verdict == Verdict::Fail {
            let lines: Vec<String> = criterion.evidence.iter().map(|line| harmless(line)).collect();
            case.set_system_out(lines.join("\n"));
        }
        suite.add_test_case(case);
    }
    report.add_test_suite(suite);
    // Writing to memory fails only where XML has no way to say something, and all text was made harmless.
    report.to_string().unwrap_or_default()
}

fn failure(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message.to_owned());
    status
}
