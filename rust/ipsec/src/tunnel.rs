//! Outer headers and what they share with inner ones (RFC 4301 §5.1.2, RFC 6040).

use std::net::IpAddr;
use std::ops::Range;

use crate::checksum;
use crate::nat::{self, UDP_HEADER};
use crate::packet::{protocol, Packet, Version};
use crate::sa::Path;
use crate::stats::Reason;

/// Time to live or hop limit of outer headers (RFC 4301 §5.1.2.1 leaves it to us).
pub const TTL: u8 = 64;

/// How the don't-fragment flag of an outer IPv4 header is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DfPolicy {
    /// As the inner packet has it; an inner IPv6 packet counts as set.
    Copy,
    /// Always set.
    Set,
    /// Never set.
    Clear,
}

impl DfPolicy {
    /// The outer flag for an inner packet.
    pub fn outer(self, inner: &Packet) -> bool {
        match self {
            DfPolicy::Copy => inner.dont_fragment,
            DfPolicy::Set => true,
            DfPolicy::Clear => false,
        }
    }
}

/// Values of the ECN field.
pub mod ecn {
    /// Not ECN-capable.
    pub const NOT_ECT: u8 = 0;
    /// ECN-capable, codepoint 1.
    pub const ECT_1: u8 = 1;
    /// ECN-capable, codepoint 0.
    pub const ECT_0: u8 = 2;
    /// Congestion experienced.
    pub const CE: u8 = 3;
}

/// The outer type of service for an inner one: DSCP copied, ECN copied (RFC 6040 normal mode).
pub fn outer_tos(inner_tos: u8) -> u8 {
    inner_tos
}

/// The inner ECN after decapsulation (RFC 6040 §4.2). `None`: drop the packet.
pub fn decapsulated_ecn(inner: u8, outer: u8) -> Option<u8> {
    match (inner & 3, outer & 3) {
        (ecn::NOT_ECT, ecn::CE) => None,
        (ecn::NOT_ECT, _) => Some(ecn::NOT_ECT),
        (_, ecn::CE) => Some(ecn::CE),
        (ecn::ECT_0, ecn::ECT_1) => Some(ecn::ECT_1),
        (inner, _) => Some(inner),
    }
}

/// Writes `tos` into the IP header at the beginning of `packet`, and mends an IPv4 checksum.
/// Does nothing to what is no IP packet.
pub fn write_tos(packet: &mut [u8], tos: u8) {
    match packet {
        [first, second, _, _, _, _, _, _, _, _, high, low, ..] if *first >> 4 == 4 => {
            let old = u16::from_be_bytes([*first, *second]);
            *second = tos;
            let new = u16::from_be_bytes([*first, *second]);
            let checksum = checksum::update(u16::from_be_bytes([*high, *low]), old, new);
            [*high, *low] = checksum.to_be_bytes();
        }
        [first, second, ..] if *first >> 4 == 6 => {
            *first = 0x60 | tos >> 4;
            *second = tos << 4 | *second & 0x0f;
        }
        _ => {}
    }
}

/// Octets of outer headers before the ESP packet.
pub fn outer_length(path: &Path) -> usize {
    let udp = if path.encap { UDP_HEADER } else { 0 };
    Version::of(&path.local.ip()).header() + udp
}

/// Writes the outer IP header, and UDP header when `path.encap`, right before `esp` in `buffer`.
///
/// Returns where the whole outer packet begins. `identification` is the IPv4 identification: the
/// caller counts it up when `dont_fragment` is false. For engines that let the kernel write outer
/// headers this is not needed; the simulator and raw sockets with own headers use it.
///
/// Refused: [`Reason::NoRoom`] before `esp`, [`Reason::TooBig`] for IP.
pub fn write_outer(
    buffer: &mut [u8],
    esp: Range<usize>,
    path: &Path,
    tos: u8,
    dont_fragment: bool,
    identification: u16,
) -> Result<usize, Reason> {
    let start = esp
        .start
        .checked_sub(outer_length(path))
        .ok_or(Reason::NoRoom)?;
    let packet = buffer.get_mut(start..esp.end).ok_or(Reason::NoRoom)?;
    let next_header = if path.encap {
        protocol::UDP
    } else {
        protocol::ESP
    };
    let header = match (path.local.ip(), path.remote.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(packet.len()).map_err(|_| Reason::TooBig)?;
            let header = packet.first_chunk_mut::<20>().ok_or(Reason::NoRoom)?;
            let flags: u16 = if dont_fragment { 0x4000 } else { 0 };
            *header = [0; 20];
            header[..2].copy_from_slice(&[0x45, tos]);
            header[2..4].copy_from_slice(&total.to_be_bytes());
            header[4..6].copy_from_slice(&identification.to_be_bytes());
            header[6..8].copy_from_slice(&flags.to_be_bytes());
            header[8..10].copy_from_slice(&[TTL, next_header]);
            header[12..16].copy_from_slice(&source.octets());
            header[16..].copy_from_slice(&destination.octets());
            let checksum = checksum::finish(checksum::add(0, header));
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            20
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let payload = packet.len().checked_sub(40).ok_or(Reason::NoRoom)?;
            let payload = u16::try_from(payload).map_err(|_| Reason::TooBig)?;
            let header = packet.first_chunk_mut::<40>().ok_or(Reason::NoRoom)?;
            header[..4].copy_from_slice(&[0x60 | tos >> 4, tos << 4, 0, 0]);
            header[4..6].copy_from_slice(&payload.to_be_bytes());
            header[6..8].copy_from_slice(&[next_header, TTL]);
            header[8..24].copy_from_slice(&source.octets());
            header[24..].copy_from_slice(&destination.octets());
            40
        }
        _ => return Err(Reason::NoRoom),
    };
    if path.encap {
        let udp = nat::udp_header(path.local.port(), path.remote.port(), esp.len());
        packet[header..header + UDP_HEADER].copy_from_slice(&udp.ok_or(Reason::TooBig)?);
    }
    Ok(start)
}
