use proptest::prelude::*;

use super::*;

const THREAD: ThreadId = ThreadId(0);

fn numbered(texts: &[&str], from: usize) -> Vec<(String, usize)> {
    texts.iter().zip(from..).map(|(text, route)| ((*text).to_owned(), route)).collect()
}

fn site(hosts: &[&str], exact: &[&str], prefixes: &[&str], regexes: &[&str]) -> SiteRoutes {
    SiteRoutes {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        exact: numbered(exact, 100),
        prefixes: numbered(prefixes, 200),
        regexes: numbered(regexes, 300),
    }
}

#[test]
fn the_most_specific_host_wins() {
    let hosts = [
        ["shop.Example"].as_slice(),
        &["*.example"],
        &["*.shop.example"],
        &["*", "10.0.0.1"],
        &["shop.example", "[::1]"],
    ];
    let sites: Vec<_> = hosts.iter().map(|hosts| site(hosts, &[], &["/"], &[])).collect();
    let router = Router::new(&sites, 1).unwrap();
    for (host, expected) in [
        ("shop.example", 0),
        ("www.example", 1),
        ("a.b.example", 1),
        ("a.shop.example", 2),
        ("a.b.shop.example", 2),
        ("example", 3),
        ("shop.example.org", 3),
        ("ashop.example.x", 3),
        ("10.0.0.1", 3),
        ("[::1]", 4),
        ("", 3),
        (".example", 1),
    ] {
        assert_eq!(router.find(THREAD, host.as_bytes(), b"/").unwrap().site, expected, "{host}");
    }
    let router = Router::new(&sites[..3], 1).unwrap();
    assert_eq!(router.find(THREAD, b"other", b"/"), None);
}

#[test]
fn paths_are_tried_in_the_order_of_nginx() {
    let sites = [site(
        &["*"],
        &["/ping", "/static/a.jsp"],
        &["/", "/static/", "/static/deep/", "/app"],
        &[r"\.(jsp|do)$", r"^/static/deep/.*\.jsp$", "(?i)^/UP/([a-z]+)/"],
    )];
    let router = Router::new(&sites, 2).unwrap();
    let route = |path: &str| router.find(ThreadId(1), b"a", path.as_bytes()).unwrap().route;
    assert_eq!(route("/ping"), Some(100));
    assert_eq!(route("/ping/"), Some(200));
    assert_eq!(route("/static/a.jsp"), Some(101));
    assert_eq!(route("/static/b.jsp"), Some(300));
    assert_eq!(route("/static/deep/b.jsp"), Some(300));
    assert_eq!(route("/static/deep/b"), Some(202));
    assert_eq!(route("/static/b"), Some(201));
    assert_eq!(route("/static"), Some(200));
    assert_eq!(route("/apple"), Some(203));
    assert_eq!(route("/up/x/y"), Some(302));
    assert_eq!(route("*"), None);

    let found = router.find(THREAD, b"a", b"/up/abc/y").unwrap();
    let captures = router.captures(THREAD, &found, b"/up/abc/y").unwrap();
    assert_eq!(&captures[1], b"abc");
    let found = router.find(THREAD, b"a", b"/static/b").unwrap();
    assert_eq!(found.matched, "/static/".len());
    assert!(router.captures(THREAD, &found, b"/static/b").is_none());
}

#[test]
fn a_site_without_a_fitting_route_asks_no_other_site() {
    let sites = [site(&["a"], &["/x"], &[], &[]), site(&["*"], &[], &["/"], &[])];
    let router = Router::new(&sites, 1).unwrap();
    let found = router.find(THREAD, b"a", b"/y").unwrap();
    assert_eq!((found.site, found.route), (0, None));
}

#[test]
fn a_bad_regex_is_named() {
    let fault = Router::new(&[site(&["*"], &[], &[], &["("])], 1).unwrap_err();
    assert_eq!(fault.to_string(), "regex `(` cannot be used");
    assert!(Router::new(&[site(&["*"], &[], &[], &[r"(\w{1000}){1000}"])], 1).is_err());
}

/// What the router promises, said without any index.
fn naive(sites: &[SiteRoutes], host: &str, path: &str) -> Option<(usize, Option<usize>)> {
    let rank = |pattern: &str| match pattern {
        "*" => Some(0),
        _ if pattern == host => Some(usize::MAX),
        _ => pattern.strip_prefix('*').filter(|suffix| host.ends_with(suffix)).map(str::len),
    };
    let (_, site) = sites
        .iter()
        .enumerate()
        .flat_map(|(site, routes)| routes.hosts.iter().map(move |pattern| (pattern, site)))
        .filter_map(|(pattern, site)| Some((rank(pattern)?, site)))
        .rev()
        .max_by_key(|(rank, _)| *rank)?;
    let routes = &sites[site];
    let exact = routes.exact.iter().find(|(text, _)| text == path);
    let regex = || routes.regexes.iter().find(|(pattern, _)| regex::Regex::new(pattern).unwrap().is_match(path));
    let prefix =
        || routes.prefixes.iter().rev().filter(|(text, _)| path.starts_with(text)).max_by_key(|(text, _)| text.len());
    Some((site, exact.or_else(regex).or_else(prefix).map(|(_, route)| *route)))
}

fn any_site() -> impl Strategy<Value = SiteRoutes> {
    let host = r"(\*\.)?[ab](\.[ab]){0,2}|\*";
    let paths = || prop::collection::vec("/[ab/]{0,4}", 0..6);
    let regexes = prop::collection::vec(prop::sample::select(vec!["a$", "^/b", "b/a", "[ab]{3}"]), 0..3);
    (prop::collection::vec(host, 1..4), paths(), paths(), regexes).prop_map(|(hosts, exact, prefixes, regexes)| {
        let number = |texts: Vec<String>, from: usize| texts.into_iter().zip(from..).collect();
        let regexes = regexes.into_iter().map(str::to_owned).collect();
        SiteRoutes { hosts, exact: number(exact, 100), prefixes: number(prefixes, 200), regexes: number(regexes, 300) }
    })
}

proptest! {
    #[test]
    fn the_router_agrees_with_a_naive_one(
        sites in prop::collection::vec(any_site(), 1..5),
        asked in prop::collection::vec((r"[ab](\.[ab]){0,3}", "/[ab/]{0,6}"), 1..20),
    ) {
        let router = Router::new(&sites, 1).unwrap();
        for (host, path) in asked {
            let found = router.find(THREAD, host.as_bytes(), path.as_bytes());
            prop_assert_eq!(found.map(|found| (found.site, found.route)), naive(&sites, &host, &path), "{} {}", host, path);
        }
    }
}
