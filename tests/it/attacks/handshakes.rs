//! Attacks by TLS handshakes.

use crate::harness::certs::Authority;
use crate::harness::haechi::PROXY;
use crate::harness::load::Load;
use crate::harness::siege::{at_rest, in_time, resident_kib};
use crate::harness::tools::run;
use crate::harness::{Haechi, Origin, Wire, eventually, get};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// haechi with a TLS listener `@https` and a plain one, and what clients trust.
fn encrypted(origin: &Origin, limits: &str) -> (Haechi, Arc<ClientConfig>) {
    let text = format!("{PROXY}\n[listener.https]\nbind = [\"@https\"]\n{limits}\n[listener.https.tls]\n")
        + "directory = \"certs\"\n[log]\nlevel = \"warn\"\naccess = { format = \"off\" }\n";
    let plan = Haechi::plan(&text).with("origin", origin.address);
    let authority = Authority::new("servers");
    authority.write(&plan.dir().join("certs"), "shop", &["shop.example"]);
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (plan.start(), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::try_from("shop.example").unwrap()).unwrap()
}

/// One GET on a connection of its own; the status.
fn get_encrypted(https: SocketAddr, config: &Arc<ClientConfig>) -> u16 {
    let socket = TcpStream::connect(https).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = StreamOwned::new(session(config), socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_hellos() {
    let origin = Origin::named("origin");
    let (haechi, config) = encrypted(&origin, "");
    let (https, http) = (haechi.at("https"), haechi.at("http"));
    in_time("before", || get_encrypted(https, &config));
    let before = resident_kib(&haechi);
    // One honest hello, sent again and again: the server signs for each, the attacker computes nothing.
    // It waits for the signature, or else the kernel's queue would be what is flooded.
    let mut hello = Vec::new();
    session(&config).write_tls(&mut hello).unwrap();
    let mut load = Load::new();
    for _ in 0..2 {
        let hello = hello.clone();
        load.add(Duration::ZERO, move || {
            let mut crowd: Vec<TcpStream> = (0..50).filter_map(|_| TcpStream::connect(https).ok()).collect();
            crowd.retain_mut(|socket| socket.write_all(&hello).is_ok());
            crowd.retain_mut(|socket| socket.read(&mut [0; 1]).is_ok());
            Ok(())
        });
    }
    load.more(4);
    for round in 0..20 {
        in_time(&format!("plain, {round}"), || get(http, "/").status);
        in_time(&format!("encrypted, {round}"), || get_encrypted(https, &config));
    }
    load.end();
    at_rest(&haechi, before);
}

#[test]
fn handshakes_that_stall_keep_nobody_out() {
    let origin = Origin::named("origin");
    let (haechi, config) = encrypted(&origin, "limits = { handshakes = 20 }");
    let https = haechi.at("https");
    let mut hello = Vec::new();
    session(&config).write_tls(&mut hello).unwrap();
    let mut stalled: Vec<Wire> = Vec::new();
    for at in 0..200 {
        let mut wire = Wire::connect(https).unwrap();
        // Some say nothing, some half a hello.
        if at % 2 == 0 {
            wire.send(&hello[..hello.len() / 2]).unwrap();
        }
        stalled.push(wire);
    }
    for round in 0..20 {
        in_time(&format!("beside them, {round}"), || get_encrypted(https, &config));
    }
    eventually("the oldest are ended", || {
        let displaced = haechi.metric("haechi_tls_handshake_failures_total", &[("reason", "displaced")])?;
        (displaced >= 160.0).then_some(())
    });
    assert!(haechi.metric("haechi_connections_open", &[("listener", "https")]).unwrap() <= 40.0);
}

#[test]
fn a_session_is_not_negotiated_anew() {
    let origin = Origin::named("origin");
    let (haechi, config) = encrypted(&origin, "timeouts = { idle = \"1s\" }");
    let https = haechi.at("https");
    let script = format!("printf 'R\\n' | openssl s_client -tls1_2 -connect {https} -servername shop.example");
    let said = run("sh", ["-c", &script]);
    assert!(said.out.contains("RENEGOTIATING") || said.err.contains("RENEGOTIATING"), "{}{}", said.out, said.err);
    let shaken = haechi.metric("haechi_tls_handshakes_total", &[]);
    assert_eq!((shaken, said.code == 124), (Some(1.0), false), "{}{}", said.out, said.err);
    in_time("afterwards", || get_encrypted(https, &config));
}
