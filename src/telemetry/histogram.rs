//! A latency histogram that one thread writes and any thread reads.

use std::time::Duration;

use super::Counter;

/// Durations in fixed buckets, from 250 µs to 60 s, written by one thread only.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [Counter; Self::BOUNDS_MICROS.len() + 1],
    sum_micros: Counter,
}

impl Histogram {
    /// The upper bound of each bucket but the last, in microseconds.
    pub const BOUNDS_MICROS: [u64; 16] = [
        250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000, 60_000_000,
    ];

    /// Counts one duration.
    #[inline]
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS_MICROS.iter().position(|bound| micros <= *bound).unwrap_or(Self::BOUNDS_MICROS.len());
        self.counts[bucket].add(1);
        self.sum_micros.add(micros);
    }

    /// Adds this histogram's counts to a sum over threads.
    pub fn add_to(&self, total: &mut Totals) {
        for (sum, count) in total.counts.iter_mut().zip(&self.counts) {
            *sum += count.value();
        }
        total.sum_micros += self.sum_micros.value();
    }
}

/// Histograms of several threads, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many durations fell into each bucket (not cumulative); the last one has no bound.
    pub counts: [u64; Histogram::BOUNDS_MICROS.len() + 1],
    /// The sum of all durations in microseconds.
    pub sum_micros: u64,
}
