//! A newer starter and a team's work put together: a decision for every path, three ways for every text, and no line of the
//! team's lost.
//!
//! Nothing here reads or writes: what was given out, what the team has made of it and what is given out now come in as values,
//! and the changes to the team's files go out, with a word on each.

use std::collections::{BTreeMap, BTreeSet};

use diffy::{ConflictStyle, MergeOptions};

use super::lines::{common_ends, is_text, keeps_lines, likeness, lines, to_crlf, uses_crlf};

/// The longest text that is merged by lines: a program that people read is a tenth of it, and comparing takes its square.
const MOST_TEXT_BYTES: usize = 256 << 10;
/// How much of a file must be found elsewhere for the team, or the starter, to have moved it there. As in git.
const LEAST_LIKENESS: f64 = 0.5;
/// The length of a marker's sign.
const MARK: usize = 7;

/// A file as it was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// The name that git gives to its content.
    pub id: String,
    /// The content; none where the team's history no longer holds it.
    pub content: Option<Vec<u8>>,
}

/// What a path of the team's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Plain,
    /// A file that may be executed.
    Executable,
    /// A link, or another repository: never looked into.
    Other,
}

/// A file as the team has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamFile {
    /// The name that git gives to its content.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// The content, where it was worth reading.
    pub content: Option<Vec<u8>>,
}

/// A file as it is given out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StarterFile {
    /// The name that git gives to its content.
    pub id: String,
    /// The content.
    pub content: Vec<u8>,
}

/// The three that a merge is made of, each by path.
#[derive(Debug, Clone, Default)]
pub struct Three {
    /// What was given out.
    pub base: BTreeMap<String, BaseFile>,
    /// What the team has.
    pub team: BTreeMap<String, TeamFile>,
    /// What is given out now.
    pub starter: BTreeMap<String, StarterFile>,
}

/// One change to the team's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file is written.
    Put {
        /// Where.
        path: String,
        /// What.
        content: Vec<u8>,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A file is taken away.
    Remove {
        /// Which.
        path: String,
    },
}

/// What has become of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// New in the starter.
    Added,
    /// As the starter has it now: the team had not changed it.
    Updated,
    /// Both have changed it, in different places.
    Merged,
    /// Both have changed the same lines: between markers, at these lines.
    Conflict(Vec<usize>),
    /// No longer in the starter, and the team had not changed it.
    Removed,
    /// The starter has it elsewhere now: moved there, with what the team has made of it.
    Moved(String),
    /// The team's, left alone: why what the starter changed is not in it.
    Left(Left),
}

/// Why a file of the team's is left alone though the starter has changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The team has deleted it.
    Deleted,
    /// It is no longer in the starter, and the team has changed or moved it.
    NoLongerGiven,
    /// It is no text, or too long a one, and both have changed it.
    NoText,
    /// It holds markers of an earlier merge.
    Unresolved,
    /// Something of the team's is in the way of it.
    InTheWay,
    /// The team has a link or another repository there.
    NoFile,
}

/// What has become of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The path: the team's own, where it has one.
    pub path: String,
    /// What has become of it.
    pub what: What,
}

/// What is to be done, and what is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The changes, in the order of paths; removals come before what may need their place.
    pub changes: Vec<Change>,
    /// A word on every path that the starter has touched.
    pub notes: Vec<Note>,
    /// What comes again once the team has made way for it, by the path that the starter has it at, with the path at which it was given
    /// out before, if it was: that is still what a later merge begins with.
    pub put_off: BTreeMap<String, Option<String>>,
}

/// One file through all three: the same file may have another path in each.
struct Thread<'a> {
    base: Option<(&'a str, &'a BaseFile)>,
    team: Option<(&'a str, &'a TeamFile)>,
    starter: Option<(&'a str, &'a StarterFile)>,
}

/// Decides what a newer starter changes in a team's files.
pub fn merge(three: &Three) -> Merged {
    let mut merge = Merge {
        team: &three.team,
        removed: BTreeSet::new(),
        put: BTreeMap::new(),
        notes: Vec::new(),
        put_off: BTreeMap::new(),
    };
    // Removals first, so that a file may take the place of a folder that the starter has given up.
    let (gone, rest): (Vec<_>, Vec<_>) = threads(three)
        .into_iter()
        .partition(|thread| thread.starter.is_none());
    for thread in gone.iter().chain(&rest) {
        merge.decide(thread);
    }
    merge.finish()
}

struct Merge<'a> {
    team: &'a BTreeMap<String, TeamFile>,
    removed: BTreeSet<String>,
    put: BTreeMap<String, (Vec<u8>, bool)>,
    notes: Vec<Note>,
    put_off: BTreeMap<String, Option<String>>,
}

impl Merge<'_> {
    fn decide(&mut self, thread: &Thread<'_>) {
        let told = self.notes.len();
        self.decide_one(thread);
        let waits = |note: &Note| matches!(note.what, What::Left(Left::Unresolved | Left::InTheWay));
        if let Some((path, _)) = thread.starter
            && self.notes[told..].iter().any(waits)
        {
            let before = thread.base.map(|(path, _)| path.to_owned());
            self.put_off.insert(path.to_owned(), before);
        }
    }

    fn decide_one(&mut self, thread: &Thread<'_>) {
        match (thread.base, thread.team, thread.starter) {
            (None, None, Some((path, starter))) => self.add(path, starter),
            (None, Some((path, team)), Some((_, starter))) => {
                if team.id != starter.id {
                    self.both(path, team, None, starter);
                }
            }
            (Some((path, base)), None, Some((_, starter))) => {
                if starter.id != base.id {
                    self.note(path, What::Left(Left::Deleted));
                }
            }
            (Some((path, base)), Some((there, team)), None) => {
                if there == path && is_untouched(base, team) {
                    self.removed.insert(path.to_owned());
                    self.note(path, What::Removed);
                } else {
                    self.note(there, What::Left(Left::NoLongerGiven));
                }
            }
            (Some(base), Some(team), Some(starter)) => self.three_ways(base, team, starter),
            (_, None, None) | (None, Some(_), None) => {}
        }
    }

    fn three_ways(
        &mut self,
        (before, base): (&str, &BaseFile),
        (there, team): (&str, &TeamFile),
        (now, starter): (&str, &StarterFile),
    ) {
        if there == before && now != before {
            // The team has left it where it was: it follows the starter, with all that the team has made of it.
            if team.kind == Kind::Other || team.content.is_none() || self.is_taken(now) {
                self.note(now, What::Left(Left::InTheWay));
                return;
            }
            self.removed.insert(there.to_owned());
            let content = team.content.clone().unwrap_or_default();
            self.put
                .insert(now.to_owned(), (content, team.kind == Kind::Executable));
            self.note(there, What::Moved(now.to_owned()));
            if starter.id != base.id && team.id != starter.id {
                self.both(now, team, Some(base), starter);
            }
        } else if starter.id != base.id && team.id != starter.id {
            self.both(there, team, Some(base), starter);
        }
    }

    /// The starter has something new for a file that the team has.
    fn both(&mut self, path: &str, team: &TeamFile, base: Option<&BaseFile>, starter: &StarterFile) {
        let executable = match team.kind {
            Kind::Plain => false,
            Kind::Executable => true,
            Kind::Other => return self.note(path, What::Left(Left::NoFile)),
        };
        if base.is_some_and(|base| is_untouched(base, team)) {
            let crlf = team.content.as_deref().is_some_and(uses_crlf);
            let content = if crlf {
                to_crlf(&starter.content)
            } else {
                starter.content.clone()
            };
            self.put.insert(path.to_owned(), (content, executable));
            return self.note(path, What::Updated);
        }
        let base = base.and_then(|base| base.content.as_deref());
        let Some(own) = team.content.as_deref() else {
            return self.note(path, What::Left(Left::NoText));
        };
        let all = [Some(own), base, Some(starter.content.as_slice())];
        if !all
            .into_iter()
            .flatten()
            .all(|text| text.len() <= MOST_TEXT_BYTES && is_text(text))
        {
            return self.note(path, What::Left(Left::NoText));
        }
        if has_markers(own) {
            return self.note(path, What::Left(Left::Unresolved));
        }
        let text = merge_text(base, own, &starter.content);
        let what = if text.conflicts.is_empty() {
            What::Merged
        } else {
            What::Conflict(text.conflicts)
        };
        if text.content != own {
            self.put.insert(path.to_owned(), (text.content, executable));
            self.note(path, what);
        }
    }

    fn add(&mut self, path: &str, starter: &StarterFile) {
        if self.is_taken(path) {
            return self.note(path, What::Left(Left::InTheWay));
        }
        self.put.insert(path.to_owned(), (starter.content.clone(), false));
        self.note(path, What::Added);
    }

    /// Whether a path is a file or a folder already, or lies below a file.
    fn is_taken(&self, path: &str) -> bool {
        let has = |path: &str| {
            self.put.contains_key(path) || (self.team.contains_key(path) && !self.removed.contains(path))
        };
        let below_a_file = path
            .char_indices()
            .filter(|(_, letter)| *letter == '/')
            .any(|(place, _)| has(&path[..place]));
        let folder = format!("{path}/");
        let within = |name: &&String| name.starts_with(&folder);
        let is_folder = self.put.keys().any(|name| within(&name))
            || self
                .team
                .keys()
                .any(|name| within(&name) && !self.removed.contains(name));
        has(path) || below_a_file || is_folder
    }

    fn note(&mut self, path: &str, what: What) {
        self.notes.push(Note {
            path: path.to_owned(),
            what,
        });
    }

    fn finish(mut self) -> Merged {
        let removed = self.removed.iter().filter(|path| !self.put.contains_key(*path));
        let mut changes: Vec<Change> = removed
            .map(|path| Change::Remove { path: path.clone() })
            .collect();
        changes.extend(
            self.put
                .into_iter()
                .map(|(path, (content, executable))| Change::Put {
                    path,
                    content,
                    executable,
                }),
        );
        self.notes.sort_by(|a, b| a.path.cmp(&b.path));
        Merged {
            changes,
            notes: self.notes,
            put_off: self.put_off,
        }
    }
}

/// Whether the team has left a file as it was given out; an editor that writes Windows' line ends has changed nothing.
fn is_untouched(base: &BaseFile, team: &TeamFile) -> bool {
    if team.kind == Kind::Other {
        return false;
    }
    let alike = |own: &[u8], given: &[u8]| uses_crlf(own) && to_crlf(given) == own;
    team.id == base.id
        || team
            .content
            .as_deref()
            .zip(base.content.as_deref())
            .is_some_and(|(own, given)| alike(own, given))
}

/// Follows each file through all three.
fn threads(three: &Three) -> Vec<Thread<'_>> {
    let given = |path: &str| three.base.contains_key(path);
    let lost = |has: &dyn Fn(&str) -> bool| -> Vec<Candidate<'_>> {
        three
            .base
            .iter()
            .filter(|(path, _)| !has(path))
            .map(|(path, base)| (path.as_str(), base.id.as_str(), base.content.as_deref()))
            .collect()
    };
    let in_team: Vec<Candidate<'_>> = three
        .team
        .iter()
        .filter(|(path, file)| !given(path) && file.kind != Kind::Other)
        .map(|(path, file)| (path.as_str(), file.id.as_str(), file.content.as_deref()))
        .collect();
    let in_starter: Vec<Candidate<'_>> = three
        .starter
        .iter()
        .filter(|(path, _)| !given(path))
        .map(|(path, file)| (path.as_str(), file.id.as_str(), Some(file.content.as_slice())))
        .collect();
    let by_team = moves(&lost(&|path| three.team.contains_key(path)), &in_team);
    let by_starter = moves(&lost(&|path| three.starter.contains_key(path)), &in_starter);
    let mut all: Vec<Thread<'_>> = three
        .base
        .iter()
        .map(|(path, base)| Thread {
            base: Some((path.as_str(), base)),
            team: place(&three.team, path, &by_team),
            starter: place(&three.starter, path, &by_starter),
        })
        .collect();
    let moved: BTreeSet<&str> = by_starter.values().copied().collect();
    let team_moved: BTreeSet<&str> = by_team.values().copied().collect();
    for (path, file) in &three.starter {
        if !given(path) && !moved.contains(path.as_str()) {
            all.push(Thread {
                base: None,
                // What the team has moved here is the continuation of another file, and in the way of this one.
                team: three
                    .team
                    .get_key_value(path)
                    .filter(|(path, _)| !team_moved.contains(path.as_str()))
                    .map(|(path, file)| (path.as_str(), file)),
                starter: Some((path.as_str(), file)),
            });
        }
    }
    all
}

fn place<'a, F>(
    files: &'a BTreeMap<String, F>,
    path: &str,
    moved: &BTreeMap<&str, &str>,
) -> Option<(&'a str, &'a F)> {
    let path = moved.get(path).copied().unwrap_or(path);
    files
        .get_key_value(path)
        .map(|(path, file)| (path.as_str(), file))
}

/// A file that may have gone, or come: path, name of the content, content.
type Candidate<'a> = (&'a str, &'a str, Option<&'a [u8]>);

/// Finds where files have gone: the same content first, then the most alike; each place is the end of one move.
fn moves<'a>(gone: &[Candidate<'a>], come: &[Candidate<'a>]) -> BTreeMap<&'a str, &'a str> {
    let mut pairs: Vec<(f64, bool, &'a str, &'a str)> = Vec::new();
    for (from, id, content) in gone {
        // An empty file is like every other one.
        if content.is_some_and(<[u8]>::is_empty) {
            continue;
        }
        for (to, other, found) in come {
            let alike = if id == other {
                1.0
            } else {
                let texts = content.zip(*found).filter(|(a, b)| {
                    a.len() <= MOST_TEXT_BYTES && b.len() <= MOST_TEXT_BYTES && is_text(a) && is_text(b)
                });
                texts.map_or(0.0, |(a, b)| likeness(a, b))
            };
            if alike >= LEAST_LIKENESS {
                pairs.push((alike, file_name(from) == file_name(to), from, to));
            }
        }
    }
    pairs.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then(b.1.cmp(&a.1))
            .then((a.2, a.3).cmp(&(b.2, b.3)))
    });
    let (mut found, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for (_, _, from, to) in pairs {
        if !found.contains_key(from) && taken.insert(to) {
            found.insert(from, to);
        }
    }
    found
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A merged text, and the lines, from 1, at which its conflicts begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MergedText {
    pub(super) content: Vec<u8>,
    pub(super) conflicts: Vec<usize>,
}

/// Merges a text three ways, or two where what was given out is lost; what both have changed stands between markers.
pub(super) fn merge_text(base: Option<&[u8]>, team: &[u8], starter: &[u8]) -> MergedText {
    let crlf = uses_crlf(team);
    let like_team = |text: &[u8]| {
        if crlf && !uses_crlf(text) {
            to_crlf(text)
        } else {
            text.to_vec()
        }
    };
    let starter = like_team(starter);
    if let Some(base) = base.map(like_team) {
        let merged = three_way_text(&base, team, &starter);
        // Trust in the crate is not enough: what the team has written is in the result, or the result is not taken.
        if keeps_lines(&base, team, &merged.content) {
            return merged;
        }
    }
    two_way_text(team, &starter)
}

fn three_way_text(base: &[u8], team: &[u8], starter: &[u8]) -> MergedText {
    // Markers longer than anything in the texts that looks like one, so that they can be told from it, and then named.
    let length = [base, team, starter]
        .into_iter()
        .flat_map(lines)
        .map(run_of_signs)
        .max()
        .unwrap_or(0)
        .max(MARK)
        + 1;
    let mut options = MergeOptions::new();
    options
        .set_conflict_style(ConflictStyle::Diff3)
        .set_incomplete_hunk_style(diffy::IncompleteHunkStyle::Git)
        .set_conflict_marker_length(length);
    let marked = match options.merge_bytes(base, team, starter) {
        Ok(content) => {
            return MergedText {
                content,
                conflicts: Vec::new(),
            };
        }
        Err(marked) => marked,
    };
    let end: &[u8] = if uses_crlf(team) { b"\r\n" } else { b"\n" };
    let (mut content, mut conflicts) = (Vec::new(), Vec::new());
    for (number, line) in lines(&marked).enumerate() {
        let sign = (run_of_signs(line) == length).then(|| line[0]);
        let Some(sign) = sign else {
            content.extend_from_slice(line);
            continue;
        };
        if sign == b'<' {
            conflicts.push(number + 1);
        }
        put_marker(&mut content, sign, end);
    }
    MergedText { content, conflicts }
}

/// What the team has and what the starter has, one after the other, without what both begin and end with.
fn two_way_text(team: &[u8], starter: &[u8]) -> MergedText {
    let end: &[u8] = if uses_crlf(team) { b"\r\n" } else { b"\n" };
    let (own, new): (Vec<&[u8]>, Vec<&[u8]>) = (lines(team).collect(), lines(starter).collect());
    let (head, tail) = common_ends(&own, &new);
    let (mine, theirs) = (&own[head..own.len() - tail], &new[head..new.len() - tail]);
    if mine.is_empty() && theirs.is_empty() {
        return MergedText {
            content: team.to_vec(),
            conflicts: Vec::new(),
        };
    }
    let mut content = own[..head].concat();
    let whole = |content: &mut Vec<u8>| {
        if content.last().is_some_and(|byte| *byte != b'\n') {
            content.extend_from_slice(end);
        }
    };
    put_marker(&mut content, b'<', end);
    content.extend(mine.concat());
    whole(&mut content);
    put_marker(&mut content, b'=', end);
    content.extend(theirs.concat());
    whole(&mut content);
    put_marker(&mut content, b'>', end);
    content.extend(own[own.len() - tail..].concat());
    MergedText {
        content,
        conflicts: vec![head + 1],
    }
}

fn put_marker(content: &mut Vec<u8>, sign: u8, end: &[u8]) {
    let name: &[u8] = match sign {
        b'<' => b" yours",
        b'|' => b" the starter you began with",
        b'>' => b" the new starter",
        _ => b"",
    };
    content.extend([sign; MARK]);
    content.extend_from_slice(name);
    content.extend_from_slice(end);
}

/// The number of signs of a marker that a line begins with.
fn run_of_signs(line: &[u8]) -> usize {
    match line.first() {
        Some(sign) if b"<|=>".contains(sign) => line.iter().take_while(|byte| *byte == sign).count(),
        _ => 0,
    }
}

/// Whether a text holds the markers of an earlier merge.
fn has_markers(text: &[u8]) -> bool {
    let begins = |sign: &[u8]| lines(text).any(|line| line.starts_with(sign));
    begins(b"<<<<<<< ") && begins(b">>>>>>> ")
}
