//! Weighted rendezvous hashing over server identities.
//!
//! Each server draws a number from the key and its own identity; the best draw wins. The draw of a
//! server depends on no other server, and that is the whole trick: without the winner the second
//! best wins, everybody else's winner stays, and a newcomer takes only what it wins.
//!
//! For weights to hold, the draw is an exponential variable whose rate is the weight:
//! `-log2(u) / weight` with `u` in (0, 1], and the smallest wins. The logarithm is taken in integers,
//! because floats may round differently on another host.

use std::sync::Arc;

use super::{Candidates, Server, mix};

pub(super) fn choose<'s>(candidates: Candidates<'s, '_>, key: u64) -> Option<&'s Arc<Server>> {
    let mut best: Option<Draw> = None;
    for server in candidates.iter() {
        let luck = mix(key ^ server.identity);
        if best.as_ref().is_none_or(|best| best.loses_to(luck, server.weight)) {
            best = Some(Draw { luck, cost: minus_log2(luck), server });
        }
    }
    best.map(|draw| draw.server)
}

struct Draw<'s> {
    luck: u64,
    cost: u64,
    server: &'s Arc<Server>,
}

impl Draw<'_> {
    fn loses_to(&self, luck: u64, weight: u32) -> bool {
        // Most comparisons end here, without a logarithm.
        if luck <= self.luck && weight <= self.server.weight {
            return false;
        }
        // cost / weight, crosswise; 33 bits times 16 do not overflow. A tie goes by luck, since the
        // order of the list may differ between hosts.
        let left = minus_log2(luck) * u64::from(self.server.weight);
        let right = self.cost * u64::from(weight);
        left < right || (left == right && luck > self.luck)
    }
}

/// Bits after the binary point.
const FRACTION: u32 = 26;

/// `-log2(x / 2^64)` as a fixed-point number, above 0 and at most 64. It falls as `x` rises.
fn minus_log2(x: u64) -> u64 {
    let x = x.max(1);
    let zeros = x.leading_zeros();
    // 1.f as the leading one, six bits of f that choose a step, and the rest on a straight line
    // within the step: off by less than 0.00005.
    let normal = x << zeros;
    let step = (normal >> 57) as usize & 63;
    let rest = (normal << 7) >> 32;
    let (low, high) = (LOG2[step], LOG2[step + 1]);
    let fraction = low + (((high - low) * rest) >> 32);
    (u64::from(zeros + 1) << FRACTION) - fraction
}

/// `log2(1 + i / 64)` for each `i` from 0 to 64.
static LOG2: [u64; 65] = {
    let mut table = [0; 65];
    let mut i = 0;
    while i < table.len() {
        table[i] = log2_of_64ths(64 + i as u128);
        i += 1;
    }
    table
};

/// `log2(n / 64)` for `n` from 64 to 128, bit by bit: squaring doubles the logarithm, and each time
/// the square reaches 2 the next bit of it is one.
const fn log2_of_64ths(n: u128) -> u64 {
    const ONE: u128 = 1 << 60;
    if n == 128 {
        return 1 << FRACTION;
    }
    let mut x = n * (ONE / 64);
    let mut log = 0;
    let mut bit = 0;
    while bit < FRACTION {
        x = x * x / ONE;
        log <<= 1;
        if x >= 2 * ONE {
            x /= 2;
            log |= 1;
        }
        bit += 1;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for x in [1, 2, 3, 255, 1 << 20, 0x1234_5678_9abc_def1, u64::MAX / 3, 1 << 63, (1 << 63) + (1 << 57), u64::MAX]
        {
            let exact = 64.0 - (x as f64).log2();
            let ours = minus_log2(x) as f64 / f64::from(1 << FRACTION);
            assert!((ours - exact).abs() < 5e-5, "{x}: {ours}, exactly {exact}");
            assert!(minus_log2(x) > 0);
        }
    }
}
