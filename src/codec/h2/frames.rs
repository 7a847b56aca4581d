//! Frame heads of a client, counted against a budget (RFC 9113 §4.1, §10.5).
//!
//! Frames that carry nothing of a request cost their sender next to nothing and us a little each.
//! A client sends few of them; one that sends thousands a second wants us busy.

use std::time::{Duration, Instant};

/// What a control frame is, as metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// DATA without payload that does not end its stream (§6.1).
    EmptyData,
    /// PRIORITY (§6.3)
    Priority,
    /// RST_STREAM (§6.4)
    Reset,
    /// SETTINGS (§6.5)
    Settings,
    /// PING (§6.7)
    Ping,
    /// WINDOW_UPDATE (§6.9)
    WindowUpdate,
    /// CONTINUATION (§6.10)
    Continuation,
    /// A type that means nothing to us (§5.5).
    Unknown,
}

impl Control {
    /// Every kind by its name.
    pub const NAMES: [&'static str; 8] =
        ["empty_data", "priority", "reset", "settings", "ping", "window_update", "continuation", "unknown"];

    /// Its name as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Follows the frames of one client and counts those that only control.
///
/// Windows are opened in proportion to what is sent and asked for, so so many WINDOW_UPDATE frames
/// are free: four for each request, and one for each KiB that the client was sent.
#[derive(Debug)]
pub struct FrameBudget {
    /// Control frames in a second.
    limit: u32,
    spent: u32,
    since: Instant,
    /// WINDOW_UPDATE frames that cost nothing.
    free_updates: u64,
    /// Bytes that the client had been sent when it was looked last.
    sent: u64,
    /// Bytes of the preface or a payload that are still to pass.
    skip: usize,
    head: [u8; HEAD],
    held: usize,
}

/// Bytes of a frame head.
const HEAD: usize = 9;
/// What a client begins with (RFC 9113 §3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const END_STREAM: u8 = 0x1;

impl FrameBudget {
    /// A client that has sent nothing yet and may send `limit` control frames a second.
    #[must_use]
    pub fn new(limit: u32, now: Instant) -> Self {
        Self { limit, spent: 0, since: now, free_updates: 0, sent: 0, skip: PREFACE, head: [0; HEAD], held: 0 }
    }

    /// Takes what was read from the client, who has been sent `sent` bytes in all. Gives the kind
    /// of frame that went past the budget.
    pub fn handle(&mut self, now: Instant, mut bytes: &[u8], sent: u64) -> Option<Control> {
        self.free_updates += sent.saturating_sub(self.sent) / 1024;
        self.sent = sent - sent.saturating_sub(self.sent) % 1024;
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.spent) = (now, 0);
        }
        let mut flood = None;
        loop {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = bytes.get(passed..).unwrap_or_default();
            if bytes.is_empty() {
                return flood;
            }
            let taken = (HEAD - self.held).min(bytes.len());
            let (piece, rest) = bytes.split_at(taken);
            if let Some(room) = self.head.get_mut(self.held..self.held + taken) {
                room.copy_from_slice(piece);
            }
            self.held += taken;
            bytes = rest;
            if self.held < HEAD {
                return flood;
            }
            self.held = 0;
            let spent = self.frame().filter(|control| self.is_spent(*control));
            flood = flood.or(spent);
        }
    }

    /// Reads the head that is whole; what kind of control frame it is.
    fn frame(&mut self) -> Option<Control> {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            0 => (self.skip == 0 && flags & END_STREAM == 0).then_some(Control::EmptyData),
            1 => {
                self.free_updates += 4;
                None
            }
            2 => Some(Control::Priority),
            3 => Some(Control::Reset),
            4 => Some(Control::Settings),
            6 => Some(Control::Ping),
            8 => Some(Control::WindowUpdate),
            9 => Some(Control::Continuation),
            // PUSH_PROMISE and GOAWAY: the crate refuses the one, and the other ends the connection.
            5 | 7 => None,
            _ => Some(Control::Unknown),
        }
    }

    fn is_spent(&mut self, control: Control) -> bool {
        if control == Control::WindowUpdate && self.free_updates > 0 {
            self.free_updates -= 1;
            return false;
        }
        self.spent = self.spent.saturating_add(1);
        self.spent > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn preface() -> Vec<u8> {
        vec![b'P'; PREFACE]
    }

    #[test]
    fn every_kind_is_seen_wherever_its_frames_are_cut() {
        for (kind, control) in [
            (0, Control::EmptyData),
            (2, Control::Priority),
            (3, Control::Reset),
            (4, Control::Settings),
            (6, Control::Ping),
            (8, Control::WindowUpdate),
            (9, Control::Continuation),
            (77, Control::Unknown),
        ] {
            let payload: &[u8] = if kind == 0 { &[] } else { &[6; 8] };
            let bytes = [preface(), frame(kind, 0, payload), frame(kind, 0, payload)].concat();
            for cut in 0..bytes.len() {
                let now = Instant::now();
                let mut budget = FrameBudget::new(1, now);
                let first = budget.handle(now, &bytes[..cut], 0);
                assert_eq!(first.or_else(|| budget.handle(now, &bytes[cut..], 0)), Some(control), "cut at {cut}");
            }
        }
    }

    #[test]
    fn requests_their_bodies_and_their_ends_are_free() {
        let now = Instant::now();
        let mut budget = FrameBudget::new(0, now);
        let exchange =
            [frame(1, 4, b"head"), frame(0, 0, b"body"), frame(0, END_STREAM, b""), frame(8, 0, &[0; 4])].concat();
        assert_eq!(budget.handle(now, &preface(), 0), None);
        for _ in 0..1000 {
            assert_eq!(budget.handle(now, &exchange, 0), None);
        }
    }

    #[test]
    fn windows_open_with_what_is_sent() {
        let now = Instant::now();
        let mut budget = FrameBudget::new(0, now);
        budget.handle(now, &preface(), 0);
        let update = frame(8, 0, &[0; 4]);
        assert_eq!(budget.handle(now, &update, 1023), Some(Control::WindowUpdate));
        assert_eq!(budget.handle(now, &update, 1024), None);
        assert_eq!(budget.handle(now, &update, 1024), Some(Control::WindowUpdate));
        assert_eq!(budget.handle(now, &[update.clone(), update].concat(), 3072), None);
    }

    #[test]
    fn each_second_has_its_own_budget() {
        let start = Instant::now();
        let mut budget = FrameBudget::new(2, start);
        budget.handle(start, &preface(), 0);
        let pings = [frame(6, 0, &[0; 8]), frame(6, 0, &[0; 8])].concat();
        for second in 0..10 {
            assert_eq!(budget.handle(start + Duration::from_secs(second), &pings, 0), None);
        }
        let at = start + Duration::from_millis(9_999);
        assert_eq!(budget.handle(at, &pings, 0), Some(Control::Ping));
    }
}
