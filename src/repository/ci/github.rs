//! Workflows of GitHub Actions.

use super::super::shell::test_commands;
use super::super::yaml::Node;
use super::{Around, takes};

/// How deep workflows may call each other; GitHub itself allows ten.
const MOST_CALLS: usize = 4;

/// Returns whether a push starts the workflow, and the commands that run tests.
pub(super) fn read(workflow: &Node, around: &Around<'_>) -> (bool, Vec<String>) {
    let on_push = workflow.get("on").is_some_and(|on| on_push(on, around.branch));
    (on_push, tests(workflow, around, 0))
}

fn on_push(on: &Node, branch: &str) -> bool {
    if on.texts().contains(&"push") {
        return true;
    }
    let Some(push) = on.get("push") else {
        return false;
    };
    match (push.get("branches"), push.get("branches-ignore")) {
        (Some(branches), _) => takes(branches, branch),
        (None, Some(ignored)) => !takes(ignored, branch),
        // Where tags alone are named, a push to a branch starts nothing.
        (None, None) => push.get("tags").is_none() && push.get("tags-ignore").is_none(),
    }
}

fn tests(workflow: &Node, around: &Around<'_>, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let jobs = workflow.get("jobs").into_iter().flat_map(Node::entries);
    for (_, job) in jobs.filter(|(_, job)| counts(job)) {
        let called = job
            .get("uses")
            .and_then(Node::text)
            .and_then(|uses| uses.strip_prefix("./"));
        if let Some(called) = called.and_then(|path| around.workflows.get(path))
            && depth < MOST_CALLS
        {
            found.extend(tests(called, around, depth + 1));
        }
        let steps = job.get("steps").map(Node::items).unwrap_or_default();
        for step in steps.into_iter().filter(|step| counts(step)) {
            let is_shell = step
                .get("shell")
                .and_then(Node::text)
                .is_none_or(|shell| !shell.starts_with("python"));
            if let Some(script) = step.get("run").and_then(Node::text)
                && is_shell
            {
                found.extend(test_commands(script, around.own));
            }
        }
    }
    found
}

/// Whether a job or a step runs at a push, and whether its failure is one of the workflow.
fn counts(part: &Node) -> bool {
    if part.get("continue-on-error").is_some_and(Node::is_true) {
        return false;
    }
    let Some(condition) = part.get("if").and_then(Node::text) else {
        return true;
    };
    let condition = condition
        .trim()
        .trim_start_matches("${{")
        .trim_end_matches("}}")
        .trim();
    let other_event = condition
        .strip_prefix("github.event_name ==")
        .is_some_and(|event| !event.contains("push") && !event.contains("||"));
    condition != "false" && !other_event
}
