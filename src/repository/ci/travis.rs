//! The configuration of Travis CI.

use super::super::shell::test_commands;
use super::super::yaml::Node;
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
    let on_push = at_a_push(root)
        && only.is_none_or(|only| takes(only, around.branch))
        && !except.is_some_and(|except| takes(except, around.branch));
    let lists = [root.get("jobs"), root.get("matrix")];
    let included = lists.into_iter().flatten().filter_map(|jobs| jobs.get("include"));
    let jobs = included.flat_map(Node::items).filter(|job| at_a_push(job));
    let parts: Vec<&Node> = std::iter::once(root).chain(jobs).collect();
    let scripts: Vec<&Node> = parts.iter().filter_map(|part| part.get("script")).collect();
    let mut tests: Vec<String> = scripts
        .iter()
        .flat_map(|script| script.texts())
        .flat_map(|line| test_commands(line, around.own))
        .collect();
    if scripts.is_empty()
        && let Some(language) = root.get("language").and_then(Node::text)
        && let Some((_, command)) = BY_DEFAULT.iter().find(|(name, _)| *name == language)
    {
        tests.push((*command).to_owned());
    }
    (on_push, tests)
}

/// Whether a condition lets a push through: those on the type of a build are read, others are taken to be met.
fn at_a_push(part: &Node) -> bool {
    let condition = part.get("if").and_then(Node::text).unwrap_or_default();
    let condition = condition.replace(' ', "");
    let other = [
        "type=cron",
        "type=pull_request",
        "type=api",
        "type!=push",
        "tagISpresent",
    ];
    !other.iter().any(|word| condition.contains(word))
}
