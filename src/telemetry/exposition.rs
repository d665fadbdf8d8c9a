//! The text format of Prometheus metrics (version 0.0.4): strict, so that a line that no scraper would take is told.
//!
//! Source: the format's description, `prometheus.io/docs/instrumenting/exposition_formats`. `OpenMetrics` adds exemplars behind
//! a `#` and a last line `# EOF`; both are read over.

use std::collections::BTreeMap;
use std::fmt;

/// The most samples that are read: a large service has some thousands.
const MOST_SAMPLES: usize = 50_000;
/// The longest line.
const MOST_LINE: usize = 16 << 10;

/// One sample: a name, its labels, a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value; may be infinite or not a number.
    pub value: f64,
}

/// What is wrong with a page of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpositionError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ExpositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ExpositionError {}

/// Reads a page of metrics.
///
/// # Errors
/// At the first line that the format does not allow.
pub fn parse_exposition(text: &str) -> Result<Vec<Sample>, ExpositionError> {
    let mut samples = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let fault = |what: String| ExpositionError {
            line: place + 1,
            what,
        };
        if line.len() > MOST_LINE {
            return Err(fault(format!("longer than {MOST_LINE} bytes")));
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if samples.len() == MOST_SAMPLES {
            return Err(fault(format!("more than {MOST_SAMPLES} samples")));
        }
        samples.push(sample(line).map_err(fault)?);
    }
    Ok(samples)
}

fn sample(line: &str) -> Result<Sample, String> {
    let (name, labels, rest) = series(line)?;
    // Behind the value may stand a time stamp, or an exemplar behind a `#`.
    let rest = rest.split(" # ").next().unwrap_or_default();
    let mut words = rest.split_whitespace();
    let value = words.next().ok_or("a sample without a value")?;
    let value = number(value).ok_or_else(|| format!("`{}` is not a number", shorten(value)))?;
    if let Some(stamp) = words.next()
        && stamp.parse::<f64>().is_err()
    {
        return Err(format!("`{}` is not a time stamp", shorten(stamp)));
    }
    if words.next().is_some() {
        return Err("more than a value and a time stamp".to_owned());
    }
    Ok(Sample { name, labels, value })
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        other => other
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
            .then(|| other.parse().ok())
            .flatten(),
    }
}

/// Reads a name and its labels, and returns what stands behind them.
fn series(text: &str) -> Result<(String, BTreeMap<String, String>, &str), String> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    let name = &text[..end];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{}` does not begin with a metric's name", shorten(text)));
    }
    let rest = text[end..].trim_start();
    let mut labels = BTreeMap::new();
    let Some(mut rest) = rest.strip_prefix('{') else {
        return Ok((name.to_owned(), labels, rest));
    };
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((name.to_owned(), labels, behind));
        }
        let (label, behind) = rest.split_once('=').ok_or("a label without `=`")?;
        let label = label.trim();
        let wrong = label.is_empty()
            || label.starts_with(|c: char| c.is_ascii_digit())
            || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if wrong {
            return Err(format!("`{}` is not a label's name", shorten(label)));
        }
        let (value, behind) = quoted(behind.trim_start())?;
        if labels.insert(label.to_owned(), value).is_some() {
            return Err(format!("the label `{label}` stands twice"));
        }
        rest = behind.trim_start();
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind;
        } else if !rest.starts_with('}') {
            return Err("labels that are not closed by `}`".to_owned());
        }
    }
}

fn quoted(text: &str) -> Result<(String, &str), String> {
    let text = text.strip_prefix('"').ok_or("a label's value without quotes")?;
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[place + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                _ => return Err("a `\\` that escapes nothing".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a label's value that is not closed".to_owned())
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Which series are meant: a name, and labels that must have these values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    name: String,
    labels: BTreeMap<String, String>,
}

/// Why a selector can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError(String);

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SelectorError {}

impl Selector {
    /// Reads a selector: `http_requests_total{route="/recommend"}`.
    ///
    /// # Errors
    /// When it is no name with labels.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let (name, labels, rest) = series(text.trim()).map_err(SelectorError)?;
        if !rest.trim().is_empty() {
            return Err(SelectorError(format!(
                "`{}` stands behind the selector",
                shorten(rest.trim())
            )));
        }
        Ok(Self { name, labels })
    }

    /// Returns the selector of a histogram's part: `_bucket`, `_count`, `_sum`.
    #[must_use]
    pub fn part(&self, suffix: &str) -> Self {
        Self {
            name: format!("{}{suffix}", self.name),
            labels: self.labels.clone(),
        }
    }

    /// Tells whether a sample is of a series that is meant.
    pub fn holds(&self, sample: &Sample) -> bool {
        sample.name == self.name
            && self
                .labels
                .iter()
                .all(|(label, value)| sample.labels.get(label) == Some(value))
    }
}

/// Returns the sum over the series that are meant; none if there are none.
pub fn total(samples: &[Sample], selector: &Selector) -> Option<f64> {
    let mut found = samples.iter().filter(|sample| selector.holds(sample)).peekable();
    found.peek()?;
    Some(found.map(|sample| sample.value).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Sample {
        parse_exposition(line).unwrap().remove(0)
    }

    #[test]
    fn samples_are_read_as_the_format_has_them() {
        let plain = one("up 1");
        assert_eq!((plain.name.as_str(), plain.value), ("up", 1.0));
        let full = one(
            "http_requests_total{method=\"post\",path=\"C:\\\\DIR\\n\\\"x\\\"\",} 1.027e+03 1395066363000",
        );
        assert_eq!(full.labels["path"], "C:\\DIR\n\"x\"");
        assert!((full.value - 1027.0).abs() < 1e-9);
        assert!(one("a_bucket{le=\"+Inf\"} +Inf").value.is_infinite());
        assert!(one("a NaN").value.is_nan());
        assert_eq!(one("a{ b = \"c\" } 2 # {trace=\"1\"} 0.5 1").labels["b"], "c");
        let page = "# HELP up Whether\n# TYPE up gauge\n\nup 1\n# EOF\n";
        assert_eq!(parse_exposition(page).unwrap().len(), 1);
    }

    #[test]
    fn what_no_scraper_takes_is_told_with_its_line() {
        for (page, wanted) in [
            (
                "up 1\n<html>",
                "line 2: `<html>` does not begin with a metric's name",
            ),
            ("up", "line 1: a sample without a value"),
            ("up one", "line 1: `one` is not a number"),
            ("up 1 2 3", "line 1: more than a value and a time stamp"),
            ("up{a=\"b} 1", "line 1: a label's value that is not closed"),
            ("up{a=b} 1", "line 1: a label's value without quotes"),
            (
                "up{a=\"b\" c=\"d\"} 1",
                "line 1: labels that are not closed by `}`",
            ),
            ("up{a=\"b\",a=\"c\"} 1", "line 1: the label `a` stands twice"),
            ("up{1a=\"b\"} 1", "line 1: `1a` is not a label's name"),
            ("up{a=\"\\x\"} 1", "line 1: a `\\` that escapes nothing"),
        ] {
            assert_eq!(parse_exposition(page).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn a_selector_sums_the_series_that_are_meant() {
        let page = "r{route=\"a\",code=\"200\"} 3\nr{route=\"a\",code=\"500\"} 4\nr{route=\"b\"} 5\nrr 9\n";
        let samples = parse_exposition(page).unwrap();
        let sum = |text: &str| total(&samples, &Selector::parse(text).unwrap());
        assert_eq!(sum("r"), Some(12.0));
        assert_eq!(sum("r{route=\"a\"}"), Some(7.0));
        assert_eq!(sum("r{route=\"c\"}"), None);
        assert!(Selector::parse("r{route=\"a\"} x").is_err());
        assert!(Selector::parse("").is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[ -~\n\\x00-\\x1f]{0,200}") {
            drop(parse_exposition(&text));
            drop(Selector::parse(&text));
        }

        #[test]
        fn what_is_printed_is_read_back(
            name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,10}",
            label in "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
            text in ".{0,20}",
            value in -1e12_f64..1e12,
        ) {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            prop_assume!(!text.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']));
            let sample = one(&format!("{name}{{{label}=\"{escaped}\"}} {value}"));
            prop_assert_eq!(sample, Sample { name, labels: [(label, text)].into(), value });
        }
    }
}
