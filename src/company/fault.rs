//! What may be wrong with the API for a while: it is down, says nothing, is slow, or has changed the form of its records.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::MOST_SLOW;
use super::records::{Route, message};
use crate::door::Reply;
use crate::incident::{Form, Kind, Outage};
use crate::seed::Draws;
use crate::world::classic_text;

/// A fault of the API, as an incident has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiFault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Which records it concerns; all, and the list of what is withdrawn, where none is named.
    pub route: Option<Route>,
    /// The share of requests that it hits.
    pub share: f64,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// Status 503 at once.
    Outage,
    /// No answer for a minute, then status 504.
    Silence,
    /// The right answer, later by this much; a minute at most.
    Slow(Duration),
    /// The right record in another form.
    Changed(Change),
}

/// A change of the form of a record. A field that a record does not have stays away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A field has another name.
    Renamed {
        /// The name in the contract.
        from: String,
        /// The new one.
        to: String,
    },
    /// A field is gone.
    Gone(String),
    /// A number has become a text.
    Text(String),
    /// The record lies one level deeper, in `data`.
    Wrapped,
    /// Every field has another name: `userId` for `user_id`.
    AllRenamed,
    /// Every number is a text, and what is null is missing.
    AllTexts,
}

impl From<Form> for Change {
    fn from(form: Form) -> Self {
        match form {
            Form::Renamed => Self::AllRenamed,
            Form::Nested => Self::Wrapped,
            Form::Texts => Self::AllTexts,
        }
    }
}

impl ApiFault {
    /// Returns what an incident does to every answer; none where it leaves the API alone, or nobody answers at all.
    pub fn of(kind: &Kind) -> Option<Self> {
        let kind = match kind {
            Kind::ApiSchemaChange(form) => FaultKind::Changed(Change::from(*form)),
            Kind::ApiOutage(Outage::Error) => FaultKind::Outage,
            Kind::ApiOutage(Outage::Silent) => FaultKind::Silence,
            Kind::ApiOutage(Outage::Slow { late_s }) => FaultKind::Slow(Duration::from_secs_f64(*late_s)),
            _ => return None,
        };
        Some(Self {
            kind,
            route: None,
            share: 1.0,
        })
    }
}

impl Change {
    /// Changes a record.
    pub fn apply(&self, record: &mut Value) {
        if matches!(self, Self::Wrapped) {
            *record = json!({ "data": record.take() });
            return;
        }
        let Some(fields) = inner(record) else { return };
        match self {
            Self::Renamed { from, to } => {
                if let Some(value) = fields.remove(from) {
                    fields.insert(to.clone(), value);
                }
            }
            Self::Gone(name) => {
                fields.remove(name);
            }
            Self::Text(name) => {
                if let Some(value) = fields.get_mut(name) {
                    *value = Value::from(classic_text(value));
                }
            }
            Self::AllRenamed => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(key, value)| (camel(&key), value))
                    .collect();
            }
            Self::AllTexts => {
                fields.retain(|_, value| !value.is_null());
                for value in fields.values_mut().filter(|value| value.is_number()) {
                    *value = Value::from(value.to_string());
                }
            }
            Self::Wrapped => {}
        }
    }
}

/// `user_id` as other languages write it: `userId`; a word alone gets an ending, so that each name changes.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut made = words.next().unwrap_or_default().to_owned();
    let mut more = false;
    for word in words {
        let mut letters = word.chars();
        made.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        made.push_str(letters.as_str());
        more = true;
    }
    if !more {
        made.push_str("Value");
    }
    made
}

/// Returns the fields of a record, wrapped or not.
fn inner(record: &mut Value) -> Option<&mut Map<String, Value>> {
    let is_wrapped = record.get("data").is_some_and(Value::is_object);
    if is_wrapped {
        record.get_mut("data")?.as_object_mut()
    } else {
        record.as_object_mut()
    }
}

/// What a request meets.
#[derive(Debug, Default)]
pub(super) struct Hit {
    /// What is answered in place of the right answer.
    pub(super) instead: Option<Reply>,
    /// How much later.
    pub(super) wait: Duration,
    /// In which form.
    pub(super) changes: Vec<Change>,
}

/// Draws which of some faults hit a request. A draw is taken for each fault, so that one ending moves no other.
pub(super) fn hits(faults: &[ApiFault], route: Route, draws: &mut Draws) -> Hit {
    let mut hit = Hit::default();
    for fault in faults {
        let is_hit = draws.chance(fault.share);
        let concerns = match fault.route {
            Some(wanted) => wanted == route,
            None => matches!(route, Route::User | Route::Movie | Route::Takedowns),
        };
        if !is_hit || !concerns {
            continue;
        }
        match &fault.kind {
            FaultKind::Outage => hit.instead = Some(message(503, "service unavailable")),
            FaultKind::Silence => {
                hit.instead = Some(message(504, "no answer from the records"));
                hit.wait = MOST_SLOW;
            }
            FaultKind::Slow(time) => hit.wait = (hit.wait + *time).min(MOST_SLOW),
            FaultKind::Changed(change) => hit.changes.push(change.clone()),
        }
    }
    hit
}
