//! How the API writes JSON: blanks after colons and commas, and keys in the order in which the company has them.

use serde_json::{Map, Value};

/// Keys in their order; others follow in the order of the alphabet.
const ORDER: [&str; 32] = [
    "user_id",
    "age",
    "occupation",
    "gender",
    "self_description_likes",
    "self_description_dislikes",
    "id",
    "tmdb_id",
    "imdb_id",
    "title",
    "original_title",
    "adult",
    "belongs_to_collection",
    "budget",
    "genres",
    "homepage",
    "original_language",
    "overview",
    "popularity",
    "poster_path",
    "production_companies",
    "production_countries",
    "release_date",
    "revenue",
    "runtime",
    "spoken_languages",
    "status",
    "vote_average",
    "vote_count",
    "cost",
    "message",
    "data",
];

/// Writes a value.
pub(super) fn print(value: &Value) -> String {
    let mut out = String::new();
    push(value, false, &mut out);
    out
}

/// `name_first` is how production companies are written.
fn push(value: &Value, name_first: bool, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                push(item, name_first, out);
            }
            out.push(']');
        }
        Value::Object(fields) => push_fields(fields, name_first, out),
        // Numbers, texts, truth values and null have one form.
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn push_fields(fields: &Map<String, Value>, name_first: bool, out: &mut String) {
    let rank = |key: &str| match key {
        "name" if name_first => 0,
        _ => ORDER
            .iter()
            .position(|known| *known == key)
            .map_or(ORDER.len() + 1, |place| place + 1),
    };
    let mut keys: Vec<&String> = fields.keys().collect();
    keys.sort_by_key(|key| (rank(key), key.as_str()));
    out.push('{');
    for (place, key) in keys.into_iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push_str(": ");
        push(&fields[key], key == "production_companies", out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_have_the_order_of_the_company() {
        let user = json!({"age": 32, "gender": "M", "occupation": "artist", "user_id": 110149});
        assert_eq!(
            print(&user),
            r#"{"user_id": 110149, "age": 32, "occupation": "artist", "gender": "M"}"#
        );
        let movie = json!({"production_companies": [{"id": 1, "name": "A"}], "id": "x", "genres": [{"id": 2, "name": "B"}]});
        assert_eq!(
            print(&movie),
            r#"{"id": "x", "genres": [{"id": 2, "name": "B"}], "production_companies": [{"name": "A", "id": 1}]}"#
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-z_\"\\\\]{0,8}", inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_value()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&print(&value)).unwrap(), value);
        }
    }
}
