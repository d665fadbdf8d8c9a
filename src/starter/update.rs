//! A newer starter brought into a team's repository: on a branch of its own, beside what is checked out, which stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::commit::{ADDRESS, AUTHOR};
use super::merge::{BaseFile, Change, Kind, Left, Note, StarterFile, TeamFile, Three, What, merge};
use super::record::{RECORD, Record, blob_id};
use super::{Seat, Starter, StarterError};
use crate::course::number;
use crate::repository::{Checkout, Content, Entry, Given, Order};

/// The most files of a team's among which one that has left its place is looked for.
const MOST_CANDIDATES: usize = 2_000;
/// The files that are named where something is in the way of an update.
const SHOWN: usize = 3;
/// The most branches of one starter, of which all but the last are merged.
const MOST_BRANCHES: u32 = 100;

/// A team's repository that knows where it came from.
#[derive(Debug)]
pub struct Begun {
    checkout: Checkout,
    /// What it was begun with.
    pub record: Record,
}

/// What has become of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// It has of the starter what it can have.
    UpToDate {
        /// What waits for the team to make way for it.
        notes: Vec<Note>,
    },
    /// The branch is there from an earlier update, and not merged.
    Waiting {
        /// Its name.
        branch: String,
    },
    /// Nothing was done.
    Refused {
        /// Why.
        why: String,
    },
    /// The starter is merged, on a branch.
    Merged {
        /// The branch's name.
        branch: String,
        /// Its commit.
        commit: String,
        /// The branch that it goes out from, if one is checked out.
        onto: Option<String>,
        /// What has become of each file that the starter has touched.
        notes: Vec<Note>,
    },
}

impl Update {
    /// Whether a person of the team has something to solve or to look at before the update can be taken.
    pub fn needs_somebody(&self) -> bool {
        match self {
            Self::Waiting { .. } => false,
            Self::Refused { .. } => true,
            Self::UpToDate { notes } | Self::Merged { notes, .. } => notes
                .iter()
                .any(|note| matches!(note.what, What::Conflict(_) | What::Left(Left::Unresolved))),
        }
    }
}

impl Begun {
    /// Opens a team's repository; why it can't be updated, where it can't.
    ///
    /// # Errors
    /// When this machine can't read histories.
    pub fn open(folder: &Path) -> io::Result<Result<Self, String>> {
        match Self::try_open(folder) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Err(error.to_string())),
            other => other,
        }
    }

    fn try_open(folder: &Path) -> io::Result<Result<Self, String>> {
        let Some(checkout) = Checkout::open(folder)? else {
            return Ok(Err("it is no git repository, or has no commit".to_owned()));
        };
        if let Some(what) = checkout.under_way() {
            return Ok(Err(format!("{what} is under way in it: end that first")));
        }
        let entries = checkout.entries()?;
        let Some(entry) = entries.get(RECORD) else {
            return Ok(Err(format!(
                "`{RECORD}`, which says where it came from, is not committed: take it back from the first commit"
            )));
        };
        let contents = checkout.contents(&[entry.id.as_str()].into())?;
        let text = contents
            .get(&entry.id)
            .map(|content| String::from_utf8_lossy(content));
        match Record::parse(text.as_deref().unwrap_or_default()) {
            Ok(record) => Ok(Ok(Self { checkout, record })),
            Err(faults) => Ok(Err(faults.to_string())),
        }
    }

    /// Merges a starter, for the milestone of the record or a later one, into the repository.
    ///
    /// # Errors
    /// When the starter is broken, or this machine refuses; what is the repository's fault is a refusal.
    pub fn update(&self, starter: &Starter, seat: &Seat, at: DateTime<Utc>) -> Result<Update, StarterError> {
        let files = starter.files(seat)?;
        let io = |error| StarterError::Io(RECORD.into(), error);
        match self.merge_in(starter, files, at) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Update::Refused {
                why: error.to_string(),
            }),
            other => other.map_err(io),
        }
    }

    fn merge_in(
        &self,
        starter: &Starter,
        mut files: BTreeMap<String, Vec<u8>>,
        at: DateTime<Utc>,
    ) -> io::Result<Update> {
        let refused = |why: String| Ok(Update::Refused { why });
        let (from, to) = (&self.record.milestone, &starter.milestone);
        if number(to) < number(from) {
            return refused(format!("it is at `{from}` already, and `{to}` comes before that"));
        }
        if starter.world != self.record.world {
            return refused(
                "its data come from another world than the course at hand has: update it with the course's own folder (--course)"
                    .to_owned(),
            );
        }
        let record = files.remove(RECORD).unwrap_or_default();
        let entries = self.checkout.entries()?;
        if entries
            .get(RECORD)
            .is_some_and(|entry| entry.id == blob_id(&record))
        {
            return Ok(Update::UpToDate { notes: Vec::new() });
        }
        let changed = self.checkout.changed()?;
        if !changed.is_empty() {
            return refused(format!("what is changed is not committed: {}", some_of(&changed)));
        }
        let given: Vec<(String, Content)> = files
            .iter()
            .chain([(&RECORD.to_owned(), &record)])
            .map(|(path, content)| {
                let id = blob_id(content);
                let there = entries.get(path).is_some_and(|entry| entry.id == id);
                let content = if there {
                    Content::There(id)
                } else {
                    Content::New(content.clone())
                };
                (path.clone(), content)
            })
            .collect();
        let merged = merge(&self.three(&entries, files)?);
        let record = self.record_without(&record, &merged.put_off)?;
        if merged.changes.is_empty()
            && entries
                .get(RECORD)
                .is_some_and(|entry| entry.id == blob_id(&record))
        {
            return Ok(Update::UpToDate { notes: merged.notes });
        }
        let name = format!("starter/{to}-{}", starter.version);
        let branch = match self.free_name(&name)? {
            Ok(free) => free,
            Err(branch) => return Ok(Update::Waiting { branch }),
        };
        let mut orders: Vec<Order> = merged.changes.into_iter().map(Order::from).collect();
        orders.push(Order::Put {
            path: RECORD.to_owned(),
            content: record,
            executable: false,
        });
        let in_the_way: Vec<String> = orders
            .iter()
            .filter_map(|order| match order {
                Order::Put { path, .. } if !entries.contains_key(path) => Some(path),
                Order::Put { .. } | Order::Remove { .. } => None,
            })
            .filter_map(|path| self.checkout.in_the_way(path, &entries))
            .collect::<BTreeSet<String>>()
            .into_iter()
            .collect();
        if !in_the_way.is_empty() {
            return refused(format!(
                "the new starter has a file where one of the team's is not committed: {}",
                some_of(&in_the_way)
            ));
        }
        let given = Given {
            message: format!("The starter {to}-{} as it is given out\n", starter.version),
            files: given,
        };
        let message = message(starter, &merged.notes);
        let commit =
            self.checkout
                .write_branch(&branch, (&orders, &message), &given, (AUTHOR, ADDRESS), at)?;
        Ok(Update::Merged {
            branch,
            commit,
            onto: self.checkout.branch().map(str::to_owned),
            notes: merged.notes,
        })
    }

    /// Returns the name of a branch that is not there yet, or the one of an earlier update that nobody has merged.
    fn free_name(&self, name: &str) -> io::Result<Result<String, String>> {
        let more = (2..=MOST_BRANCHES).map(|count| format!("{name}-{count}"));
        let mut last = name.to_owned();
        for name in [name.to_owned()].into_iter().chain(more) {
            if !self.checkout.has_branch(&name) {
                return Ok(Ok(name));
            }
            if !self.checkout.has_merged(&name)? {
                return Ok(Err(name));
            }
            last = name;
        }
        Ok(Err(last))
    }

    /// Prints the record of a new starter, in which stands for what was put off what was given out before, if anything.
    fn record_without(
        &self,
        record: &[u8],
        put_off: &BTreeMap<String, Option<String>>,
    ) -> io::Result<Vec<u8>> {
        if put_off.is_empty() {
            return Ok(record.to_vec());
        }
        let mut new = Record::parse(&String::from_utf8_lossy(record))
            .map_err(|faults| io::Error::other(faults.to_string()))?;
        for (path, before) in put_off {
            new.files.remove(path);
            let before = before.as_ref();
            new.files.extend(
                before
                    .and_then(|before| self.record.files.get_key_value(before))
                    .map(|(before, id)| (before.clone(), id.clone())),
            );
        }
        Ok(new.print().into_bytes())
    }

    /// Pushes a merged starter to where the repository is kept.
    ///
    /// # Errors
    /// What git said.
    pub fn push(&self, remote: &str, commit: &str, branch: &str) -> Result<(), String> {
        self.checkout.push(remote, commit, branch)
    }

    /// Reads what a merge needs to know: no content that is the same everywhere.
    fn three(
        &self,
        entries: &BTreeMap<String, Entry>,
        files: BTreeMap<String, Vec<u8>>,
    ) -> io::Result<Three> {
        let starter: BTreeMap<String, StarterFile> = files
            .into_iter()
            .map(|(path, content)| {
                let id = blob_id(&content);
                (path, StarterFile { id, content })
            })
            .collect();
        let base = &self.record.files;
        let same = |path: &str| {
            let id = base.get(path);
            id.is_some()
                && id == entries.get(path).map(|entry| &entry.id)
                && id == starter.get(path).map(|file| &file.id)
        };
        let ours: Vec<(&String, &Entry)> = entries.iter().filter(|(path, _)| *path != RECORD).collect();
        // A file that is not where it was may be among those that were not given out.
        let lost = base.keys().any(|path| !entries.contains_key(path));
        let strangers = ours
            .iter()
            .filter(|(path, _)| lost && !base.contains_key(*path))
            .take(MOST_CANDIDATES);
        let known = ours
            .iter()
            .filter(|(path, _)| base.contains_key(*path) || starter.contains_key(*path));
        let mut wanted: BTreeSet<&str> = known
            .chain(strangers)
            .filter(|(path, entry)| !same(path) && entry.mode.starts_with("100"))
            .map(|(_, entry)| entry.id.as_str())
            .collect();
        wanted.extend(
            base.iter()
                .filter(|(path, _)| !same(path))
                .map(|(_, id)| id.as_str()),
        );
        let contents = self.checkout.contents(&wanted)?;
        let content = |id: &str| contents.get(id).cloned();
        let base = base.iter().map(|(path, id)| {
            let file = BaseFile {
                id: id.clone(),
                content: content(id),
            };
            (path.clone(), file)
        });
        let team = ours.iter().map(|(path, entry)| {
            let kind = match entry.mode.as_str() {
                "100644" => Kind::Plain,
                "100755" => Kind::Executable,
                _ => Kind::Other,
            };
            let file = TeamFile {
                id: entry.id.clone(),
                kind,
                content: content(&entry.id),
            };
            ((*path).clone(), file)
        });
        Ok(Three {
            base: base.collect(),
            team: team.collect(),
            starter,
        })
    }
}

impl From<Change> for Order {
    fn from(change: Change) -> Self {
        match change {
            Change::Put {
                path,
                content,
                executable,
            } => Self::Put {
                path,
                content,
                executable,
            },
            Change::Remove { path } => Self::Remove { path },
        }
    }
}

/// What a commit says: what was taken over, and what is left to the team.
fn message(starter: &Starter, notes: &[Note]) -> String {
    let mut text = format!(
        "Take over the starter {}-{}\n",
        starter.milestone, starter.version
    );
    for note in notes {
        if let What::Conflict(places) = &note.what {
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            text.push_str(&format!(
                "\nTo be solved: {}, between the markers at line {}",
                note.path,
                places.join(", ")
            ));
        }
    }
    text
}

fn some_of(paths: &[String]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .take(SHOWN)
        .map(|path| format!("`{}`", path.escape_debug()))
        .collect();
    let more = paths.len().saturating_sub(SHOWN);
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}
