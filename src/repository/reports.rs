//! Reports of coverage that a run of the tests has written: told from those that lay there before, and from committed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use super::coverage::{CoverageFacts, Covered, REPORT_BYTES, holding, laid_over, parse};
use super::git::Store;
use super::tree::{Tree, contents};

/// Where tools write their reports by themselves.
pub const PLACES: &[&str] = &[
    "coverage.xml",
    "lcov.info",
    "cobertura.xml",
    "coverage.lcov",
    "coverage/cobertura-coverage.xml",
    "coverage/coverage.xml",
    "coverage/lcov.info",
    "reports/coverage.xml",
    "build/reports/jacoco/test/jacocoTestReport.xml",
    "target/site/jacoco/jacoco.xml",
];
/// The largest file of code whose lines are counted.
const CODE_BYTES: u64 = 2 << 20;

/// How some files looked at some moment: when each was written last, and how large it was.
#[derive(Debug, Default)]
pub struct Looks(BTreeMap<String, (Option<SystemTime>, u64)>);

impl Looks {
    /// Looks at files by their names.
    pub fn of(files: &[(String, File)]) -> Self {
        Self(
            files
                .iter()
                .map(|(name, file)| (name.clone(), look(file)))
                .collect(),
        )
    }

    /// Whether a file is new or has been written since.
    pub fn has_changed(&self, name: &str, file: &File) -> bool {
        self.0.get(name) != Some(&look(file))
    }
}

fn look(file: &File) -> (Option<SystemTime>, u64) {
    let about = file.metadata();
    about.map_or((None, 0), |about| (about.modified().ok(), about.len()))
}

impl CoverageFacts {
    /// Reads what a run of the tests has written, and lays it over the files of the commit.
    ///
    /// # Errors
    /// When this machine can't read histories or files.
    pub fn read(folder: &Path, before: &Looks, files: Vec<(String, File)>) -> io::Result<Self> {
        let fault = |fault: &str| Self {
            fault: Some(fault.to_owned()),
            ..Self::default()
        };
        let none = match files.first() {
            Some((name, _)) => format!("the tests have not written `{name}`: it was there before they ran"),
            None => "the tests have written no report of coverage".to_owned(),
        };
        let written: Vec<(String, File)> = files
            .into_iter()
            .filter(|(name, file)| before.has_changed(name, file))
            .collect();
        if written.is_empty() {
            return Ok(fault(&none));
        }
        let tree = match Store::open(folder) {
            Ok(Some(store)) => Tree::read(&store)?.map(|tree| (store, tree)),
            Ok(None) => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(error) => return Err(error),
        };
        let Some((store, tree)) = tree else {
            return Ok(fault("the folder is no git repository, or has no commit"));
        };
        let mut last = fault("no report could be read");
        for (name, file) in written {
            let facts = match report(&store, &tree, file)? {
                Ok(covered) => laid_over(&name, &covered, &code(&store, &tree, &covered)?),
                Err(why) => fault(&format!("`{name}`: {why}")),
            };
            if facts.fault.is_none() {
                return Ok(facts);
            }
            last = facts;
        }
        Ok(last)
    }
}

/// Reads a report, unless it is a committed file.
fn report(store: &Store, tree: &Tree, file: File) -> io::Result<Result<Covered, String>> {
    let mut content = Vec::new();
    file.take(REPORT_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > REPORT_BYTES {
        return Ok(Err(format!("it is larger than {} MiB", REPORT_BYTES >> 20)));
    }
    let as_large: BTreeSet<String> = tree
        .files
        .values()
        .filter(|entry| entry.bytes == content.len() as u64)
        .map(|entry| entry.hash.clone())
        .collect();
    if contents(store, &as_large)?
        .values()
        .any(|committed| *committed == content)
    {
        return Ok(Err(
            "it is a file of the commit, not what a run has written".to_owned()
        ));
    }
    Ok(parse(&String::from_utf8_lossy(&content)))
}

/// Returns the files of the commit in the languages of a report, with their lines.
fn code(store: &Store, tree: &Tree, covered: &Covered) -> io::Result<BTreeMap<String, Vec<bool>>> {
    let ending = |path: &str| {
        Path::new(path)
            .extension()
            .map(|end| end.to_string_lossy().into_owned())
    };
    let endings: BTreeSet<String> = covered.keys().filter_map(|path| ending(path)).collect();
    let texts = tree.texts(store, CODE_BYTES, |path| {
        ending(path).is_some_and(|end| endings.contains(&end))
    })?;
    Ok(texts
        .into_iter()
        .map(|(path, text)| (path, holding(&text)))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::Repository;
    use super::*;

    const REPORT: &str = "SF:a.py\nDA:1,1\nDA:2,0\nend_of_record\n";

    #[test]
    fn a_report_counts_that_a_run_has_written_and_no_other() {
        let team = Repository::new();
        team.commit("a.py", "x = 1\ny = 2\n", "Write the first two lines");
        let files = || -> Vec<(String, File)> {
            let file = File::open(team.path().join("lcov.info")).ok();
            file.map(|file| ("lcov.info".to_owned(), file))
                .into_iter()
                .collect()
        };
        let read = |before: &Looks| CoverageFacts::read(team.path(), before, files()).unwrap();
        let before = Looks::of(&files());
        assert!(read(&before).fault.unwrap().contains("have written no report"));
        fs::write(team.path().join("lcov.info"), REPORT).unwrap();
        let facts = read(&before);
        assert_eq!((facts.fault, facts.ran, facts.lines), (None, 1, 2));
        // Here before, and not touched since.
        assert!(
            read(&Looks::of(&files()))
                .fault
                .unwrap()
                .contains("it was there before")
        );
        // Committed, and copied into its place by what calls itself the tests.
        team.git(&["add", "--all"]);
        team.git(&["commit", "--quiet", "-m", "Keep a report for later"]);
        let before = Looks::default();
        assert!(read(&before).fault.unwrap().contains("is a file of the commit"));
        fs::write(team.path().join("lcov.info"), format!("TN:\n{REPORT}")).unwrap();
        assert_eq!(read(&before).fault, None);
    }
}
