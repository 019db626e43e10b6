//! Seal and open ESP packets in place (RFC 4303), tunnel mode.

use std::ops::Range;

use crate::entropy::Entropy;
use crate::lifetime::LimitNotice;
use crate::packet::Packet;
use crate::replay::Place;
use crate::sa::{InboundSa, OutboundSa};
use crate::stats::Reason;

/// Octets to leave free before an inner packet: outer IPv6 and UDP headers, ESP header, longest IV.
pub const HEADROOM: usize = 40 + 8 + 8 + 16;
/// Octets to leave free after an inner packet: longest padding, trailer and ICV.
pub const TAILROOM: usize = 15 + 2 + 32;

/// Proof that the ICV of this sequence number verified; only [`InboundSa::open`] makes one.
#[derive(Debug)]
pub struct Authenticated {
    sequence: u64,
}

impl Authenticated {
    /// The whole sequence number, high half included.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// A packet was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why; already counted in the SA's own counters, to be counted in the engine's by the caller.
    pub reason: Reason,
    /// A hard limit was met for the first time: tell IKE.
    pub notice: Option<LimitNotice>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            notice: None,
        }
    }
}

/// A sealed packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Where the ESP packet lies in the buffer, from SPI to ICV. With `encap` it is the payload of
    /// the UDP datagram, else of an IP packet of protocol 50.
    pub esp: Range<usize>,
    /// Type of service or traffic class of the outer header (DSCP and ECN copied).
    pub tos: u8,
    /// The don't-fragment flag of an outer IPv4 header.
    pub dont_fragment: bool,
    /// The sequence number used.
    pub sequence: u64,
    /// A soft limit was passed: tell IKE.
    pub notice: Option<LimitNotice>,
}

/// An opened packet: authentic, fresh, inside the selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where the inner packet lies in the buffer, cut at its own length.
    pub inner: Range<usize>,
    /// Its headers, as read after ECN was taken over.
    pub packet: Packet,
    /// The whole sequence number.
    pub sequence: u64,
    /// `Highest`: a new outer source address may be believed (RFC 3948 §7 and `peer_moved`).
    pub place: Place,
    /// The first authentic packet of this SA.
    pub first: bool,
    /// A soft limit was passed: tell IKE.
    pub notice: Option<LimitNotice>,
}

/// The SPI of an ESP packet; `None` if it is too short for an ESP header.
pub fn spi(packet: &[u8]) -> Option<u32> {
    packet
        .first_chunk::<8>()
        .map(|h| u32::from_be_bytes([h[0], h[1], h[2], h[3]]))
}

impl OutboundSa {
    /// Seals the inner packet at `inner` of `buffer`, in place.
    ///
    /// `packet` is the view of the same octets. The buffer must have [`HEADROOM`] before and
    /// [`TAILROOM`] after the packet (less is enough for most suites; too little is
    /// [`Reason::NoRoom`]). Counts, charges the lifetimes and takes a sequence number. The outer
    /// headers are not written: [`Path`](crate::sa::Path) and [`Sealed`] say what the kernel should
    /// put there, or [`crate::tunnel::write_outer`] does it.
    pub fn seal(
        &self,
        buffer: &mut [u8],
        inner: Range<usize>,
        packet: &Packet,
        now_ms: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<Sealed, Refused> {
        todo!()
    }
}

impl InboundSa {
    /// Opens the ESP packet that `buffer` is (from SPI to ICV), in place.
    ///
    /// `outer_tos` is the outer header's type of service or traffic class, for ECN. A refused packet
    /// changes nothing but a counter, unless it was authentic; after a wrong ICV the payload octets
    /// of the buffer are zero.
    pub fn open(&self, buffer: &mut [u8], outer_tos: u8, now_ms: u64) -> Result<Opened, Refused> {
        todo!()
    }
}
