//! `[vrrp.NAME]`

use crate::config::key::Key;
use crate::config::key::Kind::{
    self, Bool, Choice, Duration, Either, Grace, Integer, List, Members, OneOf, Table, Text,
};

const PLAIN_TEXTS: Kind = List(&Text);

pub(super) const VRRP: &[Key] = &[
    Key::required("interface", Text, "The interface that the addresses live on, as in \"eth0\""),
    Key::required("virtual_router_id", Integer(1, 255), "The same on both hosts, and nobody else's on the link"),
    Key::default(
        "version",
        OneOf(&[2, 3]),
        "3",
        "3 (RFC 9568), or 2 (RFC 3768) beside a keepalived that speaks nothing else",
    ),
    Key::default(
        "priority",
        Integer(1, 255),
        "100",
        "The highest is active; 255: the interface has the addresses for ever (address owner)",
    ),
    Key::default(
        "advert_interval",
        Duration,
        "\"1s\"",
        "From one advert to the next: whole hundredths of a second from \"10ms\" to \"40950ms\", with version 2 whole seconds to \"255s\"",
    ),
    Key::required(
        "addresses",
        PLAIN_TEXTS,
        "The virtual addresses with their prefix, as in \"192.168.0.100/24\", all IPv4 or all IPv6; of IPv6 the first is link-local",
    ),
    Key::default("preempt", Bool, "true", "A host of higher priority that comes back takes the addresses again"),
    Key::default("preempt_delay", Grace, "\"0s\"", "How long it waits before that"),
    Key::default(
        "hold_down",
        Grace,
        "\"1s\"",
        "After the interface came back: how long nothing is taken from a host that is active",
    ),
    Key::default(
        "peers",
        PLAIN_TEXTS,
        "[]",
        "The other hosts, for unicast adverts, believed from nobody else; none: multicast",
    ),
    Key::default(
        "check_ttl",
        Bool,
        "true",
        "Unicast adverts that came through a router are refused; multicast ones always are",
    ),
    Key::optional(
        "auth_pass",
        Text,
        "version 2: the password of keepalived's auth_type PASS, at most 8 bytes, sent in clear",
    ),
    Key::optional("auth_hmac", Table(AUTH_HMAC), "Adverts carry a proof of a secret, as keepalived 2.4 has it"),
    Key::default(
        "checksum",
        Choice(&["keepalived", "rfc9568"]),
        "\"keepalived\"",
        "version 3, IPv4: what the checksum of adverts sent covers, a pseudo-header too or the message alone; both are believed",
    ),
    Key::default(
        "on_partition",
        Choice(&["serve", "stop"]),
        "\"serve\"",
        "Adverts are lost while the other host still serves: \"serve\" too, or \"stop\" and let it",
    ),
    Key::default(
        "virtual_mac",
        Bool,
        "false",
        "The addresses live on an interface with the virtual router's own MAC, so that no neighbour learns anew",
    ),
    Key::default("announce", Table(ANNOUNCE), "{}", "How the addresses are announced: gratuitous ARP, unsolicited NA"),
    Key::optional("group", Text, "Instances that name the same group become active and backup together"),
    Key::default("track", Table(TRACK), "{}", "What must be well for this host to be active"),
    Key::optional("hooks", Table(HOOKS), "What is run when the state changes"),
];

const AUTH_HMAC: &[Key] = &[
    Key::required("keys", List(&Table(HMAC_KEY)), "The secrets; the first signs, each is believed"),
    Key::default(
        "mode",
        Choice(&["receive_only", "permissive", "enforce"]),
        "\"enforce\"",
        "For a change-over: \"receive_only\" signs nothing yet, \"permissive\" signs and believes unsigned adverts, \"enforce\" refuses those",
    ),
    Key::optional("window", Duration, "How old a signed advert may be; left out: three advert intervals, 5s at least"),
];

const HMAC_KEY: &[Key] = &[
    Key::required("id", Integer(0, 255), "Its number, the same on both hosts"),
    Key::required("secret", Text, "The secret, 32 to 64 bytes"),
];

const ANNOUNCE: &[Key] = &[
    Key::default("repeat", Integer(1, 100), "5", "How often at once, and again after the delay"),
    Key::default("delay", Duration, "\"5s\"", "When they are announced again"),
    Key::default("refresh", Grace, "\"30s\"", "From then on, one each; \"0s\": never"),
];

const TRACK: &[Key] = &[
    Key::default(
        "upstreams",
        Members(&Either(&[Integer(1, 10_000), Table(TRACKED_UPSTREAM)])),
        "{}",
        "Healthy servers that an upstream must have, as in was = 1 or was = { healthy = 2, weight = 20 }",
    ),
    Key::default(
        "interfaces",
        TRACKED_LIST,
        "[]",
        "Interfaces that must be up, as in \"eth1\" or { name = \"eth1\", weight = 20 }",
    ),
    Key::optional(
        "listeners",
        TRACKED_LIST,
        "Listeners that must be bound, as in \"https\" or { name = \"https\", weight = 20 }; left out: all",
    ),
    Key::default("exec", List(&Table(TRACKED_EXEC)), "[]", "Programs that must end with 0"),
];

const TRACKED_LIST: Kind = List(&Either(&[Text, Table(TRACKED)]));

const TRACKED: &[Key] = &[Key::required("name", Text, "The name of the interface or listener"), WEIGHT];

const TRACKED_UPSTREAM: &[Key] =
    &[Key::required("healthy", Integer(1, 10_000), "Servers of it that must be healthy"), WEIGHT];

const TRACKED_EXEC: &[Key] = &[
    Key::required("command", PLAIN_TEXTS, "The program by its whole path, and its arguments"),
    Key::optional("name", Text, "Its name in logs and metrics; left out: the program's"),
    Key::optional("user", Text, "The user that it runs as; left out: the worker's"),
    Key::default("interval", Duration, "\"2s\"", "From one run to the next"),
    Key::default("timeout", Duration, "\"1s\"", "How long one run may take"),
    Key::default("rise", Integer(1, 1000), "2", "Runs in a row that must pass before it is well"),
    Key::default("fall", Integer(1, 1000), "3", "Runs in a row that must fail before it is not"),
    WEIGHT,
];

const WEIGHT: Key = Key::optional(
    "weight",
    Integer(1, 253),
    "How much lower the priority is while it is not well; left out: this host is not active at all then",
);

const HOOKS: &[Key] = &[
    Key::optional("command", PLAIN_TEXTS, "A program by its whole path, and its arguments"),
    Key::optional("post", Text, "A URL that gets the change as JSON"),
    Key::optional("user", Text, "The user that the program runs as; left out: the worker's"),
    Key::default("timeout", Duration, "\"5s\"", "How long it may take"),
    Key::default(
        "on",
        List(&Choice(&["active", "backup", "fault"])),
        "[\"active\", \"backup\", \"fault\"]",
        "The states whose beginning is told",
    ),
];
