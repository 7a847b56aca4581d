//! What a look-up costs, and that it does not grow with the number of sites.

#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use haechi::{
    head::RequestHead,
    message::RequestTarget,
    router::{Router, SiteRoutes},
    telemetry::ThreadId,
};

fn router(sites: usize) -> Router {
    let routes = |paths: &[&str]| paths.iter().enumerate().map(|(at, path)| ((*path).to_owned(), at)).collect();
    let sites: Vec<_> = (0..sites)
        .map(|number| SiteRoutes {
            hosts: vec![format!("shop{number}.example"), format!("*.shop{number}.example")],
            exact: routes(&["/ping"]),
            prefixes: routes(&["/", "/static/", "/api/", "/api/v2/"]),
            regexes: routes(&[r"\.(jsp|do)$"]),
        })
        .collect();
    Router::new(&sites, 1).expect("the patterns compile")
}

fn look_ups(criterion: &mut Criterion) {
    for sites in [1, 5_000] {
        let router = router(sites);
        let mut find = |name: &str, host: &str, path: &str| {
            criterion.bench_function(&format!("{name}, {sites} sites"), |bencher| {
                bencher.iter(|| router.find(ThreadId(0), black_box(host.as_bytes()), black_box(path.as_bytes())));
            });
        };
        find("exact path", "shop0.example", "/ping");
        find("prefix after a regex", "shop0.example", "/static/css/site.css");
        find("wildcard host", "www.shop0.example", "/ping");
    }
}

fn targets(criterion: &mut Criterion) {
    for (name, path) in [("plain", "/static/css/site.css?v=3"), ("escaped", "/static/%ED%95%9C/./a;b=c/site.css?v=3")] {
        let mut head = RequestHead { target: path.as_bytes().to_vec(), ..RequestHead::default() };
        head.fields.push("Host", "shop0.example");
        criterion.bench_function(&format!("target, {name}"), |bencher| {
            bencher.iter(|| RequestTarget::of(black_box(&head), true).is_ok());
        });
    }
}

criterion_group!(benches, look_ups, targets);
criterion_main!(benches);
