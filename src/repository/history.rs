//! What a history holds: its commits, what each brought, and the credentials that any of its files ever held.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

use super::git::{Store, is_hash};
use super::secrets::{Credential, credentials};

/// The largest file that is searched for credentials: what is larger is data or a model.
const SEARCHED_BYTES: u64 = 1 << 20;
/// The most bytes of one line of what git tells.
const LINE_BYTES: u64 = 64 << 10;
/// The most commits that are read; the longest history of a team's semester seen had some two thousand.
const MOST_COMMITS: usize = 50_000;
/// No more credentials are looked for once there are so many.
const MOST_FOUND: usize = 10_000;
/// What begins a commit in what we ask git to print: git quotes it wherever else it could begin a line.
const BEGIN: char = '\u{1}';

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) hash: String,
    pub(super) parents: usize,
    pub(super) subject: String,
    /// The objects that it brought, with their paths.
    pub(super) brought: Vec<(String, String)>,
}

/// A credential in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leak {
    pub(super) path: String,
    pub(super) credential: Credential,
    /// The first commit that brought it, if a commit of one parent did.
    pub(super) commit: Option<String>,
}

impl Leak {
    /// Returns the leak as a report tells it.
    pub(super) fn told(&self) -> String {
        let commit = self.commit.as_ref().map_or_else(
            || "in a merge".to_owned(),
            |commit| format!("since commit {}", &commit[..10]),
        );
        let Credential { line, kind, .. } = self.credential;
        format!(
            "{}:{line}: {kind}, `{}`, {commit}",
            self.path,
            self.credential.shown()
        )
    }
}

/// Returns all commits, the newest first.
pub(super) fn commits(store: &Store) -> io::Result<Vec<Commit>> {
    let words = [
        "log",
        "--stdin",
        "--date-order",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--format=%x01%H%x00%P%x00%s",
    ];
    store.ask(&words, store.tips(), |out| {
        let mut all: Vec<Commit> = Vec::new();
        while let Some(line) = line(out)? {
            if let Some(head) = line.strip_prefix(BEGIN) {
                if all.len() == MOST_COMMITS {
                    // The rest is read, so that git ends well, and left out.
                    io::copy(out, &mut io::sink())?;
                    break;
                }
                all.extend(commit(head));
            } else if let Some(last) = all.last_mut() {
                change(&line, last);
            }
        }
        Ok(all)
    })
}

fn commit(head: &str) -> Option<Commit> {
    let mut parts = head.splitn(3, '\0');
    let hash = parts.next().filter(|hash| is_hash(hash))?.to_owned();
    let parents = parts.next()?.split_whitespace().count();
    Some(Commit {
        hash,
        parents,
        subject: parts.next()?.to_owned(),
        brought: Vec::new(),
    })
}

/// Reads a line of `--raw` (`:100644 100644 OLD NEW M<TAB>path`).
fn change(line: &str, commit: &mut Commit) {
    if let Some((about, path)) = line.strip_prefix(':').and_then(|rest| rest.split_once('\t')) {
        let mut words = about.split(' ');
        // A folder of another repository is no file of this one.
        let is_file = words.nth(1).is_some_and(|mode| mode.starts_with("100"));
        if let Some(new) = words.nth(1).filter(|new| is_file && is_hash(new)) {
            commit.brought.push((new.to_owned(), path.to_owned()));
        }
    }
}

/// Files whose lines nobody writes or reads one by one: data, locks, notebooks, what tools make.
const UNREAD: &[&str] = &[
    ".csv", ".ipynb", ".json", ".jsonl", ".lock", ".map", ".min.css", ".min.js", ".snap", ".sum", ".svg",
    ".tsv", ".txt.gz", ".xml",
];
/// The same by their whole names.
const UNREAD_NAMES: &[&str] = &["Pipfile.lock", "package-lock.json", "pnpm-lock.yaml"];

/// Returns the lines of code and text that each commit of one parent adds and takes away; what only moved counts for nothing.
pub(super) fn sizes(store: &Store) -> io::Result<BTreeMap<String, u64>> {
    let words = [
        "log",
        "--stdin",
        "--no-merges",
        "--numstat",
        "-M",
        "-l200",
        "--format=%x01%H",
    ];
    store.ask(&words, store.tips(), |out| {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        let mut current: Option<String> = None;
        while let Some(line) = line(out)? {
            if let Some(hash) = line.strip_prefix(BEGIN).filter(|hash| is_hash(hash)) {
                if all.len() == MOST_COMMITS {
                    io::copy(out, &mut io::sink())?;
                    break;
                }
                all.insert(hash.to_owned(), 0);
                current = Some(hash.to_owned());
            } else if let Some(size) = current.as_ref().and_then(|hash| all.get_mut(hash)) {
                *size += changed(&line);
            }
        }
        Ok(all)
    })
}

/// Reads a line of `--numstat` (`12<TAB>3<TAB>path`, dashes for what is no text).
fn changed(line: &str) -> u64 {
    let mut parts = line.splitn(3, '\t');
    let (added, taken, path) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    // `{old => new}/a.lock`, or a name in quotes: what counts is how it ends.
    let end = path.trim_end_matches(['"', '}']);
    let name = end.rsplit('/').next().unwrap_or(end);
    if UNREAD.iter().any(|ending| end.ends_with(ending)) || UNREAD_NAMES.contains(&name) {
        return 0;
    }
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u64>().ok()).unwrap_or(0);
    number(added).saturating_add(number(taken))
}

/// Returns every credential that any file of the history ever held: each content is searched once, whatever points to it.
pub(super) fn leaks(store: &Store, commits: &[Commit]) -> io::Result<Vec<Leak>> {
    let mut paths: BTreeMap<String, String> =
        store.ask(&["rev-list", "--objects", "--stdin"], store.tips(), |out| {
            let mut paths = BTreeMap::new();
            while let Some(line) = line(out)? {
                if let Some((hash, path)) = line.split_once(' ') {
                    paths.insert(hash.to_owned(), path.to_owned());
                }
            }
            Ok(paths)
        })?;
    let names: Vec<u8> = paths
        .keys()
        .flat_map(|hash| format!("{hash}\n").into_bytes())
        .collect();
    let small: BTreeSet<String> = store.ask(&["cat-file", "--batch-check"], names, |out| {
        let mut small = BTreeSet::new();
        while let Some(line) = line(out)? {
            let mut words = line.split(' ');
            if let (Some(hash), Some("blob"), Some(Ok(bytes))) =
                (words.next(), words.next(), words.next().map(str::parse::<u64>))
                && bytes <= SEARCHED_BYTES
            {
                small.insert(hash.to_owned());
            }
        }
        Ok(small)
    })?;
    paths.retain(|hash, _| small.contains(hash));
    let names: Vec<u8> = small
        .iter()
        .flat_map(|hash| format!("{hash}\n").into_bytes())
        .collect();
    let found = store.ask(&["cat-file", "--batch"], names, |out| {
        let mut found = Vec::new();
        while let Some(about) = line(out)? {
            let mut words = about.split(' ');
            let (Some(hash), Some(_), Some(Ok(bytes))) =
                (words.next(), words.next(), words.next().map(str::parse::<u64>))
            else {
                continue;
            };
            let mut content = Vec::new();
            (&mut *out).take(bytes + 1).read_to_end(&mut content)?;
            let whole = content.strip_suffix(b"\n").unwrap_or(&content);
            if found.len() < MOST_FOUND {
                found.extend(
                    credentials(whole)
                        .into_iter()
                        .map(|credential| (hash.to_owned(), credential)),
                );
            }
        }
        Ok(found)
    })?;
    // The oldest commit comes last, and its word stays.
    let mut brought: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (age, commit) in commits.iter().enumerate() {
        for (hash, path) in &commit.brought {
            brought.insert(hash, (age, path));
        }
    }
    // The same credential in many versions of a file is one: the oldest, and what a merge brought where nothing else did.
    let mut leaks: BTreeMap<(String, &str, String), (Option<usize>, Credential)> = BTreeMap::new();
    for (hash, credential) in found {
        let first = brought.get(hash.as_str());
        let path = first.map(|(_, path)| (*path).to_owned());
        let path = path.or_else(|| paths.get(&hash).cloned()).unwrap_or_default();
        let age = first.map(|(age, _)| *age);
        let key = (path, credential.kind, credential.text.clone());
        match leaks.get(&key) {
            Some((known, _)) if *known >= age => {}
            _ => drop(leaks.insert(key, (age, credential))),
        }
    }
    Ok(leaks
        .into_iter()
        .map(|((path, _, _), (age, credential))| Leak {
            path,
            credential,
            commit: age.map(|age| commits[age].hash.clone()),
        })
        .collect())
}

/// Returns how many of some names stand for a commit, or for a tag of one.
pub(super) fn commits_among(store: &Store, names: &[&str]) -> io::Result<usize> {
    let input: Vec<u8> = names
        .iter()
        .flat_map(|name| format!("{name}^{{commit}}\n").into_bytes())
        .collect();
    store.ask(&["cat-file", "--batch-check"], input, |out| {
        let mut commits = 0;
        while let Some(line) = line(out)? {
            commits += usize::from(line.split(' ').nth(1) == Some("commit"));
        }
        Ok(commits)
    })
}

/// Reads a line without its end; what is longer than a line may be is cut, and the rest passed over.
pub(super) fn line(out: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if (&mut *out).take(LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else {
        while let Some((skipped, ended)) = rest_of_line(out)? {
            out.consume(skipped);
            if ended {
                break;
            }
        }
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn rest_of_line(out: &mut dyn BufRead) -> io::Result<Option<(usize, bool)>> {
    let buffer = out.fill_buf()?;
    if buffer.is_empty() {
        return Ok(None);
    }
    let end = buffer.iter().position(|byte| *byte == b'\n');
    Ok(Some((end.map_or(buffer.len(), |place| place + 1), end.is_some())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_commit_are_read_and_nothing_else_is_taken_for_one() {
        let hash = "a".repeat(40);
        let new = "b".repeat(40);
        let mut read = commit(&format!("{hash}\0{hash} {new}\0Say \0 more")).unwrap();
        assert_eq!((read.parents, read.subject.as_str()), (2, "Say \0 more"));
        change(
            &format!(":000000 100644 {} {new} A\tsrc/a b.py", "0".repeat(40)),
            &mut read,
        );
        change(
            &format!(":000000 160000 {} {new} A\tsubmodule", "0".repeat(40)),
            &mut read,
        );
        change("", &mut read);
        assert_eq!(read.brought, [(new, "src/a b.py".to_owned())]);
        assert!(commit("no hash\0\0").is_none());
    }

    #[test]
    fn lines_that_people_read_are_counted() {
        for (line, wanted) in [
            ("12\t3\tsrc/a.py", 15),
            ("-\t-\tmodel.pkl", 0),
            ("900\t0\tpoetry.lock", 0),
            ("900\t0\tdata/ratings.csv", 0),
            ("1\t1\tsrc/{a => b}/c.py", 2),
            ("900\t0\tweb/package-lock.json", 0),
            ("", 0),
            ("x", 0),
        ] {
            assert_eq!(changed(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        let text = format!("{}\nnext\n", "x".repeat(3 * LINE_BYTES as usize));
        let mut out = text.as_bytes();
        assert_eq!(line(&mut out).unwrap().unwrap().len() as u64, LINE_BYTES);
        assert_eq!(line(&mut out).unwrap().unwrap(), "next");
        assert!(line(&mut out).unwrap().is_none());
    }
}
