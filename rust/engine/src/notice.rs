//! Notices on their way to the IKE process: a bounded queue with one wake-up descriptor.
//!
//! Packet threads push, the control thread pops. Nothing here waits for IKE: what does not fit is
//! dropped and counted.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_bytes::ByteBuf;

use crate::frames::{Endpoint, Outgoing};
use crate::sys::poll::Waker;

/// IKE datagrams kept while IKE does not read.
pub const DATAGRAMS_MAX: usize = 256;
/// Other notices kept while IKE does not read.
pub const NOTICES_MAX: usize = 1024;
/// Least time between two notices of a kind that a stranger can cause.
const STRANGER_EVERY_MS: u64 = 1000;

#[derive(Default)]
struct Queue {
    items: VecDeque<Outgoing>,
    datagrams: usize,
    lost: u64,
}

/// The queue.
pub struct Notices {
    queue: Mutex<Queue>,
    pub waker: Waker,
    unknown_spi_at_ms: AtomicU64,
    send_failed_at_ms: AtomicU64,
}

/// The queue of IKE datagrams is full.
pub struct Full;

impl Notices {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::new(Queue::default()),
            waker: Waker::new()?,
            unknown_spi_at_ms: AtomicU64::new(0),
            send_failed_at_ms: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two statements.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An IKE datagram; refused when the queue holds its most.
    pub fn datagram(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        octets: &[u8],
    ) -> Result<(), Full> {
        let mut queue = self.lock();
        if queue.datagrams >= DATAGRAMS_MAX {
            queue.lost = queue.lost.saturating_add(1);
            return Err(Full);
        }
        queue.datagrams += 1;
        let octets = ByteBuf::from(octets.to_vec());
        queue.items.push_back(Outgoing::Datagram {
            local: local.into(),
            remote: remote.into(),
            octets,
        });
        drop(queue);
        self.waker.wake();
        Ok(())
    }

    /// Any other notice. True if it was kept.
    pub fn push(&self, notice: Outgoing) -> bool {
        let mut queue = self.lock();
        if queue.items.len() - queue.datagrams >= NOTICES_MAX {
            queue.lost = queue.lost.saturating_add(1);
            return false;
        }
        queue.items.push_back(notice);
        drop(queue);
        self.waker.wake();
        true
    }

    /// A wanted SA; at most one waits for each policy.
    pub fn packet_wanted(&self, wanted: Outgoing) -> bool {
        if let Outgoing::PacketWanted { policy, .. } = &wanted {
            let is_same = |item: &Outgoing| match item {
                Outgoing::PacketWanted { policy: other, .. } => other == policy,
                _ => false,
            };
            if self.lock().items.iter().any(is_same) {
                return true;
            }
        }
        self.push(wanted)
    }

    /// ESP for an SPI that nobody has; at most one a second.
    pub fn unknown_spi(&self, spi: u32, remote: SocketAddr, now_ms: u64) {
        if due(&self.unknown_spi_at_ms, now_ms) {
            self.push(Outgoing::UnknownSpi {
                spi,
                remote: remote.into(),
            });
        }
    }

    /// A datagram or ESP packet that the kernel refused; at most one a second.
    pub fn send_failed(&self, remote: SocketAddr, errno: i32, now_ms: u64) {
        if due(&self.send_failed_at_ms, now_ms) {
            self.push(Outgoing::SendFailed {
                remote: Endpoint::from(remote),
                errno,
            });
        }
    }

    /// The next one to send, the count of lost ones first.
    pub fn pop(&self) -> Option<Outgoing> {
        let mut queue = self.lock();
        if queue.lost > 0 {
            let count = std::mem::take(&mut queue.lost);
            return Some(Outgoing::NoticesLost { count });
        }
        let item = queue.items.pop_front()?;
        if matches!(item, Outgoing::Datagram { .. }) {
            queue.datagrams -= 1;
        }
        Some(item)
    }
}

/// True once in each period; cheap when it is not time yet.
fn due(last_ms: &AtomicU64, now_ms: u64) -> bool {
    let last = last_ms.load(Ordering::Relaxed);
    // Zero means never, also in the first second of the clock.
    (last == 0 || now_ms.saturating_sub(last) >= STRANGER_EVERY_MS)
        && last_ms
            .compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        "192.0.2.9:500".parse().unwrap()
    }

    fn wanted(policy: u32) -> Outgoing {
        let text = String::new;
        Outgoing::PacketWanted {
            policy,
            source: text(),
            destination: text(),
            protocol: 1,
            source_port: 0,
            destination_port: 0,
            held: 1,
        }
    }

    #[test]
    fn datagrams_beyond_the_limit_are_counted_as_lost_and_told_first() {
        let notices = Notices::new().unwrap();
        for index in 0..DATAGRAMS_MAX + 3 {
            assert_eq!(
                notices.datagram(address(), address(), b"ike").is_ok(),
                index < DATAGRAMS_MAX
            );
        }
        assert!(matches!(
            notices.pop(),
            Some(Outgoing::NoticesLost { count: 3 })
        ));
        let kept = std::iter::from_fn(|| notices.pop()).count();
        assert_eq!(kept, DATAGRAMS_MAX);
        assert!(notices.datagram(address(), address(), b"ike").is_ok());
    }

    #[test]
    fn one_wanted_notice_waits_for_each_policy() {
        let notices = Notices::new().unwrap();
        for _ in 0..100 {
            notices.packet_wanted(wanted(1));
            notices.packet_wanted(wanted(2));
        }
        assert_eq!(std::iter::from_fn(|| notices.pop()).count(), 2);
    }

    #[test]
    fn a_stranger_causes_one_notice_a_second() {
        let notices = Notices::new().unwrap();
        (0..2500).for_each(|ms| notices.unknown_spi(0x1234_5678, address(), 10_000 + ms));
        assert_eq!(std::iter::from_fn(|| notices.pop()).count(), 3);
    }
}
