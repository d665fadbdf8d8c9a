//! The configuration of GitLab CI.

use super::super::shell::test_commands;
use super::super::yaml::Node;
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

/// Returns whether any job runs at a push, and the commands of those that run tests.
pub(super) fn read(root: &Node, around: &Around<'_>) -> (bool, Vec<String>) {
    if root
        .get("workflow")
        .is_some_and(|workflow| !by_rules(workflow, around.branch))
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
        if !runs(&value, around.branch) {
            continue;
        }
        on_push = true;
        if value("allow_failure").is_some_and(Node::is_true) {
            continue;
        }
        let script = value("script").map(Node::texts).unwrap_or_default();
        tests.extend(script.iter().flat_map(|line| test_commands(line, around.own)));
    }
    (on_push, tests)
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

fn runs<'a>(value: &impl Fn(&str) -> Option<&'a Node>, branch: &str) -> bool {
    if value("when")
        .and_then(Node::text)
        .is_some_and(|when| ["manual", "never", "delayed"].contains(&when))
    {
        return false;
    }
    if let Some(rules) = value("rules") {
        return rules_take(rules, branch);
    }
    let named = |list: &Node| {
        let refs = list.get("refs").unwrap_or(list);
        let words = refs.texts();
        words.contains(&"branches") || words.contains(&"pushes") || takes(refs, branch)
    };
    value("only").is_none_or(named) && !value("except").is_some_and(named)
}

fn by_rules(workflow: &Node, branch: &str) -> bool {
    workflow
        .get("rules")
        .is_none_or(|rules| rules_take(rules, branch))
}

/// Whether the first rule that a push to a branch can meet lets it through. Conditions on variables that we do not know are
/// taken to be met if they let through, and not to be met if they do not.
fn rules_take(rules: &Node, branch: &str) -> bool {
    for rule in rules.items() {
        let condition = rule.get("if").and_then(Node::text).unwrap_or_default();
        let other = [
            "merge_request",
            "CI_COMMIT_TAG",
            "schedule",
            "trigger",
            "\"web\"",
            "'web'",
            "\"api\"",
            "'api'",
        ]
        .iter()
        .any(|word| condition.contains(word));
        let negated = condition.contains("!=") || condition.contains("== null");
        if other && !negated {
            continue;
        }
        let other_branch = condition
            .split_once("$CI_COMMIT_BRANCH ==")
            .and_then(|(_, rest)| {
                rest.trim()
                    .trim_start_matches(['"', '\''])
                    .split(['"', '\''])
                    .next()
            })
            .is_some_and(|name| !name.starts_with('$') && name != branch);
        if other_branch && !condition.contains("||") {
            continue;
        }
        let stops = rule
            .get("when")
            .and_then(Node::text)
            .is_some_and(|when| ["manual", "never", "delayed"].contains(&when));
        if !stops {
            return true;
        }
        if condition.is_empty() {
            return false;
        }
    }
    false
}
