//! The configuration of GitLab CI.

use super::super::notice::Shell;
use super::super::shell::test_commands;
use super::super::yaml::Node;
use super::condition::met;
use super::{Around, takes};

/// Names at the top that are no jobs.
const NO_JOBS: &[&str] = &[
    "after_script",
    "before_script",
    "cache",
    "default",
    "image",
    "include",
    "services",
    "spec",
    "stages",
    "variables",
    "workflow",
];
/// How many templates a job may stand on.
const MOST_PARENTS: usize = 10;

/// How deep references may lead to others.
const MOST_REFERENCES: usize = 10;
/// The most lines of a script with all that it refers to.
const MOST_LINES: usize = 2_000;

/// Returns whether any job runs at a push, and the commands of those that run tests.
pub(super) fn read(root: &Node, around: &Around<'_>) -> (bool, Vec<String>) {
    if root
        .get("workflow")
        .and_then(|workflow| workflow.get("rules"))
        .is_some_and(|rules| rule_met(rules, around).is_none())
    {
        return (false, Vec::new());
    }
    let (mut on_push, mut tests) = (false, Vec::new());
    for (name, job) in root.entries() {
        // A name that begins with a dot is a template.
        if name.starts_with('.') || NO_JOBS.contains(&name) {
            continue;
        }
        let chain = chain(root, job);
        let value = |key: &str| chain.iter().find_map(|job| job.get(key));
        let (runs, rule) = runs(&value, around);
        if !runs {
            continue;
        }
        on_push = true;
        // What the rule says of failures counts before what the job says.
        let allowed = rule
            .and_then(|rule| rule.get("allow_failure"))
            .or_else(|| value("allow_failure"));
        if allowed.is_some_and(may_fail) {
            continue;
        }
        let before = value("before_script")
            .or_else(|| root.get("default")?.get("before_script"))
            .or_else(|| root.get("before_script"));
        let mut lines = Vec::new();
        for part in [before, value("script")].into_iter().flatten() {
            script(root, part, &mut lines, 0);
        }
        tests.extend(test_commands(&lines.join("\n"), Shell::STRICT, around.own));
    }
    (on_push, tests)
}

/// Whether a test may fail: `true`, or the codes with which runners of tests end.
fn may_fail(allowed: &Node) -> bool {
    let codes = allowed.get("exit_codes").map(Node::texts).unwrap_or_default();
    allowed.is_true() || codes.contains(&"1")
}

/// Collects the lines of a script. A list within it whose words lead to another part of the file is a `!reference` to that.
fn script<'a>(root: &'a Node, part: &'a Node, lines: &mut Vec<&'a str>, depth: usize) {
    if depth == MOST_REFERENCES || lines.len() >= MOST_LINES {
        return;
    }
    if let Node::List(_) = part {
        let path = part.texts();
        let led = (path.len() > 1)
            .then(|| path.iter().try_fold(root, |node, key| node.get(key)))
            .flatten();
        match led {
            Some(target) => script(root, target, lines, depth + 1),
            None => {
                for item in part.items() {
                    script(root, item, lines, depth + 1);
                }
            }
        }
    } else {
        lines.extend(part.text());
    }
}

/// Returns a job and the templates that it stands on, the nearest first.
fn chain<'a>(root: &'a Node, job: &'a Node) -> Vec<&'a Node> {
    let mut chain = vec![job];
    let mut place = 0;
    while place < chain.len() && chain.len() < MOST_PARENTS {
        // Of several parents the last one counts first.
        let parents = chain[place].get("extends").map(Node::texts).unwrap_or_default();
        chain.extend(parents.iter().rev().filter_map(|name| root.get(name)));
        place += 1;
    }
    chain
}

/// Whether a job runs at a push, and by which rule, if any.
fn runs<'a>(value: &impl Fn(&str) -> Option<&'a Node>, around: &Around<'_>) -> (bool, Option<&'a Node>) {
    if value("when").and_then(Node::text).is_some_and(stops) {
        return (false, None);
    }
    if let Some(rules) = value("rules") {
        let rule = rule_met(rules, around);
        return (rule.is_some(), rule);
    }
    let refs = |list: &Node| {
        let words = list.texts();
        words.contains(&"branches") || words.contains(&"pushes") || takes(list, around.branch)
    };
    let only = |only: &Node| match only {
        Node::Map(_) => {
            only.get("refs").is_none_or(refs) && only.get("changes").is_none_or(|paths| around.changes(paths))
        }
        Node::Text(_) | Node::List(_) => refs(only),
    };
    let except = |except: &Node| match except {
        Node::Map(_) => {
            except.get("refs").is_some_and(refs)
                || except.get("changes").is_some_and(|paths| around.changes(paths))
        }
        Node::Text(_) | Node::List(_) => refs(except),
    };
    let runs = value("only").is_none_or(only) && !value("except").is_some_and(except);
    (runs, None)
}

fn stops(when: &str) -> bool {
    ["manual", "never", "delayed", "on_failure"].contains(&when)
}

/// Returns the first rule that a push to the branch meets, if it lets it through. What can't be told is taken to be met if it lets
/// through, and not to be met if it does not.
fn rule_met<'a>(rules: &'a Node, around: &Around<'_>) -> Option<&'a Node> {
    for rule in rules.items() {
        let condition = rule.get("if").and_then(Node::text);
        let holds = condition.map_or(Some(true), |condition| {
            met(condition, &|name| known(name, around.branch))
        });
        let changes = rule.get("changes").is_none_or(|changes| {
            let paths = changes.get("paths").unwrap_or(changes);
            around.changes(paths)
        });
        if holds == Some(false) || !changes {
            continue;
        }
        if !rule.get("when").and_then(Node::text).is_some_and(stops) {
            return Some(rule);
        }
        if holds == Some(true) && rule.get("exists").is_none() {
            return None;
        }
    }
    None
}

/// Returns what a variable holds at a push to a branch.
fn known(name: &str, branch: &str) -> Option<String> {
    let text = match name {
        "$CI_PIPELINE_SOURCE" => "push",
        "$CI_COMMIT_BRANCH" | "$CI_COMMIT_REF_NAME" | "$CI_DEFAULT_BRANCH" => branch,
        "$CI" | "$GITLAB_CI" => "true",
        "$CI_COMMIT_TAG" | "$CI_OPEN_MERGE_REQUESTS" => "",
        _ if name.starts_with("$CI_MERGE_REQUEST") => "",
        _ => return None,
    };
    Some(text.to_owned())
}
