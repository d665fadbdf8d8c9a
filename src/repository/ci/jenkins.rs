//! A Jenkinsfile: a program in Groovy, of which the calls of a shell are read and nothing is run.

use std::ops::Range;

use super::super::notice::Shell;
use super::super::shell::test_commands;
use super::{Around, fits};

/// The largest file that is read.
const FILE_BYTES: usize = 256 << 10;
/// The most calls of a shell that are looked at.
const MOST_CALLS: usize = 500;
/// So far before a text its call is looked for.
const CALL_BYTES: usize = 1_000;
/// The steps that run a text in a shell.
const STEPS: &[&str] = &["bat", "powershell", "pwsh", "sh"];

/// A text of the program, with the place where it stood.
struct Text {
    place: Range<usize>,
    text: String,
}

/// What stands between braces, and what is said before them: a name, and what it is given.
struct Block<'a> {
    name: &'a str,
    given: Range<usize>,
    inner: Range<usize>,
}

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
    let blocks = blocks(&code);
    let mut tests = Vec::new();
    let calls = texts
        .iter()
        .filter_map(|text| Some((step(&code, &text.place)?, text)));
    for (name, Text { place, text }) in calls.take(MOST_CALLS) {
        let found = test_commands(text, shell(name, text), around.own);
        if !found.is_empty() && is_seen(&code, &texts, &blocks, place.start, around.branch) {
            tests.extend(found);
        }
    }
    (on_push, tests)
}

/// Returns the step that a text is given to, if its failure is the step's own.
fn step<'a>(code: &'a str, place: &Range<usize>) -> Option<&'a str> {
    let mut begin = place.start.saturating_sub(CALL_BYTES);
    while !code.is_char_boundary(begin) {
        begin += 1;
    }
    let begin = begin
        + code[begin..place.start]
            .rfind(['{', '}', ';'])
            .map_or(0, |end| end + 1);
    let before = &code[begin..place.start];
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    // `sh(…, script: 'x')` may have several lines; `sh script: 'x'` has one.
    let bracket = before.rfind('(');
    let (call, given) = match bracket {
        Some(open) if !before[open..].contains(')') => before.split_at(open),
        _ => {
            let call = &before[line..];
            let end = call
                .trim_start()
                .find(|sign: char| !sign.is_alphanumeric())
                .map_or(call.len(), |end| end + call.len() - call.trim_start().len());
            // `def out = sh 'x'` begins with something else.
            match call.rfind("sh ").filter(|_| call.contains('=')) {
                Some(place) => call.split_at(place + 2),
                None => call.split_at(end),
            }
        }
    };
    let name = words(call).last().filter(|name| STEPS.contains(name))?;
    let given = given.trim_start_matches('(').trim();
    let rest = &code[place.end..];
    let end = rest
        .find(|sign: char| sign == ')' || bracket.is_none() && sign == '\n')
        .unwrap_or(rest.len());
    // `returnStatus: true` hands the failure to somebody who may look at it or not.
    let handed_on = given.contains("returnStatus") || rest[..end].contains("returnStatus");
    ((given.is_empty() || given.ends_with("script:")) && !handed_on).then_some(name)
}

/// Returns what a step does when a command of its text fails. A first line that names a program takes the step's own options away.
fn shell(step: &str, text: &str) -> Shell {
    match text.lines().next().and_then(|line| line.strip_prefix("#!")) {
        _ if step != "sh" => Shell::GOES_ON,
        Some(program) => Shell::GOES_ON.with(program.split_whitespace().skip(1)),
        None => Shell::STOPS,
    }
}

/// Returns the blocks of a program, each with its name: `stage`, `try`, `catchError`.
fn blocks(code: &str) -> Vec<Block<'_>> {
    let mut all: Vec<Block<'_>> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut begin = 0;
    for (place, sign) in code.char_indices() {
        match sign {
            '{' => {
                let head = code[begin..place].trim_end();
                let (head, given) = match head.strip_suffix(')').and_then(|head| head.rfind('(')) {
                    Some(bracket) => (&head[..bracket], begin + bracket..place),
                    None => (head, place..place),
                };
                open.push(all.len());
                all.push(Block {
                    name: words(head).last().unwrap_or_default(),
                    given,
                    inner: place + 1..code.len(),
                });
            }
            '}' => {
                if let Some(block) = open.pop() {
                    all[block].inner.end = place;
                }
            }
            ';' => {}
            _ => continue,
        }
        begin = place + 1;
    }
    all
}

/// Whether what stands at a place runs at a push, and whether its failure is the pipeline's.
fn is_seen(code: &str, texts: &[Text], blocks: &[Block<'_>], place: usize, branch: &str) -> bool {
    let of = |range: &Range<usize>| -> Vec<&Text> {
        let within = |text: &&Text| range.start <= text.place.start && text.place.end <= range.end;
        texts.iter().filter(within).collect()
    };
    for block in blocks.iter().filter(|block| block.inner.contains(&place)) {
        let lost = match block.name {
            "catchError" => {
                let given = &code[block.given.clone()];
                given.find("buildResult:").is_some_and(|at| {
                    let at = at + block.given.start + "buildResult:".len();
                    let next = texts
                        .iter()
                        .find(|text| text.place.start >= at && text.place.end <= block.given.end);
                    code[at..].trim_start().starts_with("null")
                        || next.is_some_and(|text| {
                            code[at..text.place.start].trim().is_empty() && text.text == "SUCCESS"
                        })
                })
            }
            "try" => {
                let caught = code[block.inner.end..]
                    .trim_start_matches('}')
                    .trim_start()
                    .starts_with("catch");
                let catch = blocks
                    .iter()
                    .find(|catch| caught && catch.inner.start > block.inner.end);
                catch.is_some_and(|catch| {
                    let told = words(&code[catch.inner.clone()])
                        .any(|word| ["error", "rethrow", "throw", "currentBuild"].contains(&word));
                    !told
                })
            }
            "stage" => blocks
                .iter()
                .filter(|when| when.name == "when" && block.inner.contains(&when.inner.start))
                .filter(|when| is_of(blocks, when, block))
                .any(|when| {
                    leaves_out(
                        &code[..when.inner.end],
                        when.inner.start,
                        &of(&when.inner),
                        branch,
                    )
                }),
            _ => false,
        };
        if lost {
            return false;
        }
    }
    true
}

/// Whether a block stands in another one without a third between them.
fn is_of(blocks: &[Block<'_>], inner: &Block<'_>, outer: &Block<'_>) -> bool {
    !blocks.iter().any(|between| {
        outer.inner.start < between.inner.start
            && between.inner.start < inner.inner.start
            && inner.inner.end < between.inner.end
    })
}

/// Whether a `when` leaves a push to the branch out; what can't be told does not. `code` ends with it, and it begins at `begin`.
fn leaves_out(code: &str, begin: usize, texts: &[&Text], branch: &str) -> bool {
    let said: Vec<&str> = words(&code[begin..]).collect();
    let has = |wanted: &[&str]| said.iter().any(|word| wanted.contains(word));
    if matches!(
        said[..],
        ["expression", "false"] | ["expression", "return", "false"]
    ) {
        return true;
    }
    if has(&["anyOf", "expression"]) {
        return false;
    }
    let mut branches = texts.iter().filter(|text| {
        let before = code[begin..text.place.start].trim_end();
        words(before).last() == Some("branch") && !before.ends_with(':')
    });
    if has(&["not"]) {
        return branches.any(|text| fits(&text.text, branch));
    }
    has(&["buildingTag", "changeRequest", "tag", "triggeredBy"])
        || branches.any(|text| !fits(&text.text, branch))
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|sign: char| !sign.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Takes a program apart into its code, in which texts and comments are empty, and its texts with their places in that code.
fn parts(text: &str) -> (String, Vec<Text>) {
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
            texts.push(Text {
                place: before..code.len(),
                text: inner,
            });
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
