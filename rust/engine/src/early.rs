//! ESP that comes before its SA stands.
//!
//! Once IKE has told a peer an inbound SPI, the peer may send on it before our side has computed
//! the keys. IKE announces such an SPI; packets for it are then kept, within bounds, and opened in
//! their order as soon as the SA is installed. For SPIs that nobody announced nothing is allocated.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::sys::batch::Facts;
use crate::table::Table;

/// Most SPIs announced at a time.
pub const EXPECTED_MAX: usize = 4096;
/// How long an announcement holds.
const EXPECTED_FOR_MS: u64 = 60_000;
/// Most packets and octets kept for one SPI.
const PACKETS_MAX: usize = 64;
const OCTETS_MAX: usize = 131_072;
/// Most packets kept in all.
const PACKETS_TOTAL_MAX: usize = 1024;
/// A kept packet older than this is of no use to anyone.
const AGE_MAX_MS: u64 = 2000;

/// One ESP packet that came too early.
pub struct Kept {
    pub spi: u32,
    /// From the SPI on.
    pub octets: Vec<u8>,
    pub facts: Facts,
    pub in_udp: bool,
    at_ms: u64,
}

impl Kept {
    fn is_old(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) > AGE_MAX_MS
    }
}

/// What became of a packet without an SA.
pub enum Outcome {
    /// Nobody announced its SPI.
    Unknown,
    /// As many as may be are kept already.
    Full,
    /// It is kept. `sooner`: the control thread must set its alarm anew.
    Kept { sooner: bool },
    /// Its SA has been installed since the caller's table was loaded: it is in this one.
    Installed(Arc<Table>),
}

/// Packets that can go to their SAs now.
pub struct Ready {
    pub packets: Vec<Kept>,
    /// How many others had become too old.
    pub expired: u64,
}

struct Expectation {
    until_ms: u64,
    octets: usize,
    packets: Vec<Kept>,
}

#[derive(Default)]
struct State {
    expected: HashMap<u32, Expectation>,
    /// Of SAs that are installed, until the inbound worker takes them.
    ready: Vec<Kept>,
    /// Packets in `expected` and `ready`.
    total: usize,
    /// Not before this is there anything too old; none: never.
    due_ms: Option<u64>,
}

impl State {
    /// True if that is sooner than what was due first so far.
    fn due_at(&mut self, at_ms: u64) -> bool {
        let sooner = self.due_ms.is_none_or(|due| at_ms < due);
        if sooner {
            self.due_ms = Some(at_ms);
        }
        sooner
    }
}

/// The announced SPIs and the packets kept for them.
///
/// The inbound worker alone keeps and takes packets, the control thread announces and installs, so
/// the order of the packets of one SPI is the order of their arrival.
#[derive(Default)]
pub struct Early {
    state: Mutex<State>,
    /// Announced SPIs; zero lets the packet path skip the lock.
    expected: AtomicUsize,
    /// `ready` has packets, or will have before the lock is let go.
    ready: AtomicBool,
}

impl Early {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is inside is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps packets for `spi` from now on. Refused when there are too many announcements.
    pub fn expect(&self, spi: u32, now_ms: u64) -> Result<(), String> {
        let mut state = self.lock();
        let until_ms = now_ms.saturating_add(EXPECTED_FOR_MS);
        if let Some(known) = state.expected.get_mut(&spi) {
            known.until_ms = until_ms;
            return Ok(());
        }
        if state.expected.len() >= EXPECTED_MAX {
            return Err(format!("at most {EXPECTED_MAX} SAs are expected at a time"));
        }
        let expectation = Expectation {
            until_ms,
            octets: 0,
            packets: Vec::new(),
        };
        state.expected.insert(spi, expectation);
        state.due_at(until_ms);
        self.expected.store(state.expected.len(), Ordering::Release);
        Ok(())
    }

    /// Ends the announcement of `spi`, if there is one; gives how many packets are dropped by it.
    pub fn forget(&self, spi: u32) -> Option<u64> {
        let mut state = self.lock();
        let gone = state.expected.remove(&spi)?.packets.len();
        state.total = state.total.saturating_sub(gone);
        self.expected.store(state.expected.len(), Ordering::Release);
        Some(count(gone))
    }

    /// Ends all announcements; gives how many packets are dropped by it.
    pub fn flush(&self) -> u64 {
        let mut state = self.lock();
        let gone = std::mem::take(&mut *state).total;
        self.expected.store(0, Ordering::Release);
        self.ready.store(false, Ordering::Release);
        count(gone)
    }

    /// Runs `publish`, which makes the SA of `spi` visible to the inbound worker, and makes ready
    /// what was kept for it. True if there is anything: the worker must then be woken.
    pub fn install(&self, spi: u32, publish: impl FnOnce()) -> bool {
        let mut state = self.lock();
        let kept = state
            .expected
            .remove(&spi)
            .map_or(Vec::new(), |expectation| expectation.packets);
        let waiting = !kept.is_empty();
        // Before the publication: a worker that sees the SA then sees this too, and waits at the
        // lock for the packets that go first.
        if waiting {
            self.ready.store(true, Ordering::Release);
        }
        publish();
        // After it: a worker that sees no announcement any more then sees the SA.
        self.expected.store(state.expected.len(), Ordering::Release);
        state.ready.extend(kept);
        waiting
    }

    /// Keeps a packet without an SA if its SPI was announced. `table` is where `install` publishes.
    pub fn keep(
        &self,
        table: &ArcSwap<Table>,
        spi: u32,
        octets: &[u8],
        facts: &Facts,
        in_udp: bool,
        now_ms: u64,
    ) -> Outcome {
        let installed = || {
            let fresh = table.load();
            match fresh.sad.inbound(spi) {
                Some(_) => Outcome::Installed(Guard::into_inner(fresh)),
                None => Outcome::Unknown,
            }
        };
        if self.expected.load(Ordering::Acquire) == 0 {
            return installed();
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(expectation) = state.expected.get_mut(&spi) else {
            return installed();
        };
        if expectation.packets.len() >= PACKETS_MAX
            || expectation.octets.saturating_add(octets.len()) > OCTETS_MAX
            || state.total >= PACKETS_TOTAL_MAX
        {
            return Outcome::Full;
        }
        expectation.octets += octets.len();
        expectation.packets.push(Kept {
            spi,
            octets: octets.to_vec(),
            facts: *facts,
            in_udp,
            at_ms: now_ms,
        });
        state.total += 1;
        let sooner = state.due_at(now_ms.saturating_add(AGE_MAX_MS + 1));
        Outcome::Kept { sooner }
    }

    /// Is there anything for `take_ready`?
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Packets whose SAs are installed, in the order of their arrival.
    pub fn take_ready(&self, now_ms: u64) -> Ready {
        let mut state = self.lock();
        self.ready.store(false, Ordering::Release);
        let mut packets = std::mem::take(&mut state.ready);
        let all = packets.len();
        state.total = state.total.saturating_sub(all);
        packets.retain(|packet| !packet.is_old(now_ms));
        let expired = count(all - packets.len());
        Ready { packets, expired }
    }

    /// Drops what is too old. Gives how many packets that were, and when there is more to do.
    pub fn expire(&self, now_ms: u64) -> (u64, Option<u64>) {
        if self.expected.load(Ordering::Acquire) == 0 {
            return (0, None);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        match state.due_ms {
            Some(due) if due <= now_ms => {}
            due => return (0, due),
        }
        let (mut dropped, mut due): (usize, Option<u64>) = (0, None);
        state.expected.retain(|_, expectation| {
            let before = expectation.packets.len();
            let over = expectation.until_ms <= now_ms;
            expectation
                .packets
                .retain(|packet| !over && !packet.is_old(now_ms));
            dropped += before - expectation.packets.len();
            expectation.octets = expectation.packets.iter().map(|p| p.octets.len()).sum();
            if !over {
                let oldest = expectation.packets.first();
                let at = oldest.map_or(expectation.until_ms, |packet| {
                    expectation
                        .until_ms
                        .min(packet.at_ms.saturating_add(AGE_MAX_MS + 1))
                });
                due = Some(due.map_or(at, |other| other.min(at)));
            }
            !over
        });
        state.total = state.total.saturating_sub(dropped);
        state.due_ms = due;
        self.expected.store(state.expected.len(), Ordering::Release);
        (count(dropped), due)
    }
}

fn count(packets: usize) -> u64 {
    u64::try_from(packets).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPI: u32 = 0x1234_5678;

    fn facts() -> Facts {
        Facts {
            remote: "192.0.2.9:4500".parse().unwrap(),
            local: None,
            traffic_class: 0,
            segment: None,
        }
    }

    fn keep(early: &Early, spi: u32, octets: &[u8], now_ms: u64) -> Outcome {
        let table = ArcSwap::from_pointee(Table::default());
        early.keep(&table, spi, octets, &facts(), true, now_ms)
    }

    fn is_kept(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Kept { .. })
    }

    #[test]
    fn only_announced_spis_are_kept_and_come_out_in_order() {
        let early = Early::default();
        assert!(matches!(keep(&early, SPI, b"a", 0), Outcome::Unknown));
        early.expect(SPI, 0).unwrap();
        assert!(matches!(keep(&early, SPI + 1, b"a", 0), Outcome::Unknown));
        for number in 0..10_u8 {
            assert!(is_kept(&keep(&early, SPI, &[number], 5)));
        }
        assert!(!early.is_ready());
        let mut published = false;
        assert!(early.install(SPI, || published = true));
        assert!(published && early.is_ready());
        let ready = early.take_ready(10);
        let order: Vec<u8> = ready.packets.iter().map(|p| p.octets[0]).collect();
        assert_eq!(order, (0..10).collect::<Vec<_>>());
        assert!(!early.is_ready());
        assert!(matches!(keep(&early, SPI, b"a", 10), Outcome::Unknown));
        assert_eq!(early.lock().total, 0);
    }

    #[test]
    fn packets_are_bounded_for_one_spi_and_in_all() {
        let early = Early::default();
        early.expect(SPI, 0).unwrap();
        let big = vec![0_u8; OCTETS_MAX / 2 + 1];
        assert!(is_kept(&keep(&early, SPI, &big, 0)));
        assert!(matches!(keep(&early, SPI, &big, 0), Outcome::Full));
        let mut kept = 1;
        for spi in 1..=100 {
            early.expect(SPI + spi, 0).unwrap();
            let taken = (0..PACKETS_MAX + 5)
                .filter(|_| is_kept(&keep(&early, SPI + spi, b"esp", 0)))
                .count();
            assert!(taken <= PACKETS_MAX);
            kept += taken;
        }
        assert_eq!(kept, PACKETS_TOTAL_MAX);
        assert_eq!(early.forget(SPI + 1), Some(64));
        assert!(is_kept(&keep(&early, SPI + 99, b"esp", 0)));
        assert_eq!(early.flush(), count(PACKETS_TOTAL_MAX - 63));
        assert_eq!(early.lock().total, 0);
    }

    #[test]
    fn announcements_are_bounded_and_renewed_rather_than_repeated() {
        let early = Early::default();
        for spi in 0..u32::try_from(EXPECTED_MAX).unwrap() {
            early.expect(SPI + spi, 0).unwrap();
        }
        assert!(early.expect(1000, 0).is_err());
        early.expect(SPI, 30_000).unwrap();
        assert_eq!(early.expire(EXPECTED_FOR_MS).1, Some(90_000));
        assert!(is_kept(&keep(&early, SPI, b"a", EXPECTED_FOR_MS)));
        assert!(matches!(
            keep(&early, SPI + 1, b"a", EXPECTED_FOR_MS),
            Outcome::Unknown
        ));
        assert_eq!(early.forget(SPI + 1), None);
    }

    #[test]
    fn what_is_too_old_is_dropped_and_counted_before_and_after_installation() {
        let early = Early::default();
        early.expect(SPI, 0).unwrap();
        assert!(matches!(
            keep(&early, SPI, b"a", 100),
            Outcome::Kept { sooner: true }
        ));
        assert!(matches!(
            keep(&early, SPI, b"b", 1000),
            Outcome::Kept { sooner: false }
        ));
        assert_eq!(early.expire(2100), (0, Some(2101)));
        assert_eq!(early.expire(2101), (1, Some(3001)));
        assert!(early.install(SPI, || ()));
        let ready = early.take_ready(3001);
        assert!(ready.packets.is_empty() && ready.expired == 1);
        assert_eq!(early.expire(3001), (0, None));
    }
}
