//! One request to a team's service and what came back: the record that grades are made from.

use serde::{Deserialize, Serialize};

/// The part of a run in which a request was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not measured: connections open, caches fill.
    WarmUp,
    /// The ordinary rate.
    Steady,
    /// The highest rate.
    Peak,
    /// The ordinary rate while incidents are run: judged by itself, and no part of what the ordinary rate is judged by.
    Incident,
}

impl Phase {
    /// Tells whether what was asked in it counts for the measures of the ordinary and the highest rate.
    pub fn is_measured(self) -> bool {
        matches!(self, Self::Steady | Self::Peak)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A user whose behaviour is in the released log.
    Known,
    /// A user of the company of whom no behaviour was released.
    New,
    /// Something no client should send, but some do: an unknown, zero, negative, enormous or non-numeric id.
    Odd,
}

/// A request as it was planned, before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The place in the schedule, from 0.
    pub seq: u32,
    /// When it is due, in nanoseconds since the start of the run.
    pub intended_ns: u64,
    /// The phase.
    pub phase: Phase,
    /// Who asks.
    pub kind: RequestKind,
    /// The path that is sent: `/recommend/42`.
    pub path: String,
    /// The user, where the id is one of the company's.
    pub user: Option<u32>,
}

/// One request and what came back. Times are nanoseconds since the start of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What was planned.
    #[serde(flatten)]
    pub planned: Planned,
    /// When our scheduler handed it over; the difference to `intended_ns` is our own lateness.
    pub dispatched_ns: u64,
    /// When its bytes were given to the connection; none if no connection was to be had.
    pub sent_ns: Option<u64>,
    /// When its last byte was read, or the request was given up.
    pub finished_ns: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Status 200 and a list that parses.
    Answered {
        /// The movie ids, best first: 1 to 20 known ids, none twice.
        ids: Vec<String>,
    },
    /// Status 200 and a body that is no valid list.
    Malformed {
        /// What is wrong with it.
        reason: Malformed,
        /// The beginning of the body, made printable.
        body: String,
    },
    /// Any other status.
    Status {
        /// The status.
        code: u16,
        /// The beginning of the body, made printable.
        body: String,
    },
    /// No whole answer before the deadline.
    TimedOut,
    /// No connection, or one that broke before a whole answer.
    Refused {
        /// What the system said.
        error: String,
    },
    /// An answer that breaks the bounds of HTTP or of this client: too long, no HTTP, too many headers.
    Unreadable {
        /// Which bound.
        error: String,
    },
    /// Never sent, or not to be judged, by our own fault; never charged to the team.
    Ours {
        /// What happened on our side.
        reason: String,
    },
}

/// What is wrong with the body of an answer, in the order in which it is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Malformed {
    /// Nothing, or blanks.
    Empty,
    /// Bytes that are no UTF-8.
    NotText,
    /// A JSON array or object.
    Json,
    /// An HTML page.
    Html,
    /// More than one line.
    ManyLines {
        /// How many.
        lines: usize,
    },
    /// A sentence instead of ids, as in `Error: can only join an iterable`.
    Sentence,
    /// Titles instead of ids.
    Titles {
        /// The first that is a title.
        example: String,
    },
    /// More ids than may be sent.
    TooMany {
        /// How many.
        count: usize,
    },
    /// An empty place between two commas.
    EmptyId {
        /// Which place, from 1.
        position: usize,
    },
    /// An id twice.
    Duplicate {
        /// The id.
        id: String,
    },
    /// Ids that the catalogue does not hold.
    UnknownIds {
        /// The first of them.
        example: String,
        /// How many.
        count: usize,
    },
}

/// The most ids that an answer may hold.
pub const MAX_IDS: usize = 20;
/// A body is quoted in evidence up to this many characters: enough to see what it is, too little to fill a page.
pub const QUOTED: usize = 200;
/// An answer longer than this is a sentence for sure when it holds no comma: the longest title is far shorter.
const LONGEST_ID: usize = 200;

/// What tells a movie id from a word.
pub trait Catalogue {
    /// Tells whether a movie with this id exists.
    fn holds(&self, id: &str) -> bool;
}

impl<S: std::hash::BuildHasher> Catalogue for std::collections::HashSet<String, S> {
    fn holds(&self, id: &str) -> bool {
        self.contains(id)
    }
}

impl Catalogue for std::collections::BTreeSet<String> {
    fn holds(&self, id: &str) -> bool {
        self.contains(id)
    }
}

/// Reads the body of an answer: 1 to 20 known ids, best first, joined by commas on one line, none twice.
///
/// Blanks after commas and a newline at the end are tolerated, as good answers in the wild have them.
///
/// # Errors
/// The first thing that is wrong with it, most telling first.
pub fn parse_answer(body: &[u8], catalogue: &dyn Catalogue) -> Result<Vec<String>, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed::NotText)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Malformed::Empty);
    }
    if text.starts_with(['[', '{']) {
        return Err(Malformed::Json);
    }
    if text.starts_with('<') {
        return Err(Malformed::Html);
    }
    let lines = text.lines().count();
    if lines > 1 {
        return Err(Malformed::ManyLines { lines });
    }
    let ids: Vec<&str> = text.split(',').map(str::trim).collect();
    if let Some(wrong) = not_ids(&ids, catalogue) {
        return Err(wrong);
    }
    if ids.len() > MAX_IDS {
        return Err(Malformed::TooMany { count: ids.len() });
    }
    for (place, id) in ids.iter().enumerate() {
        if ids[..place].contains(id) {
            return Err(Malformed::Duplicate { id: (*id).to_owned() });
        }
    }
    Ok(ids.into_iter().map(str::to_owned).collect())
}

/// Tells what the parts of a line are if some are no ids of the catalogue.
fn not_ids(parts: &[&str], catalogue: &dyn Catalogue) -> Option<Malformed> {
    let unknown: Vec<&str> = parts
        .iter()
        .filter(|part| !part.is_empty() && !catalogue.holds(part))
        .copied()
        .collect();
    let looks_like_id = |part: &str| {
        part.len() <= LONGEST_ID
            && part.contains('+')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-*_+".contains(&byte))
    };
    let words: Vec<&str> = unknown
        .iter()
        .filter(|part| !looks_like_id(part))
        .copied()
        .collect();
    if let Some(first) = words.first() {
        // Titles come as a list of capitalised names; whatever else has words in it is a sentence.
        let titles = parts.len() >= 3 && words.len() * 2 > parts.len() && !first.contains(": ");
        return Some(if titles {
            Malformed::Titles {
                example: printable(first.as_bytes(), QUOTED),
            }
        } else if words.len() * 2 > parts.len() {
            Malformed::Sentence
        } else {
            Malformed::UnknownIds {
                example: printable(first.as_bytes(), QUOTED),
                count: unknown.len(),
            }
        });
    }
    if let Some(place) = parts.iter().position(|part| part.is_empty()) {
        return Some(Malformed::EmptyId { position: place + 1 });
    }
    unknown.first().map(|first| Malformed::UnknownIds {
        example: printable(first.as_bytes(), QUOTED),
        count: unknown.len(),
    })
}

impl Malformed {
    /// Returns a short name, the same for the same kind of fault.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Empty => "empty body",
            Self::NotText => "not UTF-8",
            Self::Json => "JSON instead of a line",
            Self::Html => "an HTML page",
            Self::ManyLines { .. } => "several lines",
            Self::Sentence => "a sentence instead of ids",
            Self::Titles { .. } => "titles instead of ids",
            Self::TooMany { .. } => "more than 20 ids",
            Self::EmptyId { .. } => "an empty id",
            Self::Duplicate { .. } => "an id twice",
            Self::UnknownIds { .. } => "ids not in the catalogue",
        }
    }

    /// Returns a sentence, without a full stop, that a student can act on.
    pub fn explain(&self) -> String {
        match self {
            Self::Empty => "the body is empty: answer with 1 to 20 movie ids".to_owned(),
            Self::NotText => "the body is not UTF-8 text".to_owned(),
            Self::Json => {
                "the body is JSON: answer with plain ids joined by commas, `id1,id2,id3`".to_owned()
            }
            Self::Html => {
                "the body is an HTML page, as debuggers and proxies send: answer with plain ids".to_owned()
            }
            Self::ManyLines { lines } => {
                format!("the body has {lines} lines: all ids go on one, joined by commas")
            }
            Self::Sentence => {
                "the body is a sentence: an error must have an error status, not 200".to_owned()
            }
            Self::Titles { example } => {
                format!(
                    "`{example}` is a title: answer with the `id` of the movie's record, like `shooter+2007`"
                )
            }
            Self::TooMany { count } => format!("the list has {count} ids: at most {MAX_IDS} are allowed"),
            Self::EmptyId { position } => {
                format!("place {position} of the list is empty: two commas in a row, or one at an end")
            }
            Self::Duplicate { id } => format!("`{id}` is in the list twice"),
            Self::UnknownIds { example, count } => {
                format!("`{example}` is not in the catalogue ({count} such in this list)")
            }
        }
    }
}

impl Outcome {
    /// Returns a short name, the same for the same kind of outcome.
    pub fn label(&self) -> String {
        match self {
            Self::Answered { .. } => "answered".to_owned(),
            Self::Malformed { reason, .. } => reason.label().to_owned(),
            Self::Status { code, .. } => format!("status {code}"),
            Self::TimedOut => "no answer in time".to_owned(),
            Self::Refused { .. } => "connection failed".to_owned(),
            Self::Unreadable { .. } => "unreadable answer".to_owned(),
            Self::Ours { .. } => "not sent by us".to_owned(),
        }
    }

    /// Returns what came back, as a student should read it.
    pub fn describe(&self) -> String {
        match self {
            Self::Answered { ids } => format!(
                "200, {} ids: {}",
                ids.len(),
                ids.first().map_or("", String::as_str)
            ),
            Self::Malformed { reason, body } => {
                format!("200, {}; the body begins `{body}`", reason.explain())
            }
            Self::Status { code, body } => format!("status {code}; the body begins `{body}`"),
            Self::TimedOut => "no answer before the deadline".to_owned(),
            Self::Refused { error } => format!("no answer: {error}"),
            Self::Unreadable { error } => format!("an answer that cannot be read: {error}"),
            Self::Ours { reason } => format!("not judged, our own fault: {reason}"),
        }
    }
}

impl Exchange {
    /// Returns the latency from the intended time, in nanoseconds.
    pub fn latency_ns(&self) -> u64 {
        self.finished_ns.saturating_sub(self.planned.intended_ns)
    }

    /// Returns how late we ourselves were, in nanoseconds.
    pub fn lateness_ns(&self) -> u64 {
        self.dispatched_ns.saturating_sub(self.planned.intended_ns)
    }

    /// Returns the ids of a valid list.
    pub fn ids(&self) -> Option<&[String]> {
        match &self.outcome {
            Outcome::Answered { ids } => Some(ids),
            _ => None,
        }
    }

    /// Tells whether the fault is ours, so that the exchange counts for nobody.
    pub fn is_ours(&self) -> bool {
        matches!(self.outcome, Outcome::Ours { .. })
    }

    /// Tells whether it is a success: a valid list before the deadline.
    pub fn is_success(&self, deadline_ns: u64) -> bool {
        self.ids().is_some() && self.latency_ns() <= deadline_ns
    }
}

/// Makes bytes printable: control, escape and direction signs become visible, and the length is bounded.
pub fn printable(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(most * 4)]).into_owned();
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count >= most {
            shown.push('…');
            break;
        }
        let hidden = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if letter.is_control() || hidden {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn catalogue() -> BTreeSet<String> {
        (0..40)
            .map(|number| format!("movie+{number}+2000"))
            .chain(["mr.++mrs.+smith+2005".to_owned()])
            .collect()
    }

    fn list(numbers: impl Iterator<Item = u32>, joint: &str) -> String {
        numbers
            .map(|number| format!("movie+{number}+2000"))
            .collect::<Vec<_>>()
            .join(joint)
    }

    #[test]
    fn good_answers_are_read_with_blanks_and_a_newline() {
        for joint in [",", ", ", " ,  "] {
            let body = format!("{}\n", list(0..20, joint));
            assert_eq!(parse_answer(body.as_bytes(), &catalogue()).unwrap().len(), 20);
        }
        assert_eq!(
            parse_answer(b"mr.++mrs.+smith+2005\r\n", &catalogue()).unwrap(),
            ["mr.++mrs.+smith+2005"]
        );
    }

    #[test]
    fn every_body_met_in_the_wild_gets_a_reason_of_its_own() {
        let page = format!("<!doctype html>{}", "x".repeat(16_000));
        let cases: Vec<(String, &str)> = vec![
            (String::new(), "empty body"),
            (" \n".to_owned(), "empty body"),
            (
                "Error: can only join an iterable".to_owned(),
                "a sentence instead of ids",
            ),
            (
                "Please enter a valid user id".to_owned(),
                "a sentence instead of ids",
            ),
            (
                "Sorry, something went wrong".to_owned(),
                "a sentence instead of ids",
            ),
            ("[\"movie+1+2000\"]".to_owned(), "JSON instead of a line"),
            ("{\"movies\": []}".to_owned(), "JSON instead of a line"),
            (
                "The Silent Harbor,Crimson Tide,I, Robot".to_owned(),
                "titles instead of ids",
            ),
            (list([1, 2, 1].into_iter(), ","), "an id twice"),
            (list(0..21, ","), "more than 20 ids"),
            (list(0..3, ",,"), "an empty id"),
            (format!("{},", list(0..3, ",")), "an empty id"),
            (list(90..95, ","), "ids not in the catalogue"),
            (
                format!("{}\n{}", list(0..3, ","), list(4..6, ",")),
                "several lines",
            ),
            (page, "an HTML page"),
        ];
        for (body, label) in cases {
            let reason = parse_answer(body.as_bytes(), &catalogue()).unwrap_err();
            assert_eq!(reason.label(), label, "{body}");
            assert!(reason.explain().len() > 15);
        }
        assert_eq!(parse_answer(&[0xff, 0xfe], &catalogue()), Err(Malformed::NotText));
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_parser(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(ids) = parse_answer(&body, &catalogue()) {
                prop_assert!((1..=MAX_IDS).contains(&ids.len()));
            }
        }

        #[test]
        fn what_is_printable_holds_no_control_sign(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let shown = printable(&body, 30);
            prop_assert!(!shown.chars().any(char::is_control));
            let turned = shown.contains('\u{202e}');
            prop_assert!(!turned);
        }
    }
}
