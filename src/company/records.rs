//! What the API answers: the record of a user or a movie, several at once in `current`, or a message.

use serde_json::{Value, json};

use super::fault::Change;
use super::form;
use super::withdrawn::Withdrawn;
use crate::door::Reply;
use crate::world::{Profile, UserId, World};

/// The most ids of one request, in the profile `current`.
pub const MOST_AT_ONCE: usize = 200;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// `/user/<id>`.
    User,
    /// `/movie/<id>`.
    Movie,
    /// `/takedowns`.
    Takedowns,
    /// `/openapi.json`.
    OpenApi,
    /// `/health`.
    Health,
    /// Anything else.
    Other,
}

impl Route {
    /// Returns the route of a path that is decoded, and the ids that it names.
    pub(super) fn of(path: &str) -> (Self, &str) {
        if let Some(ids) = path.strip_prefix("/user/") {
            (Self::User, ids)
        } else if let Some(ids) = path.strip_prefix("/movie/") {
            (Self::Movie, ids)
        } else {
            let route = match path {
                "/takedowns" => Self::Takedowns,
                "/openapi.json" => Self::OpenApi,
                "/health" => Self::Health,
                _ => Self::Other,
            };
            (route, "")
        }
    }

    /// Returns its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Movie => "movie",
            Self::Takedowns => "takedowns",
            Self::OpenApi => "openapi",
            Self::Health => "health",
            Self::Other => "other",
        }
    }
}

/// Makes a reply of a message alone.
pub(super) fn message(status: u16, text: &str) -> Reply {
    written(status, &json!({ "message": text }))
}

fn written(status: u16, value: &Value) -> Reply {
    Reply::new(status, "application/json", form::print(value))
}

/// Answers what was asked of a world on a day of the term, as the changes of its form have it.
pub(super) fn answer(
    world: &World,
    (route, ids): (Route, &str),
    day: f64,
    withdrawn: &[Withdrawn],
    changes: &[Change],
) -> Reply {
    let record = |id: &str| match route {
        Route::User => user(world, id, day),
        Route::Movie => movie(world, id, day),
        Route::Takedowns | Route::OpenApi | Route::Health | Route::Other => None,
    };
    let record = |id: &str| {
        record(id).map(|mut record| {
            if route == Route::Movie {
                Withdrawn::mark(withdrawn, &mut record);
            }
            for change in changes {
                change.apply(&mut record);
            }
            record
        })
    };
    let unknown = match route {
        Route::User => "user not found",
        Route::Movie => "movie not found",
        Route::Takedowns => return written(200, &Withdrawn::list(withdrawn)),
        Route::Health => return written(200, &json!({ "status": "ok" })),
        Route::OpenApi | Route::Other => return message(404, "not found"),
    };
    if world.spec().profile == Profile::Classic || !ids.contains(',') {
        return record(ids).map_or_else(|| message(404, unknown), |record| written(200, &record));
    }
    let ids: Vec<&str> = ids
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect();
    if ids.len() > MOST_AT_ONCE {
        return message(400, &format!("at most {MOST_AT_ONCE} ids at once"));
    }
    let key = if route == Route::User { "user_id" } else { "id" };
    let records: Vec<Option<Value>> = ids.iter().map(|id| record(id)).collect();
    if records.iter().all(Option::is_none) {
        return message(404, unknown);
    }
    // In the order of asking, with a message in the place of what is unknown, so that nobody is matched with another's record.
    let all: Vec<Value> = ids
        .iter()
        .zip(records)
        .map(|(id, record)| record.unwrap_or_else(|| json!({ key: id, "message": unknown })))
        .collect();
    written(200, &Value::from(all))
}

fn user(world: &World, id: &str, day: f64) -> Option<Value> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_digit()) && !id.starts_with('0');
    let id = UserId(id.parse().ok().filter(|_| is_plain)?);
    let has_joined = world.joined(id).is_none_or(|joined| joined <= day);
    has_joined.then(|| world.user(id))?.map(|user| user.to_json())
}

fn movie(world: &World, id: &str, day: f64) -> Option<Value> {
    let index = world.movie_index(id)?;
    let is_out = world.arrived(index).is_none_or(|arrived| arrived <= day);
    is_out.then(|| world.movie(index).to_json(world.spec().profile))
}
