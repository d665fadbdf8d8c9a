//! The configuration of CircleCI.

use super::super::notice::Shell;
use super::super::shell::test_commands;
use super::super::yaml::Node;
use super::condition::met;
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
        let unless = workflow
            .get("unless")
            .and_then(|unless| holds(root, unless, around, 0));
        let when = workflow.get("when").and_then(|when| holds(root, when, around, 0));
        if workflow.get("triggers").is_some() || when == Some(false) || unless == Some(true) {
            continue;
        }
        let jobs = workflow.get("jobs").map(Node::items).unwrap_or_default();
        // What waits for somebody, and then what waits for that: jobs stand before those that require them.
        let mut waiting: Vec<&str> = Vec::new();
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
            let requires = about.and_then(|about| about.get("requires"));
            let requires = requires.map(Node::texts).unwrap_or_default();
            if waits || !taken || requires.iter().any(|name| waiting.contains(name)) {
                let called = about.and_then(|about| about.get("name")).and_then(Node::text);
                waiting.extend(called.or(name));
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
    let usual = job.get("shell").and_then(Node::text);
    for step in job.get("steps").map(Node::items).unwrap_or_default() {
        let run = step.get("run");
        let command = run.and_then(|run| run.text().or_else(|| run.get("command")?.text()));
        if let Some(command) = command {
            let about = |name: &str| run.and_then(|run| run.get(name)).and_then(Node::text);
            let shell = about("shell").or(usual).map_or(Shell::STRICT, |shell| {
                Shell::GOES_ON.with(shell.split_whitespace().skip(1))
            });
            if about("when") != Some("on_fail") {
                found.extend(test_commands(command, shell, around.own));
            }
            continue;
        }
        if depth == MOST_CALLS {
            continue;
        }
        for (name, met) in [("when", true), ("unless", false)] {
            let Some(inner) = step.get(name) else { continue };
            let condition = inner.get("condition");
            if condition.and_then(|condition| holds(root, condition, around, 0)) != Some(!met) {
                found.extend(tests(root, inner, around, depth + 1));
            }
        }
        let name = step
            .text()
            .or_else(|| step.entries().next().map(|(name, _)| name));
        let called = root
            .get("commands")
            .zip(name)
            .and_then(|(commands, name)| commands.get(name));
        if let Some(called) = called {
            found.extend(tests(root, called, around, depth + 1));
        }
    }
    found
}

/// Whether a condition holds at a push to the branch: `and`, `or`, `not` and `equal` of values; none if it can't be told.
fn holds(root: &Node, condition: &Node, around: &Around<'_>, depth: usize) -> Option<bool> {
    if depth == MOST_CALLS {
        return None;
    }
    if let Some(text) = condition.text() {
        let text = value(root, text, around)?;
        return met(&text, &|name| known(name, around.branch));
    }
    let (name, inner) = condition.entries().next()?;
    let each = || {
        inner
            .items()
            .into_iter()
            .map(|item| holds(root, item, around, depth + 1))
    };
    match name {
        "not" => holds(root, inner, around, depth + 1).map(|met| !met),
        "and" if each().any(|met| met == Some(false)) => Some(false),
        "and" => each().all(|met| met == Some(true)).then_some(true),
        "or" if each().any(|met| met == Some(true)) => Some(true),
        "or" => each().all(|met| met == Some(false)).then_some(false),
        "equal" => {
            let texts = inner.texts();
            let values: Option<Vec<String>> = texts.iter().map(|text| value(root, text, around)).collect();
            Some(values?.windows(2).all(|pair| pair[0] == pair[1]))
        }
        _ => None,
    }
}

/// Returns what a text stands for: `<< pipeline.git.branch >>`, or a parameter's default.
fn value(root: &Node, text: &str, around: &Around<'_>) -> Option<String> {
    let name = text
        .trim()
        .strip_prefix("<<")
        .and_then(|rest| rest.strip_suffix(">>"));
    let Some(name) = name.map(str::trim) else {
        return (!text.contains("<<")).then(|| text.to_owned());
    };
    if let Some(parameter) = name.strip_prefix("pipeline.parameters.") {
        let default = root.get("parameters")?.get(parameter)?.get("default")?;
        return default.text().map(str::to_owned);
    }
    known(name, around.branch)
}

fn known(name: &str, branch: &str) -> Option<String> {
    match name {
        "pipeline.git.branch" => Some(branch.to_owned()),
        "pipeline.git.tag" => Some(String::new()),
        "pipeline.trigger_source" => Some("webhook".to_owned()),
        _ => None,
    }
}
