//! More work than there may be: it is shed before anything collapses.

use super::haechi;
use crate::harness::siege::SERVED_WITHIN;
use crate::harness::{Client, Next, Origin, Wire, answer, eventually, get};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

#[test]
fn exchanges_over_the_limit_are_answered_503_at_once_until_others_end() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = Arc::clone(&gate);
    let origin = Origin::start(move |_, wire| {
        let (open, changed) = &*theirs;
        drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        wire.send(answer(200, "late")).map_or(Next::Close, |()| Next::Keep)
    });
    // Two for each of the two threads.
    let (haechi, http) = haechi(&origin, "", "exchanges = 4");
    let mut waiting = Vec::new();
    let mut shed = 0;
    let started = Instant::now();
    // Which thread a connection comes to is the kernel's choice: both are full after a few.
    while shed < 8 {
        let before = origin.arrivals().len();
        let mut wire = Wire::connect(http).unwrap();
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let sent = Instant::now();
        let answered = eventually("an answer or an arrival", || {
            wire.stream().set_nonblocking(true).unwrap();
            let answered = wire.stream().peek(&mut [0]).is_ok();
            wire.stream().set_nonblocking(false).unwrap();
            (answered || origin.arrivals().len() > before).then_some(answered)
        });
        if answered {
            let response = wire.read_response("GET").unwrap();
            assert_eq!(response.status, 503);
            assert!(response.field("retry-after").is_some());
            assert!(sent.elapsed() < SERVED_WITHIN);
            shed += 1;
        } else {
            waiting.push(wire);
        }
        assert!(waiting.len() <= 4 && started.elapsed().as_secs() < 30);
    }
    let counted = haechi.metric("haechi_exchanges_shed_total", &[("reason", "too_many_exchanges")]);
    assert_eq!(counted, Some(f64::from(shed)));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for mut wire in waiting {
        assert_eq!(wire.read_response("GET").unwrap().text(), "late");
    }
    for _ in 0..8 {
        assert_eq!(get(http, "/").status, 200, "there is room again");
    }
    // A connection whose exchange was shed is kept.
    let mut client = Client::connect(http).unwrap();
    assert_eq!(client.get("/").status, 200);
}
