//! Packets that wait for an SA: taking in, letting go, forgetting. Every function wants the lock of
//! the queue.

use std::sync::atomic::Ordering;

use ipsec::packet::{Packet, Ports};
use ipsec::spd::{Entry, OnNoSa};
use ipsec::stats::Reason;

use crate::counters::Event;
use crate::frames::Outgoing;
use crate::table::{HoldQueue, HoldState, Shared};

/// Least time between two notices for one policy.
const WANTED_EVERY_MS: u64 = 1000;

/// Holds a packet or counts why not, and asks IKE for an SA when the policy says so.
pub fn take_in(
    shared: &Shared,
    queue: &HoldQueue,
    state: &mut HoldState,
    entry: &Entry,
    octets: &[u8],
    packet: &Packet,
    now_ms: u64,
) {
    let policy = &entry.policy;
    if state.on_no_sa == OnNoSa::Drop {
        return shared.counters.refused(Reason::NoSaOutbound);
    }
    if state.closed {
        return shared.counters.refused(Reason::HoldFlushed);
    }
    let was_empty = state.hold.packets() == 0;
    expire(shared, queue, state, entry, now_ms);
    match state
        .hold
        .push(&policy.hold, now_ms, octets.len(), octets.to_vec())
    {
        Ok(()) => {
            added(shared, queue);
            shared.counters.event(Event::Held);
        }
        // A full queue still wants its SA: the notice below may have been missed.
        Err((reason, _)) => shared.counters.refused(reason),
    }
    if state.on_no_sa == OnNoSa::Hold {
        let due = state
            .wanted_at_ms
            .is_none_or(|at| now_ms.saturating_sub(at) >= WANTED_EVERY_MS);
        if due {
            want(shared, state, policy.id, packet, now_ms);
        }
    }
    if was_empty {
        // The control thread must set its alarm for the age of this packet.
        shared.notices.waker.wake();
    }
}

/// Treats packets without an SA so from now on. If IKE is to be asked, it is asked for those that
/// wait already.
pub fn arm(shared: &Shared, state: &mut HoldState, policy: u32, on_no_sa: OnNoSa, now_ms: u64) {
    let before = std::mem::replace(&mut state.on_no_sa, on_no_sa);
    if on_no_sa == OnNoSa::Hold && before != OnNoSa::Hold {
        let oldest = state.hold.oldest();
        // Only what was parsed is held.
        if let Some(Ok(packet)) = oldest.map(|octets| Packet::parse(octets)) {
            want(shared, state, policy, &packet, now_ms);
        }
    }
}

/// Asks IKE for an SA.
fn want(shared: &Shared, state: &mut HoldState, policy: u32, packet: &Packet, now_ms: u64) {
    let held = u32::try_from(state.hold.packets()).unwrap_or(u32::MAX);
    let notice = wanted(policy, packet, held);
    state.wanted_at_ms = Some(now_ms);
    state.wanted = Some(notice.clone());
    shared.notices.packet_wanted(notice);
}

/// The oldest held packet.
pub fn take_out(shared: &Shared, queue: &HoldQueue, state: &mut HoldState) -> Option<Vec<u8>> {
    let packet = state.hold.pop()?;
    gone(shared, queue, 1);
    Some(packet)
}

/// Drops what is too old.
pub fn expire(
    shared: &Shared,
    queue: &HoldQueue,
    state: &mut HoldState,
    entry: &Entry,
    now_ms: u64,
) {
    let count = state.hold.expire(&entry.policy.hold, now_ms);
    gone(shared, queue, count);
    shared.counters.refused_many(Reason::HoldExpired, count);
}

/// Drops everything.
pub fn flush(shared: &Shared, queue: &HoldQueue, state: &mut HoldState) {
    let count = state.hold.flush();
    gone(shared, queue, count);
    shared.counters.refused_many(Reason::HoldFlushed, count);
    state.wanted = None;
    state.wanted_at_ms = None;
}

fn added(shared: &Shared, queue: &HoldQueue) {
    queue.held.fetch_add(1, Ordering::AcqRel);
    shared.held_total.fetch_add(1, Ordering::AcqRel);
}

fn gone(shared: &Shared, queue: &HoldQueue, count: usize) {
    queue.held.fetch_sub(count, Ordering::AcqRel);
    shared.held_total.fetch_sub(count, Ordering::AcqRel);
}

fn wanted(policy: u32, packet: &Packet, held: u32) -> Outgoing {
    let (source_port, destination_port) = match packet.ports {
        Ports::Pair {
            source,
            destination,
        } => (source, destination),
        // Type and code, as a traffic selector holds them.
        Ports::Kind(kind) => (kind, kind),
        Ports::Opaque | Ports::None => (0, 0),
    };
    Outgoing::PacketWanted {
        policy,
        source: packet.source.to_string(),
        destination: packet.destination.to_string(),
        protocol: packet.protocol,
        source_port,
        destination_port,
        held,
    }
}
