//! Every key of the config file.

mod database;
mod pool;
mod vrrp;

use super::key::Key;
use super::key::Kind::{
    self, Bool, Choice, Duration, Either, False, Grace, Integer, List, Named, OneOf, Path, Size, StatusPaths, Table,
    Text, Texts,
};

const PLAIN_TEXTS: Kind = List(&Text);
const ANY_SIZE: Kind = Size(0, u64::MAX);

/// The main file.
pub(super) const MAIN: &[Key] = &[
    Key::default(
        "include",
        PLAIN_TEXTS,
        "[]",
        "Files to be read too, each with [[site]] and [upstream.*]; * and ? match within a name",
    ),
    Key::default("process", Table(PROCESS), "{}", "The process"),
    Key::default("admin", Table(ADMIN), "{}", "The listener for operators"),
    Key::default("log", Table(LOG), "{}", "Diagnostics and access log"),
    Key::default("listener", Named(LISTENER), "{}", "Addresses on which clients are served"),
    Key::default("site", SITES, "[]", "Hosts and their routes"),
    Key::default("upstream", Named(UPSTREAM), "{}", "Named groups of servers"),
    Key::optional(
        "error_pages",
        StatusPaths,
        "Pages for every site: a status and a file, as in 503 = \"errors/503.html\"",
    ),
    Key::default("vrrp", Named(vrrp::VRRP), "{}", "Virtual addresses shared with another host"),
];

/// A file that the main one includes.
pub(super) const INCLUDED: &[Key] = &[
    Key::default("site", SITES, "[]", "Hosts and their routes"),
    Key::default("upstream", Named(UPSTREAM), "{}", "Named groups of servers"),
];

const SITES: Kind = List(&Table(SITE));

const PROCESS: &[Key] = &[
    Key::default("workers", Integer(0, 1024), "0", "Worker threads; 0: one per core"),
    Key::default(
        "connections",
        Integer(0, 10_000_000),
        "0",
        "Open connections of all listeners; 0: half the files that the process may open, as each may need one to a server",
    ),
    Key::default(
        "exchanges",
        Integer(0, 10_000_000),
        "0",
        "Exchanges under way at once, shared out evenly among the threads; more are answered 503. 0: as many as connections",
    ),
    Key::default(
        "lag",
        Duration,
        "\"500ms\"",
        "A thread that comes round this late, time after time, answers new requests with 503 until it has caught up",
    ),
    Key::optional(
        "user",
        Text,
        "The user that the worker runs as; left out: whoever starts haechi. Changed by an upgrade or a restart",
    ),
    Key::default("handover_grace", Grace, "\"2s\"", "On stop: how long keep-alive connections are wound down first"),
    Key::default("shutdown_grace", Grace, "\"30s\"", "How long a drain may last"),
    Key::default(
        "state",
        Path,
        "\"/var/lib/haechi\"",
        "The folder in which the last primaries of databases are kept through a restart; made where an upstream has a role",
    ),
];

const ADMIN: &[Key] =
    &[Key::default("bind", Text, "\"127.0.0.1:9900\"", "Where /metrics, /status and /healthz answer")];

const LOG: &[Key] = &[
    Key::default(
        "level",
        Choice(&["error", "warn", "info", "debug", "trace"]),
        "\"info\"",
        "Diagnostics at this level and above go to stderr",
    ),
    Key::default("access", Table(ACCESS), "{}", "The access log"),
];

const ACCESS: &[Key] = &[
    Key::default("to", Text, "\"stdout\"", "\"stdout\" or the path of a file, opened anew on SIGUSR1"),
    Key::default("format", Choice(&["json", "combined", "off"]), "\"json\"", "The form of a line"),
];

const LISTENER: &[Key] = &[
    Key::required("bind", PLAIN_TEXTS, "Addresses and ports, as in \"0.0.0.0:443\" and \"[::]:443\""),
    Key::default(
        "mode",
        Choice(&["http", "tcp", "udp"]),
        "\"http\"",
        "What is served: HTTP by sites, or connections (tcp) or datagrams (udp) by an upstream",
    ),
    Key::optional("upstream", Text, "tcp, udp: the name of the upstream"),
    Key::optional(
        "sni",
        Texts,
        "tcp without tls: the upstream by the host that the client asks for in its TLS, which passes through as it is; any other host: `upstream`, or refused",
    ),
    Key::default(
        "redirect_to_https",
        Either(&[Bool, Integer(1, 65535)]),
        "false",
        "Every request is redirected to https: true for port 443, or the port",
    ),
    Key::optional(
        "protocols",
        List(&Choice(&["http/1.1", "h2", "h2c"])),
        "What is spoken; left out: \"http/1.1\", and with tls \"h2\" too. h2c: HTTP/2 by prior knowledge without tls",
    ),
    Key::optional("tls", Table(TLS), "TLS; left out: plain"),
    Key::optional("access", Table(ACCESS_BY_ADDRESS), "Who is let in, by address; left out: everybody"),
    Key::default(
        "proxy_protocol",
        Bool,
        "false",
        "A PROXY header (v1 or v2) is required before anything else; only trusted_proxies may send one",
    ),
    Key::default(
        "trusted_proxies",
        PLAIN_TEXTS,
        "[]",
        "Networks whose PROXY headers and X-Forwarded-* fields are believed",
    ),
    Key::default("timeouts", Table(LISTENER_TIMEOUTS), "{}", "How long a client may take"),
    Key::default("limits", Table(LISTENER_LIMITS), "{}", "How much a client may send"),
    Key::default(
        "server_header",
        Text,
        "\"pass\"",
        "The Server field of answers: \"pass\" the upstream's, \"remove\" it, or any other text is sent in its place",
    ),
    Key::default(
        "request_id",
        Either(&[Text, False]),
        "\"X-Request-Id\"",
        "The field that carries the request's id to the upstream and back; false: none",
    ),
    Key::default(
        "via",
        Either(&[Bool, Text]),
        "true",
        "Whether requests to an upstream say in Via that they came through haechi, and under which name; one that comes back under a name of yours is refused with 508",
    ),
];

const ACCESS_BY_ADDRESS: &[Key] = &[
    Key::default("allow", PLAIN_TEXTS, "[]", "Networks that are let in; where there are any, nobody else is"),
    Key::default(
        "deny",
        PLAIN_TEXTS,
        "[]",
        "Networks that are not; of all networks that hold an address the most specific one decides",
    ),
];

const LISTENER_TIMEOUTS: &[Key] = &[
    Key::default("handshake", Duration, "\"10s\"", "The whole TLS handshake"),
    Key::default("head", Duration, "\"10s\"", "A whole request head"),
    Key::default(
        "body",
        Duration,
        "\"10s\"",
        "Between two bytes of a request body; how far limits.body_rate may fall behind",
    ),
    Key::default(
        "send",
        Duration,
        "\"10s\"",
        "Between two bytes that the client takes; how far limits.send_rate may fall behind",
    ),
    Key::optional(
        "idle",
        Duration,
        "A connection without a request, left out: \"60s\"; tcp: a session without a byte either way, left out: \"1h\"; udp: a flow without a datagram either way, left out: \"30s\"",
    ),
    Key::default("tunnel", Duration, "\"1h\"", "A tunnel (WebSocket) without a byte either way"),
    Key::optional("total", Duration, "tcp: a whole session, whatever goes on in it; left out: no limit"),
];

const LISTENER_LIMITS: &[Key] = &[
    Key::default("connections", Integer(1, 10_000_000), "20000", "Open connections"),
    Key::default("head", Size(256, 1 << 20), "\"16KiB\"", "Bytes of a request head"),
    Key::default("headers", Integer(1, 10_000), "100", "Fields of a request head"),
    Key::default("uri", Size(16, 1 << 20), "\"8KiB\"", "Bytes of a request target"),
    Key::default("body", ANY_SIZE, "\"1GiB\"", "Bytes of a request body"),
    Key::default("streams", Integer(1, 10_000), "128", "HTTP/2 streams open at once on one connection"),
    Key::default(
        "control_frames",
        Integer(10, 1_000_000),
        "2000",
        "HTTP/2 frames that carry nothing of a request (SETTINGS, PING, RST_STREAM and so on), in one second on one connection; more end it",
    ),
    Key::default(
        "body_rate",
        Size(0, 1 << 30),
        "\"256B\"",
        "Bytes a second that a request body must come at while it is waited for; 0: any rate",
    ),
    Key::default(
        "send_rate",
        Size(0, 1 << 30),
        "\"256B\"",
        "Bytes a second that a client must take while it is waited for; 0: any rate",
    ),
    Key::default(
        "handshakes",
        Integer(1, 100_000),
        "1000",
        "TLS handshakes under way at once on a thread; one more ends the oldest of them",
    ),
    Key::default(
        "flows",
        Integer(1, 1_000_000),
        "65536",
        "udp: flows at once, shared out evenly among threads and addresses; all udp listeners together have at most a quarter of the files that the process may open",
    ),
    Key::optional(
        "source_connections",
        Integer(1, 10_000_000),
        "Connections, or flows of udp, that one source may have open; left out: any number",
    ),
    Key::optional(
        "source_connection_rate",
        RATE_OR_TABLE,
        "New connections, or flows of udp, of one source, as in \"20/s\" or { rate = \"20/s\", burst = 50 }; left out: any number",
    ),
    Key::optional(
        "source_request_rate",
        RATE_OR_TABLE,
        "Requests of one source, as in \"100/s\" or \"600/m\"; more are answered 429. Left out: any number",
    ),
    Key::default("source_prefix", Integer(1, 32), "32", "Leading bits of an IPv4 address that make a source"),
    Key::default("source_prefix_v6", Integer(1, 128), "64", "Leading bits of an IPv6 address that make a source"),
    Key::default(
        "sources",
        Integer(64, 10_000_000),
        "65536",
        "Sources that are remembered; of more the oldest is forgotten that has nothing open",
    ),
];

const RATE_OR_TABLE: Kind = Either(&[Text, Table(RATE)]);

const RATE: &[Key] = &[
    Key::required("rate", Text, "How many in which time: \"20/s\", \"600/m\", \"1000/h\""),
    Key::optional(
        "burst",
        Integer(1, 10_000_000),
        "How many may come at once after a pause; left out: as many as the rate has in its time",
    ),
];

const TLS: &[Key] = &[
    Key::default(
        "certificates",
        List(&Table(CERTIFICATE)),
        "[]",
        "Certificates named one by one; the first answers where SNI names none",
    ),
    Key::optional("directory", Path, "A folder: every NAME.crt with NAME.key in it, chosen by SNI"),
    Key::default("min_version", Choice(&["1.2", "1.3"]), "\"1.2\"", "The oldest version of TLS that is accepted"),
    Key::optional("client_ca", Path, "CAs of client certificates (mTLS)"),
    Key::optional(
        "client_auth",
        Choice(&["required", "optional"]),
        "With client_ca: whether a client must show a certificate; left out: \"required\"",
    ),
];

const CERTIFICATE: &[Key] = &[
    Key::required("cert", Path, "The chain as PEM, leaf first"),
    Key::required("key", Path, "The private key as PEM"),
];

const SITE: &[Key] = &[
    Key::required("hosts", PLAIN_TEXTS, "Host names; \"*.example.com\" for every host below, \"*\" for any"),
    Key::optional(
        "listeners",
        PLAIN_TEXTS,
        "The listeners it is on; left out: every one that does not redirect to https",
    ),
    Key::required(
        "route",
        List(&Table(ROUTE)),
        "Its routes: exact path, then longest prefix, then regexes in file order",
    ),
    Key::optional("error_pages", StatusPaths, "Its own pages: a status and a file, as in 503 = \"errors/503.html\""),
];

const ROUTE: &[Key] = &[
    Key::optional("path", Text, "A prefix of the path"),
    Key::optional("path_exact", Text, "The whole path"),
    Key::optional("path_regex", Text, "A regular expression that is found in the path"),
    Key::optional("files", Table(FILES), "Answered from files"),
    Key::optional("proxy", Table(PROXY), "Answered by an upstream"),
    Key::optional("redirect", Table(REDIRECT), "Answered by a redirect"),
    Key::optional("respond", Table(RESPOND), "Answered by fixed text"),
    Key::optional("limits", Table(ROUTE_LIMITS), "Limits narrower than the listener's"),
    Key::optional(
        "access",
        Table(ACCESS_BY_ADDRESS),
        "Who is answered, by address; others get 403. Left out: everybody",
    ),
    Key::optional("request_headers", Table(HEADER_RULES), "Fields of the request to the upstream"),
    Key::optional(
        "response_headers",
        Table(HEADER_RULES),
        "Fields of the answer to the client, on error pages of this route too but for those that tell what a body is and how long it is good",
    ),
];

const FILES: &[Key] = &[
    Key::required("root", Path, "The folder"),
    Key::default("strip_prefix", Bool, "false", "The route's path is taken off before the file is looked up"),
    Key::default("index", PLAIN_TEXTS, "[\"index.html\"]", "Files that answer for a folder, the first that is there"),
    Key::default(
        "precompressed",
        List(&Choice(&["br", "gzip", "zstd"])),
        "[]",
        "Compressed neighbours (.br, .gz, .zst) that are served to clients that take them, the preferred first",
    ),
    Key::optional("cache_control", Text, "The Cache-Control field of answers"),
    Key::optional(
        "fallback",
        Text,
        "What answers for a path that is not there, as \"/index.html\" for a single-page site",
    ),
    Key::default("listing", Bool, "false", "A folder without an index file is listed"),
    Key::default("hidden", Bool, "false", "Names that begin with a dot are served"),
    Key::default(
        "symlinks",
        Choice(&["inside", "follow", "deny"]),
        "\"inside\"",
        "Symbolic links: \"inside\" the root only, \"follow\" them anywhere, or \"deny\"",
    ),
];

const PROXY: &[Key] = &[
    Key::required("upstream", Text, "The name of the upstream"),
    Key::default("strip_prefix", Bool, "false", "The route's path is taken off"),
    Key::optional(
        "rewrite",
        Text,
        "The path that is sent: ${path}, ${path_rest} (after the route's path), ${1} and on (captures of path_regex)",
    ),
    Key::optional("host", Text, "The Host that is sent; left out: the client's"),
    Key::default(
        "read_ahead",
        Size(0, 64 << 20),
        "\"64KiB\"",
        "Bytes of an answer read ahead of a slow client; 0: none",
    ),
    Key::optional(
        "client_certificate_header",
        Text,
        "The request field that carries the subject of the client's certificate",
    ),
];

const REDIRECT: &[Key] = &[
    Key::required("to", Text, "The whole Location; ${path} and ${query} may stand in it"),
    Key::default("status", OneOf(&[301, 302, 303, 307, 308]), "302", "The status"),
];

const RESPOND: &[Key] = &[
    Key::default("status", Integer(200, 599), "200", "The status"),
    Key::default("body", Text, "\"\"", "The body"),
    Key::default("content_type", Text, "\"text/plain; charset=utf-8\"", "The Content-Type of the body"),
];

const ROUTE_LIMITS: &[Key] =
    &[Key::optional("body", ANY_SIZE, "Bytes of a request body; left out: the listener's limit")];

const HEADER_RULES: &[Key] = &[
    Key::optional("set", Texts, "Fields that have this value alone"),
    Key::optional("add", Texts, "Fields that get this value too"),
    Key::optional("remove", PLAIN_TEXTS, "Fields that go"),
];

const UPSTREAM: &[Key] = &[
    Key::default(
        "balance",
        Either(&[Choice(BALANCES), Table(BALANCE)]),
        "\"round_robin\"",
        "How a server is chosen: a name, or a table such as { by = \"ip_hash\", prefix = 24 }",
    ),
    Key::required(
        "servers",
        List(&Either(&[Text, Table(SERVER)])),
        "Addresses as \"10.0.0.11:8080\" or \"host.internal:8080\", or tables with an address",
    ),
    Key::default(
        "protocol",
        Choice(&["http/1.1", "h2c", "h2"]),
        "\"http/1.1\"",
        "What the servers speak; h2c: HTTP/2 by prior knowledge without tls, h2: HTTP/2 with tls",
    ),
    Key::optional("tls", Table(UPSTREAM_TLS), "TLS to the servers; left out: plain"),
    Key::default("timeouts", Table(UPSTREAM_TIMEOUTS), "{}", "How long a server may take"),
    Key::optional(
        "max_connections",
        Integer(1, 1_000_000),
        "Connections open at once to one server; left out: no limit",
    ),
    Key::default(
        "max_queue",
        Integer(0, 1_000_000),
        "1024",
        "Requests or sessions that may wait for a connection to one server; sessions that `hold` keeps waiting",
    ),
    Key::optional(
        "on_down",
        Choice(&["keep", "close"]),
        "Sessions of tcp listeners on a server that is judged down: \"close\" cuts them at once; left out: \"keep\", with a role in its check \"close\"",
    ),
    Key::optional(
        "hold",
        Grace,
        "How long a new session of a tcp listener waits for a server to come up where none is; left out: \"0s\", with a role in its check \"3s\"",
    ),
    Key::optional(
        "slow_start",
        Duration,
        "How long a server that comes up again takes to its whole share; left out: it has it at once",
    ),
    Key::optional(
        "send_proxy_protocol",
        Choice(&["v1", "v2"]),
        "The PROXY header that tells the servers who the client is; over HTTP each exchange then has a connection of its own",
    ),
    Key::optional("health", Table(HEALTH), "The active check; left out: none"),
    Key::default("hooks", Table(pool::HOOKS), "{}", "With a check that has `role = \"primary\"`: what is run"),
];

const BALANCES: &[&str] = &["round_robin", "least_conn", "random", "ip_hash", "hash"];

const BALANCE: &[Key] = &[
    Key::required("by", Choice(BALANCES), "How a server is chosen"),
    Key::default("prefix", Integer(1, 32), "32", "ip_hash: leading bits of an IPv4 address that count"),
    Key::default("prefix_v6", Integer(1, 128), "128", "ip_hash: leading bits of an IPv6 address that count"),
    Key::optional("header", Text, "hash: the field whose value counts"),
    Key::optional("cookie", Text, "hash: the cookie whose value counts"),
];

const SERVER: &[Key] = &[
    Key::required("address", Text, "Host and port"),
    Key::default("weight", Integer(1, 256), "1", "Its share"),
    Key::optional("name", Text, "Its name in logs and metrics; left out: the address"),
    Key::default("backup", Bool, "false", "Used only where no other server is up"),
    Key::default("drain", Bool, "false", "Gets no new sessions"),
];

const UPSTREAM_TLS: &[Key] = &[
    Key::optional("ca", Path, "The CAs that are believed; left out: those of the system"),
    Key::optional("server_name", Text, "The name that is asked for and checked; left out: the server's host"),
    Key::optional("certificate", Table(CERTIFICATE), "The certificate that is shown to the servers"),
];

const UPSTREAM_TIMEOUTS: &[Key] = &[
    Key::default("connect", Duration, "\"1s\"", "Connecting, TLS included"),
    Key::default("response", Duration, "\"60s\"", "Until the first byte of an answer, and between two bytes of it"),
    Key::default("idle", Duration, "\"15s\"", "A pooled connection without a request"),
    Key::default("queue", Duration, "\"5s\"", "Waiting for a connection where max_connections is reached"),
];

const HEALTH: &[Key] = &[
    Key::optional("http", Text, "The path of a GET"),
    Key::optional("tcp", Bool, "A connection is enough"),
    Key::optional("mysql", Table(database::MYSQL), "A login to MySQL or MariaDB, and a query"),
    Key::optional("postgres", Table(database::POSTGRES), "A login to PostgreSQL, and a query"),
    Key::optional("redis", Table(database::REDIS), "A login to Redis or Valkey, and a question"),
    Key::optional("port", Integer(1, 65_535), "The port that is asked; left out: the server's own"),
    Key::optional("host", Text, "http: the Host of the request; left out: the server's address"),
    Key::optional("expect", Text, "http: healthy statuses, as in \"200,204,300-399\"; left out: \"200-399\""),
    Key::optional("body", Text, "http: text that a healthy answer holds"),
    Key::default("interval", Duration, "\"2s\"", "From one check to the next"),
    Key::default("timeout", Duration, "\"1s\"", "How long one check may take"),
    Key::default("rise", Integer(1, 1000), "2", "Checks in a row that must pass before a server is up"),
    Key::default("fall", Integer(1, 1000), "3", "Checks in a row that must fail before a server is down"),
];
