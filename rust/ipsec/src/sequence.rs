//! Outbound sequence numbers (RFC 4303 §2.2, §3.3.3): each once, never wrapping.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tally::Kept;

/// Numbers kept back at the end of the space, so that a packet in flight never meets a wrap.
pub const RESERVE: u64 = 1 << 16;

/// Sequence numbers of one outbound SA, shared by all workers.
pub struct Sequence {
    /// Where the number given last stands.
    kept: Kept,
    /// The last number that may be given.
    last: u64,
    /// The number at which IKE is told, once, to rekey.
    soft: u64,
}

/// A sequence number that was given to exactly one packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The number, 64 bits also without ESN.
    pub number: u64,
    /// This number crossed the soft limit; exactly one packet of an SA says so.
    pub soft: bool,
}

impl Sequence {
    /// The space of an SA: 2^64 with ESN, else 2^32, less [`RESERVE`].
    ///
    /// The soft limit lies at 75 % of it, moved by up to 5 % by `jitter`, so that SAs installed
    /// together do not all ask for a rekey together. Counts on from the number in `kept`.
    pub fn new(esn: bool, jitter: u32, kept: Kept) -> Self {
        let last = if esn {
            u64::MAX - RESERVE
        } else {
            (1 << 32) - RESERVE
        };
        let soft = last / 100 * 70 + last / 1000 * u64::from(jitter % 101);
        Self { kept, last, soft }
    }

    fn given_last(&self) -> &AtomicU64 {
        &(*self.kept).as_ref().number
    }

    /// Gives the next number, or nothing when the space is used up.
    ///
    /// The first look keeps refused callers from counting on: the counter can pass `last` by at
    /// most one for each thread that is between the two lines, far less than [`RESERVE`].
    pub fn take(&self) -> Option<Taken> {
        let given = self.given_last();
        if given.load(Ordering::Relaxed) >= self.last {
            return None;
        }
        let number = given.fetch_add(1, Ordering::Relaxed) + 1;
        (number <= self.last).then_some(Taken {
            number,
            soft: number == self.soft,
        })
    }

    /// The number given last; 0 before the first packet.
    pub fn given(&self) -> u64 {
        self.given_last().load(Ordering::Relaxed).min(self.last)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequence({} of {})", self.given(), self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally;

    fn at(esn: bool, given: u64) -> Sequence {
        let sequence = Sequence::new(esn, 0, tally::own());
        sequence.given_last().store(given, Ordering::Relaxed);
        sequence
    }

    #[test]
    fn the_first_number_is_one() {
        assert_eq!(
            Sequence::new(false, 7, tally::own()).take().unwrap().number,
            1
        );
    }

    #[test]
    fn who_comes_after_counts_on() {
        let kept = tally::own();
        let first = Sequence::new(true, 0, Kept::clone(&kept));
        for number in 1..=5 {
            assert_eq!(first.take().unwrap().number, number);
        }
        assert_eq!(Sequence::new(true, 0, kept).take().unwrap().number, 6);
    }

    #[test]
    fn without_esn_the_space_ends_before_it_wraps() {
        let sequence = at(false, (1 << 32) - RESERVE - 1);
        assert_eq!(sequence.take().unwrap().number, (1 << 32) - RESERVE);
        for _ in 0..1000 {
            assert_eq!(sequence.take(), None);
        }
        assert_eq!(sequence.given(), (1 << 32) - RESERVE);
    }

    #[test]
    fn with_esn_the_space_goes_beyond_32_bits_and_ends() {
        assert_eq!(
            at(true, u64::from(u32::MAX)).take().unwrap().number,
            1 << 32
        );
        let sequence = at(true, u64::MAX - RESERVE);
        for _ in 0..1000 {
            assert_eq!(sequence.take(), None);
        }
    }

    #[test]
    fn the_soft_limit_is_told_once_between_70_and_80_percent() {
        for jitter in [0, 50, 100, 101, u32::MAX] {
            let sequence = Sequence::new(false, jitter, tally::own());
            let share = sequence.soft as f64 / sequence.last as f64;
            assert!((0.699..=0.801).contains(&share), "{share}");
            let before = sequence.soft - 1;
            sequence.given_last().store(before, Ordering::Relaxed);
            assert!(sequence.take().unwrap().soft);
            assert!(!sequence.take().unwrap().soft);
        }
    }
}
