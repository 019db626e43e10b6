//! The inbound worker: reads all sockets in batches; ESP is opened and written into a TUN device,
//! the rest goes to IKE.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use ipsec::nat::{classify, Datagram};
use ipsec::packet::{protocol, Packet, Version};
use ipsec::pmtu;
use ipsec::replay::Place;
use ipsec::sa::{Fixed, InboundSa};
use ipsec::spd::Entry;
use ipsec::stats::Reason;

use crate::counters::Event;
use crate::deliver::Delivery;
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

/// Where a peer was last seen to have moved, and when IKE was told.
type Moved = HashMap<u32, (SocketAddr, u64)>;

/// Runs until the plane stops.
pub fn run(shared: &Arc<Shared>) {
    let mut receiver = Receiver::new();
    let mut worker = Worker {
        shared,
        moved: Moved::new(),
        delivery: Delivery::default(),
        now_ms: 0,
        packets: 0,
        octets: 0,
    };
    let mut events = Vec::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        if shared.inbound_poller.wait(&mut events, None).is_err() {
            shared.counters.event(Event::DescriptorErrors);
            return;
        }
        for event in &events {
            if event.token == TOKEN_WAKE {
                shared.inbound_waker.clear();
                worker.now_ms = now_ms();
                worker.replay();
                worker.close();
            } else {
                worker.read_socket(&mut receiver, event.token);
            }
        }
    }
}

/// One inbound worker: what it remembers, and what the batch at hand has come to.
struct Worker<'a> {
    shared: &'a Arc<Shared>,
    moved: Moved,
    delivery: Delivery,
    now_ms: u64,
    /// Accepted in this batch, added to the shared counters at its end.
    packets: u64,
    octets: u64,
}

/// An SA and where its packets go: looked up once for all of its packets that follow each other.
#[derive(Clone, Copy)]
struct Way<'t> {
    spi: u32,
    sa: &'t InboundSa,
    /// None: the policy or its interface is gone.
    inside: Option<(&'t Entry, &'t Arc<Interface>)>,
}

impl<'t> Way<'t> {
    fn find(table: &'t Table, spi: u32) -> Option<Self> {
        let sa = table.sad.inbound(spi)?;
        let entry = table.spd.get(sa.parameters().policy);
        let inside =
            entry.and_then(|entry| Some((&**entry, table.interface(entry.policy.interface)?)));
        Some(Self { spi, sa, inside })
    }
}

/// One ESP packet: where it lies in the buffer, and how it came.
struct Arrival<'a> {
    buffer: &'a mut [u8],
    esp: Range<usize>,
    facts: &'a Facts,
    in_udp: bool,
}

impl Worker<'_> {
    fn read_socket(&mut self, receiver: &mut Receiver, token: u64) {
        for _ in 0..BATCHES_MAX {
            let table = self.shared.table.load();
            let Some(exit) = table.exit(token) else {
                return;
            };
            let count = match receiver.receive(exit.pair.df_set.as_fd()) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    // Reading took the pending error off the socket, so the poller is quiet again.
                    return self.shared.counters.event(Event::DescriptorErrors);
                }
            };
            self.now_ms = now_ms();
            // After the table was loaded: if that has an SA, what came early for it is found here
            // and goes first.
            self.replay();
            let mut way = None;
            for index in 0..count {
                match receiver.datagram(index) {
                    Some((buffer, datagram, facts)) => {
                        let length = facts.segment.unwrap_or(datagram.len()).max(1);
                        for start in datagram.clone().step_by(length) {
                            let end = datagram.end.min(start + length);
                            self.arrived(&table, &mut way, exit, buffer, start..end, &facts);
                        }
                    }
                    None => self.shared.counters.event(Event::DropTruncated),
                }
            }
            self.delivery.flush(self.shared, receiver.buffer());
            self.close();
            if count < crate::sys::batch::BATCH {
                return;
            }
        }
    }

    /// Ends a batch, whose packets are delivered.
    fn close(&mut self) {
        let counters = &self.shared.counters;
        counters.events_add(Event::EspReceived, std::mem::take(&mut self.packets));
        counters.events_add(Event::EspOctetsReceived, std::mem::take(&mut self.octets));
    }

    fn arrived<'t>(
        &mut self,
        table: &'t Table,
        way: &mut Option<Way<'t>>,
        exit: &Exit,
        buffer: &mut [u8],
        part: Range<usize>,
        facts: &Facts,
    ) {
        let octets = &buffer[part.clone()];
        let (spi, esp, in_udp) = match exit.kind {
            ExitKind::Udp {
                bound,
                nat_t: false,
            } => return to_ike(self.shared, bound, facts, octets),
            ExitKind::Udp { bound, nat_t: true } => match classify(octets) {
                Ok(Datagram::Keepalive) => {
                    return self.shared.counters.event(Event::KeepalivesReceived);
                }
                Ok(Datagram::Ike { offset }) => {
                    let message = octets.get(offset..).unwrap_or(&[]);
                    return to_ike(self.shared, bound, facts, message);
                }
                Ok(Datagram::Esp { spi }) => (spi, part, true),
                Err(reason) => return self.shared.counters.refused(reason),
            },
            ExitKind::Esp { version } => {
                // A raw IPv4 socket gives the IP header too, a raw IPv6 socket does not.
                let start = match version {
                    Version::V4 => octets
                        .first()
                        .map_or(0, |first| usize::from(first & 0x0f) * 4),
                    Version::V6 => 0,
                };
                match octets.get(start..).and_then(ipsec::esp::spi) {
                    Some(spi) => (spi, part.start + start..part.end, false),
                    None => return self.shared.counters.refused(Reason::EspMalformed),
                }
            }
        };
        let arrival = Arrival {
            buffer,
            esp,
            facts,
            in_udp,
        };
        self.esp(table, way, spi, arrival);
    }

    /// Finds the SA of an ESP packet and has it opened. A packet whose SA is announced but not
    /// there yet is kept.
    fn esp<'t>(
        &mut self,
        table: &'t Table,
        way: &mut Option<Way<'t>>,
        spi: u32,
        arrival: Arrival<'_>,
    ) {
        if way.is_none_or(|way| way.spi != spi) {
            *way = Way::find(table, spi);
        }
        if let Some(way) = way {
            return self.open(table, way, arrival);
        }
        let shared = self.shared;
        let Arrival { facts, in_udp, .. } = arrival;
        let octets = &arrival.buffer[arrival.esp.clone()];
        match shared
            .early
            .keep(&shared.table, spi, octets, facts, in_udp, self.now_ms)
        {
            Outcome::Unknown => {
                shared.counters.refused(Reason::NoSaInbound);
                shared.notices.unknown_spi(spi, facts.remote, self.now_ms);
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
                // What waits here came before what came early.
                self.delivery.flush(shared, arrival.buffer);
                self.replay();
                if let Some(way) = Way::find(&fresh, spi) {
                    self.open(&fresh, &way, arrival);
                }
            }
        }
    }

    /// Opens and delivers what came before SAs that are installed now, in its order. Nothing else
    /// may wait for delivery.
    fn replay(&mut self) {
        let shared = self.shared;
        if !shared.early.is_ready() {
            return;
        }
        let kept = shared.early.take_ready(self.now_ms);
        shared
            .counters
            .events_add(Event::DropEarlyExpired, kept.expired);
        // Loaded after the taking: it has every SA whose packets were ready.
        let table = shared.table.load();
        for mut packet in kept.packets {
            let Some(way) = Way::find(&table, packet.spi) else {
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
            let arrival = Arrival {
                esp: 0..octets.len(),
                buffer: octets,
                facts,
                in_udp: *in_udp,
            };
            self.open(&table, &way, arrival);
            self.delivery.flush(shared, &mut packet.octets);
        }
    }

    /// Opens an ESP packet and delivers what is in it to its interface.
    fn open(&mut self, table: &Table, way: &Way<'_>, arrival: Arrival<'_>) {
        let Arrival {
            buffer,
            esp,
            facts,
            in_udp,
        } = arrival;
        let (shared, now_ms) = (self.shared, self.now_ms);
        let fixed = way.sa.parameters();
        let octets = &mut buffer[esp.clone()];
        let opened = match way.sa.open(octets, facts.traffic_class, now_ms) {
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
            notice_move(shared, fixed, facts.remote, &mut self.moved, now_ms);
        }
        let Some((entry, interface)) = way.inside else {
            return shared.counters.event(Event::DropNoInterface);
        };
        let inner = esp.start + opened.inner.start..esp.start + opened.inner.end;
        entry.used(now_ms);
        self.packets += 1;
        self.octets += u64::try_from(inner.len()).unwrap_or(0);
        let map = &entry.policy.map;
        let packet = &map.arrive(&mut buffer[inner.clone()], &opened.packet);
        clamp(shared, table, entry, packet, &mut buffer[inner.clone()]);
        self.delivery.add(shared, buffer, interface, inner, packet);
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

/// Lowers the MSS that the other side offers to what our own direction can carry.
fn clamp(shared: &Shared, table: &Table, entry: &Entry, packet: &Packet, inner: &mut [u8]) {
    if entry.policy.clamp_mss && packet.protocol == protocol::TCP {
        // Looked up only for TCP segments that can carry the option.
        if let Some(sa) = is_syn(packet, inner)
            .then(|| table.sad.outbound(entry.policy.id, &packet.source))
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
