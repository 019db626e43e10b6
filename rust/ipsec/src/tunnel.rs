//! Outer headers and what they share with inner ones (RFC 4301 §5.1.2, RFC 6040).

use std::net::IpAddr;

use crate::packet::{Packet, Version};
use crate::sa::Path;
use crate::stats::Reason;

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

/// Writes `ecn` into the IP header at the beginning of `packet`, and mends an IPv4 checksum.
/// The packet must have parsed.
pub(crate) fn write_ecn(packet: &mut [u8], ecn: u8) {
    todo!()
}

/// Octets of outer headers before the ESP packet.
pub fn outer_length(path: &Path) -> usize {
    todo!()
}

/// Writes the outer IP header, and UDP header when `path.encap`, right before `esp` in `buffer`.
///
/// Returns where the whole outer packet begins. `identification` is the IPv4 identification: the
/// caller counts it up when `dont_fragment` is false. For engines that let the kernel write outer
/// headers this is not needed; the simulator and raw sockets with own headers use it.
pub fn write_outer(
    buffer: &mut [u8],
    esp: std::ops::Range<usize>,
    path: &Path,
    tos: u8,
    dont_fragment: bool,
    identification: u16,
) -> Result<usize, Reason> {
    let _: (IpAddr, Version) = (path.local.ip(), Version::V4);
    todo!()
}
