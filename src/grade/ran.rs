//! How many tests a runner says that it ran, and how many that failed: an exit of 0 is what `|| true` gives as well.

/// What the last lines of a runner's output say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ran {
    /// The tests that ran, if it says so: the most that any line does.
    pub(super) tests: Option<u64>,
    /// The tests that failed: the most that any line says.
    pub(super) failed: u64,
}

/// Words of the last line of pytest and its like, each after a number.
const OUTCOMES: &[&str] = &[
    "deselected",
    "error",
    "errors",
    "failed",
    "failing",
    "passed",
    "passing",
    "pending",
    "rerun",
    "skipped",
    "warning",
    "warnings",
    "xfailed",
    "xpassed",
];

/// Reads the last lines of a runner's output.
pub(super) fn ran(lines: &[String]) -> Ran {
    let (mut told, mut planned, mut skipped): (Option<u64>, Option<u64>, u64) = (None, None, 0);
    let mut failed = 0;
    // What unittest ran, until its next line says how many of those it skipped.
    let mut open: Option<u64> = None;
    for line in lines {
        let lower = line.to_ascii_lowercase();
        failed = failed.max(failures(&lower));
        if let Some(count) = number_after(&lower, "ran ").filter(|_| lower.contains(" test")) {
            told = told.max(open.replace(count));
        } else if let Some(kept) = open
            && let Some(left) = in_brackets(&lower, "skipped")
        {
            open = Some(kept.saturating_sub(left));
        } else if let Some(plan) = plan(&lower) {
            planned = planned.max(Some(plan));
        } else if lower.starts_with("ok ") && lower.contains("# skip") {
            skipped += 1;
        } else {
            told = told.max(count(&lower));
        }
    }
    told = told.max(open);
    let by_plan = planned.map(|plan| plan.saturating_sub(skipped));
    Ran {
        tests: told.or(by_plan),
        failed,
    }
}

/// Returns the number that follows a text at the beginning of a line.
fn number_after(lower: &str, before: &str) -> Option<u64> {
    let rest = lower.trim().strip_prefix(before)?;
    rest.split(|sign: char| !sign.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The plan of TAP: `1..6`.
fn plan(lower: &str) -> Option<u64> {
    number_after(lower, "1..")
}

/// Reads what unittest says in brackets: `OK (skipped=1)`, `FAILED (failures=1, expected failures=2)`.
fn in_brackets(lower: &str, wanted: &str) -> Option<u64> {
    let line = lower.trim();
    let inner = line
        .strip_prefix("ok (")
        .or_else(|| line.strip_prefix("failed ("))?;
    let mut parts = inner.trim_end_matches(')').split(", ");
    parts.find_map(|part| part.strip_prefix(wanted)?.strip_prefix('=')?.parse().ok())
}

/// Splits `3 failed, 5 passed in 0.1s` into its numbers and words; none where a part is something else.
fn outcomes(lower: &str) -> Option<Vec<(u64, &str)>> {
    let line = lower.trim().trim_matches('=').trim();
    let head = line.split(" in ").next().unwrap_or_default();
    let head = head.split(" (").next().unwrap_or_default();
    let pair = |part: &'_ str| -> Option<u64> { part.split_whitespace().next()?.parse().ok() };
    head.split(", ")
        .map(|part| {
            let word = part.split_whitespace().nth(1)?;
            let plain = part.split_whitespace().count() == 2 && OUTCOMES.contains(&word);
            plain.then_some((pair(part)?, word))
        })
        .collect()
}

/// Returns the number before each word of a line, where there is one.
fn numbered(lower: &str) -> impl Iterator<Item = (u64, &str)> {
    let words: Vec<&str> = lower.split_whitespace().collect();
    (1..words.len()).filter_map(move |place| {
        let count = words[place - 1].trim_matches(|sign: char| !sign.is_ascii_digit());
        let word = words[place].trim_matches(|sign: char| !sign.is_ascii_alphabetic());
        Some((count.parse().ok()?, word))
    })
}

/// Reads a field of a line of JUnit's: `Tests run: 8, Failures: 1, Errors: 0, Skipped: 2`.
fn field(lower: &str, name: &str) -> Option<u64> {
    let place = lower.find(name)?;
    number_after(&lower[place..], name)
}

/// Returns how many tests a line says that passed or ran; none where it speaks of none.
fn count(lower: &str) -> Option<u64> {
    let line = lower.trim().trim_matches('=').trim();
    if line.contains("no tests ran") || line.contains("no test files") {
        return Some(0);
    }
    if let Some(run) = field(line, "tests run: ") {
        return Some(run.saturating_sub(field(line, "skipped: ").unwrap_or(0)));
    }
    // `# pass 5` and `ℹ pass 5` of node.
    if let Some(rest) = line.strip_prefix('#').or_else(|| line.strip_prefix('ℹ')) {
        return number_after(rest, "pass ");
    }
    if line.starts_with("--- pass:") {
        return Some(1);
    }
    if let Some(parts) = outcomes(line) {
        let passed = parts
            .iter()
            .filter(|(_, word)| ["passed", "passing"].contains(word));
        return Some(passed.map(|(count, _)| count).sum());
    }
    // `test result: ok. 5 passed`, `Tests: 1 failed, 9 passed, 10 total`, `[ 3 tests successful ]`.
    if line.starts_with('[') && line.contains(" tests successful") {
        return number_after(line.trim_start_matches('[').trim(), "");
    }
    numbered(line)
        .find(|(_, word)| ["passed", "passing"].contains(word))
        .map(|(count, _)| count)
}

/// Returns how many tests a line says that failed.
fn failures(lower: &str) -> u64 {
    let line = lower.trim();
    if line.contains("tests run: ") {
        let all = ["failures: ", "errors: "]
            .iter()
            .filter_map(|name| field(line, name));
        return all.sum();
    }
    if line.starts_with("failed (") || line.starts_with("ok (") {
        let names = ["failures", "errors", "unexpected successes"];
        return names.iter().filter_map(|name| in_brackets(line, name)).sum();
    }
    if let Some(rest) = line.strip_prefix('#').or_else(|| line.strip_prefix('ℹ')) {
        return number_after(rest, "fail ").unwrap_or(0);
    }
    // One of TAP that is still to be done fails and does no harm; those inside another are told by that.
    let undone = line.contains("# todo") || line.contains("# skip");
    if lower.starts_with("not ok ") && !undone || line.starts_with("--- fail:") {
        return 1;
    }
    if let Some(parts) = outcomes(line) {
        let bad = ["error", "errors", "failed", "failing"];
        let bad = parts.iter().filter(|(_, word)| bad.contains(word));
        return bad.map(|(count, _)| count).sum();
    }
    let speaks = ["passed", "tests failed", "tests completed"]
        .iter()
        .any(|word| line.contains(word));
    let mut failed = numbered(line).filter(|(_, word)| *word == "failed" && speaks);
    let by_tests = (line.starts_with('[') && line.contains(" tests failed"))
        .then(|| number_after(line.trim_start_matches('[').trim(), "").unwrap_or(0));
    failed.next().map(|(count, _)| count).or(by_tests).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Option<u64>, u64) {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let Ran { tests, failed } = ran(&lines);
        (tests, failed)
    }

    #[test]
    fn runners_say_how_many_tests_ran_and_failed() {
        for (text, wanted) in [
            ("Ran 5 tests in 0.012s\n\nOK", (Some(5), 0)),
            ("Ran 1 test in 0.012s\n\nFAILED (failures=1)", (Some(1), 1)),
            (
                "Ran 4 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)",
                (Some(3), 3),
            ),
            (
                "Ran 3 tests in 0.1s\n\nOK (skipped=1, expected failures=2)",
                (Some(2), 0),
            ),
            ("Ran 1 test in 0.000s\n\nOK (skipped=1)", (Some(0), 0)),
            (
                "Ran 2 tests in 0.1s\n\nOK (skipped=2)\nRan 3 tests in 0.1s\n\nOK",
                (Some(3), 0),
            ),
            ("Ran 0 tests in 0.000s", (Some(0), 0)),
            ("===== 3 failed, 12 passed in 0.3s =====", (Some(12), 3)),
            ("5 passed, 2 failed", (Some(5), 2)),
            ("2 failed in 0.10s", (Some(0), 2)),
            ("5 passed, 1 error in 0.1s", (Some(5), 1)),
            (
                "5 passed, 2 skipped, 1 xfailed, 3 warnings in 61.20s (0:01:01)",
                (Some(5), 0),
            ),
            ("5 skipped in 0.1s", (Some(0), 0)),
            ("============ no tests ran in 0.00s ============", (Some(0), 0)),
            ("test result: ok. 7 passed; 0 failed; 0 ignored", (Some(7), 0)),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", (Some(3), 2)),
            ("Tests:       1 failed, 9 passed, 10 total", (Some(9), 1)),
            ("      Tests  1 failed | 9 passed (10)", (Some(9), 1)),
            ("  14 passing (20ms)\n  2 failing", (Some(14), 2)),
            ("# tests 3\n# pass 1\n# fail 2", (Some(1), 2)),
            ("1..2\n# tests 2\n# pass 0\n# fail 0\n# skipped 2", (Some(0), 0)),
            ("ℹ pass 4\nℹ fail 0", (Some(4), 0)),
            ("1..6", (Some(6), 0)),
            ("ok 1 - a\nok 2 - b # SKIP no net\n1..2", (Some(1), 0)),
            (
                "ok 1\nnot ok 2 - b\nnot ok 3 - c # TODO later\n1..3",
                (Some(3), 1),
            ),
            ("Tests run: 8, Failures: 0, Errors: 0", (Some(8), 0)),
            (
                "[ERROR] Tests run: 8, Failures: 1, Errors: 2, Skipped: 3",
                (Some(5), 3),
            ),
            (
                "--- PASS: TestList (0.00s)\n--- FAIL: TestB (0.00s)",
                (Some(1), 1),
            ),
            (
                "[         3 tests successful      ]\n[         2 tests failed          ]",
                (Some(3), 2),
            ),
            ("?   	example.org/x	[no test files]", (Some(0), 0)),
            ("all is well", (None, 0)),
            ("2 requests failed, as they should", (None, 0)),
            ("passed", (None, 0)),
        ] {
            assert_eq!(of(text), wanted, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_output_is_read(text in "(ran |1\\.\\.|tests run: |ok \\(skipped=|[0-9]{1,22}| passed| failed|, |# pass |ℹ|not ok |\\[|\n|\\PC){0,30}") {
            of(&text);
        }
    }
}
