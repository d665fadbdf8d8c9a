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
