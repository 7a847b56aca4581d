//! JSON Schema of the config file, for editors: from the tables of keys that the parser uses.

use serde_json::{Map, Value, json};

use super::key::{Key, Kind, Presence};
use super::keys;

/// The schema of a main file (JSON Schema draft 2020-12).
#[must_use]
pub fn schema() -> Value {
    let mut schema = table(keys::MAIN);
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("haechi.toml"));
    Value::Object(schema)
}

fn table(keys: &[Key]) -> Map<String, Value> {
    let required = keys.iter().filter(|key| matches!(key.presence, Presence::Required)).map(|key| key.name);
    let properties: Map<_, _> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut schema = object("object");
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), required.collect());
    schema.insert("additionalProperties".into(), json!(false));
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    schema.insert("description".into(), key.doc.into());
    if let Presence::Default(default) = key.presence
        && let Ok(mut document) = toml::from_str::<Map<String, Value>>(&format!("value = {default}"))
        && let Some(default) = document.remove("value")
    {
        schema.insert("default".into(), default);
    }
    schema.into()
}

fn kind(of: &Kind) -> Map<String, Value> {
    const DURATION: &str = "^[0-9]+(ms|s|m|h)$";
    const SIZE: &str = "^[0-9]+(B|KiB|MiB|GiB)?$";
    match of {
        Kind::Bool => object("boolean"),
        Kind::Integer(min, max) => {
            let mut schema = object("integer");
            schema.insert("minimum".into(), json!(min));
            schema.insert("maximum".into(), json!(max));
            schema
        }
        Kind::OneOf(numbers) => single("enum", json!(numbers)),
        Kind::Duration | Kind::Grace => with("string", "pattern", json!(DURATION)),
        Kind::Size(..) => {
            single("anyOf", json!([with("string", "pattern", json!(SIZE)), with("integer", "minimum", json!(0))]))
        }
        Kind::Text | Kind::Path => object("string"),
        Kind::Choice(now) => single("enum", json!(now)),
        Kind::List(element) => with("array", "items", kind(element).into()),
        Kind::Table(keys) => table(keys),
        Kind::Named(keys) => with("object", "additionalProperties", table(keys).into()),
        Kind::Members(element) => with("object", "additionalProperties", kind(element).into()),
        Kind::Texts => with("object", "additionalProperties", object("string").into()),
        Kind::StatusPaths => {
            let mut schema = with("object", "patternProperties", json!({ "^[45][0-9][0-9]$": object("string") }));
            schema.insert("additionalProperties".into(), json!(false));
            schema
        }
        Kind::Either([one, other]) => single("anyOf", json!([kind(one), kind(other)])),
        Kind::False => single("const", json!(false)),
    }
}

fn object(kind: &str) -> Map<String, Value> {
    single("type", json!(kind))
}

fn with(kind: &str, keyword: &str, value: Value) -> Map<String, Value> {
    let mut schema = object(kind);
    schema.insert(keyword.into(), value);
    schema
}

fn single(keyword: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(keyword.to_owned(), value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_for_editors_is_the_parsers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/haechi.schema.json");
        let text = format!("{:#}\n", schema());
        if std::env::var_os("HAECHI_BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == text, "HAECHI_BLESS=1 writes it anew");
    }

    #[test]
    fn every_default_is_in_the_schema() {
        fn count(keys: &[Key]) -> usize {
            keys.iter().filter(|key| matches!(key.presence, Presence::Default(_))).count()
        }
        let properties = schema()["properties"].clone();
        let defaults = properties.as_object().unwrap().values().filter(|key| key.get("default").is_some()).count();
        assert_eq!(defaults, count(keys::MAIN));
        assert_eq!(properties["process"]["properties"]["shutdown_grace"]["default"], "30s");
    }
}
