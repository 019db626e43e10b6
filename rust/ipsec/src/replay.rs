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
