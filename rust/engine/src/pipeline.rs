//! Outbound packets: policy, SA, seal, and a batch of datagrams to the kernel. One pipeline for
//! each thread that sends.
//!
//! The DF bit (RFC 4301 §8.1) follows the SA's policy. An IPv4 packet that does not fit and may be
//! fragmented leaves by the socket that clears DF, so the kernel fragments the outer packet: the
//! receiver then judges whole inner packets by its selectors. The same way out is taken by an IPv6
//! packet of at most 1280 octets, which no answer could make smaller (RFC 8200 §5).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use ipsec::cipher::Suite;
use ipsec::esp::{HEADROOM, TAILROOM};
use ipsec::lifetime::{LimitNotice, Unit, Which};
use ipsec::offload::{self, Cut, Header};
use ipsec::packet::{protocol, Packet};
use ipsec::pmtu::{self, Fit, ANSWER_MAX};
use ipsec::sa::{Fixed, OutboundSa};
use ipsec::spd::{Entry, Verdict};
use ipsec::stats::Reason;

use crate::counters::Event;
use crate::frames::{Direction, Outgoing};
use crate::hold;
use crate::sys::batch::{Sender, Transmit, BATCH, GROUP_OCTETS_MAX};
use crate::sys::random::SystemEntropy;
use crate::sys::socket::{is_any, path_mtu, Pair};
use crate::table::{Exit, ExitKind, HoldQueue, HoldState, Interface, Shared, Table};

/// Longest IP packet that can come out of a TUN device.
const PACKET_MAX: usize = 65_535;
/// Room for a full batch of Ethernet-sized packets and one of any size.
const ARENA_OCTETS: usize = BATCH * 2048 + HEADROOM + PACKET_MAX + TAILROOM;

/// A sealed packet that waits for the end of the batch.
struct Pending {
    exit: usize,
    df: bool,
    inner_octets: usize,
}

/// A way out used in this batch.
struct Used {
    token: u64,
    pair: Arc<Pair>,
    is_udp: bool,
}

/// What was found out for the SA used last in this batch.
struct Route {
    policy: u32,
    spi: u32,
    exit: usize,
    mtu: usize,
}

/// Buffers and the batch of one sending thread.
pub struct Pipeline {
    arena: Vec<u8>,
    /// Where the sealed packets end: they lie side by side, so that the kernel copies a group in one
    /// run.
    used: usize,
    /// Octets between there and the next inner packet: as many as the last SA put before its own.
    lead: usize,
    /// Where a packet is read to, with its offload header before it: a large one is cut from here
    /// into the arena.
    inbox: Vec<u8>,
    pending: Vec<Pending>,
    transmits: Vec<Transmit>,
    /// The ways out used in this batch; almost always one.
    exits: Vec<Used>,
    route: Option<Route>,
    sender: Sender,
    answer: Vec<u8>,
    entropy: SystemEntropy,
}

impl Pipeline {
    pub fn new() -> Self {
        Self {
            arena: vec![0; ARENA_OCTETS],
            used: 0,
            lead: HEADROOM,
            inbox: vec![0; offload::HEADER + PACKET_MAX],
            pending: Vec::with_capacity(BATCH),
            transmits: Vec::with_capacity(BATCH),
            exits: Vec::with_capacity(4),
            route: None,
            sender: Sender::new(),
            answer: vec![0; ANSWER_MAX],
            entropy: SystemEntropy,
        }
    }

    /// Where the next packet goes, with room before and after it. Sends the batch first if there is
    /// no room, or if one more like the last would not fit into a group: a large packet's segments
    /// then fill groups together with those of the next, and no group is sent nearly empty.
    pub fn slot(&mut self, shared: &Shared, now_ms: u64) -> &mut [u8] {
        let full = match (self.transmits.first(), self.transmits.last()) {
            (Some(first), Some(last)) => {
                last.end - first.start + (last.end - last.start) > GROUP_OCTETS_MAX
            }
            _ => false,
        };
        if full
            || self.pending.len() >= BATCH
            || self.used + HEADROOM + PACKET_MAX + TAILROOM > self.arena.len()
        {
            self.flush(shared, now_ms);
        }
        let start = self.start();
        &mut self.arena[start..start + PACKET_MAX]
    }

    /// Where the packet in the slot begins.
    fn start(&self) -> usize {
        self.used + self.lead
    }

    /// Where a worker reads the next packet to, header first.
    pub fn inbox(&mut self) -> &mut [u8] {
        &mut self.inbox
    }

    /// Judges the packet that fills `length` octets of the inbox, its header included, and does
    /// what its policy says. Gives how many packets it was: a large one is cut first.
    pub fn take(
        &mut self,
        shared: &Shared,
        table: &Table,
        interface: &Interface,
        length: usize,
        now_ms: u64,
    ) -> u64 {
        let inbox = std::mem::take(&mut self.inbox);
        let packets = match inbox.get(..length).and_then(<[u8]>::split_first_chunk) {
            Some((header, octets)) => {
                let header = Header::decode(header);
                match header.is_large() {
                    true => self.cut(shared, table, interface, &header, octets, now_ms),
                    false => {
                        self.whole(shared, table, interface, &header, octets, now_ms);
                        1
                    }
                }
            }
            None => {
                shared.counters.refused(Reason::InnerMalformed);
                1
            }
        };
        self.inbox = inbox;
        packets
    }

    fn whole(
        &mut self,
        shared: &Shared,
        table: &Table,
        interface: &Interface,
        header: &Header,
        octets: &[u8],
        now_ms: u64,
    ) {
        let slot = self.slot(shared, now_ms);
        let octets = &octets[..octets.len().min(slot.len())];
        slot[..octets.len()].copy_from_slice(octets);
        let start = self.start();
        let inner = start..start + octets.len();
        let parsed = header
            .complete(&mut self.arena[inner.clone()])
            .and_then(|()| Packet::parse(&self.arena[inner.clone()]));
        match parsed {
            Ok(packet) => {
                let verdict = table.spd.decide(interface.id, &packet);
                self.obey(shared, table, interface, verdict, inner, &packet, now_ms);
            }
            Err(reason) => shared.counters.refused(reason),
        }
    }

    /// A large packet: judged once, then cut into segments that go one by one.
    fn cut(
        &mut self,
        shared: &Shared,
        table: &Table,
        interface: &Interface,
        header: &Header,
        octets: &[u8],
        now_ms: u64,
    ) -> u64 {
        let parsed = Packet::parse(octets)
            .and_then(|packet| Ok((packet, Cut::new(header, octets, &packet)?)));
        let (packet, cut) = match parsed {
            Ok(parsed) => parsed,
            Err(reason) => {
                shared.counters.refused(reason);
                return 1;
            }
        };
        let verdict = table.spd.decide(interface.id, &packet);
        let count = cut.count();
        if let Verdict::Protect(entry) | Verdict::Bypass(entry) | Verdict::Discard(entry) = verdict
        {
            // Judged once, counted for each.
            entry.matched(u64::try_from(count).unwrap_or(1).saturating_sub(1));
        }
        let ready = match verdict {
            Verdict::Protect(entry) => {
                ready_sa(shared, table, entry, &packet).map(|sa| (entry, sa))
            }
            _ => None,
        };
        for index in 0..count {
            let slot = self.slot(shared, now_ms);
            let Some(length) = cut.write(octets, index, slot) else {
                shared.counters.refused(Reason::InnerMalformed);
                continue;
            };
            let start = self.start();
            let segment = Packet { length, ..packet };
            let inner = start..start + length;
            match ready {
                Some((entry, sa)) => {
                    self.seal(shared, table, interface, entry, sa, inner, &segment, now_ms);
                }
                None => self.obey(shared, table, interface, verdict, inner, &segment, now_ms),
            }
        }
        u64::try_from(count).unwrap_or(1)
    }

    /// Does with the packet at `inner`, in the slot, what the verdict says.
    #[allow(clippy::too_many_arguments)]
    fn obey(
        &mut self,
        shared: &Shared,
        table: &Table,
        interface: &Interface,
        verdict: Verdict<'_>,
        inner: Range<usize>,
        packet: &Packet,
        now_ms: u64,
    ) {
        match verdict {
            Verdict::Protect(entry) => {
                self.protect(shared, table, interface, entry, inner, packet, now_ms)
            }
            Verdict::Bypass(_) => self.in_clear(shared, table, interface, inner, packet),
            Verdict::Discard(_) => shared.counters.refused(Reason::PolicyDiscard),
            Verdict::PortsHidden => shared.counters.refused(Reason::PortsHidden),
            Verdict::NoPolicy if interface.bypass_mark != 0 => {
                self.in_clear(shared, table, interface, inner, packet)
            }
            Verdict::NoPolicy => shared.counters.refused(Reason::NoPolicy),
        }
    }

    /// Lets a packet go in clear, unless it tells what came protected.
    fn in_clear(
        &mut self,
        shared: &Shared,
        table: &Table,
        interface: &Interface,
        inner: Range<usize>,
        packet: &Packet,
    ) {
        let octets = &self.arena[inner.clone()];
        match table
            .spd
            .allows_clear_outbound(interface.id, packet, octets)
        {
            true => self.bypass(shared, interface, inner, packet),
            false => shared.counters.refused(Reason::QuotesProtected),
        }
    }

    // One packet's whole context: a struct for it would be built once and taken apart once.
    #[allow(clippy::too_many_arguments)]
    fn protect(
        &mut self,
        shared: &Shared,
        table: &Table,
        interface: &Interface,
        entry: &Entry,
        inner: Range<usize>,
        packet: &Packet,
        now_ms: u64,
    ) {
        let id = entry.policy.id;
        if let Some(sa) = ready_sa(shared, table, entry, packet) {
            return self.seal(shared, table, interface, entry, sa, inner, packet, now_ms);
        }
        // The slow path: packets of this policy are held, or there is no SA. It reads the newest
        // table under the lock of the queue, so that a packet is either held before an SA is
        // published (and released by who published it) or goes after those held.
        let Some(queue) = table.holds.get(&id) else {
            return shared.counters.refused(Reason::NoSaOutbound);
        };
        let mut state = queue.lock();
        let fresh = shared.table.load_full();
        if let Some(sa) = fresh.sad.outbound(id, &packet.destination) {
            // `release` fills the slot with other packets.
            let saved = self.arena[inner].to_vec();
            self.release(shared, &fresh, queue, &mut state, interface, entry, now_ms);
            let start = self.start();
            let inner = start..start + saved.len();
            self.arena[inner.clone()].copy_from_slice(&saved);
            return self.seal(shared, &fresh, interface, entry, sa, inner, packet, now_ms);
        }
        hold::take_in(
            shared,
            queue,
            &mut state,
            entry,
            &self.arena[inner],
            packet,
            now_ms,
        );
    }

    /// Sends the held packets of a policy in order and gives them to the kernel before it returns.
    /// The caller holds the lock.
    #[allow(clippy::too_many_arguments)]
    pub fn release(
        &mut self,
        shared: &Shared,
        table: &Table,
        queue: &HoldQueue,
        state: &mut HoldState,
        interface: &Interface,
        entry: &Entry,
        now_ms: u64,
    ) {
        self.flush(shared, now_ms);
        while let Some(octets) = hold::take_out(shared, queue, state) {
            let slot = self.slot(shared, now_ms);
            let length = octets.len().min(slot.len());
            slot[..length].copy_from_slice(&octets[..length]);
            let start = self.start();
            let inner = start..start + length;
            match Packet::parse(&self.arena[inner.clone()]) {
                Ok(packet) => {
                    let id = entry.policy.id;
                    let Some(sa) = table.sad.outbound(id, &packet.destination) else {
                        return;
                    };
                    shared.counters.event(Event::HeldReleased);
                    self.seal(shared, table, interface, entry, sa, inner, &packet, now_ms);
                }
                Err(reason) => shared.counters.refused(reason),
            }
        }
        self.flush(shared, now_ms);
    }

    #[allow(clippy::too_many_arguments)]
    fn seal(
        &mut self,
        shared: &Shared,
        table: &Table,
        interface: &Interface,
        entry: &Entry,
        sa: &Arc<OutboundSa>,
        inner: Range<usize>,
        packet: &Packet,
        now_ms: u64,
    ) {
        let fixed = sa.parameters();
        let (exit, mtu) = match &self.route {
            Some(route) if route.spi == fixed.spi && route.policy == fixed.policy => {
                (route.exit, route.mtu)
            }
            _ => {
                let Some(index) = table.exit_for(&fixed.path) else {
                    return shared.counters.event(Event::DropNoPort);
                };
                let exit = self.note_exit(&table.exits[index]);
                let mtu = table.inner_mtu(fixed);
                self.route = Some(Route {
                    policy: fixed.policy,
                    spi: fixed.spi,
                    exit,
                    mtu,
                });
                (exit, mtu)
            }
        };
        if pmtu::fit(packet, mtu) == Fit::TooBig {
            return self.answer_too_big(shared, interface, inner, packet, mtu);
        }
        let may_fragment_outer = packet.length > mtu;
        if entry.policy.clamp_mss
            && packet.protocol == protocol::TCP
            && pmtu::clamp_mss(&mut self.arena[inner.clone()], packet, mtu)
        {
            shared.counters.event(Event::MssClamped);
        }
        let packet = &entry
            .policy
            .map
            .leave(&mut self.arena[inner.clone()], packet);
        let inner = self.with_room(inner, &fixed.suite);
        let lead = inner.start;
        let sealed = match sa.seal(&mut self.arena, inner, packet, now_ms, &mut self.entropy) {
            Ok(sealed) => sealed,
            Err(refused) => {
                shared.counters.refused(refused.reason);
                return tell_limit(shared, Direction::Out, fixed, refused.notice);
            }
        };
        tell_limit(shared, Direction::Out, fixed, sealed.notice);
        entry.used(now_ms);
        let local = fixed.path.local.ip();
        let remote = match fixed.path.encap {
            true => fixed.path.remote,
            false => SocketAddr::new(fixed.path.remote.ip(), 0),
        };
        self.transmits.push(Transmit {
            start: sealed.esp.start,
            end: sealed.esp.end,
            remote,
            local: (!is_any(local)).then_some(local),
            traffic_class: sealed.tos,
        });
        let df = sealed.dont_fragment && !may_fragment_outer;
        self.pending.push(Pending {
            exit,
            df,
            inner_octets: packet.length,
        });
        self.used = sealed.esp.end;
        self.lead = lead - sealed.esp.start;
    }

    /// Moves a packet whose SA puts more before it than the last one did, so that it does not lie
    /// in the packet before.
    fn with_room(&mut self, inner: Range<usize>, suite: &Suite) -> Range<usize> {
        if inner.start >= self.used + suite.head_length() {
            return inner;
        }
        let start = self.used + HEADROOM;
        let length = inner.len();
        self.arena.copy_within(inner, start);
        start..start + length
    }

    fn note_exit(&mut self, exit: &Exit) -> usize {
        match self.exits.iter().position(|used| used.token == exit.token) {
            Some(index) => index,
            None => {
                self.exits.push(Used {
                    token: exit.token,
                    pair: Arc::clone(&exit.pair),
                    is_udp: matches!(exit.kind, ExitKind::Udp { .. }),
                });
                self.exits.len() - 1
            }
        }
    }

    /// Gives the batch to the kernel, in order.
    pub fn flush(&mut self, shared: &Shared, now_ms: u64) {
        let mut first = 0;
        let (mut packets, mut octets) = (0_u64, 0_u64);
        while let Some(head) = self.pending.get(first) {
            let (exit, df) = (head.exit, head.df);
            let run = self.pending[first..]
                .iter()
                .take_while(|p| p.exit == exit && p.df == df)
                .count();
            let items = &self.transmits[first..first + run];
            let used = &self.exits[exit];
            let socket = match df {
                true => &used.pair.df_set,
                false => &used.pair.df_clear,
            };
            // Without DF a packet may be longer than the path, which a group may not.
            let segment = used.is_udp && df;
            let mut failed_octets = 0;
            let pending = &self.pending[first..first + run];
            let sent = self.sender.send(
                socket.as_fd(),
                &self.arena,
                items,
                segment,
                |index, errno| {
                    failed_octets += pending[index].inner_octets;
                    count_refusal(shared, items[index].remote, errno, now_ms);
                },
            );
            let all: usize = pending.iter().map(|p| p.inner_octets).sum();
            packets += u64::try_from(sent).unwrap_or(0);
            octets += u64::try_from(all - failed_octets).unwrap_or(0);
            first += run;
        }
        shared.counters.events_add(Event::EspSent, packets);
        shared.counters.events_add(Event::EspOctetsSent, octets);
        self.pending.clear();
        self.transmits.clear();
        self.exits.clear();
        self.route = None;
        self.used = 0;
    }

    fn answer_too_big(
        &mut self,
        shared: &Shared,
        interface: &Interface,
        inner: Range<usize>,
        packet: &Packet,
        mtu: usize,
    ) {
        shared.counters.refused(Reason::TooBig);
        // From the packet's own destination: it routes through this device, so a reverse-path
        // filter is content.
        let answer = pmtu::too_big(
            &self.arena[inner],
            packet,
            mtu,
            packet.destination,
            &mut self.answer,
        );
        let Some(length) = answer else { return };
        let written = interface
            .device
            .queues
            .first()
            .map(|queue| queue.write(&self.answer[..length]));
        match written {
            Some(Ok(_)) => shared.counters.event(Event::TooBigAnswers),
            _ => shared.counters.event(Event::DropTunWrite),
        }
    }

    /// Sends a packet in clear, by a raw socket whose mark keeps it out of our own routes.
    fn bypass(
        &mut self,
        shared: &Shared,
        interface: &Interface,
        inner: Range<usize>,
        packet: &Packet,
    ) {
        let sockets = interface.bypass.as_ref();
        let socket = match packet.destination {
            IpAddr::V4(_) => sockets.map(|s| &s.v4),
            IpAddr::V6(_) => sockets.and_then(|s| s.v6.as_ref()),
        };
        let Some(socket) = socket else {
            return shared.counters.event(Event::DropBypass);
        };
        let item = Transmit {
            start: inner.start,
            end: inner.start + packet.length,
            remote: SocketAddr::new(packet.destination, 0),
            local: None,
            traffic_class: 0,
        };
        let mut error = None;
        self.sender
            .send(socket.as_fd(), &self.arena, &[item], false, |_, errno| {
                error = Some(errno)
            });
        match error {
            None => shared.counters.event(Event::Bypassed),
            Some(libc::EMSGSIZE) if packet.dont_fragment => {
                let mtu = path_mtu(packet.destination, interface.bypass_mark);
                match mtu.and_then(|mtu| usize::try_from(mtu).ok()) {
                    Some(mtu) => self.answer_too_big(shared, interface, inner, packet, mtu),
                    None => shared.counters.event(Event::DropBypass),
                }
            }
            Some(_) => shared.counters.event(Event::DropBypass),
        }
    }
}

/// The SA that a packet of this policy leaves by at once: there is one, and no packet is held that
/// came before.
fn ready_sa<'a>(
    shared: &Shared,
    table: &'a Table,
    entry: &Entry,
    packet: &Packet,
) -> Option<&'a Arc<OutboundSa>> {
    let id = entry.policy.id;
    let sa = table.sad.outbound(id, &packet.destination)?;
    let none_held = shared.held_total.load(Ordering::Acquire) == 0
        || table
            .holds
            .get(&id)
            .is_none_or(|queue| queue.held.load(Ordering::Acquire) == 0);
    none_held.then_some(sa)
}

/// Counts a datagram that the kernel refused, and learns from a path that has become narrower.
fn count_refusal(shared: &Shared, remote: SocketAddr, errno: i32, now_ms: u64) {
    match errno {
        libc::EAGAIN => shared.counters.event(Event::DropSendBuffer),
        libc::EMSGSIZE => {
            shared.counters.event(Event::DropPathMtu);
            let table = shared.table.load();
            if let (Some(path), Some(mtu)) = (
                table.paths.get(&remote.ip()),
                path_mtu(remote.ip(), table.mark),
            ) {
                path.set(mtu);
            }
        }
        _ => {
            shared.counters.refused(Reason::SendFailed);
            shared.notices.send_failed(remote, errno, now_ms);
        }
    }
}

/// Tells IKE about a limit that was met for the first time.
pub fn tell_limit(shared: &Shared, direction: Direction, sa: &Fixed, notice: Option<LimitNotice>) {
    let Some(notice) = notice else { return };
    let which = match notice.which {
        Which::Soft => "soft",
        Which::Hard => "hard",
    };
    let unit = match notice.unit {
        Unit::Octets => "octets",
        Unit::Packets => "packets",
        Unit::Sequence => "sequence",
    };
    shared.notices.push(Outgoing::Lifetime {
        direction,
        spi: sa.spi,
        policy: sa.policy,
        which,
        unit,
    });
}
