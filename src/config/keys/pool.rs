//! Keys of pools of database servers.

use crate::config::key::Key;
use crate::config::key::Kind::{Duration, List, Table, Text};

pub(super) const HOOKS: &[Key] = &[
    Key::optional(
        "on_primary_lost",
        Table(HOOK),
        "The primary is dead and no other server takes writes: a script may promote one. Of a pair only the active host runs it",
    ),
    Key::optional(
        "on_primary_changed",
        Table(HOOK),
        "Another server is the primary. Of a pair only the active host runs it",
    ),
];

const HOOK: &[Key] = &[
    Key::optional(
        "command",
        List(&Text),
        "A program by its whole path, and its arguments; it reads what is known as JSON",
    ),
    Key::optional("post", Text, "A URL that gets the same"),
    Key::optional("user", Text, "The user that the program runs as; left out: the worker's"),
    Key::default("timeout", Duration, "\"30s\"", "How long it may take"),
];
