//! The world's own clients speak to it: curl, nghttp, h2load and openssl.

use crate::harness::certs::{Authority, write_pair};
use crate::harness::haechi::{Haechi, PROXY, Plan};
use crate::harness::tools::{Said, curl, run};
use crate::harness::{Client, Next, Origin, Request, Wire, answer, eventually};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// A TLS listener `@https` and a plain one that speaks h2c, both before `@origin`.
fn encrypted(origin: &Origin, tls: &str) -> (Plan, Authority) {
    encrypted_by(origin, "", tls)
}

/// The same with these lines for the TLS listener too.
fn encrypted_by(origin: &Origin, listener: &str, tls: &str) -> (Plan, Authority) {
    let text = PROXY.replace("bind = [\"@http\"]", "bind = [\"@http\"]\nprotocols = [\"http/1.1\", \"h2c\"]")
        + &format!("\n[listener.https]\nbind = [\"@https\"]\n{listener}\n[listener.https.tls]\n")
        + "directory = \"certs\"\n"
        + tls;
    let plan = Haechi::plan(&text).with("origin", origin.address);
    let authority = Authority::new("servers");
    let certs = plan.dir().join("certs");
    authority.write(&certs, "a-shop", &["shop.example"]);
    authority.write(&certs, "b-wild", &["*.wild.example"]);
    fs::write(plan.dir().join("ca.pem"), &authority.pem).unwrap();
    (plan, authority)
}

/// curl against a name that lives at this address.
fn curl_to(haechi: &Haechi, address: SocketAddr, host: &str, path: &str, flags: &[&str]) -> Said {
    let resolve = format!("{host}:{}:127.0.0.1", address.port());
    let url = format!("https://{host}:{}{path}", address.port());
    let ca = haechi.dir().join("ca.pem");
    let fixed = ["-sS", "--max-time", "20", "--cacert", ca.to_str().unwrap(), "--resolve", &resolve];
    run("curl", fixed.iter().chain(flags).copied().chain([url.as_str()]))
}

fn s_client(address: SocketAddr, flags: &[&str]) -> Said {
    let address = address.to_string();
    run("openssl", ["s_client", "-connect", &address].iter().chain(flags).copied())
}

#[test]
fn curl_speaks_every_version_over_every_tls() {
    let origin = Origin::named("hello");
    let (plan, _) = encrypted(&origin, "");
    let haechi = plan.start();
    for (http, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for tls in ["1.2", "1.3"] {
            let at_least = format!("--tlsv{tls}");
            let flags = [http, &at_least, "--tls-max", tls, "-w", " %{http_version}"];
            let said = curl_to(&haechi, haechi.at("https"), "shop.example", "/", &flags);
            assert_eq!(said.out, format!("hello {version}"), "{http} over TLS {tls}: {}", said.err);
        }
    }
    let plain = format!("http://{}/", haechi.at("http"));
    assert_eq!(curl(["--http2-prior-knowledge", "-w", " %{http_version}", &plain]), "hello 2");
    assert_eq!(curl(["--http1.1", "-w", " %{http_version}", &plain]), "hello 1.1");
    assert_eq!(curl(["--http1.0", "-w", " %{http_version}", &plain]).split(' ').next(), Some("hello"));
    assert_eq!(haechi.metric("haechi_tls_handshakes_total", &[("version", "TLSv1.2")]), Some(2.0));
    assert_eq!(haechi.metric("haechi_tls_handshakes_total", &[("version", "TLSv1.3")]), Some(2.0));
}

#[test]
fn h2load_and_nghttp_find_no_fault() {
    let origin =
        Origin::start(|arrival, wire| wire.send(answer(200, &arrival.body)).map_or(Next::Close, |()| Next::Keep));
    let (plan, _) = encrypted(&origin, "");
    let body = plan.dir().join("body");
    fs::write(&body, vec![b'x'; 100_000]).unwrap();
    let haechi = plan.start();
    let (https, http) = (format!("https://{}/", haechi.at("https")), format!("http://{}/", haechi.at("http")));
    let post = format!("--data={}", body.display());
    for arguments in [
        vec!["-n2000", "-c10", "-m20", &https],
        vec!["-n2000", "-c10", "-m20", &http],
        vec!["-n1000", "-c10", "--h1", &https],
        vec!["-n200", "-c4", "-m10", &post, &https],
    ] {
        let said = run("h2load", &arguments);
        let wanted = arguments[0].trim_start_matches("-n");
        let ok = said.out.contains(&format!("{wanted} succeeded, 0 failed, 0 errored, 0 timeout"));
        assert!(ok, "h2load {arguments:?}: {}{}", said.out, said.err);
        assert!(said.out.contains(&format!("{wanted} 2xx, 0 3xx, 0 4xx, 0 5xx")), "{}", said.out);
    }
    let said = run("nghttp", ["-y", "-v", "-d", body.to_str().unwrap(), "--no-dep", &https]);
    assert!(said.out.contains(":status: 200"), "{}{}", said.out, said.err);
    let said = run("nghttp", ["-y", "-s", "-n", &http, &format!("{http}a"), &format!("{http}b")]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

#[test]
fn http_2_carries_bodies_fields_and_refusals() {
    let origin = Origin::start(|arrival, wire| {
        let sent = match arrival.target.as_str() {
            "/cut" => wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                .and(Err(std::io::ErrorKind::Other.into())),
            "/until-close" => wire.send("HTTP/1.1 200 OK\r\n\r\nall").and(Err(std::io::ErrorKind::Other.into())),
            _ => wire.send(answer(200, &arrival.body)),
        };
        sent.map_or(Next::Close, |()| Next::Keep)
    });
    let (plan, _) = encrypted(&origin, "");
    let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(plan.dir().join("body"), &body).unwrap();
    let haechi = plan.start();
    let out = haechi.dir().join("out");
    let data = format!("@{}", haechi.dir().join("body").display());
    let flags = ["--http2", "--data-binary", &data, "-o", out.to_str().unwrap()];
    let said = curl_to(&haechi, haechi.at("https"), "shop.example", "/echo", &flags);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(fs::read(&out).unwrap() == body);

    let flags = ["--http2", "-H", "Cookie: a=b", "-H", "Cookie: c=d", "-H", "X-Forwarded-For: 9.9.9.9"];
    curl_to(&haechi, haechi.at("https"), "shop.example", "/fields?a=b", &flags);
    let head = origin.arrival("/fields?a=b").head;
    assert!(head.line.ends_with(" HTTP/1.1"), "{}", head.line);
    assert_eq!(head.field("host"), Some(format!("shop.example:{}", haechi.at("https").port()).as_str()));
    assert_eq!(head.field("cookie"), Some("a=b; c=d"), "RFC 9113 §8.2.3: one field again");
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("https"));

    let cut = curl_to(&haechi, haechi.at("https"), "shop.example", "/cut", &["--http2"]);
    assert_ne!(cut.code, 0, "a cut answer is not whole: {}", cut.out);
    let said = curl_to(&haechi, haechi.at("https"), "shop.example", "/until-close", &["--http2"]);
    assert_eq!((said.code, said.out.as_str()), (0, "all"), "{}", said.err);
    let long = format!("X: {}", "x".repeat(20_000));
    let flags = ["--http2", "-H", &long, "-o", "/dev/null", "-w", "%{http_code}"];
    let said = curl_to(&haechi, haechi.at("https"), "shop.example", "/long", &flags);
    assert!(said.out == "431" || said.code != 0, "{} {}", said.out, said.err);
    assert!(origin.arrivals_for("/long").is_empty());
}

#[test]
fn http_2_answers_before_the_body_is_there() {
    let origin = Origin::before_body(|_, wire| {
        let _ = wire.send(answer(403, "not you"));
        Next::Close
    });
    let (plan, _) = encrypted(&origin, "[listener.https.limits]\nbody = \"10MiB\"\n");
    fs::write(plan.dir().join("large"), vec![b'x'; 11 << 20]).unwrap();
    fs::write(plan.dir().join("small"), vec![b'x'; 5 << 20]).unwrap();
    let haechi = plan.start();
    for (file, status) in [("large", "413"), ("small", "403")] {
        let data = format!("@{}", haechi.dir().join(file).display());
        for _ in 0..5 {
            let flags = ["--http2", "--data-binary", &data, "-o", "/dev/null", "-w", "%{http_code}"];
            let said = curl_to(&haechi, haechi.at("https"), "shop.example", "/", &flags);
            assert_eq!(said.out, status, "{file}: {}", said.err);
        }
    }
}

#[test]
fn alpn_settles_the_protocol_and_sni_the_certificate() {
    let origin = Origin::named("hello");
    let (plan, _) = encrypted(&origin, "");
    let haechi = plan.start();
    let https = haechi.at("https");
    for (offered, chosen) in [("h2,http/1.1", "ALPN protocol: h2"), ("http/1.1", "ALPN protocol: http/1.1")] {
        let said = s_client(https, &["-alpn", offered, "-servername", "shop.example"]);
        assert!(said.out.contains(chosen), "{offered}: {}", said.out);
    }
    for (flags, subject) in [
        (&["-servername", "shop.example"][..], "CN = shop.example"),
        (&["-servername", "SHOP.example"], "CN = shop.example"),
        (&["-servername", "a.wild.example"], "CN = *.wild.example"),
        (&["-servername", "a.b.wild.example"], "CN = shop.example"),
        (&["-servername", "unknown.example"], "CN = shop.example"),
        (&["-noservername"], "CN = shop.example"),
    ] {
        let said = s_client(https, flags);
        assert!(said.out.contains(&format!("subject={subject}")), "{flags:?}: {}", said.out);
    }
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(https, &[version, "-servername", "shop.example"]);
        assert!(said.out.contains(&format!("New, {shown}")), "{version}: {}", said.out);
    }
    let old = s_client(https, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert_ne!(old.code, 0, "TLS 1.1 is over");
    let resumed = run("openssl", ["s_client", "-connect", &https.to_string(), "-tls1_2", "-reconnect"]);
    assert!(resumed.out.contains("Reused, TLSv1.2"), "tickets: {}", resumed.out);
}

#[test]
fn a_client_that_shares_no_protocol_is_sent_away() {
    let origin = Origin::named("hello");
    for (only, other) in [("h2", "http/1.1"), ("http/1.1", "h2")] {
        let (plan, _) = encrypted_by(&origin, &format!("protocols = [\"{only}\"]"), "");
        let haechi = plan.start();
        let https = haechi.at("https");
        let refusals = || haechi.metric("haechi_tls_handshake_failures_total", &[("reason", "no_shared_protocol")]);
        let said = s_client(https, &["-alpn", only]);
        assert!(said.out.contains(&format!("ALPN protocol: {only}")), "{only}: {}", said.out);
        assert_eq!(refusals(), Some(0.0));
        for version in ["-tls1_2", "-tls1_3"] {
            let said = s_client(https, &["-alpn", other, version]);
            assert!(said.err.contains("no application protocol"), "{other}: {}", said.err);
        }
        eventually("both are counted", || (refusals() == Some(2.0)).then_some(()));
        let url = format!("https://{https}/");
        let said = run("curl", ["-sSk", "--no-alpn", "--max-time", "10", "--http1.1", &url]);
        if only == "h2" {
            // 52: the server ended the connection in good order and gave no answer.
            assert_eq!((said.code, said.out.as_str()), (52, ""), "{}", said.err);
            assert_eq!(refusals(), Some(3.0));
            assert!(haechi.stderr().contains("did not ask for h2"), "{}", haechi.stderr());
        } else {
            assert_eq!((said.code, said.out.as_str()), (0, "hello"), "{}", said.err);
        }
    }
}

#[test]
fn a_minimum_of_1_3_refuses_1_2() {
    let origin = Origin::named("hello");
    let (plan, _) = encrypted(&origin, "min_version = \"1.3\"\n");
    let haechi = plan.start();
    assert_ne!(s_client(haechi.at("https"), &["-tls1_2"]).code, 0);
    assert_eq!(s_client(haechi.at("https"), &["-tls1_3"]).code, 0);
    eventually("the failure is counted", || {
        haechi.metric("haechi_tls_handshake_failures_total", &[("reason", "no_shared_version")]).filter(|it| *it >= 1.0)
    });
}

#[test]
fn clients_show_a_certificate_where_one_is_asked_for() {
    let origin = Origin::named("hello");
    let (plan, _) = encrypted(&origin, "client_ca = \"clients.pem\"\n");
    let clients = Authority::new("clients");
    let folder = plan.dir().to_owned();
    fs::write(folder.join("clients.pem"), &clients.pem).unwrap();
    for (file, (cert, key)) in
        [("alice", clients.mint_client("alice")), ("mallory", Authority::new("clients").mint_client("mallory"))]
    {
        write_pair(&folder, file, &cert, &key);
    }
    let haechi = plan.start();
    let with = |name: &str| {
        let (cert, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        let flags = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
        curl_to(&haechi, haechi.at("https"), "shop.example", "/", &flags)
    };
    let alice = with("alice");
    assert_eq!((alice.code, alice.out.as_str()), (0, "hello"), "{}", alice.err);
    assert_ne!(with("mallory").code, 0, "of another authority");
    assert_ne!(curl_to(&haechi, haechi.at("https"), "shop.example", "/", &[]).code, 0, "without");
    eventually("both are counted", || {
        let counted =
            |reason| haechi.metric("haechi_tls_handshake_failures_total", &[("reason", reason)]).unwrap_or(0.0);
        (counted("client_cert_missing") >= 1.0 && counted("client_cert_invalid") + counted("unknown_ca") >= 1.0)
            .then_some(())
    });
}

#[test]
fn the_origin_may_learn_the_client_s_subject() {
    let origin = Origin::named("hello");
    let (plan, _) = encrypted(&origin, "client_ca = \"clients.pem\"\nclient_auth = \"optional\"\n");
    let clients = Authority::new("clients");
    fs::write(plan.dir().join("clients.pem"), &clients.pem).unwrap();
    let (cert, key) = clients.mint_client("alice");
    write_pair(plan.dir(), "alice", &cert, &key);
    let mut haechi = plan.start();
    let text = fs::read_to_string(haechi.config()).unwrap();
    haechi
        .edit(&text.replace("upstream = \"was\" }", "upstream = \"was\", client_certificate_header = \"X-Subject\" }"));
    let (cert, key) = (haechi.dir().join("alice.crt"), haechi.dir().join("alice.key"));
    let flags = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap(), "-H", "X-Subject: CN=root"];
    assert_eq!(curl_to(&haechi, haechi.at("https"), "shop.example", "/with", &flags).out, "hello");
    assert_eq!(
        curl_to(&haechi, haechi.at("https"), "shop.example", "/without", &["-H", "X-Subject: CN=root"]).out,
        "hello"
    );
    assert_eq!(origin.arrival("/with").head.field("x-subject"), Some("CN=alice"));
    assert_eq!(origin.arrival("/without").head.field("x-subject"), None, "nobody names himself");
}

#[test]
fn a_plain_listener_may_only_redirect() {
    let origin = Origin::named("hello");
    let (plan, _) = encrypted(
        &origin,
        "[listener.plain]\nbind = [\"@plain\"]\nredirect_to_https = 8443\n[listener.usual]\nbind = [\"@usual\"]\nredirect_to_https = true\n",
    );
    let haechi = plan.start();
    let request = Request::get("/a%20b?c=d").with("Host", "Shop.example:80");
    for (listener, location) in
        [("plain", "https://shop.example:8443/a%20b?c=d"), ("usual", "https://shop.example/a%20b?c=d")]
    {
        let response = Client::connect(haechi.at(listener)).unwrap().send(&request).unwrap();
        assert!(matches!(response.status, 301 | 308), "{}", response.status);
        assert_eq!(response.field("location").map(str::to_lowercase).as_deref(), Some(location));
    }
    assert!(origin.arrivals().is_empty());
}

#[test]
fn what_is_not_tls_is_counted_and_a_slow_handshake_ends() {
    let origin = Origin::named("hello");
    let (plan, _) = encrypted(&origin, "[listener.https.timeouts]\nhandshake = \"500ms\"\n");
    let haechi = plan.start();
    let mut plain = Wire::connect(haechi.at("https")).unwrap();
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let _ = plain.read_to_end();
    let mut silent = Wire::connect(haechi.at("https")).unwrap();
    assert!(silent.patience(Duration::from_secs(5)).is_closed());
    for reason in ["not_tls", "timeout"] {
        eventually(reason, || {
            haechi.metric("haechi_tls_handshake_failures_total", &[("reason", reason)]).filter(|it| *it >= 1.0)
        });
    }
}

#[test]
fn tls_goes_on_to_the_upstream_where_it_says_so() {
    let origin = Origin::named("hello");
    // Its own TLS listener stands in for a server with TLS.
    let text = "[listener.front]\nbind = [\"@front\"]\n[[site]]\nhosts = [\"*\"]\nlisteners = [\"front\"]\n\
                [[site.route]]\npath = \"/\"\nproxy = { upstream = \"secure\" }\n[[site.route]]\npath = \"/wrong/\"\nproxy = { upstream = \"wrong\" }\n\
                [upstream.secure]\nservers = [\"@https\"]\ntls = { ca = \"ca.pem\", server_name = \"shop.example\" }\n\
                [upstream.wrong]\nservers = [\"@https\"]\ntls = { ca = \"ca.pem\", server_name = \"other.example\" }\n";
    let (plan, _) = encrypted(&origin, "");
    let mut haechi = plan.start();
    let first = fs::read_to_string(haechi.config()).unwrap();
    let first = first.replace("hosts = [\"*\"]", "hosts = [\"*\"]\nlisteners = [\"https\"]");
    haechi.edit(&format!("{first}\n{text}"));
    let mut client = Client::connect(haechi.at("front")).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "hello");
    }
    assert_eq!(client.get("/wrong/").status, 502, "a certificate of another name is not taken");
}

#[test]
fn five_thousand_sites_with_their_certificates_answer() {
    const SITES: usize = 5000;
    let mut text = String::from("[listener.https]\nbind = [\"@https\"]\n[listener.https.tls]\ndirectory = \"certs\"\n");
    for at in 0..SITES {
        let _ = write!(
            text,
            "[[site]]\nhosts = [\"s{at}.example\"]\n[[site.route]]\npath = \"/\"\nrespond = {{ status = 200, body = \"site {at}\" }}\n"
        );
    }
    let plan = Haechi::plan(&text);
    let authority = Authority::new("servers");
    let key = rcgen::KeyPair::generate().unwrap();
    let key_pem = key.serialize_pem();
    let certs = plan.dir().join("certs");
    for at in 0..SITES {
        let cert = authority.mint_for(&key, &[&format!("s{at}.example")]);
        write_pair(&certs, &format!("s{at}"), &cert, &key_pem);
    }
    fs::write(plan.dir().join("ca.pem"), &authority.pem).unwrap();
    let haechi = plan.start();
    for at in (0..SITES).step_by(SITES / 40).chain([SITES - 1]) {
        let host = format!("s{at}.example");
        let said = curl_to(&haechi, haechi.at("https"), &host, "/", &[]);
        assert_eq!(said.out, format!("site {at}"), "{}", said.err);
    }
}
