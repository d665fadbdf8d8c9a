//! Golden values of statistics and fairness: what the tool finds for a case, in the shape of the file, and how it compares.

pub(crate) mod fairness;
pub(crate) mod stats;

use serde_json::Value;

/// Compares what was found with what is wanted, key by key; a key that is wanted and was not found fails.
///
/// Numbers may differ by `tolerance`, relative to what is wanted or, below 1, absolute. `"inf"` and `"-inf"` stand for
/// themselves, null for "there is no such value".
pub(crate) fn compare(at: &str, found: &Value, wanted: &Value, tolerance: f64) -> usize {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .map(|(key, wanted)| {
                let found = found
                    .get(key)
                    .unwrap_or_else(|| panic!("{at}: no measure for `{key}`"));
                compare(&format!("{at} {key}"), found, wanted, tolerance)
            })
            .sum(),
        (Value::Array(found), Value::Array(wanted)) => {
            assert_eq!(found.len(), wanted.len(), "{at}");
            found
                .iter()
                .zip(wanted)
                .enumerate()
                .map(|(place, (found, wanted))| compare(&format!("{at} {place}"), found, wanted, tolerance))
                .sum()
        }
        (Value::Number(_), Value::Number(_)) => {
            let (found, wanted) = (found.as_f64().unwrap(), wanted.as_f64().unwrap());
            assert!(
                (found - wanted).abs() <= tolerance * wanted.abs().max(1.0),
                "{at}: {found}, wanted {wanted}"
            );
            1
        }
        _ => {
            assert_eq!(found, wanted, "{at}");
            1
        }
    }
}

/// Returns the numbers of a list.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

/// Returns the counts of a list.
pub(crate) fn counts(value: &Value) -> Vec<u64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_u64().unwrap())
        .collect()
}
