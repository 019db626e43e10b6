//! The inbound worker: reads all sockets in batches; ESP is opened and written into a TUN device,
//! the rest goes to IKE.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use ipsec::nat::{classify, Datagram};
use ipsec::packet::{protocol, Packet, Ports, Version};
use ipsec::pmtu;
use ipsec::replay::Place;
use ipsec::sa::{Fixed, InboundSa};
use ipsec::spd::Entry;
use ipsec::stats::Reason;

use crate::counters::Event;
use crate::early::{Kept, Outcome};
use crate::frames::{Direction, Outgoing};
use crate::pipeline::tell_limit;
use crate::sys::batch::{Facts, Receiver};
use crate::sys::poll::now_ms;
use crate::table::{Exit, ExitKind, Interface, Shared, Table, TOKEN_WAKE};

/// Batches taken from one socket before the others are looked at.
const BATCHES_MAX: usize = 4;
/// Octets of an IKE header: nothing shorter is an IKE message.
const IKE_HEADER: usize = 28;
/// Least time between two notices that one SA's peer is somewhere else.
const MOVED_EVERY_MS: u64 = 1000;
/// Peers whose last notice is remembered.
const MOVED_MAX: usize = 4096;

/// Counts of one batch, added to the shared counters at its end.
#[derive(Default)]
struct Tally {
    packets: u64,
    octets: u64,
    /// The interface written last, and how many packets it took.
    written: Option<(Arc<Interface>, u64)>,
}

impl Tally {
    fn close(&mut self, shared: &Shared) {
        shared.counters.events_add(Event::EspReceived, self.packets);
        shared
            .counters
            .events_add(Event::EspOctetsReceived, self.octets);
        settle(self);
    }
}

/// Where a peer was last seen to have moved, and when IKE was told.
type Moved = HashMap<u32, (SocketAddr, u64)>;

/// Runs until the plane stops.
pub fn run(shared: &Arc<Shared>) {
    let mut receiver = Receiver::new();
    let mut moved = Moved::new();
    let mut events = Vec::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        if shared.inbound_poller.wait(&mut events, None).is_err() {
            shared.counters.event(Event::DescriptorErrors);
            return;
        }
        for event in &events {
            if event.token == TOKEN_WAKE {
                shared.inbound_waker.clear();
                let mut tally = Tally::default();
                replay(shared, &mut moved, &mut tally, now_ms());
                tally.close(shared);
            } else {
                read_socket(shared, &mut receiver, &mut moved, event.token);
            }
        }
    }
}

fn read_socket(shared: &Arc<Shared>, receiver: &mut Receiver, moved: &mut Moved, token: u64) {
    for _ in 0..BATCHES_MAX {
        let table = shared.table.load();
        let Some(exit) = table.exit(token) else {
            return;
        };
        let count = match receiver.receive(exit.pair.df_set.as_fd()) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => {
                // Reading took the pending error off the socket, so the poller is quiet again.
                return shared.counters.event(Event::DescriptorErrors);
            }
        };
        let now_ms = now_ms();
        let mut tally = Tally::default();
        // After the table was loaded: if that has an SA, what came early for it is found here and
        // goes first.
        replay(shared, moved, &mut tally, now_ms);
        for index in 0..count {
            match receiver.datagram(index) {
                Some((octets, facts)) => {
                    let length = facts.segment.unwrap_or(octets.len()).max(1);
                    for part in octets.chunks_mut(length) {
                        arrived(
                            shared, &table, exit, part, &facts, moved, &mut tally, now_ms,
                        );
                    }
                }
                None => shared.counters.event(Event::DropTruncated),
            }
        }
        tally.close(shared);
        if count < crate::sys::batch::BATCH {
            return;
        }
    }
}

// One packet's whole context: a struct for it would be built once and taken apart once.
#[allow(clippy::too_many_arguments)]
fn arrived(
    shared: &Shared,
    table: &Table,
    exit: &Exit,
    octets: &mut [u8],
    facts: &Facts,
    moved: &mut Moved,
    tally: &mut Tally,
    now_ms: u64,
) {
    match exit.kind {
        ExitKind::Udp {
            bound,
            nat_t: false,
        } => to_ike(shared, bound, facts, octets),
        ExitKind::Udp { bound, nat_t: true } => match classify(octets) {
            Ok(Datagram::Keepalive) => shared.counters.event(Event::KeepalivesReceived),
            Ok(Datagram::Ike { offset }) => {
                to_ike(shared, bound, facts, octets.get(offset..).unwrap_or(&[]))
            }
            Ok(Datagram::Esp { spi }) => {
                esp(
                    shared, table, spi, octets, facts, moved, tally, now_ms, true,
                );
            }
            Err(reason) => shared.counters.refused(reason),
        },
        ExitKind::Esp { version } => {
            // A raw IPv4 socket gives the IP header too, a raw IPv6 socket does not.
            let start = match version {
                Version::V4 => octets
                    .first()
                    .map_or(0, |first| usize::from(first & 0x0f) * 4),
                Version::V6 => 0,
            };
            let esp = octets.get_mut(start..).unwrap_or_default();
            match ipsec::esp::spi(esp) {
                Some(spi) => {
                    self::esp(shared, table, spi, esp, facts, moved, tally, now_ms, false);
                }
                None => shared.counters.refused(Reason::EspMalformed),
            }
        }
    }
}

fn to_ike(shared: &Shared, bound: SocketAddr, facts: &Facts, message: &[u8]) {
    if message.len() < IKE_HEADER {
        return shared.counters.event(Event::DropIkeMalformed);
    }
    let local = SocketAddr::new(facts.local.unwrap_or(bound.ip()), bound.port());
    match shared.notices.datagram(local, facts.remote, message) {
        Ok(()) => shared.counters.event(Event::IkeReceived),
        Err(_) => shared.counters.refused(Reason::IkeQueueFull),
    }
}

/// Finds the SA of an ESP packet and has it opened. A packet whose SA is announced but not there
/// yet is kept.
#[allow(clippy::too_many_arguments)]
fn esp(
    shared: &Shared,
    table: &Table,
    spi: u32,
    octets: &mut [u8],
    facts: &Facts,
    moved: &mut Moved,
    tally: &mut Tally,
    now_ms: u64,
    in_udp: bool,
) {
    if let Some(sa) = table.sad.inbound(spi) {
        return open(
            shared, table, sa, octets, facts, moved, tally, now_ms, in_udp,
        );
    }
    match shared
        .early
        .keep(&shared.table, spi, octets, facts, in_udp, now_ms)
    {
        Outcome::Unknown => {
            shared.counters.refused(Reason::NoSaInbound);
            shared.notices.unknown_spi(spi, facts.remote, now_ms);
        }
        Outcome::Full => shared.counters.event(Event::DropEarlyOverflow),
        Outcome::Kept { sooner } => {
            shared.counters.event(Event::EarlyKept);
            if sooner {
                // The control thread must set its alarm for the age of this packet.
                shared.notices.waker.wake();
            }
        }
        Outcome::Installed(fresh) => {
            replay(shared, moved, tally, now_ms);
            if let Some(sa) = fresh.sad.inbound(spi) {
                open(
                    shared, &fresh, sa, octets, facts, moved, tally, now_ms, in_udp,
                );
            }
        }
    }
}

/// Opens what came before SAs that are installed now, in its order.
fn replay(shared: &Shared, moved: &mut Moved, tally: &mut Tally, now_ms: u64) {
    if !shared.early.is_ready() {
        return;
    }
    let kept = shared.early.take_ready(now_ms);
    shared
        .counters
        .events_add(Event::DropEarlyExpired, kept.expired);
    // Loaded after the taking: it has every SA whose packets were ready.
    let table = shared.table.load();
    for mut packet in kept.packets {
        let Some(sa) = table.sad.inbound(packet.spi) else {
            // Removed again in the meantime.
            shared.counters.refused(Reason::NoSaInbound);
            continue;
        };
        shared.counters.event(Event::EarlyReplayed);
        let Kept {
            octets,
            facts,
            in_udp,
            ..
        } = &mut packet;
        open(
            shared, &table, sa, octets, facts, moved, tally, now_ms, *in_udp,
        );
    }
}

/// Opens an ESP packet and writes what is in it to its interface.
#[allow(clippy::too_many_arguments)]
fn open(
    shared: &Shared,
    table: &Table,
    sa: &InboundSa,
    octets: &mut [u8],
    facts: &Facts,
    moved: &mut Moved,
    tally: &mut Tally,
    now_ms: u64,
    in_udp: bool,
) {
    let fixed = sa.parameters();
    let opened = match sa.open(octets, facts.traffic_class, now_ms) {
        Ok(opened) => opened,
        Err(refused) => {
            shared.counters.refused(refused.reason);
            return tell_limit(shared, Direction::In, fixed, refused.notice);
        }
    };
    if opened.first {
        shared
            .notices
            .push(Outgoing::FirstPacket { spi: fixed.spi });
    }
    tell_limit(shared, Direction::In, fixed, opened.notice);
    if in_udp && opened.place == Place::Highest {
        notice_move(shared, fixed, facts.remote, moved, now_ms);
    }
    let Some((entry, interface)) = table
        .spd
        .get(fixed.policy)
        .and_then(|entry| Some((entry, table.interface(entry.policy.interface)?)))
    else {
        return shared.counters.event(Event::DropNoInterface);
    };
    let inner = octets.get_mut(opened.inner.clone()).unwrap_or_default();
    entry.used(now_ms);
    tally.packets += 1;
    tally.octets += u64::try_from(inner.len()).unwrap_or(0);
    clamp(shared, table, entry, &opened.packet, inner);
    write_tun(shared, interface, &opened.packet, inner, tally);
}

/// Lowers the MSS that the other side offers to what our own direction can carry.
fn clamp(shared: &Shared, table: &Table, entry: &Entry, packet: &Packet, inner: &mut [u8]) {
    if entry.policy.clamp_mss && packet.protocol == protocol::TCP {
        // Looked up only for TCP segments that can carry the option.
        if let Some(sa) = is_syn(packet, inner)
            .then(|| table.sad.outbound(entry.policy.id))
            .flatten()
        {
            if pmtu::clamp_mss(inner, packet, table.inner_mtu(sa.parameters())) {
                shared.counters.event(Event::MssClamped);
            }
        }
    }
}

fn is_syn(packet: &Packet, inner: &[u8]) -> bool {
    const FLAGS: usize = 13;
    const SYN: u8 = 0x02;
    inner
        .get(packet.upper_offset + FLAGS)
        .is_some_and(|flags| flags & SYN != 0)
}

fn write_tun(
    shared: &Shared,
    interface: &Arc<Interface>,
    packet: &Packet,
    inner: &[u8],
    tally: &mut Tally,
) {
    let queues = &interface.device.queues;
    // The kernel sends a flow's answers to the queue that the flow was written to: writing by flow
    // spreads outbound work.
    let index = if queues.len() > 1 {
        flow_hash(packet) % queues.len()
    } else {
        0
    };
    let Some(queue) = queues.get(index) else {
        return shared.counters.event(Event::DropTunWrite);
    };
    match queue.write(inner) {
        Ok(_) => match &mut tally.written {
            Some((last, count)) if last.id == interface.id => *count += 1,
            _ => {
                settle(tally);
                tally.written = Some((Arc::clone(interface), 1));
            }
        },
        Err(_) => shared.counters.event(Event::DropTunWrite),
    }
}

/// Adds the packets written to the interface's own counter.
fn settle(tally: &mut Tally) {
    if let Some((interface, count)) = tally.written.take() {
        interface
            .device
            .tx_packets
            .fetch_add(count, Ordering::Relaxed);
    }
}

/// The same number for all packets of a flow.
fn flow_hash(packet: &Packet) -> usize {
    let fold = |address: &std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => v4.to_bits(),
        std::net::IpAddr::V6(v6) => v6
            .segments()
            .iter()
            .fold(0_u32, |sum, part| sum.rotate_left(5) ^ u32::from(*part)),
    };
    let ports = match packet.ports {
        Ports::Pair {
            source,
            destination,
        } => u32::from(source) << 16 | u32::from(destination),
        _ => 0,
    };
    let mixed = (fold(&packet.source) ^ fold(&packet.destination).rotate_left(16) ^ ports)
        .wrapping_mul(0x9e37_79b1);
    usize::try_from(mixed >> 16).unwrap_or(0)
}

/// Tells IKE that an authentic packet, the newest so far, came from somewhere else than the SA says
/// (RFC 3948 §7).
fn notice_move(shared: &Shared, fixed: &Fixed, from: SocketAddr, moved: &mut Moved, now_ms: u64) {
    let spi = fixed.spi;
    if fixed.path.remote == from {
        return;
    }
    let told = moved
        .get(&spi)
        .is_some_and(|(to, at)| *to == from && now_ms.saturating_sub(*at) < MOVED_EVERY_MS);
    if !told {
        if moved.len() >= MOVED_MAX {
            moved.clear();
        }
        moved.insert(spi, (from, now_ms));
        shared.notices.push(Outgoing::PeerMoved {
            spi,
            remote: from.into(),
        });
    }
}
