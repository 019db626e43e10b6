//! What a network device may leave to the packet's reader: the checksum, and the cutting of one
//! large packet into segments. Told by the 10 octets before each packet (virtio_net_hdr of virtio
//! 1.2 §5.1.6, as Linux's TUN devices use it, in the machine's byte order).

use crate::checksum;
use crate::packet::{protocol, Fragment, Packet, Version};
use crate::stats::Reason;

/// Octets of a [`Header`].
pub const HEADER: usize = 10;
/// Most segments that a packet is cut into or made of: what Linux takes for one UDP packet.
pub const SEGMENTS_MAX: usize = 64;

const NEEDS_CHECKSUM: u8 = 1;
const NONE: u8 = 0;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const UDP: u8 = 5;
/// Beside TCP: the congestion window was reduced, which only the first segment says.
const ECN: u8 = 0x80;

const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const FLAGS: usize = 13;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;
const CWR: u8 = 0x80;

/// What stands before a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    flags: u8,
    kind: u8,
    header_length: u16,
    segment: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

impl Header {
    /// Reads one.
    pub fn decode(octets: &[u8; HEADER]) -> Self {
        let [flags, kind, a, b, c, d, e, f, g, h] = *octets;
        Self {
            flags,
            kind,
            header_length: u16::from_ne_bytes([a, b]),
            segment: u16::from_ne_bytes([c, d]),
            checksum_start: u16::from_ne_bytes([e, f]),
            checksum_offset: u16::from_ne_bytes([g, h]),
        }
    }

    /// Writes one.
    pub fn encode(&self) -> [u8; HEADER] {
        let [a, b] = self.header_length.to_ne_bytes();
        let [c, d] = self.segment.to_ne_bytes();
        let [e, f] = self.checksum_start.to_ne_bytes();
        let [g, h] = self.checksum_offset.to_ne_bytes();
        [self.flags, self.kind, a, b, c, d, e, f, g, h]
    }

    /// The packet is to be cut into segments.
    pub fn is_large(&self) -> bool {
        self.kind != NONE
    }

    /// Finishes the checksum of a packet that is not large. Refused when the header points outside.
    pub fn complete(&self, packet: &mut [u8]) -> Result<(), Reason> {
        if self.flags & NEEDS_CHECKSUM == 0 {
            return Ok(());
        }
        let start = usize::from(self.checksum_start);
        let at = usize::from(self.checksum_offset);
        let upper = packet.get_mut(start..).ok_or(Reason::InnerMalformed)?;
        if upper.len() < at + 2 {
            return Err(Reason::InnerMalformed);
        }
        // The field holds the sum of the pseudo-header, which belongs to the sum.
        let sum = checksum::finish(checksum::add(0, upper));
        put(upper, at, nonzero(sum));
        Ok(())
    }
}

/// A sum of zero is written as its other form: in UDP, zero means that there is none.
fn nonzero(sum: u16) -> u16 {
    match sum {
        0 => 0xffff,
        sum => sum,
    }
}

fn put(octets: &mut [u8], at: usize, value: u16) {
    if let Some(field) = octets.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

fn word(octets: &[u8], at: usize) -> u16 {
    match octets.get(at..at + 2) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    }
}

fn long(octets: &[u8], at: usize) -> u32 {
    u32::from(word(octets, at)) << 16 | u32::from(word(octets, at + 2))
}

/// Sum of the pseudo-header's addresses and protocol, without the length (RFC 9293 §3.1,
/// RFC 8200 §8.1).
fn pseudo(packet: &[u8], version: Version, protocol: u8) -> u32 {
    let addresses = match version {
        Version::V4 => packet.get(12..20),
        Version::V6 => packet.get(8..40),
    };
    checksum::add(u32::from(protocol), addresses.unwrap_or_default())
}

/// Octets of a TCP header with its options; None if there is not so much.
fn tcp_header(upper: &[u8]) -> Option<usize> {
    let length = usize::from(upper.get(12)? >> 4) * 4;
    (length >= TCP_HEADER && length <= upper.len()).then_some(length)
}

/// A large packet and how it is to be cut (what Linux calls TSO and USO).
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    version: Version,
    protocol: u8,
    /// Where the upper-layer header begins, and where its payload does.
    upper: usize,
    payload: usize,
    /// Octets of payload in all but the last segment.
    step: usize,
    length: usize,
    pseudo: u32,
}

impl Cut {
    /// How the packet that `packet` views is to be cut.
    ///
    /// Refused ([`Reason::InnerMalformed`]): a header that does not fit its packet.
    pub fn new(header: &Header, octets: &[u8], packet: &Packet) -> Result<Self, Reason> {
        let protocol = match (header.kind & !ECN, packet.version()) {
            (TCP_V4, Version::V4) | (TCP_V6, Version::V6) => protocol::TCP,
            (UDP, _) => protocol::UDP,
            _ => return Err(Reason::InnerMalformed),
        };
        let octets = octets.get(..packet.length).unwrap_or_default();
        let upper = octets.get(packet.upper_offset..).unwrap_or_default();
        let upper_header = match protocol {
            protocol::TCP => tcp_header(upper),
            _ => (upper.len() >= UDP_HEADER).then_some(UDP_HEADER),
        };
        let fits = packet.protocol == protocol && packet.fragment == Fragment::Whole;
        let step = usize::from(header.segment);
        let payload = packet.upper_offset + upper_header.ok_or(Reason::InnerMalformed)?;
        if !fits || step == 0 || payload >= packet.length {
            return Err(Reason::InnerMalformed);
        }
        Ok(Self {
            version: packet.version(),
            protocol,
            upper: packet.upper_offset,
            payload,
            step,
            length: packet.length,
            pseudo: pseudo(octets, packet.version(), protocol),
        })
    }

    /// How many segments there are.
    pub fn count(&self) -> usize {
        (self.length - self.payload).div_ceil(self.step)
    }

    /// Octets of the segment `index`; 0 when there is none.
    pub fn length(&self, index: usize) -> usize {
        let start = index.saturating_mul(self.step);
        match (self.length - self.payload).checked_sub(start) {
            None | Some(0) => 0,
            Some(rest) => self.payload + rest.min(self.step),
        }
    }

    /// Writes the segment `index` of `octets` to the beginning of `out`, whole, with its checksums.
    /// Gives its length; None when there is no such segment or too little room.
    pub fn write(&self, octets: &[u8], index: usize, out: &mut [u8]) -> Option<usize> {
        let length = self.length(index);
        if length == 0 {
            return None;
        }
        let out = out.get_mut(..length)?;
        let start = self.payload + index * self.step;
        let (head, body) = out.split_at_mut(self.payload);
        head.copy_from_slice(octets.get(..self.payload)?);
        // Headers in front of it are an even number of octets.
        body.copy_from_slice(octets.get(start..start + length - self.payload)?);
        let body_sum = checksum::add(0, body);
        // No segment is longer than the packet that it was cut from, whose length fitted.
        match self.version {
            Version::V4 => {
                put(out, 2, length as u16);
                put(out, 4, word(octets, 4).wrapping_add(index as u16));
                put(out, 10, 0);
                let sum = checksum::finish(checksum::add(0, out.get(..self.upper)?));
                put(out, 10, sum);
            }
            Version::V6 => put(out, 4, (length - Version::V6.header()) as u16),
        }
        let upper_length = (length - self.upper) as u16;
        let upper = out.get_mut(self.upper..self.payload)?;
        let field = match self.protocol {
            protocol::TCP => {
                let number = long(upper, 4).wrapping_add((index * self.step) as u32);
                upper[4..8].copy_from_slice(&number.to_be_bytes());
                if index > 0 {
                    upper[FLAGS] &= !CWR;
                }
                if index + 1 < self.count() {
                    upper[FLAGS] &= !(FIN | PSH);
                }
                TCP_CHECKSUM
            }
            _ => {
                put(upper, 4, upper_length);
                UDP_CHECKSUM
            }
        };
        put(upper, field, 0);
        let sum = self.pseudo + u32::from(upper_length) + body_sum;
        let sum = checksum::finish(checksum::add(sum, upper));
        match self.protocol {
            protocol::UDP => put(upper, field, nonzero(sum)),
            _ => put(upper, field, sum),
        }
        Some(length)
    }
}

/// What of a packet decides whether others of its flow may be joined to it.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    version: Version,
    protocol: u8,
    upper: usize,
    payload: usize,
    length: usize,
}

impl Segment {
    /// A packet that others may be joined to, or that may be joined to another: whole, without IP
    /// options, with payload, right checksums, and nothing in it that the cutting would lose. None:
    /// it goes as it is.
    ///
    /// `udp` says whether the device can cut UDP.
    pub fn of(octets: &[u8], packet: &Packet, udp: bool) -> Option<Self> {
        let plain = packet.fragment == Fragment::Whole
            && packet.upper_offset == packet.version().header()
            && packet.length == octets.len();
        if !plain {
            return None;
        }
        if packet.version() == Version::V4 {
            let header = octets.get(..packet.upper_offset)?;
            // The cutting computes it anew: a wrong one would become right.
            if checksum::finish(checksum::add(0, header)) != 0 {
                return None;
            }
        }
        let upper = octets.get(packet.upper_offset..)?;
        let header = match packet.protocol {
            protocol::TCP => {
                let header = tcp_header(upper)?;
                let flags = upper[FLAGS];
                // Reserved bits and urgent data are left alone as well.
                let plain = upper[12] & 0x0f == 0
                    && flags & ACK != 0
                    && flags & (SYN | RST | URG | FIN | CWR) == 0
                    // The other form of zero, which the cutting would write as zero.
                    && word(upper, TCP_CHECKSUM) != 0xffff;
                (plain && upper.len() > header).then_some(header)?
            }
            protocol::UDP if udp => {
                let whole = usize::from(word(upper, 4)) == upper.len();
                let summed = word(upper, UDP_CHECKSUM) != 0;
                (whole && summed && upper.len() > UDP_HEADER).then_some(UDP_HEADER)?
            }
            _ => return None,
        };
        let length = u32::try_from(upper.len()).ok()?;
        let sum = pseudo(octets, packet.version(), packet.protocol) + length;
        if checksum::finish(checksum::add(sum, upper)) != 0 {
            return None;
        }
        Some(Self {
            version: packet.version(),
            protocol: packet.protocol,
            upper: packet.upper_offset,
            payload: packet.upper_offset + header,
            length: packet.length,
        })
    }

    /// Where the payload lies in the packet.
    pub fn payload(&self) -> std::ops::Range<usize> {
        self.payload..self.length
    }
}

/// Segments of one flow that were joined to one large packet: the first one whole, and of the
/// others the payload.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    first: Segment,
    count: usize,
    /// Octets of the large packet.
    length: usize,
    /// Nothing may follow the last one: it was shorter, or wants to be delivered at once.
    closed: bool,
    push: bool,
}

impl Joined {
    /// One segment, so far.
    pub fn new(first: Segment, octets: &[u8]) -> Self {
        let push = first.protocol == protocol::TCP
            && octets
                .get(first.upper + FLAGS)
                .is_some_and(|f| f & PSH != 0);
        Self {
            first,
            count: 1,
            length: first.length,
            closed: push,
            push,
        }
    }

    /// Segments in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Joins the segment that follows the last one, if cutting what results would give back exactly
    /// the segments. `first` and `octets` are the packets of the first and of this segment; both
    /// are of one flow. False: it stays by itself, and nothing may be joined here any more.
    pub fn join(&mut self, first: &[u8], segment: &Segment, octets: &[u8]) -> bool {
        let joins = !self.closed && self.fits(first, segment, octets);
        self.closed = true;
        if joins {
            let payload = segment.payload().len();
            self.count += 1;
            self.length += payload;
            self.push = segment.protocol == protocol::TCP
                && octets
                    .get(segment.upper + FLAGS)
                    .is_some_and(|f| f & PSH != 0);
            self.closed = self.push || payload < self.first.payload().len();
        }
        joins
    }

    fn fits(&self, first: &[u8], segment: &Segment, octets: &[u8]) -> bool {
        let step = self.first.payload().len();
        let payload = segment.payload().len();
        let same = |range: std::ops::Range<usize>| first.get(range.clone()) == octets.get(range);
        let bounded = self.count < SEGMENTS_MAX
            && payload <= step
            && self.length + payload <= usize::from(u16::MAX);
        let layout = segment.version == self.first.version
            && segment.protocol == self.first.protocol
            && segment.upper == self.first.upper
            && segment.payload == self.first.payload;
        if !bounded || !layout {
            return false;
        }
        let network = match segment.version {
            // Everything but length, identification and checksum; identifications count on.
            Version::V4 => {
                let number = word(first, 4).wrapping_add(self.count as u16);
                same(0..2) && same(6..10) && same(12..20) && word(octets, 4) == number
            }
            // Everything but the length.
            Version::V6 => same(0..4) && same(6..40),
        };
        let at = segment.upper;
        let transport = match segment.protocol {
            protocol::TCP => {
                let next =
                    long(first, at + 4).wrapping_add((self.length - self.first.payload) as u32);
                let flags = |packet: &[u8]| packet.get(at + FLAGS).map(|flags| flags & !PSH);
                same(at..at + 4)
                    && long(octets, at + 4) == next
                    && same(at + 8..at + FLAGS)
                    && flags(first) == flags(octets)
                    && same(at + 14..at + TCP_CHECKSUM)
                    && same(at + TCP_CHECKSUM + 2..segment.payload)
            }
            _ => same(at..at + 4),
        };
        network && transport
    }

    /// Makes the first segment's headers those of the large packet, and gives what is to be written
    /// before it. A single segment stays as it is.
    pub fn finish(&self, first: &mut [u8]) -> Header {
        if self.count == 1 {
            return Header::default();
        }
        let Segment {
            version,
            protocol,
            upper,
            payload,
            ..
        } = self.first;
        // `fits` has bounded it.
        let length = self.length as u16;
        match version {
            Version::V4 => {
                put(first, 2, length);
                put(first, 10, 0);
                let sum =
                    checksum::finish(checksum::add(0, first.get(..upper).unwrap_or_default()));
                put(first, 10, sum);
            }
            Version::V6 => put(first, 4, length - Version::V6.header() as u16),
        }
        let upper_length = self.length - upper;
        let sum = pseudo(first, version, protocol) + upper_length as u32;
        // Not complemented: what the device is to complete.
        let partial = !checksum::finish(sum);
        let field = match protocol {
            protocol::TCP => {
                if let Some(flags) = first.get_mut(upper + FLAGS).filter(|_| self.push) {
                    *flags |= PSH;
                }
                TCP_CHECKSUM
            }
            _ => {
                put(first, upper + 4, upper_length as u16);
                UDP_CHECKSUM
            }
        };
        put(first, upper + field, partial);
        Header {
            flags: NEEDS_CHECKSUM,
            kind: match (protocol, version) {
                (protocol::TCP, Version::V4) => TCP_V4,
                (protocol::TCP, Version::V6) => TCP_V6,
                _ => UDP,
            },
            header_length: payload as u16,
            segment: self.first.payload().len() as u16,
            checksum_start: upper as u16,
            checksum_offset: field as u16,
        }
    }
}
