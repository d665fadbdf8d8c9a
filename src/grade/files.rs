//! What follows from the files of the submitted commit: report, images, continuous integration, container file; pure.

use super::judge::{LINES, measured, not_measured, tail};
use super::told::{fact, lacking, put};
use crate::evidence::{SplitFacts, StageEnd};
use crate::repository::{CiFacts, CoverageFacts, FileFacts, ReportFacts};
use crate::scorecard::{Findings, Measurement};

/// The measures that need the files of the commit.
pub(super) const FILES: &[&str] = &[
    "report.there",
    "report.words",
    "report.linked_files",
    "report.links_share",
    "report.images",
    "report.described_share",
    "ci.tests_on_push",
    "container.sound",
    "tool.claimed",
];
/// The fewest words of a report: an empty page with a title is none.
const LEAST_WORDS: u32 = 100;

/// Adds what the files of a commit tell.
pub(super) fn files(facts: &FileFacts, findings: &mut Findings) {
    if let Some(fault) = &facts.fault {
        for measure in FILES {
            if facts.ours || *measure == "report.words" || *measure == "report.described_share" {
                findings.insert((*measure).to_owned(), not_measured(fault));
            } else {
                put(findings, measure, lacking(0.0, fault));
            }
        }
        return;
    }
    report(facts, findings);
    if facts.images == 0 {
        let none = not_measured("README and reports show no image");
        findings.insert("report.described_share".to_owned(), none);
    } else {
        let described = facts.images - facts.undescribed;
        let why = format!("{described} of {} images", facts.images);
        let share = f64::from(described) / f64::from(facts.images);
        let mut found = measured(share, None, facts.images as usize, why);
        found.evidence = facts.lacking.iter().take(LINES).cloned().collect();
        put(findings, "report.described_share", found);
    }
    put(findings, "ci.tests_on_push", ci(&facts.ci));
    let container = match &facts.container {
        None => lacking(0.0, "there is no Dockerfile or Containerfile in the commit"),
        Some(file) => {
            let lacks = file.lacks();
            let so = lacks.is_empty();
            let why = if so {
                format!("`{}`", file.path)
            } else {
                format!("`{}`: {}", file.path, lacks[0])
            };
            let mut found = fact(so, why);
            found.evidence = lacks.into_iter().skip(1).take(LINES).collect();
            found
        }
    };
    put(findings, "container.sound", container);
    let claimed = match (&facts.tool, &facts.no_tool) {
        (Some(tool), _) => fact(true, format!("`{}`, {}", tool.name, tool.address)),
        (None, why) => lacking(0.0, why.as_deref().unwrap_or("it was not looked for")),
    };
    put(findings, "tool.claimed", claimed);
}

/// Adds what a run of the tests has covered.
pub(super) fn coverage(facts: &CoverageFacts, findings: &mut Findings) {
    let found = match &facts.fault {
        Some(fault) => lacking(0.0, fault),
        None if facts.lines == 0 => lacking(0.0, "the report knows no line of code that is no test"),
        None => {
            let share = facts.ran as f64 / facts.lines as f64;
            let why = format!(
                "{} of {} lines of {} files",
                facts.ran,
                facts.lines,
                facts.files + facts.left_out_files
            );
            let mut found = measured(share, None, facts.lines as usize, why);
            found
                .evidence
                .extend(facts.report.iter().map(|path| format!("read from `{path}`")));
            found.evidence.extend(facts.left_out.iter().take(LINES).cloned());
            found
        }
    };
    put(findings, "repository.coverage_share", found);
}

/// Of the rows of a split, so many may be no events of the data: a table rounds here and there.
const MOST_STRANGERS: f64 = 0.01;
/// Of the users whom only this run has, so many must be in a split that was made from its data.
const LEAST_PLANTED: f64 = 0.5;
/// The fewest rows to test on.
const LEAST_TEST: u64 = 50;

/// Adds how far the split of the offline evaluation leaks.
pub(super) fn split(facts: &SplitFacts, findings: &mut Findings) {
    let rows = facts.train + facts.test;
    let no_split = match &facts.fault {
        Some(fault) => Some(fault.clone()),
        None if facts.test < LEAST_TEST || facts.train < LEAST_TEST => Some(format!(
            "{} rows to learn from and {} to test on, {LEAST_TEST} are needed of each",
            facts.train, facts.test
        )),
        None if facts.strangers as f64 > MOST_STRANGERS * rows as f64 => Some(format!(
            "{} of {rows} rows are no events of the data that it got",
            facts.strangers
        )),
        None if f64::from(facts.planted_seen) < LEAST_PLANTED * f64::from(facts.planted) => Some(format!(
            "it was not made from the data that it got: {} of {} users whom only that has are in it",
            facts.planted_seen, facts.planted
        )),
        None => None,
    };
    let mut found = if let Some(why) = no_split {
        lacking(1.0, &why)
    } else {
        let leaking = facts.both + facts.early;
        let why = format!(
            "{leaking} of {} events to test on; {} of {} users to test on are learnt from",
            facts.test, facts.known_users, facts.users
        );
        measured(leaking as f64 / facts.test as f64, None, facts.test as usize, why)
    };
    found.evidence = facts.examples.iter().take(LINES).cloned().collect();
    if facts.fault.is_some() {
        let last = facts.log_tail.len().saturating_sub(LINES);
        found
            .evidence
            .extend(facts.log_tail[last..].iter().map(|line| format!("| {line}")));
    }
    put(findings, "evaluation.leak_share", found);
}

/// Adds how many of the blocks of commands that the README marks ran well.
pub(super) fn commands(stages: &[StageEnd], findings: &mut Findings) {
    let good = stages.iter().filter(|stage| stage.ok).count();
    let found = match stages.iter().find(|stage| !stage.ok) {
        _ if stages.is_empty() => lacking(0.0, "README.md marks no block of commands with `sh run`"),
        None => measured(1.0, None, good, format!("{good} blocks of commands")),
        Some(bad) if bad.command.is_empty() => lacking(0.0, &bad.what),
        Some(bad) if bad.ours => {
            let why = format!("the block at `{}`: {}", bad.command, bad.what);
            findings.insert("readme.commands_share".to_owned(), not_measured(&why));
            return;
        }
        Some(bad) => {
            let why = format!("the block at `{}`: {}", bad.command, bad.what);
            let mut found = measured(good as f64 / stages.len() as f64, None, stages.len(), why);
            found.evidence = tail(bad).collect();
            found
        }
    };
    put(findings, "readme.commands_share", found);
}

fn report(facts: &FileFacts, findings: &mut Findings) {
    let Some(report) = &facts.report else {
        let why = facts.no_report.as_deref().unwrap_or("there is no report");
        for measure in [
            "report.there",
            "report.linked_files",
            "report.links_share",
            "report.images",
        ] {
            put(findings, measure, lacking(0.0, why));
        }
        // No words are few words, and that is no merit.
        findings.insert("report.words".to_owned(), not_measured(why));
        return;
    };
    let ReportFacts { path, words, .. } = report;
    let told = format!("`{path}`, {words} words");
    put(
        findings,
        "report.there",
        fact(*words >= LEAST_WORDS, told.clone()),
    );
    put(
        findings,
        "report.words",
        measured(f64::from(*words), None, 1, told),
    );
    let n = report.linked_files;
    let mut found = measured(f64::from(n), None, 1, format!("{n} different files"));
    found.evidence = report.linked.iter().take(LINES).cloned().collect();
    put(findings, "report.linked_files", found);
    let links = if report.links == 0 {
        lacking(0.0, "the report links to nothing in the repository")
    } else {
        let good = report.links - report.broken;
        let share = f64::from(good) / f64::from(report.links);
        let why = format!("{good} of {} links and images", report.links);
        let mut found = measured(share, None, report.links as usize, why);
        found.evidence = report.faults.iter().take(LINES).cloned().collect();
        found
    };
    put(findings, "report.links_share", links);
    let n = report.images;
    put(
        findings,
        "report.images",
        measured(f64::from(n), None, 1, format!("{n} images")),
    );
}

fn ci(all: &[CiFacts]) -> Measurement {
    if let Some(good) = all.iter().find(|facts| facts.runs_tests()) {
        let mut found = fact(true, format!("`{}` for {}", good.path, good.system));
        found.evidence = good
            .tests
            .iter()
            .map(|command| format!("runs {command}"))
            .collect();
        return found;
    }
    if all.is_empty() {
        let why = "there is no configuration for GitHub Actions, GitLab CI, Jenkins, Travis CI or CircleCI in the commit";
        return lacking(0.0, why);
    }
    let lack = |facts: &CiFacts| {
        let what = match &facts.fault {
            Some(fault) => fault.clone(),
            None if !facts.on_push => "a push to the submitted branch starts nothing".to_owned(),
            None => "it runs no test whose failure would be seen".to_owned(),
        };
        format!("`{}`: {what}", facts.path)
    };
    let mut found = lacking(0.0, &lack(&all[0]));
    found.evidence = all.iter().skip(1).take(LINES).map(lack).collect();
    found
}
