//! How reports write values and verdicts, and how what a team controls is made harmless.

use crate::scorecard::{CriterionResult, Interval, Verdict};

/// The word of a verdict in the narrow column of a terminal.
pub(super) fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::NoVerdict => "?",
        Verdict::Skipped => "-",
        Verdict::PendingReview => "…",
    }
}

/// The words of a verdict.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::NoVerdict => "no verdict",
        Verdict::Skipped => "skipped",
        Verdict::PendingReview => "pending review",
    }
}

/// Writes a whole number with commas between thousands.
pub(super) fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = if number < 0.0 && digits != "0" {
        "-".to_owned()
    } else {
        String::new()
    };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a value with its unit.
pub(super) fn value(number: f64, unit: &str) -> String {
    match unit {
        "share" => format!("{:.1} %", number * 100.0),
        "count" => whole(number),
        "ms" => format!(
            "{} ms",
            if number < 10.0 {
                format!("{number:.1}")
            } else {
                whole(number)
            }
        ),
        "rps" => format!("{number:.1}/s"),
        "bits" => format!("{number:.2} bits"),
        "fact" => if number >= 1.0 { "yes" } else { "no" }.to_owned(),
        _ => format!("{number:.3}"),
    }
}

/// Writes an interval, without the unit that stands beside it.
pub(super) fn interval(interval: Interval, unit: &str) -> String {
    let end = |number: f64| match unit {
        "share" => format!("{:.1}", number * 100.0),
        "ms" if number < 10.0 => format!("{number:.1}"),
        "ms" | "count" => whole(number),
        _ => format!("{number:.3}"),
    };
    format!("({} to {})", end(interval.low), end(interval.high))
}

/// Writes points without needless decimals.
pub(super) fn points(points: f64) -> String {
    let text = format!("{points:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a line says of a criterion: value, interval and bar, or why there is none.
pub(super) fn found(criterion: &CriterionResult) -> String {
    let unit = criterion.unit.as_deref().unwrap_or_default();
    let (Some(found), true) = (criterion.value, unit != "fact") else {
        return criterion.why.clone();
    };
    if matches!(criterion.verdict, Verdict::Skipped) {
        return criterion.why.clone();
    }
    let mut text = value(found, unit);
    if let Some(range) = criterion.interval {
        text.push(' ');
        text.push_str(&interval(range, unit));
    }
    if criterion.verdict != Verdict::Pass
        && let Some(bar) = &criterion.bar
    {
        text.push_str(", ");
        text.push_str(bar);
    }
    text
}

/// Makes text harmless for a terminal or a log: signs that steer or turn it become visible.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        let turns = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if letter.is_control() || turns {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
