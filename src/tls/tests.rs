//! Handshakes in memory: real clients against real configs.

use std::time::SystemTime;
use std::{
    fs,
    io::{Read, Write},
    sync::Arc,
};

use rcgen::DnType;
use rustls::{
    ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
    version::{TLS12, TLS13},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::net::{Socket, Stream, TlsFacts};
use crate::reading::Reading;

pub(crate) mod minted;

use minted::{Authority, Folder, new_folder};

/// A listener's certificates and the authority behind them.
struct Gate {
    folder: Folder,
    authority: Authority,
    store: Arc<Store>,
    tickets: Tickets,
}

impl Gate {
    fn new(names: &[&[&str]]) -> Self {
        let (folder, authority) = (new_folder(), Authority::new("servers"));
        let certificates = names
            .iter()
            .enumerate()
            .map(|(at, names)| authority.server(names).write(&folder, &at.to_string()))
            .collect();
        let store = Arc::new(
            Store::load(&StoreSpec { certificates, directory: None }, None, &Known::default(), &Reading::of_disk())
                .unwrap(),
        );
        Self { folder, authority, store, tickets: Tickets::new(&[], SystemTime::now()).unwrap() }
    }

    fn config(&self, client_auth: ClientAuth) -> Arc<ServerConfig> {
        let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let policy = ServerPolicy { min_version: MinVersion::Tls12, alpn, client_auth };
        server_config(Arc::clone(&self.store), &policy, &self.tickets).unwrap()
    }

    /// A client that believes the gate's authority.
    fn client(&self) -> ClientConfig {
        self.outbound(&OutboundSpec::default())
    }

    fn outbound(&self, spec: &OutboundSpec) -> ClientConfig {
        let ca = self.folder.path().join("ca.pem");
        fs::write(&ca, self.authority.pem()).unwrap();
        ClientConfig::clone(
            OutboundTls::load(&OutboundSpec { ca: Some(ca), ..spec.clone() }, &Reading::of_disk()).unwrap().config(),
        )
    }
}

/// What came of a handshake, as the server saw it.
fn shake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Result<TlsFacts, Box<Error>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut client_failed = false;
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut server_error = None;
        while !wire.is_empty() && server_error.is_none() {
            let read = server.read_tls(&mut wire.as_slice()).unwrap();
            wire.drain(..read);
            server_error = server.process_new_packets().err();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        while !wire.is_empty() && !client_failed {
            let read = client.read_tls(&mut wire.as_slice()).unwrap();
            wire.drain(..read);
            client_failed = client.process_new_packets().is_err();
        }
        if let Some(server_error) = server_error {
            return Err(server_error.into());
        }
    }
    // The data proves that both sides hold the same keys.
    let mut text = [0; 5];
    client.writer().write_all(b"hello").unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    server.reader().read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
    Ok(facts(&server))
}

fn failure(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> &'static str {
    HandshakeFailure::of_tls(&shake(server, client, name).unwrap_err()).name()
}

#[test]
fn tls_1_3_is_spoken_with_a_post_quantum_group() {
    let gate = Gate::new(&[&["a.example"]]);
    let facts = shake(&gate.config(ClientAuth::None), &gate.client().into(), "a.example").unwrap();
    assert_eq!((facts.version, facts.group), ("TLSv1.3", "X25519MLKEM768"));
    assert_eq!(facts.cipher, "TLS13_AES_256_GCM_SHA384");
    assert_eq!(facts.server_name.as_deref(), Some("a.example"));
    assert_eq!((facts.alpn.as_deref(), facts.is_h2(), facts.resumed), (None, false, false));
    assert_eq!(facts.client_subject, None);
}

fn only(gate: &Gate, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(gate.authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[test]
fn the_oldest_version_is_a_choice() {
    let gate = Gate::new(&[&["a"]]);
    let old = Arc::new(only(&gate, &TLS12));
    let facts = shake(&gate.config(ClientAuth::None), &old, "a").unwrap();
    assert_eq!((facts.version, facts.cipher), ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"));
    let policy = ServerPolicy { min_version: MinVersion::Tls13, alpn: Vec::new(), client_auth: ClientAuth::None };
    let modern = server_config(Arc::clone(&gate.store), &policy, &gate.tickets).unwrap();
    assert_eq!(failure(&modern, &old, "a"), "no_shared_version");
    assert!(shake(&modern, &only(&gate, &TLS13).into(), "a").is_ok());
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let gate = Gate::new(&[&["first.example", "127.0.0.1"], &["b.example"], &["*.c.example"]]);
    let (server, client) = (gate.config(ClientAuth::None), Arc::new(gate.client()));
    // The client verifies the name, so success says that the right one was shown.
    for name in ["b.example", "B.EXAMPLE", "x.c.example", "first.example"] {
        assert!(shake(&server, &client, name).is_ok(), "{name}");
    }
    // An address is not sent as SNI: the first one is shown.
    assert_eq!(shake(&server, &client, "127.0.0.1").unwrap().server_name, None);
    assert!(shake(&server, &client, "other.example").is_err());
    assert!(shake(&server, &client, "x.y.c.example").is_err());
}

#[test]
fn rsa_clients_are_shown_the_rsa_twin() {
    let gate = Gate::new(&[&["a"]]);
    let rsa = gate.authority.rsa_server(&["a"]).write(&gate.folder, "rsa");
    let ecdsa = gate.store.certificates()[0].pair().clone();
    let store = Store::load(
        &StoreSpec { certificates: vec![ecdsa, rsa], directory: None },
        Some(&gate.store),
        &Known::default(),
        &Reading::of_disk(),
    )
    .unwrap();
    let policy = ServerPolicy { min_version: MinVersion::Tls12, alpn: Vec::new(), client_auth: ClientAuth::None };
    let server = server_config(Arc::new(store), &policy, &gate.tickets).unwrap();
    assert!(shake(&server, &gate.client().into(), "a").unwrap().cipher.starts_with("TLS13"));
    let suites: Vec<_> = aws_lc_rs::ALL_CIPHER_SUITES
        .iter()
        .copied()
        .filter(|suite| suite.suite().as_str().is_some_and(|name| name.contains("ECDHE_RSA")))
        .collect();
    let rsa_only = Arc::new(CryptoProvider { cipher_suites: suites, ..aws_lc_rs::default_provider() });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(gate.authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(rsa_only).with_protocol_versions(&[&TLS12]).unwrap();
    let client = builder.with_root_certificates(roots).with_no_client_auth();
    assert!(shake(&server, &client.into(), "a").unwrap().cipher.contains("ECDHE_RSA"));
}

#[test]
fn protocols_are_agreed_on() {
    let gate = Gate::new(&[&["a"]]);
    let server = gate.config(ClientAuth::None);
    let asking = |protocols: &[&str]| {
        let alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(gate.outbound(&OutboundSpec { alpn, ..OutboundSpec::default() }))
    };
    assert!(shake(&server, &asking(&["http/1.1", "h2"]), "a").unwrap().is_h2());
    assert_eq!(shake(&server, &asking(&["http/1.1"]), "a").unwrap().alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(failure(&server, &asking(&["smtp"]), "a"), "no_shared_protocol");
}

#[test]
fn client_certificates_are_verified() {
    let gate = Gate::new(&[&["a"]]);
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let ca = gate.folder.path().join("clients.pem");
    fs::write(&ca, clients.pem()).unwrap();
    let authorities = Authorities::load(&ca, &Reading::of_disk()).unwrap();
    let required = gate.config(ClientAuth::Required(authorities.clone()));
    let optional = gate.config(ClientAuth::Optional(authorities));
    let attributes = [(DnType::OrganizationName, "shop".into()), (DnType::CommonName, "till 1".into())];
    let with = |authority: &Authority, name: &str| {
        let certificate = Some(authority.subject(&attributes).write(&gate.folder, name));
        Arc::new(gate.outbound(&OutboundSpec { certificate, ..OutboundSpec::default() }))
    };
    let (known, unknown, without) = (with(&clients, "k"), with(&strangers, "s"), Arc::new(gate.client()));
    for server in [&required, &optional] {
        let facts = shake(server, &known, "a").unwrap();
        assert_eq!(facts.client_subject.as_deref(), Some("CN=till 1,O=shop"));
        assert_eq!(failure(server, &unknown, "a"), "client_cert_invalid");
    }
    assert_eq!(failure(&required, &without, "a"), "client_cert_missing");
    assert_eq!(shake(&optional, &without, "a").unwrap().client_subject, None);
    // A resumed session still knows whose it is.
    shake(&required, &known, "a").unwrap();
    let facts = shake(&required, &known, "a").unwrap();
    assert_eq!((facts.resumed, facts.client_subject.as_deref()), (true, Some("CN=till 1,O=shop")));
}

#[test]
fn sessions_are_resumed_across_a_reload() {
    for version in [&TLS12, &TLS13] {
        let gate = Gate::new(&[&["a"]]);
        let client = Arc::new(only(&gate, version));
        assert!(!shake(&gate.config(ClientAuth::None), &client, "a").unwrap().resumed);
        // Another config over the same tickets: the next snapshot, or another thread's listener.
        assert!(shake(&gate.config(ClientAuth::None), &client, "a").unwrap().resumed);
        let other = Gate { tickets: Tickets::new(&[], SystemTime::now()).unwrap(), ..gate };
        assert!(!shake(&other.config(ClientAuth::None), &client, "a").unwrap().resumed);
    }
}

#[test]
fn a_ticket_got_without_a_certificate_does_not_replace_one() {
    let gate = Gate::new(&[&["a"]]);
    let ca = gate.folder.path().join("clients.pem");
    fs::write(&ca, Authority::new("clients").pem()).unwrap();
    let authorities = Authorities::load(&ca, &Reading::of_disk()).unwrap();
    let client = Arc::new(gate.client());
    let optional = gate.config(ClientAuth::Optional(authorities.clone()));
    for open in [gate.config(ClientAuth::None), optional] {
        shake(&open, &client, "a").unwrap();
        let required = gate.config(ClientAuth::Required(authorities.clone()));
        assert_eq!(failure(&required, &client, "a"), "client_cert_missing");
    }
}

#[test]
fn failures_have_a_category() {
    let gate = Gate::new(&[&["a"]]);
    let server = gate.config(ClientAuth::None);
    let feed = |mut bytes: &[u8]| {
        let mut connection = ServerConnection::new(Arc::clone(&server)).unwrap();
        connection.read_tls(&mut bytes).unwrap();
        HandshakeFailure::of_tls(&connection.process_new_packets().unwrap_err()).name()
    };
    assert_eq!(feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not_tls");
    assert_eq!(feed(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "not_tls");
    assert_eq!(feed(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]), "protocol");

    let chacha = aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    let narrow = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::MLKEM1024],
        cipher_suites: vec![chacha],
        ..aws_lc_rs::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(narrow.into()).with_protocol_versions(&[&TLS13]).unwrap();
    let client = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    assert_eq!(failure(&server, &client.into(), "a"), "no_shared_cipher");

    // A client that knows another authority says so by an alert.
    let stranger = Gate { authority: Authority::new("strangers"), ..Gate::new(&[&["a"]]) }.client();
    assert_eq!(failure(&server, &stranger.into(), "a"), "unknown_ca");
    assert_eq!(failure(&server, &gate.client().into(), "b"), "certificate_refused");
}

#[tokio::test]
async fn what_a_session_has_decrypted_already_is_news() {
    let gate = Gate::new(&[&["a.example"]]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(gate.config(ClientAuth::None));
    let connector = tokio_rustls::TlsConnector::from(Arc::new(gate.client()));
    let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, Socket::from(socket)), async {
        acceptor.accept(listener.accept().await?.0).await
    });
    let (mut client, mut server) = (Stream::Tls(Box::new(client.unwrap().into())), server.unwrap());

    server.write_all(b"answer").await.unwrap();
    server.flush().await.unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert!(!client.has_news());
    for text in [b"answer", b"unask!"] {
        server.write_all(text).await.unwrap();
    }
    server.flush().await.unwrap();
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    assert!(client.has_news());
}
