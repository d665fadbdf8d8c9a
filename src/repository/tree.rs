//! The files of the commit that was handed in, by name and content; nothing is checked out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::git::{Store, is_hash};
use super::history::line;

/// The most files of a commit that are known: the largest submission seen had three thousand.
const MOST_FILES: usize = 100_000;
/// The most bytes that are read of all files that are asked for at once.
const MOST_BYTES: u64 = 64 << 20;

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: String,
    pub(super) bytes: u64,
}

/// The files of a commit.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) commit: String,
    pub(super) files: BTreeMap<String, Entry>,
}

impl Tree {
    /// Reads the files of the commit that is checked out; none where no commit is.
    ///
    /// # Errors
    /// Invalid data where the repository is at fault; anything else is this machine's.
    pub(super) fn read(store: &Store) -> io::Result<Option<Self>> {
        let Some(commit) = store.checked_out().map(str::to_owned) else {
            return Ok(None);
        };
        let words = ["ls-tree", "-r", "-l", "--full-tree", &commit];
        let files = store.ask(&words, Vec::new(), |out| {
            let mut files = BTreeMap::new();
            while let Some(line) = line(out)? {
                if files.len() < MOST_FILES {
                    files.extend(entry(&line));
                }
            }
            Ok(files)
        })?;
        Ok(Some(Self { commit, files }))
    }

    /// Returns the text of the files that a test names and that are no larger than a bound; what is no UTF-8 is mended.
    pub(super) fn texts(
        &self,
        store: &Store,
        most: u64,
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<BTreeMap<String, String>> {
        let named: BTreeMap<&String, &Entry> = self
            .files
            .iter()
            .filter(|(path, entry)| entry.bytes <= most && wanted(path))
            .collect();
        let contents = contents(store, &named.values().map(|entry| entry.hash.clone()).collect())?;
        let text = |entry: &Entry| {
            let content = contents.get(&entry.hash)?;
            Some(String::from_utf8_lossy(content).into_owned())
        };
        Ok(named
            .into_iter()
            .filter_map(|(path, entry)| Some((path.clone(), text(entry)?)))
            .collect())
    }
}

/// Reads a line of `ls-tree -l` (`100644 blob HASH   123<TAB>path`). A name that git had to quote is no name that anybody links to.
fn entry(line: &str) -> Option<(String, Entry)> {
    let (about, path) = line.split_once('\t')?;
    let mut words = about.split_whitespace();
    let is_file = words.next()?.starts_with("100");
    let hash = words
        .nth(1)
        .filter(|hash| is_file && is_hash(hash) && !path.starts_with('"'))?;
    let bytes = words.next()?.parse().ok()?;
    let hash = hash.to_owned();
    Some((path.to_owned(), Entry { hash, bytes }))
}

/// Returns the contents of objects by their hashes; once they are too many bytes together, the rest is left out.
pub(super) fn contents(store: &Store, hashes: &BTreeSet<String>) -> io::Result<BTreeMap<String, Vec<u8>>> {
    if hashes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let input = hashes
        .iter()
        .flat_map(|hash| format!("{hash}\n").into_bytes())
        .collect();
    store.ask(&["cat-file", "--batch"], input, |out| {
        let (mut all, mut sum) = (BTreeMap::new(), 0);
        while let Some(about) = line(out)? {
            let mut words = about.split(' ');
            let (Some(hash), Some(_), Some(Ok(bytes))) =
                (words.next(), words.next(), words.next().map(str::parse::<u64>))
            else {
                continue;
            };
            sum += bytes;
            if sum > MOST_BYTES {
                io::copy(&mut (&mut *out).take(bytes + 1), &mut io::sink())?;
                continue;
            }
            let mut content = Vec::new();
            (&mut *out).take(bytes + 1).read_to_end(&mut content)?;
            content.pop();
            all.insert(hash.to_owned(), content);
        }
        Ok(all)
    })
}

/// Returns, for each of some names of the form `commit:path`, the hash of the file or folder that it stands for and whether it is
/// a file.
pub(super) fn named(store: &Store, names: &[String]) -> io::Result<Vec<Option<(String, bool)>>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let input = names
        .iter()
        .flat_map(|name| format!("{name}\n").into_bytes())
        .collect();
    let count = names.len();
    store.ask(&["cat-file", "--batch-check"], input, move |out| {
        let mut all = Vec::new();
        while let Some(line) = line(out)? {
            let words: Vec<&str> = line.split(' ').collect();
            all.push(match words[..] {
                [hash, "blob", _] if is_hash(hash) => Some((hash.to_owned(), true)),
                [hash, "tree", _] if is_hash(hash) => Some((hash.to_owned(), false)),
                _ => None,
            });
        }
        all.resize(count, None);
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_tree_are_read_and_what_is_no_plain_file_is_left_out() {
        let hash = "a".repeat(40);
        let (path, found) = entry(&format!("100644 blob {hash}      12\tsrc/a b.py")).unwrap();
        assert_eq!((path.as_str(), found.bytes), ("src/a b.py", 12));
        for other in [
            format!("120000 blob {hash}      12\tlink"),
            format!("160000 commit {hash}       -\tsubmodule"),
            format!("100644 blob {hash}      12\t\"odd\\nname\""),
            "100644 blob x 12\ta".to_owned(),
            String::new(),
        ] {
            assert!(entry(&other).is_none(), "{other}");
        }
    }
}
