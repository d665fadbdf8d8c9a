//! The description of the API for programs: OpenAPI 3.1, as the profile has it.

use serde_json::{Map, Value, json};

use super::records::MOST_AT_ONCE;
use crate::world::Profile;

/// Returns the document.
pub(super) fn document(profile: Profile) -> String {
    let ids = match profile {
        Profile::Classic => String::new(),
        Profile::Current => format!(", or up to {MOST_AT_ONCE} of them joined by commas"),
    };
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The company's records",
            "version": profile.name(),
            "description": "Read only. A client that asks too often gets status 429 and is told in Retry-After when to come back.",
        },
        "paths": {
            "/user/{id}": path("user", &format!("The user's number{ids}"), profile),
            "/movie/{id}": path("movie", &format!("The movie's id{ids}"), profile),
            "/takedowns": {"get": {"summary": "The movies that must not be recommended any more", "responses": {"200": {
                "description": "All of them, and since when",
                "content": {"application/json": {"schema": object(&[("takedowns", json!({"type": "array", "items": object(&[
                    ("movie", json!({"type": "string"}), true),
                    ("since", json!({"type": "string"}), true),
                ])}), true)])}},
            }}}},
            "/openapi.json": {"get": {"summary": "This document", "responses": {"200": {"description": "OpenAPI 3.1"}}}},
            "/health": {"get": {"summary": "Whether the API is there", "responses": {"200": {"description": "It is"}}}},
        },
        "components": {"schemas": {
            "user": user(profile),
            "movie": movie(profile),
            "message": object(&[("message", json!({"type": "string"}), true)]),
        }},
    });
    format!("{document:#}")
}

fn path(name: &str, id: &str, profile: Profile) -> Value {
    let one = json!({"$ref": format!("#/components/schemas/{name}")});
    let message = json!({"$ref": "#/components/schemas/message"});
    let found = match profile {
        Profile::Classic => one,
        Profile::Current => json!({"oneOf": [one, {"type": "array", "items": {"anyOf": [one, message]}}]}),
    };
    let content = |schema: &Value| json!({"application/json": {"schema": schema}});
    let mut responses = json!({
        "200": {"description": "The record", "content": content(&found)},
        "404": {"description": "There is no such record", "content": content(&message)},
        "429": {
            "description": "Too many requests",
            "headers": {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}},
            "content": content(&message),
        },
    });
    if profile == Profile::Current {
        responses["400"] = json!({"description": "Too many ids", "content": content(&message)});
    }
    json!({"get": {
        "summary": format!("What the company knows of a {name}"),
        "parameters": [{"name": "id", "in": "path", "required": true, "description": id, "schema": {"type": "string"}}],
        "responses": responses,
    }})
}

fn object(fields: &[(&str, Value, bool)]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(name, schema, _)| ((*name).to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|(_, _, is_required)| *is_required)
        .map(|(name, _, _)| *name)
        .collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn user(profile: Profile) -> Value {
    let text = json!({"type": "string"});
    let mut fields = vec![
        ("user_id", json!({"type": "integer"}), true),
        ("age", json!({"type": "integer"}), true),
        ("occupation", text.clone(), true),
        ("gender", json!({"enum": ["F", "M"]}), true),
    ];
    if profile == Profile::Current {
        fields.push(("self_description_likes", text.clone(), false));
        fields.push(("self_description_dislikes", text, false));
    }
    object(&fields)
}

fn movie(profile: Profile) -> Value {
    // In `classic` the scalars are texts but for two.
    let scalar = |kind: Value| match profile {
        Profile::Classic => json!({"type": "string"}),
        Profile::Current => json!({"type": kind}),
    };
    let text = || scalar(json!("string"));
    let maybe = || scalar(json!(["string", "null"]));
    let pairs = |id: &str, kind: &str| json!({"type": "array", "items": object(&[(id, json!({"type": kind}), true), ("name", json!({"type": "string"}), true)])});
    let mut fields = vec![
        ("id", json!({"type": "string"}), true),
        ("tmdb_id", json!({"type": "integer"}), true),
        ("imdb_id", text(), true),
        ("title", text(), true),
        ("original_title", text(), true),
        ("adult", scalar(json!("boolean")), true),
        ("belongs_to_collection", json!({"type": ["object", "null"]}), true),
        ("budget", scalar(json!("integer")), true),
        ("genres", pairs("id", "integer"), true),
        ("homepage", maybe(), true),
        ("original_language", text(), true),
        ("overview", text(), true),
        ("popularity", scalar(json!("number")), true),
        ("poster_path", text(), true),
        ("production_companies", pairs("id", "integer"), true),
        ("production_countries", pairs("iso_3166_1", "string"), true),
        ("release_date", maybe(), true),
        ("revenue", scalar(json!("integer")), true),
        ("runtime", json!({"type": "integer"}), true),
        ("spoken_languages", pairs("iso_639_1", "string"), true),
        ("status", text(), true),
        ("vote_average", scalar(json!("number")), true),
        ("vote_count", scalar(json!("integer")), true),
    ];
    if profile == Profile::Current {
        fields.push(("cost", json!({"type": "number"}), true));
    }
    object(&fields)
}
