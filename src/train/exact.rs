//! JSON that keeps every bit of its numbers: readers may round those that are
//! written in decimal.

use serde_json::{Number, Value};

/// Key of an object that stands for a number.
const KEY: &str = "f64";

/// A key that could be taken for [`KEY`] gets one of these in front.
const ESCAPE: char = '\\';

fn escaped(key: String) -> String {
    match key.trim_start_matches(ESCAPE) {
        KEY => format!("{ESCAPE}{key}"),
        _ => key,
    }
}

fn unescaped(key: String) -> String {
    match key.strip_prefix(ESCAPE) {
        Some(rest) if rest.trim_start_matches(ESCAPE) == KEY => rest.to_string(),
        _ => key,
    }
}

/// Writes numbers that are not whole as the digits of their bits.
pub(super) fn encode(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let bits = number.as_f64().map(f64::to_bits).unwrap_or_default();
            Value::Object(
                [(KEY.to_string(), format!("{bits:016x}").into())]
                    .into_iter()
                    .collect(),
            )
        }
        Value::Array(values) => values.into_iter().map(encode).collect(),
        Value::Object(entries) => {
            let entries = entries.into_iter();
            Value::Object(
                entries
                    .map(|(key, value)| (escaped(key), encode(value)))
                    .collect(),
            )
        }
        other => other,
    }
}

/// Takes back what [`encode`] did.
pub(super) fn decode(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let own = entries.get(KEY).and_then(Value::as_str);
            let bits = own.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            if let Some(number) = bits.and_then(|bits| Number::from_f64(f64::from_bits(bits)))
                && entries.len() == 1
            {
                return Value::Number(number);
            }
            let entries = entries.into_iter();
            Value::Object(
                entries
                    .map(|(key, value)| (unescaped(key), decode(value)))
                    .collect(),
            )
        }
        Value::Array(values) => values.into_iter().map(decode).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_number_comes_back_as_it_was() {
        for key in ["f64", "\\f64", "\\\\f64", "\\f"] {
            let value =
                serde_json::json!({ key: "3ff0000000000000", "x": [{ key: "3ff0000000000000" }] });
            let lone = serde_json::json!({ key: "3ff0000000000000" });
            for value in [value, lone] {
                assert_eq!(decode(encode(value.clone())), value);
            }
        }
    }

    #[test]
    fn every_bit_comes_back() {
        let numbers = [0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 3.0, 1e300, 4.0];
        let value = serde_json::json!({ "a": numbers, "b": [1, null, "x"], "f64": { "c": 0.3 } });
        let text = encode(value.clone()).to_string();
        let again = decode(serde_json::from_str(&text).unwrap());
        assert_eq!(again, value);
        let bits = |value: &Value| value["a"][2].as_f64().unwrap().to_bits();
        assert_eq!(bits(&again), bits(&value));
    }
}
