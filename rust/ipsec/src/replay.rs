//! The anti-replay window (RFC 4303 §3.4.3, RFC 6479) and the inference of ESN's high half.

use crate::esp::Authenticated;
use crate::stats::Reason;

/// Smallest window that is not "off".
pub const WINDOW_MIN: u32 = 64;
/// Largest window.
pub const WINDOW_MAX: u32 = 4096;

/// Why a sequence number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Number zero is never sent.
    Zero,
    /// Left of the window.
    Stale,
    /// Seen before.
    Duplicate,
}

impl From<Replay> for Reason {
    fn from(replay: Replay) -> Self {
        match replay {
            Replay::Zero => Reason::ReplayZero,
            Replay::Stale => Reason::ReplayStale,
            Replay::Duplicate => Reason::ReplayDuplicate,
        }
    }
}

/// What a committed packet was to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The highest number so far.
    Highest,
    /// Inside the window (or anything not highest, when the window is off).
    Within,
}

/// A sliding window over the numbers accepted, kept as a ring of 64-bit words so that moving it
/// clears whole words and never shifts bits.
#[derive(Debug)]
pub struct Window {
    /// How many numbers back from the highest are still judged; 0 = off.
    size: u64,
    highest: u64,
    /// A power of two of words, at least one more than the window fills.
    words: Box<[u64]>,
}

impl Window {
    /// `size`: 0 = off, else between [`WINDOW_MIN`] and [`WINDOW_MAX`].
    pub fn new(size: u32) -> Option<Self> {
        let words = match size {
            0 => 0,
            WINDOW_MIN..=WINDOW_MAX => (size.div_ceil(64) as usize + 1).next_power_of_two(),
            _ => return None,
        };
        Some(Self {
            size: u64::from(size),
            highest: 0,
            words: vec![0; words].into(),
        })
    }

    /// A window that takes nothing up to `highest` any more: which of these numbers came is not
    /// known.
    pub fn resumed(size: u32, highest: u64) -> Option<Self> {
        let mut window = Self::new(size)?;
        window.words.fill(u64::MAX);
        window.highest = highest;
        if window.size != 0 {
            let index = window.word(highest);
            // Those behind it in its word are not older numbers but the next to come.
            window.words[index] = u64::MAX >> (63 - (highest & 63));
        }
        Some(window)
    }

    /// Size of the window in packets; 0 = off.
    pub fn size(&self) -> u32 {
        self.size as u32
    }

    /// The highest number accepted; 0 before the first packet.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// The whole sequence number for the 32 bits on the wire (RFC 4303 appendix A2.2).
    ///
    /// With the window off the candidate nearest to the highest number is meant. A number that
    /// could only lie before the beginning is stale.
    pub fn infer(&self, low: u32, esn: bool) -> Result<u64, Replay> {
        if !esn {
            return Ok(u64::from(low));
        }
        let back = if self.size == 0 { 1 << 31 } else { self.size };
        let high = self.highest >> 32;
        let top = self.highest & 0xffff_ffff;
        let low = u64::from(low);
        let high = if top >= back - 1 {
            // The window lies within one subspace: below it means the next subspace.
            if low >= top - (back - 1) {
                Some(high)
            } else {
                high.checked_add(1).filter(|&h| h <= 0xffff_ffff)
            }
        } else if low >= (1 << 32) - (back - 1 - top) {
            // The window reaches back into the subspace before this one.
            high.checked_sub(1)
        } else {
            Some(high)
        };
        high.map(|high| high << 32 | low).ok_or(Replay::Stale)
    }

    /// Cheap test before decryption (RFC 4303 §3.4.3). Does not change the window.
    pub fn check(&self, sequence: u64) -> Result<(), Replay> {
        if self.size == 0 {
            return Ok(());
        }
        match sequence {
            0 => Err(Replay::Zero),
            s if s > self.highest => Ok(()),
            s if self.highest - s >= self.size => Err(Replay::Stale),
            s if self.is_seen(s) => Err(Replay::Duplicate),
            _ => Ok(()),
        }
    }

    /// Moves the window. Repeats [`Window::check`]: two threads may race to here.
    pub fn commit(&mut self, packet: &Authenticated) -> Result<Place, Replay> {
        let sequence = packet.sequence();
        self.check(sequence)?;
        let place = if sequence > self.highest {
            Place::Highest
        } else {
            Place::Within
        };
        if self.size != 0 {
            if place == Place::Highest {
                self.clear_up_to(sequence);
            }
            let index = self.word(sequence);
            self.words[index] |= 1 << (sequence & 63);
        }
        self.highest = self.highest.max(sequence);
        Ok(place)
    }

    fn clear_up_to(&mut self, sequence: u64) {
        let ahead = (sequence >> 6) - (self.highest >> 6);
        for step in 1..=ahead.min(self.words.len() as u64) {
            // Counted from the old highest, so that a far jump clears each word once.
            let index = ((self.highest >> 6) + step) as usize & (self.words.len() - 1);
            self.words[index] = 0;
        }
    }

    fn is_seen(&self, sequence: u64) -> bool {
        self.words[self.word(sequence)] >> (sequence & 63) & 1 == 1
    }

    fn word(&self, sequence: u64) -> usize {
        (sequence >> 6) as usize & (self.words.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn commit(window: &mut Window, sequence: u64) -> Result<Place, Replay> {
        window.commit(&Authenticated::pretend(sequence))
    }

    fn at(size: u32, highest: u64) -> Window {
        let mut window = Window::new(size).unwrap();
        if highest > 0 {
            commit(&mut window, highest).unwrap();
        }
        window
    }

    /// Steps forwards and backwards of all magnitudes.
    fn steps() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![-5i64..8, -200i64..300, -5000i64..9000, 0i64..1 << 40];
        prop::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_the_set_of_all_numbers_accepted(
            size in prop_oneof![Just(64u32), Just(65), Just(1024), Just(4096), 64u32..=4096],
            start in prop_oneof![0u64..3, 0u64..10_000, Just(1 << 32)],
            steps in steps(),
        ) {
            let mut window = at(size, start);
            let mut accepted = HashSet::from([start]);
            let mut highest = start;
            for step in steps {
                let sequence = highest.saturating_add_signed(step);
                let expected = match sequence {
                    0 => Err(Replay::Zero),
                    s if s > highest => Ok(Place::Highest),
                    s if highest - s >= u64::from(size) => Err(Replay::Stale),
                    s if accepted.contains(&s) => Err(Replay::Duplicate),
                    _ => Ok(Place::Within),
                };
                prop_assert_eq!(window.check(sequence), expected.map(|_| ()));
                prop_assert_eq!(commit(&mut window, sequence), expected);
                if expected.is_ok() {
                    accepted.insert(sequence);
                    highest = highest.max(sequence);
                }
                prop_assert_eq!(window.highest(), highest);
            }
        }

        #[test]
        fn a_resumed_window_takes_all_that_is_new_once_and_nothing_old(
            size in 64u32..=4096,
            highest in prop_oneof![0u64..200, 4000u64..9000, (1u64 << 32) - 50..(1 << 32) + 50],
            steps in steps(),
        ) {
            let mut window = Window::resumed(size, highest).unwrap();
            let mut fresh = at(size, highest);
            for back in 0..u64::from(size) + 70 {
                prop_assert!(commit(&mut window, highest.saturating_sub(back)).is_err());
            }
            for step in steps {
                let sequence = window.highest().saturating_add_signed(step);
                if sequence > highest {
                    prop_assert_eq!(commit(&mut window, sequence), commit(&mut fresh, sequence));
                } else {
                    prop_assert!(commit(&mut window, sequence).is_err());
                }
            }
        }

        #[test]
        fn the_high_half_is_found_for_every_number_that_may_come(
            size in 64u32..=4096,
            highest in prop_oneof![0u64..10_000, (1u64 << 32) - 5000..(1 << 32) + 5000, 1u64 << 33..1 << 60],
            ahead in prop_oneof![0u64..5000, 0u64..(1 << 32) - 4096],
            behind in 0u64..4096,
        ) {
            let window = at(size, highest);
            let future = highest + ahead;
            prop_assert_eq!(window.infer(future as u32, true), Ok(future));
            if let Some(past) = highest.checked_sub(behind % u64::from(size)) {
                prop_assert_eq!(window.infer(past as u32, true), Ok(past));
            }
            prop_assert_eq!(window.infer(future as u32, false), Ok(future & 0xffff_ffff));
        }
    }

    #[test]
    fn both_edges_of_the_window_infer_the_right_half() {
        let subspace = 1u64 << 32;
        // The window ends in the middle of a subspace, at its last number, and reaches back into
        // the one before by one number and by all but one.
        for highest in [
            5 * subspace + 9999,
            5 * subspace + 63,
            5 * subspace + 62,
            5 * subspace,
        ] {
            let window = at(64, highest);
            let oldest = highest - 63;
            assert_eq!(window.infer(oldest as u32, true), Ok(oldest));
            // One number further back is out of the window, so the next round is meant.
            assert_eq!(
                window.infer((oldest - 1) as u32, true),
                Ok(oldest - 1 + subspace)
            );
        }
    }

    #[test]
    fn numbers_before_the_beginning_are_stale() {
        assert_eq!(at(64, 3).infer(u32::MAX, true), Err(Replay::Stale));
        assert_eq!(
            at(64, 3).infer(u32::MAX - 64, true),
            Ok(u64::from(u32::MAX) - 64)
        );
    }

    #[test]
    fn the_end_of_the_64_bit_space_is_not_passed() {
        let window = at(64, u64::MAX);
        assert_eq!(window.infer(5, true), Err(Replay::Stale));
        assert_eq!(window.check(u64::MAX), Err(Replay::Duplicate));
    }

    #[test]
    fn a_window_has_64_to_4096_packets_or_none() {
        assert!([0, 64, 4096]
            .iter()
            .all(|&size| Window::new(size).is_some()));
        assert!([1, 63, 4097]
            .iter()
            .all(|&size| Window::new(size).is_none()));
    }

    #[test]
    fn a_window_that_is_off_passes_repeats_and_still_knows_the_highest() {
        let mut window = at(0, 70);
        assert_eq!(commit(&mut window, 70), Ok(Place::Within));
        assert_eq!(commit(&mut window, 71), Ok(Place::Highest));
        assert_eq!(window.highest(), 71);
    }
}
