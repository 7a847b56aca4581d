//! The config with every default written out, for `haechi check --defaults`.

use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use super::key::{Key, Kind, Presence};
use super::keys;
use super::model::Config;

impl Config {
    /// The config as TOML with each default that holds written out. An included file begins with a
    /// comment that names it: its relative paths start in its own folder.
    #[must_use]
    pub fn to_toml_with_defaults(&self) -> String {
        let mut text = String::new();
        for (index, file) in self.sources.files().iter().enumerate() {
            let Ok(document) = DeTable::parse(&file.text) else { continue };
            let keys = if index == 0 { keys::MAIN } else { keys::INCLUDED };
            if index > 0 {
                let _ = writeln!(text, "\n# {}", file.path.display());
            }
            write_table(&mut text, "", keys, Some(document.get_ref()));
        }
        text
    }
}

fn write_table(text: &mut String, path: &str, keys: &[Key], table: Option<&DeTable<'_>>) {
    let value = |key: &Key| table.and_then(|table| table.get(key.name)).map(toml::Spanned::get_ref);
    // A table's own values stand before the first header below it.
    for key in keys.iter().filter(|key| !has_header(&key.kind)) {
        match (value(key), &key.presence) {
            (Some(value), _) => {
                let _ = writeln!(text, "{} = {}", key.name, inline(value));
            }
            (None, Presence::Default(default)) => {
                let _ = writeln!(text, "{} = {default}", key.name);
            }
            (None, Presence::Required | Presence::Optional) => {}
        }
    }
    for key in keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        let defaulted = matches!(key.presence, Presence::Default(_));
        match (&key.kind, value(key)) {
            (Kind::Table(keys), Some(DeValue::Table(table))) => write_section(text, &path, keys, Some(table)),
            (Kind::Table(keys), None) if defaulted => write_section(text, &path, keys, None),
            (Kind::Named(keys), Some(DeValue::Table(tables))) => {
                let mut tables: Vec<_> = tables.iter().collect();
                tables.sort_by_key(|(name, _)| name.span().start);
                for (name, table) in tables {
                    let path = format!("{path}.{}", name_in_key(name.get_ref()));
                    write_section(text, &path, keys, table.get_ref().as_table());
                }
            }
            (Kind::List(Kind::Table(keys)), Some(DeValue::Array(tables))) => {
                for table in tables {
                    let _ = writeln!(text, "\n[[{path}]]");
                    write_table(text, &path, keys, table.get_ref().as_table());
                }
            }
            _ => {}
        }
    }
}

fn has_header(kind: &Kind) -> bool {
    matches!(kind, Kind::Table(_) | Kind::Named(_) | Kind::List(Kind::Table(_)))
}

fn write_section(text: &mut String, path: &str, keys: &[Key], table: Option<&DeTable<'_>>) {
    let _ = writeln!(text, "\n[{path}]");
    write_table(text, path, keys, table);
}

fn inline(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => toml::Value::from(&**text).to_string(),
        DeValue::Integer(digits) => digits.to_string(),
        DeValue::Float(digits) => digits.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(entries) => {
            let entries: Vec<String> = entries.iter().map(|entry| inline(entry.get_ref())).collect();
            format!("[{}]", entries.join(", "))
        }
        DeValue::Table(table) => {
            let member = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &toml::Spanned<std::borrow::Cow<'_, str>> = name;
                format!("{} = {}", name_in_key(name.get_ref()), inline(value.get_ref()))
            };
            let members: Vec<String> = table.iter().map(member).collect();
            if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) }
        }
    }
}

/// A name as it stands in a key: quoted where it is not bare.
fn name_in_key(name: &str) -> String {
    let bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare { name.to_owned() } else { toml::Value::from(name).to_string() }
}
