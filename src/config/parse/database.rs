//! `health.mysql`, `health.postgres` and `health.redis`

use crate::config::model::{DatabaseCheck, DatabaseEngine, DatabaseRole, Fallback, Password};
use crate::config::node::Node;
use crate::config::value;

/// The check; `None` where it lacks what cannot be left out, which has been said. `kind` is its key.
pub(super) fn database(kind: &str, node: &Node<'_>) -> Option<DatabaseCheck> {
    let engine = match kind {
        "mysql" => DatabaseEngine::MySql,
        "postgres" => DatabaseEngine::Postgres { database: node.parsed("database", value::account)?.value },
        _ => DatabaseEngine::Redis,
    };
    let words = [("primary", DatabaseRole::Primary), ("replica", DatabaseRole::Replica)];
    let role = node.read("role", |leaf| leaf.choice(&words));
    let is_replica = role.as_ref().is_some_and(|role| role.value == DatabaseRole::Replica);
    for key in ["max_lag", "fallback"].into_iter().filter(|key| node.has(key) && !is_replica) {
        node.fault_at(key, format!("`{key}` needs `role = \"replica\"`"));
    }
    Some(DatabaseCheck {
        password: password(node),
        max_lag: node.optional_duration("max_lag"),
        fallback: node.choice(
            "fallback",
            &[("primary", Fallback::Primary), ("none", Fallback::None)],
            Fallback::Primary,
        ),
        max_answer: node.number("max_answer"),
        tls: node.table("tls").map(|tls| super::upstream::upstream_tls(&tls)),
        user: node.parsed("user", value::account)?.value,
        role,
        engine,
    })
}

fn password(node: &Node<'_>) -> Option<Password> {
    let written = node.parsed("password", value::password);
    let file = node.file("password_file");
    if node.has("password") && node.has("password_file") {
        node.fault_at("password_file", "`password_file` does not go with `password`");
    }
    file.map(Password::File).or_else(|| written.map(|written| Password::Written(written.value)))
}
