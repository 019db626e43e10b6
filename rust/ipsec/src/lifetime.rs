//! Soft and hard limits of an SA in octets and packets (RFC 4301 §4.4.2.1).

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::cipher::{encr, Suite};
use crate::stats::Reason;
use crate::tally::{Kept, Tally};

/// No SA protects more octets than this, whatever its limits say (GCM's safety bound).
pub const OCTETS_MAX: u64 = 1 << 60;

/// A key of a cipher with blocks of 64 bits is to be renewed after so many octets: up to here two
/// equal blocks are unlikely (2^29 blocks, about one chance in a hundred).
pub const SMALL_BLOCK_SOFT: u64 = 1 << 32;

/// And carries no more than these 2^32 blocks, where equal ones are to be expected (RFC 8221 §5).
pub const SMALL_BLOCK_HARD: u64 = 1 << 35;

/// Limits of one SA; `None` means unlimited. Octets are those of inner packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// IKE is told once when this many octets are passed.
    pub soft_octets: Option<u64>,
    /// No packet may take the total above this.
    pub hard_octets: Option<u64>,
    /// IKE is told once when this many packets are passed.
    pub soft_packets: Option<u64>,
    /// No more packets than this.
    pub hard_packets: Option<u64>,
}

impl Limits {
    /// These, or what the cipher itself allows where that is less.
    pub(crate) fn within(self, suite: &Suite) -> Self {
        if suite.encr() != encr::TRIPLE_DES {
            return self;
        }
        let least = |limit: Option<u64>, most: u64| Some(limit.map_or(most, |l| l.min(most)));
        Self {
            soft_octets: least(self.soft_octets, SMALL_BLOCK_SOFT),
            hard_octets: least(self.hard_octets, SMALL_BLOCK_HARD),
            ..self
        }
    }
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Time to rekey.
    Soft,
    /// The SA carries no more.
    Hard,
}

/// What the limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Octets of inner packets.
    Octets,
    /// Packets.
    Packets,
    /// Sequence numbers (outbound only).
    Sequence,
}

/// A limit was met for the first time; the engine tells IKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitNotice {
    /// Soft or hard.
    pub which: Which,
    /// What was counted.
    pub unit: Unit,
}

/// Use of one SA so far, shared by all workers.
pub struct Usage {
    kept: Kept,
    told: AtomicU8,
}

/// A hard limit refuses the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// The counter to raise.
    pub reason: Reason,
    /// Present on the first refusal only.
    pub notice: Option<LimitNotice>,
}

impl Usage {
    /// Counts on from what `kept` holds.
    pub fn new(kept: Kept) -> Self {
        Self {
            kept,
            told: AtomicU8::new(0),
        }
    }

    fn tally(&self) -> &Tally {
        (*self.kept).as_ref()
    }

    /// Counts one packet of `octets`, unless a hard limit forbids it.
    pub fn charge(
        &self,
        limits: &Limits,
        octets: u64,
    ) -> Result<Option<LimitNotice>, LimitReached> {
        let tally = self.tally();
        let hard_octets = limits.hard_octets.unwrap_or(OCTETS_MAX).min(OCTETS_MAX);
        let added = tally
            .octets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                before
                    .checked_add(octets)
                    .filter(|&after| after <= hard_octets)
            });
        let Ok(octets_before) = added else {
            return Err(self.refuse(Unit::Octets, Reason::LifetimeOctets));
        };
        let hard_packets = limits.hard_packets.unwrap_or(u64::MAX);
        let added = tally
            .packets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                before.checked_add(1).filter(|&after| after <= hard_packets)
            });
        let Ok(packets_before) = added else {
            tally.octets.fetch_sub(octets, Ordering::Relaxed);
            return Err(self.refuse(Unit::Packets, Reason::LifetimePackets));
        };
        let over = |soft: Option<u64>, now: u64| soft.is_some_and(|soft| now >= soft);
        if over(limits.soft_octets, octets_before + octets) && self.first(Which::Soft, Unit::Octets)
        {
            return Ok(Some(LimitNotice {
                which: Which::Soft,
                unit: Unit::Octets,
            }));
        }
        if over(limits.soft_packets, packets_before + 1) && self.first(Which::Soft, Unit::Packets) {
            return Ok(Some(LimitNotice {
                which: Which::Soft,
                unit: Unit::Packets,
            }));
        }
        Ok(None)
    }

    /// A notice for this limit, the first time that it is asked for.
    pub fn notice(&self, which: Which, unit: Unit) -> Option<LimitNotice> {
        self.first(which, unit)
            .then_some(LimitNotice { which, unit })
    }

    /// Forgets what was told, after new limits were set.
    pub fn forget_told(&self) {
        self.told.store(0, Ordering::Relaxed);
    }

    /// Octets of inner packets so far.
    pub fn octets(&self) -> u64 {
        self.tally().octets.load(Ordering::Relaxed)
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.tally().packets.load(Ordering::Relaxed)
    }

    fn refuse(&self, unit: Unit, reason: Reason) -> LimitReached {
        LimitReached {
            reason,
            notice: self.notice(Which::Hard, unit),
        }
    }

    fn first(&self, which: Which, unit: Unit) -> bool {
        let bit = 1u8 << (unit as u8 + if which == Which::Hard { 4 } else { 0 });
        // A plain look first: after the notice, every packet would otherwise write this line.
        self.told.load(Ordering::Relaxed) & bit == 0
            && self.told.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (octets, packets) = (self.octets(), self.packets());
        write!(f, "Usage({octets} octets, {packets} packets)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally;

    const SOFT: Option<LimitNotice> = Some(LimitNotice {
        which: Which::Soft,
        unit: Unit::Octets,
    });

    #[test]
    fn a_soft_limit_is_told_once_and_refuses_nothing() {
        let usage = Usage::new(tally::own());
        let limits = Limits {
            soft_octets: Some(100),
            ..Limits::default()
        };
        assert_eq!(usage.charge(&limits, 60), Ok(None));
        assert_eq!(usage.charge(&limits, 60), Ok(SOFT));
        assert_eq!(usage.charge(&limits, 60), Ok(None));
        assert_eq!((usage.octets(), usage.packets()), (180, 3));
    }

    #[test]
    fn a_hard_limit_refuses_and_is_told_once() {
        let usage = Usage::new(tally::own());
        let limits = Limits {
            hard_octets: Some(100),
            ..Limits::default()
        };
        assert_eq!(usage.charge(&limits, 100), Ok(None));
        let notice = Some(LimitNotice {
            which: Which::Hard,
            unit: Unit::Octets,
        });
        let reason = Reason::LifetimeOctets;
        assert_eq!(
            usage.charge(&limits, 1),
            Err(LimitReached { reason, notice })
        );
        assert_eq!(
            usage.charge(&limits, 1),
            Err(LimitReached {
                reason,
                notice: None
            })
        );
        assert_eq!((usage.octets(), usage.packets()), (100, 1));
    }

    #[test]
    fn a_packet_refused_by_the_packet_limit_costs_no_octets() {
        let usage = Usage::new(tally::own());
        let limits = Limits {
            hard_packets: Some(2),
            soft_packets: Some(2),
            ..Limits::default()
        };
        assert_eq!(usage.charge(&limits, 10), Ok(None));
        assert_eq!(
            usage.charge(&limits, 10).unwrap().unwrap().which,
            Which::Soft
        );
        assert_eq!(
            usage.charge(&limits, 10).unwrap_err().reason,
            Reason::LifetimePackets
        );
        assert_eq!((usage.octets(), usage.packets()), (20, 2));
    }

    #[test]
    fn no_limit_still_ends_at_the_bound_of_the_cipher() {
        let usage = Usage::new(tally::own());
        assert_eq!(usage.charge(&Limits::default(), OCTETS_MAX), Ok(None));
        assert!(usage.charge(&Limits::default(), 1).is_err());
    }

    #[test]
    fn a_key_of_3des_ends_earlier() {
        let small = Suite::new(encr::TRIPLE_DES, 0, 1).unwrap();
        let limits = Limits::default().within(&small);
        let usage = Usage::new(tally::own());
        assert_eq!(usage.charge(&limits, SMALL_BLOCK_SOFT - 1), Ok(None));
        assert_eq!(
            usage.charge(&limits, 1).unwrap(),
            Some(LimitNotice {
                which: Which::Soft,
                unit: Unit::Octets,
            })
        );
        let rest = SMALL_BLOCK_HARD - SMALL_BLOCK_SOFT;
        assert_eq!(usage.charge(&limits, rest), Ok(None));
        assert_eq!(
            usage.charge(&limits, 1).unwrap_err().reason,
            Reason::LifetimeOctets
        );
        // Limits that say less stay, those that say more do not, packets are not the cipher's.
        let told = Limits {
            soft_octets: Some(1000),
            hard_octets: Some(1 << 40),
            soft_packets: Some(7),
            hard_packets: None,
        };
        let expected = Limits {
            hard_octets: Some(SMALL_BLOCK_HARD),
            ..told
        };
        assert_eq!(told.within(&small), expected);
        let wide = Suite::new(encr::AES_CBC, 128, 12).unwrap();
        assert_eq!(told.within(&wide), told);
    }
}
