//! What is withdrawn: the list that the API gives, and what a movie's own record says then (pure).

use serde_json::{Value, json};

/// A movie that must not be recommended any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// The movie's id.
    pub movie: String,
    /// Since when, as text for people.
    pub since: String,
}

impl Withdrawn {
    /// Returns the answer to `/takedowns`.
    pub fn list(all: &[Self]) -> Value {
        let all: Vec<Value> = all
            .iter()
            .map(|one| json!({ "movie": one.movie, "since": one.since }))
            .collect();
        json!({ "takedowns": all })
    }

    /// Lets a record say that its movie is withdrawn, if it is.
    pub fn mark(all: &[Self], record: &mut Value) {
        let id = record.get("id").and_then(Value::as_str);
        if id.is_some_and(|id| all.iter().any(|one| one.movie == id)) {
            record["status"] = Value::from("Withdrawn");
        }
    }
}
