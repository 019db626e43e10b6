//! What fits: inner MTU by suite, too-big answers, fragmentation before ESP, MSS clamping.

use std::net::IpAddr;

use crate::cipher::Suite;
use crate::packet::{Packet, Version};

/// IPv6 promises every link this MTU (RFC 8200 §5); no answer ever says less.
pub const IPV6_MTU_MIN: usize = 1280;
/// IPv4 hosts need not accept less (RFC 791).
pub const IPV4_MTU_MIN: usize = 68;
/// Octets that a too-big answer may need at most (RFC 1812 §4.3.2.3, RFC 4443 §2.4 c).
pub const ANSWER_MAX: usize = IPV6_MTU_MIN;

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
pub fn fit(packet: &Packet, mtu: usize) -> Fit {
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
/// fragment that is not the first, to or from multicast, broadcast, unspecified or loopback
/// addresses (RFC 1122 §3.2.2, RFC 4443 §2.4 e), or if `from` is of the other version.
pub fn too_big(
    original: &[u8],
    packet: &Packet,
    mtu: usize,
    from: IpAddr,
    out: &mut [u8],
) -> Option<usize> {
    todo!()
}

/// Lowers the MSS option of a TCP SYN or SYN-ACK to what fits `mtu`, and mends the checksum.
///
/// `octets` is the packet that `packet` views. True if something changed. Packets without the
/// option, without SYN, or that are fragments stay as they are.
pub fn clamp_mss(octets: &mut [u8], packet: &Packet, mtu: usize) -> bool {
    todo!()
}

/// Cuts an IPv4 packet into fragments that fit (RFC 791), one at a time and without allocation.
#[derive(Debug)]
pub struct Fragmenter<'a> {
    packet: &'a [u8],
    header: usize,
    mtu: usize,
    offset: usize,
}

impl<'a> Fragmenter<'a> {
    /// `None`: not IPv4, don't-fragment is set, it fits already, or `mtu` is below [`IPV4_MTU_MIN`].
    pub fn new(octets: &'a [u8], packet: &Packet, mtu: usize) -> Option<Self> {
        todo!()
    }

    /// Writes the next fragment to the beginning of `out` (`mtu` octets are enough) and returns its
    /// length; `None` when there are no more or `out` is too short.
    pub fn next_into(&mut self, out: &mut [u8]) -> Option<usize> {
        let _ = (self.packet, self.header, self.mtu, self.offset);
        todo!()
    }
}
