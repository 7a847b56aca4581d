//! What goes through, and how it ends.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use rustls::pki_types::ServerName;

use super::{accept, before, connect, ended, is_reset, logged, passes, reset, server, session};
use crate::harness::certs::Authority;
use crate::harness::{Haechi, eventually};

#[test]
fn a_client_that_ended_its_sending_still_gets_an_answer() {
    let server = server();
    let haechi = before(&server, "").start();
    let (mut client, mut far) = session(&haechi, &server);
    passes(&mut client, &mut far, b"question");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 0, "the server hears the end");
    passes(&mut far, &mut client, b"answer");
    passes(&mut far, &mut client, b"and more");
    drop(far);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    ended(&haechi, "ended", 1);
    let line = logged(&haechi, None);
    assert_eq!((&line["listener"], &line["upstream"]), (&"db".into(), &"db".into()));
    assert_eq!((line["bytes_in"].as_u64(), line["bytes_out"].as_u64()), (Some(9), Some(14)));
    assert_eq!(line.get("status"), None);
    assert_eq!(haechi.metric("haechi_client_received_bytes_total", &[("listener", "db")]), Some(9.0));
    assert_eq!(haechi.metric("haechi_server_received_bytes_total", &[("upstream", "db")]), Some(14.0));
}

#[test]
fn a_server_that_ended_its_sending_still_hears_the_client() {
    let server = server();
    let haechi = before(&server, "").start();
    let (mut client, mut far) = session(&haechi, &server);
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    passes(&mut client, &mut far, b"all the same");
    drop(client);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    ended(&haechi, "ended", 1);
}

#[test]
fn a_reset_on_one_side_is_one_on_the_other() {
    let server = server();
    let haechi = before(&server, "").start();
    let (mut client, far) = session(&haechi, &server);
    reset(far);
    is_reset(&mut client);
    ended(&haechi, "server_reset", 1);
    let (client, mut far) = session(&haechi, &server);
    reset(client);
    is_reset(&mut far);
    ended(&haechi, "client_reset", 1);
    logged(&haechi, Some("client_reset"));
}

/// Bytes without a period that divides a page, from any place on.
fn pattern(from: usize, length: usize) -> impl Iterator<Item = u8> {
    (from..from + length).map(|at| (at % 251) as u8)
}

#[test]
fn much_goes_both_ways_at_once_and_nothing_of_it_is_lost() {
    const TOTAL: usize = 64 << 20;
    const STEP: usize = 251 * 1024;
    let server = server();
    let haechi = before(&server, "").start();
    let (client, far) = session(&haechi, &server);
    let send = |mut to: std::net::TcpStream| {
        let step: Vec<u8> = pattern(0, STEP).collect();
        let mut left = TOTAL;
        while left > 0 {
            let n = left.min(STEP);
            to.write_all(&step[..n]).unwrap();
            left -= n;
        }
        to.shutdown(Shutdown::Write).unwrap();
    };
    let receive = |mut from: std::net::TcpStream| {
        let expected: Vec<u8> = pattern(0, STEP + 251).collect();
        let mut step = vec![0; STEP];
        let mut total = 0;
        loop {
            let n = from.read(&mut step).unwrap();
            if n == 0 {
                return total;
            }
            let phase = total % 251;
            assert!(step[..n] == expected[phase..phase + n], "at {total}");
            total += n;
        }
    };
    thread::scope(|scope| {
        let (upload, download) = (client.try_clone().unwrap(), far.try_clone().unwrap());
        scope.spawn(move || send(upload));
        scope.spawn(move || send(download));
        let got = scope.spawn(move || receive(client));
        assert_eq!(receive(far), TOTAL);
        assert_eq!(got.join().unwrap(), TOTAL);
    });
    ended(&haechi, "ended", 1);
}

#[test]
fn a_session_without_a_byte_is_cut_after_idle_and_any_after_total() {
    let server = server();
    let text = "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\ntimeouts = { KEY = \"300ms\" }\n\
                [upstream.db]\nservers = [\"@server\"]\n";
    for (key, outcome) in [("idle", "idle_timeout"), ("total", "total_timeout")] {
        let plan = Haechi::plan(&text.replace("KEY", key)).with("server", server.local_addr().unwrap());
        let haechi = plan.start();
        let (mut client, mut far) = session(&haechi, &server);
        passes(&mut far, &mut client, b"x");
        is_reset(&mut client);
        is_reset(&mut far);
        ended(&haechi, outcome, 1);
        assert_eq!(haechi.metric("haechi_client_timeouts_total", &[("listener", "db"), ("phase", key)]), Some(1.0));
    }
}

#[test]
fn a_session_lives_through_reloads() {
    let server = server();
    let mut haechi = before(&server, "").start();
    let (mut client, mut far) = session(&haechi, &server);
    let text = "[listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\nlimits = { connections = 7 }\n\
                [upstream.db]\nservers = [\"@server\"]\nmax_connections = 5\n";
    haechi.edit(text);
    passes(&mut client, &mut far, b"after a reload");
    // The upstream is another one now; who is on the old one stays there.
    haechi
        .edit(&text.replace("[upstream.db]", "[upstream.other]").replace("upstream = \"db\"", "upstream = \"other\""));
    passes(&mut far, &mut client, b"after another");
    let (mut new, mut new_far) = session(&haechi, &server);
    passes(&mut new, &mut new_far, b"new");
}

#[test]
fn a_drain_lets_sessions_live_and_cuts_them_after_its_grace() {
    let server = server();
    let plan = before(&server, "\n[process]\nworkers = 1\nhandover_grace = \"10ms\"\nshutdown_grace = \"700ms\"");
    let mut haechi = plan.start();
    let (mut client, mut far) = session(&haechi, &server);
    haechi.signal(crate::harness::haechi::Signal::TERM);
    eventually("nobody is let in", || std::net::TcpStream::connect(haechi.at("db")).is_err().then_some(()));
    passes(&mut client, &mut far, b"still here");
    is_reset(&mut client);
    is_reset(&mut far);
    assert!(haechi.ended(super::SILENCE).success());
    logged(&haechi, Some("cut"));
}

#[test]
fn tls_is_taken_off_and_put_on() {
    let authority = Authority::new("test");
    let front = server();
    let text = "[listener.out]\nbind = [\"@out\"]\nmode = \"tcp\"\nupstream = \"in\"\n\
                [upstream.in]\nservers = [\"@db\"]\ntls = { ca = \"ca.pem\", server_name = \"db.example\" }\n\
                [listener.db]\nbind = [\"@db\"]\nmode = \"tcp\"\nupstream = \"db\"\n\
                tls = { certificates = [{ cert = \"db.crt\", key = \"db.key\" }] }\n\
                [upstream.db]\nservers = [\"@server\"]\n";
    let plan = Haechi::plan(text).with("server", front.local_addr().unwrap()).file("ca.pem", &authority.pem);
    authority.write(plan.dir(), "db", &["db.example"]);
    let haechi = plan.start();
    let mut client = connect(haechi.at("out"));
    client.write_all(b"hello").unwrap();
    let mut far = accept(&front);
    let mut got = [0; 5];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    let bytes: Vec<u8> = pattern(0, 1_000_000).collect();
    thread::scope(|scope| {
        let sent = bytes.clone();
        scope.spawn(move || {
            far.write_all(&sent).unwrap();
            far.shutdown(Shutdown::Write).unwrap();
            assert_eq!(far.read(&mut [0]).unwrap(), 0);
        });
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert!(got == bytes, "{} bytes", got.len());
        drop(client);
    });
    ended(&haechi, "ended", 1);
    let line = logged(&haechi, None);
    assert_eq!(line["tls_version"].as_str().or(Some("TLSv1.3")), Some("TLSv1.3"));

    // A client that leaves without a word may have been cut: that is no end.
    let roots = crate::harness::certs::trusting(&authority);
    let name = ServerName::try_from("db.example").unwrap();
    let mut session = rustls::ClientConnection::new(roots, name).unwrap();
    let mut socket = connect(haechi.at("db"));
    rustls::Stream::new(&mut session, &mut socket).write_all(b"half").unwrap();
    let mut far = accept(&front);
    let mut got = [0; 4];
    far.read_exact(&mut got).unwrap();
    drop(socket);
    is_reset(&mut far);
}
