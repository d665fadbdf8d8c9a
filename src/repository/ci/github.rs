//! Workflows of GitHub Actions.

use super::super::notice::Shell;
use super::super::shell::test_commands;
use super::super::yaml::Node;
use super::condition::met;
use super::{Around, takes};

/// How deep workflows may call each other; GitHub itself allows ten.
const MOST_CALLS: usize = 4;
/// How long a chain of jobs that need each other may be.
const MOST_NEEDS: usize = 10;
/// The most jobs that are asked for by all chains together.
const ALL_NEEDS: usize = 500;

/// Returns whether a push starts the workflow, and the commands that run tests.
pub(super) fn read(workflow: &Node, around: &Around<'_>) -> (bool, Vec<String>) {
    let on_push = workflow.get("on").is_some_and(|on| on_push(on, around));
    (on_push, tests(workflow, around, 0))
}

fn on_push(on: &Node, around: &Around<'_>) -> bool {
    if on.texts().contains(&"push") {
        return true;
    }
    let Some(push) = on.get("push") else {
        return false;
    };
    let paths = push.get("paths").is_none_or(|paths| around.changes(paths))
        && !push
            .get("paths-ignore")
            .is_some_and(|paths| around.changes(paths));
    paths
        && match (push.get("branches"), push.get("branches-ignore")) {
            (Some(branches), _) => takes(branches, around.branch),
            (None, Some(ignored)) => !takes(ignored, around.branch),
            // Where tags alone are named, a push to a branch starts nothing.
            (None, None) => push.get("tags").is_none() && push.get("tags-ignore").is_none(),
        }
}

fn tests(workflow: &Node, around: &Around<'_>, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let Some(jobs) = workflow.get("jobs") else {
        return found;
    };
    let shell_of = |part: &Node| -> Option<String> {
        let shell = part.get("defaults")?.get("run")?.get("shell")?.text()?;
        Some(shell.to_owned())
    };
    let mut left = ALL_NEEDS;
    for (_, job) in jobs.entries() {
        if !fails_with(job, around) || !runs(jobs, job, around, 0, &mut left) {
            continue;
        }
        let called = job
            .get("uses")
            .and_then(Node::text)
            .and_then(|uses| uses.strip_prefix("./"));
        if let Some(called) = called.and_then(|path| around.workflows.get(path))
            && depth < MOST_CALLS
        {
            found.extend(tests(called, around, depth + 1));
        }
        let usual = shell_of(job).or_else(|| shell_of(workflow));
        let steps = job.get("steps").map(Node::items).unwrap_or_default();
        for step in steps
            .into_iter()
            .filter(|step| fails_with(step, around) && condition(step, around) != Some(false))
        {
            let named = step.get("shell").and_then(Node::text).or(usual.as_deref());
            if let (Some(script), Some(shell)) = (step.get("run").and_then(Node::text), shell(named)) {
                found.extend(test_commands(script, shell, around.own));
            }
        }
    }
    found
}

/// Returns what a shell does when a command fails, as GitHub starts it; none if it is no shell.
fn shell(name: Option<&str>) -> Option<Shell> {
    match name {
        None | Some("sh") => Some(Shell::STOPS),
        Some("bash") => Some(Shell::STRICT),
        Some(name) if name.starts_with("python") => None,
        // `bash -l {0}` stops at no failure.
        Some(name) => Some(Shell::GOES_ON.with(name.split_whitespace().skip(1))),
    }
}

/// Whether the failure of a job or a step is one of the workflow.
fn fails_with(part: &Node, around: &Around<'_>) -> bool {
    let goes_on = part.get("continue-on-error").and_then(Node::text);
    goes_on.and_then(|text| met(text, &|name| known(name, around.branch))) != Some(true)
}

fn condition(part: &Node, around: &Around<'_>) -> Option<bool> {
    let text = part.get("if").and_then(Node::text)?;
    met(text, &|name| known(name, around.branch))
}

/// Whether a job runs at a push: its own condition is met, and those that it needs run, unless it says that it runs all the same.
fn runs(jobs: &Node, job: &Node, around: &Around<'_>, depth: usize, left: &mut usize) -> bool {
    if condition(job, around) == Some(false) {
        return false;
    }
    let own = job.get("if").and_then(Node::text).unwrap_or_default();
    let all_the_same = ["always()", "failure()", "cancelled()"]
        .iter()
        .any(|word| own.contains(word));
    if all_the_same || depth == MOST_NEEDS || *left == 0 {
        return true;
    }
    *left -= 1;
    let needed = job.get("needs").map(Node::texts).unwrap_or_default();
    needed
        .iter()
        .filter_map(|name| jobs.get(name))
        .all(|needed| runs(jobs, needed, around, depth + 1, left))
}

/// Returns what a name stands for at a push to a branch.
fn known(name: &str, branch: &str) -> Option<String> {
    let text = match name {
        "github.event_name" => "push".to_owned(),
        "github.ref" => format!("refs/heads/{branch}"),
        "github.ref_name" | "github.event.repository.default_branch" => branch.to_owned(),
        "github.ref_type" => "branch".to_owned(),
        "github.head_ref" | "github.base_ref" => String::new(),
        _ if name.starts_with("github.event.pull_request") || name.starts_with("github.event.inputs") => {
            String::new()
        }
        _ => return None,
    };
    Some(text)
}
