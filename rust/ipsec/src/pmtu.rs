//! What fits: inner MTU by suite, too-big answers, fragmentation before ESP, MSS clamping.

use std::net::IpAddr;

use crate::checksum;
use crate::cipher::Suite;
use crate::packet::{protocol, Fragment, Packet, Ports, Version};
use crate::tunnel::TTL;

/// IPv6 promises every link this MTU (RFC 8200 §5); no answer ever says less.
pub const IPV6_MTU_MIN: usize = 1280;
/// IPv4 hosts need not accept less (RFC 791).
pub const IPV4_MTU_MIN: usize = 68;
/// Octets that a too-big answer may need at most (RFC 1812 §4.3.2.3, RFC 4443 §2.4 c).
pub const ANSWER_MAX: usize = IPV6_MTU_MIN;

const IPV4_ANSWER_MAX: usize = 576;
const TCP_HEADER: usize = 20;

/// The largest inner packet whose outer packet fits `outer_mtu`.
pub fn inner_mtu(outer_mtu: usize, outer: Version, encap: bool, suite: &Suite) -> usize {
    let udp = if encap { crate::nat::UDP_HEADER } else { 0 };
    suite.inner_max(outer_mtu.saturating_sub(outer.header() + udp))
}

/// What to do with a packet on a path with an inner MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It fits.
    Fits,
    /// Drop it and answer with [`too_big`].
    TooBig,
    /// Cut it with [`Fragmenter`] and seal the pieces (IPv4 without don't-fragment).
    Fragment,
}

/// Does the packet fit?
///
/// An IPv6 packet of up to 1280 octets always does: where the path is narrower, the outer packet is
/// fragmented (RFC 8200 §5 promises its sender this size).
pub fn fit(packet: &Packet, mtu: usize) -> Fit {
    let mtu = match packet.version() {
        Version::V4 => mtu,
        Version::V6 => mtu.max(IPV6_MTU_MIN),
    };
    match packet {
        p if p.length <= mtu => Fit::Fits,
        p if p.dont_fragment => Fit::TooBig,
        _ => Fit::Fragment,
    }
}

/// Builds the answer to a packet that is too big: ICMPv4 type 3 code 4 (RFC 1191) or ICMPv6 type 2
/// (RFC 4443 §3.2), from `from` to the packet's source, into `out` ([`ANSWER_MAX`] octets).
///
/// Returns the answer's length, or `None` where no answer may be sent: to an ICMP error, to a
/// fragment that is not the first, to a multicast, broadcast, unspecified or loopback source, to an
/// IPv4 packet for multicast or broadcast (RFC 1122 §3.2.2, RFC 4443 §2.4 e), or if `from` is of
/// the other version.
pub fn too_big(
    original: &[u8],
    packet: &Packet,
    mtu: usize,
    from: IpAddr,
    out: &mut [u8],
) -> Option<usize> {
    if is_error(packet) || packet.fragment == Fragment::Later {
        return None;
    }
    let original = original.get(..packet.length)?;
    match (from, packet.source, packet.destination) {
        (IpAddr::V4(from), IpAddr::V4(to), IpAddr::V4(destination)) => {
            let strange = to.is_multicast() || to.is_broadcast() || to.is_unspecified();
            if strange
                || to.is_loopback()
                || destination.is_multicast()
                || destination.is_broadcast()
            {
                return None;
            }
            let quoted = &original[..original.len().min(IPV4_ANSWER_MAX - 28)];
            let length = 28 + quoted.len();
            let (header, icmp) = out.get_mut(..length)?.split_first_chunk_mut::<20>()?;
            let mtu = u16::try_from(mtu.max(IPV4_MTU_MIN)).unwrap_or(u16::MAX);
            icmp[..8].copy_from_slice(&[3, 4, 0, 0, 0, 0, 0, 0]);
            icmp[6..8].copy_from_slice(&mtu.to_be_bytes());
            icmp[8..].copy_from_slice(quoted);
            let checksum = checksum::finish(checksum::add(0, icmp));
            icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
            // Precedence "internetwork control" (RFC 1812 §4.3.2.5), never fragmented.
            *header = [
                0x45,
                0xc0,
                0,
                0,
                0,
                0,
                0x40,
                0,
                TTL,
                protocol::ICMP,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ];
            // 576 at most, so no octet is lost.
            header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            header[12..16].copy_from_slice(&from.octets());
            header[16..].copy_from_slice(&to.octets());
            let checksum = checksum::finish(checksum::add(0, header));
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            Some(length)
        }
        (IpAddr::V6(from), IpAddr::V6(to), IpAddr::V6(_)) => {
            // Multicast destinations are allowed here (RFC 4443 §2.4 e.3).
            if to.is_multicast() || to.is_unspecified() || to.is_loopback() {
                return None;
            }
            let quoted = &original[..original.len().min(IPV6_MTU_MIN - 48)];
            let length = 48 + quoted.len();
            let (header, icmp) = out.get_mut(..length)?.split_first_chunk_mut::<40>()?;
            let mtu = u32::try_from(mtu.max(IPV6_MTU_MIN)).unwrap_or(u32::MAX);
            icmp[..4].copy_from_slice(&[2, 0, 0, 0]);
            icmp[4..8].copy_from_slice(&mtu.to_be_bytes());
            icmp[8..].copy_from_slice(quoted);
            // 1280 at most, so no octet is lost.
            let payload = (length - 40) as u16;
            header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
            header[4..6].copy_from_slice(&payload.to_be_bytes());
            header[6..8].copy_from_slice(&[protocol::ICMPV6, TTL]);
            header[8..24].copy_from_slice(&from.octets());
            header[24..].copy_from_slice(&to.octets());
            let pseudo = u32::from(payload) + u32::from(protocol::ICMPV6);
            let sum = checksum::add(checksum::add(pseudo, &header[8..]), icmp);
            icmp[2..4].copy_from_slice(&checksum::finish(sum).to_be_bytes());
            Some(length)
        }
        _ => None,
    }
}

/// Is it an ICMP error, or may it be one?
fn is_error(packet: &Packet) -> bool {
    let kind = match packet.ports {
        Ports::Kind(number) => number >> 8,
        // Type not to be seen: answer nothing that may be an error.
        _ => return matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6),
    };
    match packet.protocol {
        protocol::ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        // Errors are the types below 128; 137 is redirect.
        protocol::ICMPV6 => kind < 128 || kind == 137,
        _ => false,
    }
}

/// Lowers the MSS option of a TCP SYN or SYN-ACK to what fits `mtu`, and mends the checksum.
///
/// `octets` is the packet that `packet` views. True if something changed. Packets without the
/// option, without SYN, or that are fragments stay as they are.
pub fn clamp_mss(octets: &mut [u8], packet: &Packet, mtu: usize) -> bool {
    if packet.protocol != protocol::TCP || packet.fragment != Fragment::Whole {
        return false;
    }
    let Some(tcp) = octets.get_mut(packet.upper_offset..packet.length) else {
        return false;
    };
    let most = mtu.saturating_sub(packet.version().header() + TCP_HEADER);
    let most = u16::try_from(most).unwrap_or(u16::MAX);
    let Some(at) = find_mss(tcp) else {
        return false;
    };
    let old = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    if old <= most {
        return false;
    }
    tcp[at..at + 2].copy_from_slice(&most.to_be_bytes());
    // An option may lie across two words of the sum; then its octets count swapped.
    let (old, new) = match at % 2 {
        0 => (old, most),
        _ => (old.swap_bytes(), most.swap_bytes()),
    };
    let checksum = checksum::update(u16::from_be_bytes([tcp[16], tcp[17]]), old, new);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    true
}

/// Where the value of the MSS option lies in a TCP segment with SYN.
fn find_mss(tcp: &[u8]) -> Option<usize> {
    let header: &[u8; TCP_HEADER] = tcp.first_chunk()?;
    let length = usize::from(header[12] >> 4) * 4;
    if header[13] & 0x02 == 0 || length < TCP_HEADER {
        return None;
    }
    let tcp = tcp.get(..length)?;
    let mut at = TCP_HEADER;
    loop {
        match (*tcp.get(at)?, tcp.get(at + 1)) {
            (0, _) => return None,
            (1, _) => at += 1,
            (2, Some(4)) if at + 4 <= length => return Some(at + 2),
            (_, Some(&option)) if option >= 2 => at += usize::from(option),
            _ => return None,
        }
    }
}

/// Cuts an IPv4 packet into fragments that fit (RFC 791), one at a time and without allocation.
#[derive(Debug)]
pub struct Fragmenter<'a> {
    packet: &'a [u8],
    header: usize,
    /// Octets of data in each fragment but the last.
    step: usize,
    offset: usize,
}

impl<'a> Fragmenter<'a> {
    /// `None`: not IPv4, don't-fragment is set, it fits already, or `mtu` is below [`IPV4_MTU_MIN`].
    pub fn new(octets: &'a [u8], packet: &Packet, mtu: usize) -> Option<Self> {
        let cut = packet.version() == Version::V4 && fit(packet, mtu) == Fit::Fragment;
        if !cut || mtu < IPV4_MTU_MIN {
            return None;
        }
        let (octets, header) = (octets.get(..packet.length)?, packet.upper_offset);
        // A header has 60 octets at most and the MTU 68 at least: the step is never zero.
        Some(Self {
            packet: octets,
            header,
            step: (mtu - header) / 8 * 8,
            offset: 0,
        })
    }

    /// Writes the next fragment to the beginning of `out` (the MTU is enough) and returns its
    /// length; `None` when there are no more or `out` is too short.
    pub fn next_into(&mut self, out: &mut [u8]) -> Option<usize> {
        let (header, data) = self.packet.split_at(self.header);
        let rest = data.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let data = &rest[..rest.len().min(self.step)];
        let length = header.len() + data.len();
        let out = out.get_mut(..length)?;
        out[..header.len()].copy_from_slice(header);
        out[header.len()..].copy_from_slice(data);
        let field = u16::from_be_bytes([header[6], header[7]]);
        let more = if data.len() < rest.len() {
            0x2000
        } else {
            field & 0x2000
        };
        // Both offsets together stay within the packet that the sender had, or wrap as it did.
        let offset = (field & 0x1fff).wrapping_add((self.offset / 8) as u16) & 0x1fff;
        out[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        out[6..8].copy_from_slice(&(more | offset).to_be_bytes());
        if self.offset > 0 {
            blank_options(&mut out[20..header.len()]);
        }
        out[10..12].fill(0);
        let checksum = checksum::finish(checksum::add(0, &out[..header.len()]));
        out[10..12].copy_from_slice(&checksum.to_be_bytes());
        self.offset += data.len();
        Some(length)
    }
}

/// Options without the "copied" flag belong to the first fragment only; no-operation replaces them.
fn blank_options(options: &mut [u8]) {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        let length = match (kind, options.get(at + 1)) {
            (0, _) => return,
            (1, _) => 1,
            (_, Some(&length)) if length >= 2 => usize::from(length),
            _ => return,
        };
        let end = options.len().min(at + length);
        if kind & 0x80 == 0 {
            options[at..end].fill(1);
        }
        at = end;
    }
}
