use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use regex::Regex;
use toml::de::DeValue;

use super::key::{Key, Kind, Presence};
use super::*;
use crate::diagnostic::{Faults, SourceFile};

const SURFACE: &str = include_str!("tests/surface.toml");
const ADDITIONS: &str = include_str!("tests/additions.toml");
const SMALLEST: &str = "[listener.http]\nbind = [\"127.0.0.1:0\"]\n";

fn read(text: &str) -> Result<Config, Faults> {
    parse(vec![SourceFile::new("/etc/haechi/haechi.toml", text)])
}

fn read_well(text: &str) -> Config {
    read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn the_agreed_surface_is_read() {
    let config = read_well(SURFACE);
    let [http, https, internal, db_writer] = &*config.listeners else { panic!("listeners") };
    assert_eq!(http.name.value, "http");
    assert_eq!(http.redirect_to_https.as_ref().map(|port| port.value), Some(443));
    assert_eq!(https.protocols.value, Protocols { http1: true, h2: true, h2c: false });
    let tls = https.tls.as_ref().unwrap();
    assert_eq!(tls.certificates[0].value.key, Path::new("/etc/haechi/certs/site.key"));
    assert_eq!(tls.client_auth, ClientAuth::Required);
    assert_eq!(internal.limits.body, 1 << 30);
    assert!(internal.proxy_protocol && !http.proxy_protocol);
    assert_eq!((http.mode.value, http.timeouts.idle), (Mode::Http, Duration::from_secs(60)));
    assert_eq!((db_writer.mode.value, db_writer.timeouts.idle), (Mode::Tcp, Duration::from_secs(3600)));
    assert_eq!((&*db_writer.upstream.as_ref().unwrap().value, db_writer.timeouts.total), ("mysql-writer", None));
    assert_eq!(internal.timeouts.tunnel, Duration::from_secs(3600));
    assert_eq!(internal.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);

    let site = &config.sites[0];
    assert_eq!(site.hosts[1].value, HostPattern::Wildcard("shop.example".to_owned()));
    assert_eq!(site.routes.len(), 5);
    assert!(matches!(&site.routes[2].action, Action::Redirect(redirect) if redirect.status == 308));
    assert_eq!(site.routes[4].limits.body, Some(50 << 20));
    assert_eq!(site.routes[4].request_headers.remove[0].value, "X-Debug");

    let was = &config.upstreams[0];
    assert_eq!(was.balance, Balance::IpHash { prefix: 32, prefix_v6: 128 });
    let servers: Vec<String> = was.servers.iter().map(|server| server.address.value.to_string()).collect();
    assert_eq!(servers, ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080", "was4.internal:8080"]);
    assert_eq!((was.servers[1].weight, was.servers[2].backup, was.servers[3].drain), (2, true, true));
    let health = was.health.as_ref().unwrap();
    assert_eq!(health.kind, HealthKind::Http { path: "/health".to_owned() });
    assert_eq!(health.expect, [200..=399]);
}

#[test]
fn the_surface_of_vrrp_is_read() {
    let config = read_well(SURFACE);
    let front = &config.vrrp[0];
    assert_eq!((&*front.interface.value, front.virtual_router_id.value, front.priority), ("eth0", 51, 150));
    assert_eq!(front.version, VrrpVersion::V3 { checksum: VrrpChecksum::Keepalived, idle_pass: None });
    assert_eq!((front.advert_interval, front.preempt), (Duration::from_millis(100), Preempt::Never));
    assert_eq!(front.addresses[0].value.to_string(), "192.168.0.100/24");
    assert_eq!(front.peers[0].value.to_string(), "192.168.0.12");
    let effect = |tracked: &Tracked| (tracked.name.value.clone(), tracked.effect);
    let (upstream, healthy) = &front.track.upstreams[0];
    assert_eq!((effect(upstream), *healthy), (("was".to_owned(), TrackEffect::Fault), 1));
    assert_eq!(effect(&front.track.interfaces[0]), ("eth1".to_owned(), TrackEffect::Fault));
    assert_eq!((&front.track.listeners, &front.hooks, &front.group), (&None, &None, &None));
}

#[test]
fn what_is_added_to_vrrp_is_read() {
    let config = read_well(ADDITIONS);
    let [old, new, third] = &*config.vrrp else { panic!("instances") };
    assert_eq!(old.version, VrrpVersion::V2 { auth_pass: Some("12345678".to_owned()) });
    assert_eq!(
        (old.priority, old.advert_interval, old.hold_down),
        (100, Duration::from_secs(1), Duration::from_secs(1))
    );
    assert_eq!(old.preempt, Preempt::After(Duration::from_secs(30)));
    let nets: Vec<String> = old.addresses.iter().map(|net| net.value.to_string()).collect();
    assert_eq!(nets, ["10.7.0.1/32", "10.7.0.2/16"]);
    assert!(old.on_partition == OnPartition::Stop && old.virtual_mac && old.check_ttl && !new.check_ttl);
    assert_eq!(old.announce, Announce { repeat: 2, delay: Duration::from_secs(1), refresh: None });
    assert_eq!(third.announce.refresh, Some(Duration::from_secs(30)));
    assert_eq!(old.group, new.group);

    let hmac = new.auth_hmac.as_ref().unwrap();
    assert_eq!(hmac.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((hmac.mode, hmac.window), (HmacMode::Permissive, Duration::from_secs(5)));
    assert_eq!(third.auth_hmac.as_ref().unwrap().window, Duration::from_secs(6));
    assert_eq!(third.version, VrrpVersion::V3 { checksum: VrrpChecksum::Rfc9568, idle_pass: None });

    let effects = |all: &[Tracked]| all.iter().map(|tracked| tracked.effect).collect::<Vec<_>>();
    let track = &new.track;
    assert_eq!(effects(&track.interfaces), [TrackEffect::Fault, TrackEffect::Lower(30)]);
    assert_eq!(effects(track.listeners.as_ref().unwrap()), [TrackEffect::Fault, TrackEffect::Lower(10)]);
    assert_eq!(track.upstreams.iter().map(|(_, healthy)| *healthy).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(track.upstreams[0].0.effect, TrackEffect::Lower(20));
    let exec = &track.exec[0];
    assert_eq!((&*exec.tracked.name.value, exec.tracked.effect), ("check", TrackEffect::Lower(253)));
    assert_eq!(
        (exec.command.program.value.as_path(), &*exec.command.arguments),
        (Path::new("/usr/local/bin/check"), &["-q".to_owned()][..])
    );
    assert_eq!((exec.interval, exec.rise, exec.fall), (Duration::from_secs(5), 2, 1));
    let hooks = new.hooks.as_ref().unwrap();
    assert_eq!((&*hooks.on, hooks.timeout), (&[HookState::Active][..], Duration::from_secs(5)));
    assert_eq!(hooks.post.as_ref().unwrap().value, "https://hooks.example/vrrp?of=haechi");
}

#[test]
fn the_added_keys_are_read() {
    let config = read_well(ADDITIONS);
    let [plain, secure, redirect, queue, dns, _] = &*config.listeners else { panic!("listeners") };
    assert_eq!(plain.trusted_proxies[0].to_string(), "10.0.0.1/32");
    assert!(matches!(&plain.server_header, ServerHeader::Text(text) if text.value == "haechi"));
    assert_eq!((plain.request_id.as_ref(), plain.redirect_to_https.as_ref()), (None, None));
    assert_eq!(secure.server_header, ServerHeader::Remove);
    assert_eq!((&plain.via, &secure.via), (&Via::Off, &Via::Named("seoul-1".to_owned())));
    assert!(secure.protocols.value.h2);
    let tls = secure.tls.as_ref().unwrap();
    assert_eq!((tls.min_version, tls.client_auth), (TlsVersion::Tls13, ClientAuth::Optional));
    assert_eq!(redirect.redirect_to_https.as_ref().map(|port| port.value), Some(8443));
    assert_eq!((dns.mode.value, dns.timeouts.idle, dns.limits.flows), (Mode::Udp, Duration::from_secs(30), 1000));
    assert_eq!((dns.access.allow.len(), dns.access.deny[0].to_string()), (2, "10.9.0.0/16".to_owned()));
    let source = &dns.limits.source;
    assert_eq!((source.connections, source.prefix, source.prefix_v6, source.remembered), (Some(50), 24, 56, 100));
    let rate = source.connection_rate.unwrap();
    assert_eq!((rate.count.get(), rate.period, rate.burst.unwrap().get()), (600, Duration::from_secs(60), 20));
    assert_eq!(plain.limits.source.request_rate.unwrap().burst, None);
    assert_eq!(queue.timeouts.idle, Duration::from_secs(600));
    let sni: Vec<_> = queue.sni.iter().map(|(host, name)| (host.value.to_string(), name.value.as_str())).collect();
    assert_eq!(sni, [("queue.example".to_owned(), "queue"), ("*.example".to_owned(), "app")]);
    assert_eq!(queue.timeouts.total, Some(Duration::from_secs(24 * 3600)));

    let site = &config.sites[0];
    let hosts: Vec<String> = site.hosts.iter().map(|host| host.value.to_string()).collect();
    assert_eq!(hosts, ["*", "shop.example", "[::1]", "10.0.0.1"]);
    assert_eq!(site.error_pages[0].0, 503);
    let Action::Files(files) = &site.routes[0].action else { panic!("files") };
    assert!(files.listing && files.hidden && files.symlinks == Symlinks::Deny);
    assert_eq!(files.root.value, Path::new("/srv/www"));
    let Action::Proxy(proxy) = &site.routes[1].action else { panic!("proxy") };
    assert_eq!(proxy.read_ahead, 0);
    assert_eq!(site.routes[1].request_headers.add[0].1, "haechi");
    assert!(matches!(&site.routes[3].action, Action::Redirect(redirect) if redirect.status == 302));

    let [app, by_header, by_cookie, dns, .., queue] = &*config.upstreams else { panic!("upstreams") };
    assert_eq!(app.balance, Balance::IpHash { prefix: 24, prefix_v6: 64 });
    assert_eq!((app.max_queue, app.timeouts.queue), (0, Duration::from_secs(1)));
    assert_eq!((app.on_down, app.hold), (OnDown::Keep, Duration::ZERO));
    assert_eq!(dns.health.as_ref().unwrap().port, Some(5353));
    assert_eq!((queue.on_down, queue.hold), (OnDown::Close, Duration::from_secs(3)));
    assert_eq!(queue.slow_start.as_ref().map(|over| over.value), Some(Duration::from_secs(60)));
    assert_eq!(queue.proxy_header.as_ref().map(|version| version.value), Some(ProxyVersion::V2));
    assert_eq!(app.servers[1].address.value, HostPort::Name { host: "tomcat_1.internal".to_owned(), port: 8080 });
    assert_eq!(app.health.as_ref().unwrap().expect, [200..=200, 204..=204, 300..=399]);
    assert_eq!(by_header.balance, Balance::Hash(HashKey::Header("X-User".to_owned())));
    assert_eq!(by_header.health.as_ref().unwrap().kind, HealthKind::Tcp);
    assert_eq!(by_cookie.balance, Balance::Hash(HashKey::Cookie("JSESSIONID".to_owned())));
}

#[test]
fn the_surface_of_databases_is_read() {
    let (surface, additions) = (read_well(SURFACE), read_well(ADDITIONS));
    let find = |config: &Config, name: &str| {
        config.upstreams.iter().find(|upstream| upstream.name.value == name).expect("an upstream").clone()
    };
    let check = |config: &Config, name: &str| find(config, name).database_check().unwrap().clone();
    let writer = check(&surface, "mysql-writer");
    assert_eq!((&*writer.user, writer.role.unwrap().value), ("haechi_check", DatabaseRole::Primary));
    assert!(matches!(writer.password, Some(Password::File(path)) if path.value == Path::new("/etc/haechi/mysql.pw")));
    assert!(surface.referenced_files().contains(&"/etc/haechi/mysql.pw".into()), "watched, and read by the guard");

    let reader = check(&additions, "mysql-reader");
    assert_eq!(reader.password, Some(Password::Written("a secret".to_owned())));
    assert!(!format!("{reader:?}").contains("a secret"));
    assert_eq!(
        (reader.role.unwrap().value, reader.max_lag.unwrap().value),
        (DatabaseRole::Replica, Duration::from_secs(5))
    );
    assert!(additions.referenced_files().iter().any(|path| path.ends_with("db-ca.pem")));
    assert_eq!((writer.max_answer, reader.max_answer), (1 << 20, 4 << 20));
    let (postgres, redis) = (check(&additions, "postgres"), check(&additions, "redis"));
    assert_eq!((postgres.engine, postgres.password), (DatabaseEngine::Postgres { database: "shop".to_owned() }, None));
    assert_eq!((postgres.max_answer, redis.max_answer), (64 << 10, 64 << 10));
    assert_eq!((redis.engine, &*redis.user), (DatabaseEngine::Redis, "default"));
    assert_eq!(find(&additions, "redis").health.as_ref().unwrap().interval, Duration::from_millis(50));
}

#[test]
fn what_is_left_out_holds_its_default() {
    let (small, surface) = (read_well(SMALLEST), read_well(SURFACE));
    assert_eq!((&small.process, &small.admin, &small.log), (&surface.process, &surface.admin, &surface.log));
    let (listener, internal) = (&small.listeners[0], &surface.listeners[2]);
    assert_eq!((listener.timeouts, listener.limits), (internal.timeouts, internal.limits));
    assert_eq!(listener.protocols.value, Protocols { http1: true, h2: false, h2c: false });
    assert_eq!(listener.request_id.as_ref().unwrap().value, "X-Request-Id");
    assert_eq!(listener.server_header, ServerHeader::Pass);
    assert_eq!(listener.via, Via::Plain);

    let upstream = "[upstream.a]\nservers = [\"127.0.0.1:1\"]\nhealth = { http = \"/\" }\n";
    let config = read_well(&format!("{SMALLEST}{upstream}"));
    let upstream = &config.upstreams[0];
    assert_eq!((&upstream.balance, upstream.max_connections, upstream.max_queue), (&Balance::RoundRobin, None, 1024));
    assert_eq!(upstream.timeouts.idle, surface.upstreams[0].timeouts.idle);
    let same = |config: &Config| {
        let health = config.upstreams[0].health.clone().unwrap();
        (health.expect, health.interval, health.timeout, health.rise, health.fall)
    };
    assert_eq!(same(&config), same(&surface));
}

#[test]
fn every_default_can_be_read() {
    fn walk(keys: &[Key]) {
        for key in keys {
            if let Presence::Default(default) = key.presence {
                assert!(DeValue::parse(default).is_ok(), "{}", key.name);
            }
            match &key.kind {
                Kind::Table(keys) | Kind::Named(keys) | Kind::List(Kind::Table(keys)) => walk(keys),
                _ => {}
            }
        }
    }
    walk(keys::MAIN);
}

#[test]
fn a_config_with_its_defaults_written_out_is_the_same_config() {
    // Spans move; all else stays.
    let without_spans = |config: &Config| {
        let all = (&config.process, &config.admin, &config.log, &config.listeners, &config.sites, &config.error_pages);
        let text = format!("{all:?} {:?} {:?}", config.upstreams, config.vrrp);
        Regex::new(r"Span \{ [^}]* \}").unwrap().replace_all(&text, "").into_owned()
    };
    for text in [SURFACE, ADDITIONS, SMALLEST] {
        let mut config = read_well(text);
        let whole = config.to_toml_with_defaults();
        let mut again = read_well(&whole);
        for config in [&mut config, &mut again] {
            config.error_pages.sort_by_key(|(status, _)| *status);
            config.listeners.iter_mut().for_each(|listener| listener.sni.sort_by_key(|(_, name)| name.value.clone()));
            config.sites.iter_mut().for_each(|site| site.error_pages.sort_by_key(|(status, _)| *status));
        }
        assert_eq!(without_spans(&config), without_spans(&again));
        assert_eq!(again.to_toml_with_defaults(), whole);
        assert!(whole.contains("shutdown_grace = \"30s\""));
    }
}

#[test]
fn the_files_that_a_config_depends_on_are_told() {
    let config = read_well(SURFACE);
    assert_eq!(config.files(), [PathBuf::from("/etc/haechi/haechi.toml")]);
    assert_eq!(config.include_folders, [PathBuf::from("/etc/haechi/sites")]);
    let names = ["certs/ca.pem", "certs/clients.pem", "certs/live", "certs/site.crt", "certs/site.key", "mysql.pw"];
    assert_eq!(config.referenced_files(), names.map(|name| Path::new("/etc/haechi").join(name)));
    let pages = read_well(ADDITIONS).referenced_files();
    assert!(pages.contains(&PathBuf::from("/etc/haechi/errors/502.html")), "{pages:?}");
}

#[test]
fn deep_nesting_is_a_fault_and_no_overflow() {
    for open in ["[", "{ a = "] {
        assert!(read(&format!("include = {}", open.repeat(100_000))).is_err());
    }
    assert!(read(&format!("[{}a]", "a.".repeat(50_000))).is_err());
}

#[test]
fn five_thousand_sites_are_read() {
    let site = |number: usize| {
        format!(
            "[[site]]\nhosts = [\"s{number}.example\"]\n[[site.route]]\npath = \"/\"\nproxy = {{ upstream = \"was\" }}\n"
        )
    };
    let sites: String = (0..5_000).map(site).collect();
    assert_eq!(read_well(&format!("{SURFACE}{sites}")).sites.len(), 5_001);
}

/// Reads, and holds that every fault lies within its file.
fn check_spans(text: &str) {
    let Err(faults) = read(text) else { return };
    for span in faults.diagnostics().iter().filter_map(|fault| fault.span) {
        assert!(span.start <= span.end && span.end as usize <= text.len(), "{span:?} in {} bytes", text.len());
    }
    assert!(faults.to_string().contains("fault"));
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_panic(text in "\\PC*") {
        check_spans(&text);
    }

    #[test]
    fn text_of_toml_pieces_is_no_panic(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("["), Just("]"), Just("[["), Just("]]"), Just("{"), Just("}"), Just("="), Just("\n"), Just("\""), Just(","),
                Just("."), Just("listener"), Just("site"), Just("route"), Just("upstream"), Just("tls"), Just("a"), Just("1"),
                Just("true"), Just("\"x\""), Just("é"), Just("1979-05-27"), Just("'''"), Just("-"), Just("servers"),
            ],
            0..40,
        )
    ) {
        check_spans(&pieces.concat());
    }

    #[test]
    fn a_mutated_config_is_no_panic(at in 0..4_000usize, cut in 0..40usize, put in "\\PC{0,6}") {
        for text in [SURFACE, ADDITIONS] {
            let from = text.floor_char_boundary(at);
            let to = text.floor_char_boundary(at + cut).max(from);
            check_spans(&format!("{}{put}{}", &text[..from], &text[to..]));
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_a_fault_of_its_own(line in 0..200usize, value in prop_oneof![
        Just("1"), Just("-1"), Just("1.5"), Just("true"), Just("\"\""), Just("\"\\u0000é\""), Just("[]"), Just("[[]]"), Just("{}"),
        Just("{ a = 1 }"), Just("1979-05-27"), Just("99999999999999999999999"), Just("0xff"), Just("nan"),
    ]) {
        for text in [SURFACE, ADDITIONS] {
            let mutated: Vec<String> = text.lines().enumerate().map(|(number, text)| match text.split_once(" = ") {
                Some((key, _)) if number == line && !key.starts_with(' ') => format!("{key} = {value}"),
                _ => text.to_owned(),
            }).collect();
            check_spans(&mutated.join("\n"));
        }
    }
}
