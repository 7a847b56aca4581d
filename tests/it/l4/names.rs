//! TLS that passes through, told apart by the host that it asks for.

use std::io::{Read, Write};

use rustls::pki_types::ServerName;

use super::{accept, connect, ended, is_reset, passes, server};
use crate::harness::certs::{Authority, trusting};
use crate::harness::ports::free_port;
use crate::harness::programs::Program;
use crate::harness::tools::{Said, run};
use crate::harness::{Haechi, eventually};

const NAMES: &str = r#"
[listener.db]
bind = ["@db"]
mode = "tcp"
timeouts = { handshake = "1s" }

[listener.db.sni]
"one.example" = "one"
"*.example" = "other"

[upstream.one]
servers = ["@one"]

[upstream.other]
servers = ["@other"]
"#;

/// What a client of this host begins with.
fn hello(host: &'static str) -> Vec<u8> {
    let config = trusting(&Authority::new("nobody"));
    let mut client = rustls::ClientConnection::new(config, ServerName::try_from(host).unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_host_leads_to_its_upstream_and_its_hello_arrives_whole() {
    let (one, other) = (server(), server());
    let plan = Haechi::plan(NAMES).with("one", one.local_addr().unwrap()).with("other", other.local_addr().unwrap());
    let haechi = plan.start();
    for (host, server) in [("one.example", &one), ("two.example", &other), ("a.b.example", &other)] {
        let bytes = hello(host);
        // In two pieces, and in one.
        for cut in [0, bytes.len() / 2] {
            let mut client = connect(haechi.at("db"));
            client.write_all(&bytes[..cut]).unwrap();
            client.write_all(&bytes[cut..]).unwrap();
            let mut far = accept(server);
            let mut got = vec![0; bytes.len()];
            far.read_exact(&mut got).unwrap();
            assert!(got == bytes);
            passes(&mut far, &mut client, b"and back");
        }
    }
    ended(&haechi, "ended", 6);
    eventually("a line with the name", || {
        haechi.access_log().into_iter().find(|line| line["tls_server_name"] == "two.example")
    });
}

#[test]
fn who_asks_for_nobody_is_told_so_and_who_speaks_no_tls_is_reset() {
    let (one, other) = (server(), server());
    let plan = Haechi::plan(NAMES).with("one", one.local_addr().unwrap()).with("other", other.local_addr().unwrap());
    let haechi = plan.start();
    let mut client = connect(haechi.at("db"));
    client.write_all(&hello("shop.test")).unwrap();
    let mut alert = [0; 7];
    client.read_exact(&mut alert).unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 112]);
    ended(&haechi, "unrecognized_name", 1);
    let mut plain = connect(haechi.at("db"));
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    is_reset(&mut plain);
    ended(&haechi, "bad_hello", 1);
    // One that would never end.
    let mut giant = connect(haechi.at("db"));
    let record = [&[22, 3, 1, 0x3f, 0xf0, 1, 0, 0x3f, 0xf0][..], &[0; 16 * 1024]].concat();
    let _ = giant.write_all(&record);
    is_reset(&mut giant);
    ended(&haechi, "bad_hello", 2);
    let mut slow = connect(haechi.at("db"));
    slow.write_all(&hello("one.example")[..20]).unwrap();
    is_reset(&mut slow);
    ended(&haechi, "hello_timeout", 1);
}

#[test]
fn a_session_of_tls_goes_through_to_its_end() {
    let authority = Authority::new("test");
    let app = server();
    let text = format!(
        "{}\n[listener.tls]\nbind = [\"@one\"]\nmode = \"tcp\"\nupstream = \"app\"\n\
         tls = {{ certificates = [{{ cert = \"one.crt\", key = \"one.key\" }}] }}\n[upstream.app]\nservers = [\"@app\"]\n",
        NAMES.replace("@other", "@nobody")
    );
    let plan = Haechi::plan(&text).with("app", app.local_addr().unwrap());
    authority.write(plan.dir(), "one", &["one.example"]);
    let haechi = plan.start();
    let name = ServerName::try_from("one.example").unwrap();
    let mut session = rustls::ClientConnection::new(trusting(&authority), name).unwrap();
    let mut socket = connect(haechi.at("db"));
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(b"through two").unwrap();
    let mut far = accept(&app);
    let mut got = [0; 11];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"through two");
    far.write_all(b"and back").unwrap();
    let mut got = [0; 8];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"and back");
}

/// A handshake of `openssl s_client` with trust in this CA; `name`: what it asks for, and what the certificate has to be for.
fn s_client(haechi: &Haechi, listener: &str, version: &str, asks: &[&str], shown: &str) -> Said {
    let (address, ca) = (haechi.at(listener).to_string(), haechi.dir().join("ca.pem").display().to_string());
    let words = ["s_client", "-brief", version, "-verify_return_error", "-CAfile", &ca, "-verify_hostname", shown];
    run("openssl", words.iter().chain(&["-connect", &address]).chain(asks))
}

#[test]
fn openssl_is_led_by_the_name_that_it_asks_for() {
    let authority = Authority::new("test");
    let (one, other) = (free_port(), free_port());
    // A second listener has an upstream for everybody else.
    let fallback = NAMES.split("[upstream").next().unwrap().replace("listener.db", "listener.any");
    let fallback = fallback.replace("@db", "@any").replace("mode = ", "upstream = \"other\"\nmode = ");
    let plan = Haechi::plan(&(NAMES.to_owned() + &fallback)).with("one", one).with("other", other);
    let plan = plan.file("ca.pem", &authority.pem);
    authority.write(plan.dir(), "one", &["one.example"]);
    authority.write(plan.dir(), "other", &["other.example"]);
    let Some(_one) = Program::s_server(plan.dir(), "one", one) else { return };
    let Some(_other) = Program::s_server(plan.dir(), "other", other) else { return };
    let haechi = plan.start();
    for version in ["-tls1_2", "-tls1_3"] {
        let led = |listener: &str, asks: &[&str], shown: &str| {
            let said = s_client(&haechi, listener, version, asks, shown);
            assert_eq!(said.code, 0, "{version} {asks:?}: {}{}", said.err, said.out);
            assert!(said.err.contains("Verification: OK"), "{}", said.err);
        };
        led("db", &["-servername", "one.example"], "one.example");
        led("db", &["-servername", "other.example"], "other.example");
        led("db", &["-servername", "a.b.example"], "other.example");
        led("any", &["-servername", "one.example"], "one.example");
        led("any", &["-servername", "shop.test"], "other.example");
        led("any", &["-noservername"], "other.example");
        for asks in [&["-servername", "shop.test"][..], &["-noservername"]] {
            let said = s_client(&haechi, "db", version, asks, "one.example");
            assert_ne!(said.code, 0, "{version} {asks:?}: {}", said.out);
            assert!(said.err.contains("unrecognized name"), "{version} {asks:?}: {}", said.err);
        }
    }
    ended(&haechi, "unrecognized_name", 4);
}
