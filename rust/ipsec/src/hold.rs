//! Packets that wait for an SA (RFC 4301 §5.1 leaves it open; we never lose them and never send in
//! clear): a queue bounded by packets, octets and age, released in order.

use std::collections::VecDeque;

use crate::stats::Reason;

/// Bounds of one policy's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldLimits {
    /// Most packets.
    pub packets_max: u32,
    /// Most octets of packets.
    pub octets_max: u64,
    /// A packet older than this is dropped.
    pub age_ms: u32,
}

impl Default for HoldLimits {
    /// 64 packets, 128 KiB, 10 s.
    fn default() -> Self {
        Self {
            packets_max: 64,
            octets_max: 128 * 1024,
            age_ms: 10_000,
        }
    }
}

/// The queue. `B` is the engine's buffer.
#[derive(Debug)]
pub struct Hold<B = Vec<u8>> {
    queue: VecDeque<(u64, u64, B)>,
    octets: u64,
}

impl<B> Default for Hold<B> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            octets: 0,
        }
    }
}

impl<B> Hold<B> {
    /// Takes a packet of `octets` in, or gives it back with the reason.
    ///
    /// When full the newcomer is refused: the oldest packets open connections and matter most.
    /// Call [`Hold::expire`] first.
    pub fn push(
        &mut self,
        limits: &HoldLimits,
        now_ms: u64,
        octets: usize,
        packet: B,
    ) -> Result<(), (Reason, B)> {
        let octets = octets as u64;
        let fits = self.queue.len() < limits.packets_max as usize
            && self.octets.saturating_add(octets) <= limits.octets_max;
        if !fits {
            return Err((Reason::HoldOverflow, packet));
        }
        self.octets += octets;
        self.queue.push_back((now_ms, octets, packet));
        Ok(())
    }

    /// Drops the packets that are too old and says how many ([`Reason::HoldExpired`] each).
    pub fn expire(&mut self, limits: &HoldLimits, now_ms: u64) -> usize {
        let before = self.queue.len();
        while let Some((since_ms, _, _)) = self.queue.front() {
            if now_ms.saturating_sub(*since_ms) <= u64::from(limits.age_ms) {
                break;
            }
            self.pop();
        }
        before - self.queue.len()
    }

    /// The oldest packet, for sending now.
    pub fn pop(&mut self) -> Option<B> {
        let (_, octets, packet) = self.queue.pop_front()?;
        self.octets -= octets;
        Some(packet)
    }

    /// The oldest packet, left where it is.
    pub fn oldest(&self) -> Option<&B> {
        self.queue.front().map(|(_, _, packet)| packet)
    }

    /// Forgets all packets and says how many ([`Reason::HoldFlushed`] each).
    pub fn flush(&mut self) -> usize {
        self.octets = 0;
        self.queue.drain(..).count()
    }

    /// Packets waiting.
    pub fn packets(&self) -> usize {
        self.queue.len()
    }

    /// Octets of the packets waiting.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// When the oldest packet came in, for the engine's timer.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.queue.front().map(|(since_ms, _, _)| *since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HoldLimits = HoldLimits {
        packets_max: 3,
        octets_max: 100,
        age_ms: 50,
    };

    #[test]
    fn packets_leave_in_the_order_they_came() {
        let mut hold = Hold::default();
        for n in 0..3 {
            hold.push(&LIMITS, n, 10, n).unwrap();
        }
        let out: Vec<_> = std::iter::from_fn(|| hold.pop()).collect();
        assert_eq!(out, [0, 1, 2]);
        assert_eq!((hold.packets(), hold.octets()), (0, 0));
    }

    #[test]
    fn a_full_queue_gives_the_newcomer_back() {
        let mut hold = Hold::default();
        hold.push(&LIMITS, 0, 60, 'a').unwrap();
        assert_eq!(
            hold.push(&LIMITS, 0, 41, 'b'),
            Err((Reason::HoldOverflow, 'b'))
        );
        hold.push(&LIMITS, 0, 40, 'c').unwrap();
        hold.push(&LIMITS, 0, 0, 'd').unwrap();
        assert_eq!(
            hold.push(&LIMITS, 0, 0, 'e'),
            Err((Reason::HoldOverflow, 'e'))
        );
        assert_eq!(hold.octets(), 100);
    }

    #[test]
    fn old_packets_expire_and_make_room() {
        let mut hold = Hold::default();
        hold.push(&LIMITS, 0, 50, 'a').unwrap();
        hold.push(&LIMITS, 30, 50, 'b').unwrap();
        assert_eq!(hold.expire(&LIMITS, 50), 0);
        assert_eq!(hold.expire(&LIMITS, 51), 1);
        assert_eq!(hold.oldest_ms(), Some(30));
        assert_eq!(hold.octets(), 50);
        assert_eq!(hold.flush(), 1);
        assert_eq!(hold.octets(), 0);
    }
}
