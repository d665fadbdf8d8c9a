//! How a rubric speaks: values by their unit, bars, and the checklist that students get.

use std::fmt::Write;

use super::{Bar, Rubric, Rule, Test};
use crate::scorecard::{Audience, Scope};

/// Writes a number of things with commas between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn value(number: f64, unit: &str) -> String {
    match unit {
        "share" => format!("{} %", (number * 1000.0).round() / 10.0),
        "count" => count(number.max(0.0).round() as u64),
        "ms" => format!("{} ms", count(number.max(0.0).round() as u64)),
        "rps" => format!("{number:.1} a second"),
        _ => format!("{number}"),
    }
}

/// Returns the bar in words; none for a fact, whose title says it.
pub(super) fn bar(test: &Test) -> Option<String> {
    match test.bar {
        Bar::AtLeast(bar) => Some(format!("wanted at least {}", value(bar, &test.unit))),
        Bar::AtMost(bar) => Some(format!("wanted at most {}", value(bar, &test.unit))),
        Bar::Holds => None,
    }
}

/// Writes the checklist that students get, from the rubric alone; hidden criteria and notes to graders are not in it.
pub fn handout(rubric: &Rubric) -> String {
    let mut text = format!(
        "# {}: checklist\n\nRubric {}, version {}. ",
        rubric.title, rubric.id, rubric.version
    );
    let _infallible = write!(text, "{} points", rubric.points);
    if rubric.bonus > 0.0 {
        let _infallible = write!(text, ", and up to {} bonus points", rubric.bonus);
    }
    text.push_str(". Each item is earned or not; there is no partial credit.\n");
    for (title, judged) in [("Measured", false), ("Judged by staff", true)] {
        let shown = rubric.criteria.iter().filter(|criterion| {
            criterion.visibility != Audience::Staff && matches!(criterion.rule, Rule::Judged { .. }) == judged
        });
        for (place, criterion) in shown.enumerate() {
            if place == 0 {
                let _infallible = writeln!(text, "\n## {title}\n");
            }
            let bonus = if criterion.bonus { ", bonus" } else { "" };
            let own = if criterion.scope == Scope::Individual {
                ", each member"
            } else {
                ""
            };
            let points = criterion.points;
            let unit = if points == 1.0 { "point" } else { "points" };
            let _infallible = writeln!(
                text,
                "- [ ] **{}** ({points} {unit}{bonus}{own}): {}",
                criterion.title, criterion.text
            );
        }
    }
    text
}
