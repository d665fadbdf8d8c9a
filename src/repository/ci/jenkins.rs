//! A Jenkinsfile: a program in Groovy, of which the calls of a shell are read and nothing is run.

use super::super::shell::test_commands;
use super::Around;

/// The largest file that is read.
const FILE_BYTES: usize = 256 << 10;

/// Returns whether a push starts the pipeline, and the commands that run tests. Jenkins is told elsewhere what to watch; a file
/// that names a clock alone as its trigger says that no push starts it.
pub(super) fn read(text: &str, around: &Around<'_>) -> (bool, Vec<String>) {
    if text.len() > FILE_BYTES {
        return (false, Vec::new());
    }
    let (code, texts) = parts(text);
    let word = |wanted: &str| words(&code).any(|word| word == wanted);
    let by_clock_alone = word("cron")
        && !["pollSCM", "githubPush", "gitlab", "upstream"]
            .iter()
            .any(|name| word(name));
    let on_push = (word("pipeline") || word("node")) && !by_clock_alone;
    let mut tests = Vec::new();
    for (before, after, script) in texts {
        let call = code[..before].trim_end().trim_end_matches("script:").trim_end();
        let call = call.trim_end_matches('(').trim_end();
        let name = call
            .rsplit(|sign: char| !sign.is_alphanumeric())
            .next()
            .unwrap_or_default();
        // `returnStatus: true` hands the failure to somebody who may look at it or not.
        let rest = &code[after..];
        let handed_on = rest[..rest.find([')', '\n']).unwrap_or(rest.len())].contains("returnStatus");
        if ["sh", "bat", "powershell"].contains(&name) && !handed_on {
            tests.extend(test_commands(&script, around.own));
        }
    }
    (on_push, tests)
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|sign: char| !sign.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Takes a program apart into its code, in which texts and comments are empty, and its texts with their places in that code.
fn parts(text: &str) -> (String, Vec<(usize, usize, String)>) {
    let mut code = String::new();
    let mut texts = Vec::new();
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
        } else if let Some(quote) = ["'''", "\"\"\"", "'", "\""]
            .into_iter()
            .find(|quote| rest.starts_with(quote))
        {
            let (inner, after) = quoted(&rest[quote.len()..], quote);
            let before = code.len();
            code.push_str("\"\"");
            texts.push((before, code.len(), inner));
            rest = after;
        } else {
            code.push(sign);
            rest = &rest[sign.len_utf8()..];
        }
    }
    (code, texts)
}

/// Reads a text to its end; a backslash keeps what follows from ending it.
fn quoted<'a>(text: &'a str, quote: &str) -> (String, &'a str) {
    let mut inner = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(quote) {
            return (inner, after);
        }
        let kept = rest.strip_prefix('\\').filter(|kept| !kept.is_empty());
        let mut signs = kept.unwrap_or(rest).chars();
        match (signs.next(), kept) {
            (Some('n'), Some(_)) => inner.push('\n'),
            (sign, _) => inner.extend(sign),
        }
        rest = signs.as_str();
    }
    (inner, "")
}
