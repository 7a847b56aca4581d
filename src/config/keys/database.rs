//! `health.mysql`, `health.postgres` and `health.redis`

use super::UPSTREAM_TLS;
use crate::config::key::Key;
use crate::config::key::Kind::{Choice, Duration, Path, Size, Table, Text};

const PASSWORD: Key = Key::optional("password", Text, "The account's password; left out with password_file: none");

const PASSWORD_FILE: Key =
    Key::optional("password_file", Path, "A file that holds the password alone; a line end after it does not count");

const ROLE: Key = Key::optional(
    "role",
    Choice(&["primary", "replica"]),
    "The part in its group that a server needs to be used; left out: an answer to a query is enough",
);

const MAX_LAG: Key =
    Key::optional("max_lag", Duration, "role \"replica\": how far behind its primary a server may be; left out: any");

const FALLBACK: Key = Key::optional(
    "fallback",
    Choice(&["primary", "none"]),
    "role \"replica\": who serves where no replica can, the primary or nobody; left out: \"primary\"",
);

const TLS: Key = Key::optional("tls", Table(UPSTREAM_TLS), "TLS for the check; left out: plain");

const fn max_answer(default: &'static str) -> Key {
    Key::default(
        "max_answer",
        Size(1 << 10, 16 << 20),
        default,
        "Bytes that a server may send in one check; more fail it",
    )
}

pub(super) const MYSQL: &[Key] = &[
    Key::required("user", Text, "The account that the check logs in as"),
    PASSWORD,
    PASSWORD_FILE,
    ROLE,
    MAX_LAG,
    FALLBACK,
    max_answer("\"1MiB\""),
    TLS,
];

pub(super) const POSTGRES: &[Key] = &[
    Key::required("user", Text, "The role that the check logs in as"),
    PASSWORD,
    PASSWORD_FILE,
    Key::default("database", Text, "\"postgres\"", "The database that the check logs in to"),
    ROLE,
    MAX_LAG,
    FALLBACK,
    max_answer("\"64KiB\""),
    TLS,
];

pub(super) const REDIS: &[Key] = &[
    Key::default("user", Text, "\"default\"", "The user of an ACL (Redis 6 and later)"),
    PASSWORD,
    PASSWORD_FILE,
    ROLE,
    MAX_LAG,
    FALLBACK,
    max_answer("\"64KiB\""),
    TLS,
];
