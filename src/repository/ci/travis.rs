//! The configuration of Travis CI.

use super::super::notice::Shell;
use super::super::shell::test_commands;
use super::super::yaml::Node;
use super::condition::met;
use super::{Around, takes};

/// Languages whose builds run the tests by themselves, and how.
const BY_DEFAULT: &[(&str, &str)] = &[
    ("go", "go test"),
    ("java", "gradle check, or mvn test"),
    ("node_js", "npm test"),
    ("ruby", "rake"),
    ("rust", "cargo test"),
];

/// Returns whether a push starts a build, and the commands that run tests.
pub(super) fn read(root: &Node, around: &Around<'_>) -> (bool, Vec<String>) {
    let branches = root.get("branches");
    let only = branches.and_then(|branches| branches.get("only"));
    let except = branches.and_then(|branches| branches.get("except"));
    let on_push = at_a_push(root, around)
        && only.is_none_or(|only| takes(only, around.branch))
        && !except.is_some_and(|except| takes(except, around.branch));
    let lists: Vec<&Node> = ["jobs", "matrix"]
        .iter()
        .filter_map(|name| root.get(name))
        .collect();
    let named = |wanted: &str| -> Vec<&Node> {
        let lists = lists.iter().filter_map(|jobs| jobs.get(wanted));
        lists.flat_map(Node::items).collect()
    };
    let (included, allowed) = (named("include"), named("allow_failures"));
    // Where jobs are listed one by one, the top is one only if it has several versions of something.
    let many = |(_, value): (&str, &Node)| matches!(value, Node::List(items) if items.len() > 1);
    let top = included.is_empty()
        || root
            .entries()
            .any(|entry| EXPANDED.contains(&entry.0) && many(entry));
    let jobs = top.then_some(root).into_iter().chain(included);
    let mut tests = Vec::new();
    for job in jobs.filter(|job| at_a_push(job, around)) {
        if allowed.iter().any(|entry| is_of(entry, job, root)) {
            continue;
        }
        if let Some(script) = job.get("script").or_else(|| root.get("script")) {
            // Each line runs by itself, and its last command says whether it failed.
            for line in script.texts() {
                tests.extend(test_commands(line, Shell::GOES_ON, around.own));
            }
            continue;
        }
        let language = job.get("language").or_else(|| root.get("language"));
        let language = language.and_then(Node::text);
        if let Some((_, command)) = BY_DEFAULT.iter().find(|(name, _)| language == Some(name)) {
            tests.push((*command).to_owned());
        }
    }
    (on_push, tests)
}

/// Names whose lists make a job of each of their items.
const EXPANDED: &[&str] = &[
    "arch", "compiler", "env", "go", "jdk", "node_js", "os", "php", "python", "ruby", "rust", "rvm",
];

/// Whether an entry of the jobs that may fail means this one: all that it says is so there.
fn is_of(entry: &Node, job: &Node, root: &Node) -> bool {
    let mut said = entry.entries().peekable();
    said.peek().is_some()
        && said.all(|(name, value)| {
            let of_job = job.get(name).or_else(|| root.get(name));
            of_job.is_some_and(|of_job| of_job.texts() == value.texts())
        })
}

/// Whether a condition lets a push through; what can't be told is taken to be met.
fn at_a_push(part: &Node, around: &Around<'_>) -> bool {
    let Some(condition) = part.get("if").and_then(Node::text) else {
        return true;
    };
    let known = |name: &str| match name {
        "type" => Some("push".to_owned()),
        "branch" => Some(around.branch.to_owned()),
        "tag" => Some(String::new()),
        // Others that Travis knows hold what only it can tell; all else is a word that stands for itself.
        "commit_message" | "fork" | "head_branch" | "head_repo" | "os" | "repo" | "sender" => None,
        _ if name.starts_with("env") => None,
        _ => Some(name.to_owned()),
    };
    met(condition, &known) != Some(false)
}
