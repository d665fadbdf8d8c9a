//! The configuration of CircleCI.

use super::super::shell::test_commands;
use super::super::yaml::Node;
use super::{Around, takes};

/// How deep commands may stand on each other.
const MOST_CALLS: usize = 4;

/// Returns whether a push starts a workflow, and the commands of its jobs that run tests.
pub(super) fn read(root: &Node, around: &Around<'_>) -> (bool, Vec<String>) {
    let Some(workflows) = root.get("workflows") else {
        // The old form: one job by the name of `build`, at each push.
        let job = root.get("jobs").and_then(|jobs| jobs.get("build"));
        return (
            job.is_some(),
            job.map_or_else(Vec::new, |job| tests(root, job, around, 0)),
        );
    };
    let (mut on_push, mut found) = (false, Vec::new());
    for (_, workflow) in workflows.entries() {
        // A workflow with a schedule runs at no push.
        if workflow.get("triggers").is_some() {
            continue;
        }
        let jobs = workflow.get("jobs").map(Node::items).unwrap_or_default();
        for named in jobs {
            let (name, about) = match named.entries().next() {
                Some((name, about)) => (Some(name), Some(about)),
                None => (named.text(), None),
            };
            let waits = about.and_then(|about| about.get("type")).and_then(Node::text) == Some("approval");
            let branches = about
                .and_then(|about| about.get("filters"))
                .and_then(|filters| filters.get("branches"));
            let only = branches.and_then(|branches| branches.get("only"));
            let ignored = branches.and_then(|branches| branches.get("ignore"));
            let taken = only.is_none_or(|only| takes(only, around.branch))
                && !ignored.is_some_and(|ignored| takes(ignored, around.branch));
            if waits || !taken {
                continue;
            }
            on_push = true;
            if let Some(job) = root.get("jobs").zip(name).and_then(|(jobs, name)| jobs.get(name)) {
                found.extend(tests(root, job, around, 0));
            }
        }
    }
    (on_push, found)
}

fn tests(root: &Node, job: &Node, around: &Around<'_>, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for step in job.get("steps").map(Node::items).unwrap_or_default() {
        let run = step.get("run");
        let command = run.and_then(|run| run.text().or_else(|| run.get("command")?.text()));
        if let Some(command) = command {
            found.extend(test_commands(command, around.own));
            continue;
        }
        let name = step
            .text()
            .or_else(|| step.entries().next().map(|(name, _)| name));
        let called = root
            .get("commands")
            .zip(name)
            .and_then(|(commands, name)| commands.get(name));
        if let Some(called) = called
            && depth < MOST_CALLS
        {
            found.extend(tests(root, called, around, depth + 1));
        }
    }
    found
}
