//! How reports write values and verdicts, and how what a team controls is made harmless.

use crate::scorecard::{CriterionResult, Excluded, Interval, Verdict};

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

/// Writes milliseconds: tenths below ten, whole ones above.
pub(super) fn millis(number: f64) -> String {
    if number < 10.0 {
        format!("{number:.1}")
    } else {
        whole(number)
    }
}

/// Writes a value with its unit.
pub(super) fn value(number: f64, unit: &str) -> String {
    match unit {
        "share" => format!("{:.1} %", number * 100.0),
        "count" => whole(number),
        "ms" => format!("{} ms", millis(number)),
        "rps" => format!("{number:.1}/s"),
        "bits" => format!("{number:.2} bits"),
        "usd" => format!("${number:.3}"),
        "fact" => if number >= 1.0 { "yes" } else { "no" }.to_owned(),
        _ => format!("{number:.3}"),
    }
}

/// Writes an interval, without the unit that stands beside it.
pub(super) fn interval(interval: Interval, unit: &str) -> String {
    let end = |number: f64| match unit {
        "share" => format!("{:.1}", number * 100.0),
        "ms" => millis(number),
        "count" => whole(number),
        _ => format!("{number:.3}"),
    };
    format!("({} to {})", end(interval.low), end(interval.high))
}

/// Writes a confidence level: `98 %`.
pub(super) fn level(level: f64) -> String {
    let text = format!("{:.2}", level * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Writes points without needless decimals.
pub(super) fn points(points: f64) -> String {
    // A sum of nothing is minus zero, which nobody wants to read.
    let text = format!("{:.2}", points + 0.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Writes a number of things, with the word for one or for more.
pub(super) fn counted(number: usize, one: &str, more: &str) -> String {
    format!(
        "{} {}",
        whole(number as f64),
        if number == 1 { one } else { more }
    )
}

/// Writes what was left out of a figure; empty when nothing was.
pub(super) fn left_out(excluded: &[Excluded]) -> String {
    let reasons: Vec<String> = excluded
        .iter()
        .filter(|excluded| excluded.count > 0)
        .map(|excluded| {
            let reason = excluded.reason.replace('_', " ");
            format!("{} ({reason})", whole(excluded.count as f64))
        })
        .collect();
    if reasons.is_empty() {
        String::new()
    } else {
        format!("left out: {}", reasons.join(", "))
    }
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
    if (criterion.verdict != Verdict::Pass || criterion.undecided)
        && let Some(bar) = &criterion.bar
    {
        text.push_str(", ");
        text.push_str(bar);
    }
    text
}

/// Whether a sign steers a terminal, turns or hides text, or has no place in XML.
fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Makes text harmless for a terminal, a log or a page: signs that steer, turn or hide it become visible.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_harmful(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Makes a line harmless and cuts it at a number of signs, saying how many are gone.
pub(super) fn cut(text: &str, most: usize) -> String {
    let shown = harmless(text);
    match shown.char_indices().nth(most) {
        None => shown,
        Some((at, _)) => {
            let gone = shown[at..].chars().count();
            format!(
                "{} … ({} more)",
                &shown[..at],
                counted(gone, "character", "characters")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_that_steer_turn_or_hide_text_become_visible() {
        assert_eq!(harmless("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(harmless("gpj\u{202e}exe"), "gpj\\u{202e}exe");
        assert_eq!(
            harmless("\u{200b}\u{2066}\u{61c}\u{e0041}\u{9b}"),
            "\\u{200b}\\u{2066}\\u{61c}\\u{e0041}\\u{9b}"
        );
        assert_eq!(harmless("one\ntwo\r"), "one\\ntwo\\r");
        assert_eq!(harmless("Amélie, 千と千尋, ±5 %"), "Amélie, 千と千尋, ±5 %");
    }

    #[test]
    fn a_long_line_is_cut_between_letters_and_says_what_is_gone() {
        assert_eq!(cut("éééé", 4), "éééé");
        assert_eq!(cut("ééééé", 4), "éééé … (1 character more)");
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(whole(1_234_567.0), "1,234,567");
        assert_eq!(whole(-0.2), "0");
        assert_eq!(points(-0.0), "0");
        assert_eq!(points(2.5), "2.5");
        assert_eq!(value(0.931, "share"), "93.1 %");
        assert_eq!(value(1240.4, "ms"), "1,240 ms");
        assert_eq!(level(0.98), "98 %");
        assert_eq!(level(0.997_777), "99.78 %");
    }
}
