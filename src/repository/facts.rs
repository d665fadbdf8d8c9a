//! What the files of the submitted commit tell, put together: the report and its links, images, what tests them, what runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ci::{self, CiFacts};
use super::container::{self, ContainerFacts};
use super::document::{self, Document, Image, Link, TEXT_BYTES};
use super::git::{Store, remotes};
use super::links::{Inside, Leads, leads, repository_of};
use super::tool::{TOOL, TOOL_BYTES, ToolClaim, parse_tool};
use super::tree::{Tree, contents, named};
use super::{LEAST_DIGITS, MOST_DIGITS, SHOWN};
use crate::coursefile::Faults;

/// The forms in which a report may be written.
const FORMS: &[&str] = &["md", "markdown", "html", "htm", "ipynb"];
/// The most texts whose images are looked at.
const MOST_TEXTS: usize = 200;
/// The largest file whose lines are counted, for a link that names some.
const COUNTED_BYTES: u64 = 2 << 20;
/// The folder of reports.
const REPORTS: &str = "reports/";

/// What is looked for in a repository.
#[derive(Debug, Clone, Copy)]
pub struct LookFor<'a> {
    /// The report's path without its ending: `reports/m1`.
    pub report: &'a str,
    /// How the repository says that its tests are run.
    pub tests: &'a [String],
    /// The port on which the contract has the service.
    pub port: u16,
}

/// What the files of a commit tell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileFacts {
    /// Why there is nothing to tell, if there isn't.
    pub fault: Option<String>,
    /// Whether the fault is this machine's.
    pub ours: bool,
    /// The commit.
    pub commit: String,
    /// The number of its files.
    pub files: u32,
    /// The report, if it is there.
    pub report: Option<ReportFacts>,
    /// Why it is not, if it isn't.
    pub no_report: Option<String>,
    /// The images of the README and of all reports.
    pub images: u32,
    /// Those of them without a text that says what they show.
    pub undescribed: u32,
    /// Place, source and lack of a part of those.
    pub lacking: Vec<String>,
    /// The configurations of continuous integration.
    pub ci: Vec<CiFacts>,
    /// The container file, if there is one.
    pub container: Option<ContainerFacts>,
    /// The tool that the submission is about, if it claims one.
    #[serde(default)]
    pub tool: Option<ToolClaim>,
    /// Why it claims none, if it doesn't.
    #[serde(default)]
    pub no_tool: Option<String>,
}

/// What a report tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportFacts {
    /// The file.
    pub path: String,
    /// Its words, without code.
    pub words: u32,
    /// The images that it shows.
    pub images: u32,
    /// Links and images that lead into the repository.
    pub links: u32,
    /// Those of them that lead to nothing.
    pub broken: u32,
    /// Place, target and fault of a part of those.
    pub faults: Vec<String>,
    /// The files that it links to, without reports and images: a part of them.
    pub linked: Vec<String>,
    /// Their number.
    pub linked_files: u32,
}

impl FileFacts {
    /// Reads the files of the commit that is checked out in a folder. Nothing of the repository is executed.
    pub fn read(folder: &Path, wanted: LookFor<'_>) -> Self {
        let fault = |fault: String, ours: bool| Self {
            fault: Some(fault),
            ours,
            ..Self::default()
        };
        match read(folder, wanted) {
            Ok(Some(facts)) => facts,
            Ok(None) => fault(
                "the folder is no git repository, or has no commit".to_owned(),
                false,
            ),
            Err(error) => fault(error.to_string(), error.kind() != io::ErrorKind::InvalidData),
        }
    }
}

fn read(folder: &Path, wanted: LookFor<'_>) -> io::Result<Option<FileFacts>> {
    let Some(store) = Store::open(folder)? else {
        return Ok(None);
    };
    let Some(tree) = Tree::read(&store)? else {
        return Ok(None);
    };
    let mut facts = FileFacts {
        commit: tree.commit.clone(),
        files: tree.files.len() as u32,
        ..FileFacts::default()
    };
    let report = FORMS
        .iter()
        .map(|form| format!("{}.{form}", wanted.report))
        .find(|path| tree.files.contains_key(path));
    let texts = tree.texts(&store, TEXT_BYTES, |path| {
        let is_readme = !path.contains('/') && path.to_ascii_lowercase().starts_with("readme.");
        (is_readme || path.starts_with(REPORTS)) && document::is_text(path)
    })?;
    let mut images = Vec::new();
    for (path, text) in texts.iter().take(MOST_TEXTS) {
        let document = document::read(path, text);
        if Some(path) == report.as_ref() {
            facts.report = Some(read_report(&store, &tree, path, &document, &own(folder))?);
        }
        images.extend(document.images);
    }
    if facts.report.is_none() {
        facts.no_report = Some(no_report(folder, wanted.report, report.as_deref()));
    }
    facts.images = images.len() as u32;
    let lacking: Vec<String> = images.iter().filter_map(lack).collect();
    facts.undescribed = lacking.len() as u32;
    facts.lacking = lacking.into_iter().take(SHOWN).collect();
    let configurations = tree.texts(&store, COUNTED_BYTES, |path| ci::system(path).is_some())?;
    let code: Vec<String> = tree
        .files
        .keys()
        .filter(|path| ci::is_code(path))
        .cloned()
        .collect();
    facts.ci = ci::read(
        &configurations,
        store.branch().unwrap_or("main"),
        wanted.tests,
        &code,
    );
    if let Some(path) = container::choose(tree.files.keys()) {
        let text = tree.texts(&store, container::FILE_BYTES, |other| other == path)?;
        facts.container = Some(match text.get(path) {
            Some(text) => container::read(path, text, wanted.port),
            None => ContainerFacts {
                path: path.clone(),
                faults: vec![format!("it is larger than {} KiB", container::FILE_BYTES >> 10)],
                ..ContainerFacts::default()
            },
        });
    }
    match claimed(&store, &tree)? {
        Ok(tool) => facts.tool = Some(tool),
        Err(why) => facts.no_tool = Some(why),
    }
    Ok(Some(facts))
}

/// Reads which tool the commit claims, or why it claims none.
fn claimed(store: &Store, tree: &Tree) -> io::Result<Result<ToolClaim, String>> {
    if !tree.files.contains_key(TOOL) {
        return Ok(Err(format!("there is no `{TOOL}` in the commit")));
    }
    let text = tree.texts(store, TOOL_BYTES, |path| path == TOOL)?;
    Ok(match text.get(TOOL) {
        Some(text) => parse_tool(text).map_err(|faults| in_one_line(&faults)),
        None => Err(format!(
            "`{TOOL}` is no text, or larger than {} KiB",
            TOOL_BYTES >> 10
        )),
    })
}

/// Tells the faults of a file in the one line that a reason is.
fn in_one_line(faults: &Faults) -> String {
    let lines = faults.0.iter().map(|fault| {
        let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})"));
        let place = format!("{}:{}:{}", fault.file, fault.line, fault.column);
        format!("{place}: {}{}", fault.message, hint.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn lack(image: &Image) -> Option<String> {
    let why = image.lacks()?;
    let source: String = image.source.chars().take(80).collect();
    Some(format!("{}: `{source}`: {why}", image.place))
}

/// Says where the report was looked for, and whether it only was not committed.
fn no_report(folder: &Path, stem: &str, found: Option<&str>) -> String {
    if let Some(path) = found {
        return format!("`{path}` is larger than {} MiB", TEXT_BYTES >> 20);
    }
    let forgotten = FORMS
        .iter()
        .map(|form| format!("{stem}.{form}"))
        .find(|path| fs::symlink_metadata(folder.join(path)).is_ok_and(|about| about.is_file()));
    match forgotten {
        Some(path) => format!("`{path}` is in the folder and not in the commit"),
        None => format!("there is no `{stem}.md` in the commit, nor `.html` or `.ipynb`"),
    }
}

/// Returns the names under which the repository is hosted, as its remotes tell.
fn own(folder: &Path) -> BTreeSet<String> {
    remotes(folder)
        .iter()
        .filter_map(|remote| repository_of(remote))
        .collect()
}

/// A link that leads into the repository, or seems to.
struct Candidate {
    place: String,
    target: String,
    inside: Inside,
    /// Whether it is ours for certain.
    certain: bool,
}

fn read_report(
    store: &Store,
    tree: &Tree,
    path: &str,
    document: &Document,
    own: &BTreeSet<String>,
) -> io::Result<ReportFacts> {
    let mut facts = ReportFacts {
        path: path.to_owned(),
        words: document.words,
        images: document.images.len() as u32,
        ..ReportFacts::default()
    };
    let mut broken = Vec::new();
    let mut candidates = Vec::new();
    let shown = document.images.iter().map(|image| Link {
        place: image.place.clone(),
        target: image.source.clone(),
    });
    for link in document.links.iter().cloned().chain(shown) {
        let (inside, certain) = match leads(&link, path) {
            Leads::Elsewhere => continue,
            Leads::Nowhere(why) => {
                broken.push(fault(&link.place, &link.target, why));
                continue;
            }
            Leads::Inside(inside) => (inside, true),
            Leads::Hosted { repository, inside } => (inside, own.contains(&repository)),
        };
        let Link { place, target } = link;
        candidates.push(Candidate {
            place,
            target,
            inside,
            certain,
        });
    }
    let names: Vec<String> = candidates
        .iter()
        .map(|candidate| match &candidate.inside.version {
            None => format!("{}:{}", tree.commit, candidate.inside.path),
            Some(version) => match commit_of(store, version) {
                Some(commit) => format!("{commit}:{}", candidate.inside.path),
                None => "-".to_owned(),
            },
        })
        .collect();
    let found = named(store, &names)?;
    let lines = lines_of(store, &candidates, &found)?;
    let mut linked = BTreeSet::new();
    for ((candidate, name), found) in candidates.iter().zip(&names).zip(&found) {
        let Candidate {
            place,
            target,
            inside,
            certain,
        } = candidate;
        let why = match found {
            // Somebody else's repository, as far as we can tell.
            None if !certain => continue,
            None if name == "-" => {
                "names a branch or nothing we have: link to a commit, whose files stay".to_owned()
            }
            None => "is not in that commit".to_owned(),
            Some((hash, is_file)) => {
                facts.links += 1;
                match (inside.line, lines.get(hash)) {
                    (Some(line), Some(last)) if line > *last => {
                        facts.links -= 1;
                        format!("has {last} lines, the link names line {line}")
                    }
                    _ => {
                        if *is_file && is_code(&inside.path) {
                            linked.insert(inside.path.clone());
                        }
                        continue;
                    }
                }
            }
        };
        broken.push(fault(place, target, &why));
    }
    facts.links += broken.len() as u32;
    facts.broken = broken.len() as u32;
    facts.faults = broken.into_iter().take(SHOWN).collect();
    facts.linked_files = linked.len() as u32;
    facts.linked = linked.into_iter().take(SHOWN).collect();
    Ok(facts)
}

fn fault(place: &str, target: &str, why: &str) -> String {
    let target: String = target.chars().take(120).collect();
    format!("{place}: `{target}` {why}")
}

/// Whether a file is one that a report can point to as evidence: no report and no picture.
fn is_code(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let ends = [".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf"];
    !path.starts_with(REPORTS) && !ends.iter().any(|end| lower.ends_with(end))
}

/// Returns what a version stands for if it is fixed: the digits of a commit, or a tag.
fn commit_of(store: &Store, version: &str) -> Option<String> {
    let digits = version.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits && (LEAST_DIGITS..=MOST_DIGITS).contains(&version.len()) {
        return Some(version.to_owned());
    }
    store.tag(version).map(str::to_owned)
}

/// Counts the lines of the files of which a link names some.
fn lines_of(
    store: &Store,
    candidates: &[Candidate],
    found: &[Option<(String, bool)>],
) -> io::Result<BTreeMap<String, u32>> {
    let wanted: BTreeSet<String> = candidates
        .iter()
        .zip(found)
        .filter(|(candidate, _)| candidate.inside.line.is_some())
        .filter_map(|(_, found)| found.as_ref().filter(|(_, is_file)| *is_file))
        .map(|(hash, _)| hash.clone())
        .collect();
    let count = |content: &Vec<u8>| {
        let ends = content.iter().filter(|byte| **byte == b'\n').count();
        let unended = usize::from(content.last().is_some_and(|byte| *byte != b'\n'));
        (ends + unended) as u32
    };
    Ok(contents(store, &wanted)?
        .iter()
        .map(|(hash, content)| (hash.clone(), count(content)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Repository;
    use super::*;

    fn facts(team: &Repository) -> FileFacts {
        let tests = ["make", "checks"].map(str::to_owned);
        let wanted = LookFor {
            report: "reports/m1",
            tests: &tests,
            port: 8082,
        };
        FileFacts::read(team.path(), wanted)
    }

    #[test]
    fn what_is_wrong_with_the_claim_of_a_tool_is_told_in_one_line() {
        let text = "schema = \"reelworld/tool/v1\"\nname = \"MLflow\"\naddress = \"github\"\ntol = 1\n";
        let told = in_one_line(&parse_tool(text).unwrap_err());
        assert!(!told.contains('\n'), "{told}");
        for part in ["tool.toml:3:11: ", "tool.toml:4:1: ", " (for example "] {
            assert!(told.contains(part), "`{part}` is not in {told}");
        }
    }

    #[test]
    fn links_of_a_report_are_followed_into_the_commit_and_to_the_versions_that_they_name() {
        let team = Repository::new();
        team.commit("train.py", "a\nb\nc\n", "Train on what was watched");
        let first = team.ask(&["rev-parse", "HEAD"]);
        let first = first.trim();
        team.git(&["tag", "v1"]);
        team.git(&["remote", "add", "origin", "git@github.com:otters/movies.git"]);
        team.git(&["rm", "--quiet", "train.py"]);
        fs::create_dir(team.path().join("reports")).unwrap();
        fs::write(team.path().join("serve.py"), "x\n").unwrap();
        let blob = "https://github.com/otters/movies/blob";
        let report = format!(
            "[a](../serve.py#L1) [b]({blob}/{first}/train.py#L2-L3) [c]({blob}/v1/train.py) [d](https://example.org) [e](#models) \
             [f](https://github.com/others/theirs/blob/main/x.py) [g](..)\n\n\
             [h](../train.py) [i]({blob}/main/serve.py) [j]({blob}/{first}/serve.py) [k](../serve.py#L9) [l](../../x) ![m](no.png)\n"
        );
        team.commit("reports/m1.md", &report, "Write the report of milestone one");
        let facts = facts(&team);
        assert_eq!(facts.fault, None);
        let report = facts.report.unwrap();
        assert_eq!(
            (report.links, report.broken, report.images),
            (10, 6, 1),
            "{:?}",
            report.faults
        );
        assert_eq!(report.linked, ["serve.py", "train.py"]);
        for (part, why) in [
            ("`../train.py`", "is not in that commit"),
            ("/main/serve.py`", "names a branch"),
            ("/serve.py`", "is not in that commit"),
            ("#L9`", "has 1 lines, the link names line 9"),
            ("`../../x`", "leads out of the repository"),
            ("`no.png`", "is not in that commit"),
        ] {
            assert!(
                report
                    .faults
                    .iter()
                    .any(|fault| fault.contains(part) && fault.contains(why)),
                "{part} {why}: {:?}",
                report.faults
            );
        }
        assert!(
            report
                .faults
                .iter()
                .all(|fault| fault.starts_with("reports/m1.md:"))
        );
    }

    #[test]
    fn what_counts_is_what_was_committed() {
        let team = Repository::new();
        team.commit("README.md", "![](a.png)\n", "Start from the company's starter");
        fs::create_dir(team.path().join("reports")).unwrap();
        fs::write(team.path().join("reports/m1.md"), "text").unwrap();
        fs::write(team.path().join("Dockerfile"), "FROM x:1\n").unwrap();
        fs::write(team.path().join(".gitlab-ci.yml"), "t: {script: pytest}\n").unwrap();
        let before = facts(&team);
        assert_eq!(before.report, None);
        assert!(
            before
                .no_report
                .unwrap()
                .contains("is in the folder and not in the commit")
        );
        assert_eq!(
            (before.images, before.undescribed, before.container),
            (1, 1, None)
        );
        assert!(before.ci.is_empty());
        team.git(&["add", "--all"]);
        team.git(&["commit", "--quiet", "-m", "Add all of it"]);
        let after = facts(&team);
        assert_eq!(after.report.unwrap().words, 1);
        assert!(after.ci[0].runs_tests());
        assert_eq!(after.container.unwrap().path, "Dockerfile");
        assert_ne!(after.commit, before.commit);
    }

    #[test]
    fn a_folder_without_a_commit_has_no_files() {
        let none = tempfile::tempdir().unwrap();
        let wanted = LookFor {
            report: "reports/m1",
            tests: &[],
            port: 1,
        };
        let facts = FileFacts::read(none.path(), wanted);
        assert!(facts.fault.unwrap().contains("no git repository") && !facts.ours);
        let empty = Repository::new();
        assert!(self::facts(&empty).fault.is_some());
    }
}
