//! Bounded views of IPv4 and IPv6 headers: what the SPD and the selectors ask about a packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::stats::Reason;

/// Most IPv6 extension headers that are walked.
pub const EXTENSION_HEADERS_MAX: usize = 8;

/// IP protocol numbers that are named here.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP; the next header of a tunnelled IPv4 packet.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// DCCP.
    pub const DCCP: u8 = 33;
    /// IPv6 in IP; the next header of a tunnelled IPv6 packet.
    pub const IPV6: u8 = 41;
    /// ESP.
    pub const ESP: u8 = 50;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// No next header; a dummy packet of ESP.
    pub const NONE: u8 = 59;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// Mobility header of Mobile IPv6.
    pub const MOBILITY: u8 = 135;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
/// Types of ICMP messages that quote a packet: unreachable, source quench, redirect, time exceeded,
/// parameter problem.
const ICMP_ERRORS: [u16; 5] = [3, 4, 5, 11, 12];
/// Unreachable, too big, time exceeded, parameter problem.
const ICMPV6_ERRORS: [u16; 4] = [1, 2, 3, 4];
/// What stands before the quote.
const ICMP_HEADER: usize = 8;
/// Headers that are walked.
const EXTENSIONS: [u8; 5] = [
    HOP_BY_HOP,
    ROUTING,
    FRAGMENT,
    AUTHENTICATION,
    DESTINATION_OPTIONS,
];

/// The version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// The version of an address.
    pub fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Version::V4,
            IpAddr::V6(_) => Version::V6,
        }
    }

    /// Octets of a header without options or extension headers.
    pub const fn header(self) -> usize {
        match self {
            Version::V4 => 20,
            Version::V6 => 40,
        }
    }

    /// The next-header value of a tunnelled packet of this version.
    pub const fn next_header(self) -> u8 {
        match self {
            Version::V4 => protocol::IPV4,
            Version::V6 => protocol::IPV6,
        }
    }
}

/// What selectors call ports (RFC 4301 §4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The protocol has two ports and this packet shows them.
    Pair {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP type and code, or the mobility header type, as one number: type << 8 | code.
    Kind(u16),
    /// The protocol has ports or types, but this packet does not show them: a fragment that is not
    /// the first, or a first one that is too short.
    Opaque,
    /// The protocol has none.
    None,
}

/// Where a packet stands in the fragmentation of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Not a fragment.
    Whole,
    /// The first fragment, more follow.
    First,
    /// A later fragment: no upper-layer header.
    Later,
}

/// What was read from the headers of one packet. Small and copied freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The upper-layer protocol, after all extension headers that could be walked.
    pub protocol: u8,
    /// Ports, type and code, or why not.
    pub ports: Ports,
    /// Where it stands in a fragmented datagram.
    pub fragment: Fragment,
    /// Where the upper-layer header begins.
    pub upper_offset: usize,
    /// Octets by the header's own length field; never more than were given.
    pub length: usize,
    /// Type of service (IPv4) or traffic class (IPv6): DSCP and ECN.
    pub tos: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// IPv4's don't-fragment flag; always true for IPv6, which routers never fragment.
    pub dont_fragment: bool,
}

impl Packet {
    /// Reads the headers of the packet at the beginning of `octets`.
    ///
    /// Octets after the packet's own length are allowed (TFC padding, link padding) and ignored.
    /// Refused: [`Reason::InnerMalformed`] when it is not a whole packet,
    /// [`Reason::ExtensionHeaders`] when the chain of extension headers is too long (S-33).
    pub fn parse(octets: &[u8]) -> Result<Self, Reason> {
        match octets.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(octets, false),
            Some(6) => Self::parse_v6(octets, false),
            _ => Err(Reason::InnerMalformed),
        }
    }

    /// The packet that an ICMP error quotes (RFC 792, RFC 4443 §3), which may be cut short; None
    /// when this is no ICMP error. `octets` begin with this packet.
    pub fn quoted(&self, octets: &[u8]) -> Option<Result<Self, Reason>> {
        let Ports::Kind(kind) = self.ports else {
            return None;
        };
        let is_error = match self.protocol {
            protocol::ICMP => ICMP_ERRORS.contains(&(kind >> 8)),
            protocol::ICMPV6 => ICMPV6_ERRORS.contains(&(kind >> 8)),
            _ => false,
        };
        if !is_error {
            return None;
        }
        let quote = octets
            .get(..self.length)
            .and_then(|packet| packet.get(self.upper_offset + ICMP_HEADER..))
            .unwrap_or_default();
        Some(match quote.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(quote, true),
            Some(6) => Self::parse_v6(quote, true),
            _ => Err(Reason::InnerMalformed),
        })
    }

    /// The version of IP.
    pub fn version(&self) -> Version {
        Version::of(&self.source)
    }

    /// Does it hide what selectors ask for: its ports, or, behind extension headers that are in
    /// another fragment, its protocol?
    pub fn hides_upper(&self) -> bool {
        self.ports == Ports::Opaque || self.hides_protocol()
    }

    /// A later IPv6 fragment that says only which extension header came next in the first one.
    pub fn hides_protocol(&self) -> bool {
        self.fragment == Fragment::Later
            && self.version() == Version::V6
            && EXTENSIONS.contains(&self.protocol)
    }

    fn parse_v4(octets: &[u8], is_quote: bool) -> Result<Self, Reason> {
        let header: &[u8; 20] = octets.first_chunk().ok_or(Reason::InnerMalformed)?;
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let mut length = usize::from(u16_at(header, 2));
        if is_quote {
            length = length.min(octets.len());
        }
        if header_length < 20 || length < header_length || length > octets.len() {
            return Err(Reason::InnerMalformed);
        }
        let flags = u16_at(header, 6);
        let fragment = fragment(flags & 0x1fff, flags & 0x2000 != 0);
        let protocol = header[9];
        Ok(Self {
            source: IpAddr::V4(Ipv4Addr::new(
                header[12], header[13], header[14], header[15],
            )),
            destination: IpAddr::V4(Ipv4Addr::new(
                header[16], header[17], header[18], header[19],
            )),
            protocol,
            ports: ports(protocol, fragment, &octets[header_length..length]),
            fragment,
            upper_offset: header_length,
            length,
            tos: header[1],
            ttl: header[8],
            dont_fragment: flags & 0x4000 != 0,
        })
    }

    fn parse_v6(octets: &[u8], is_quote: bool) -> Result<Self, Reason> {
        let header: &[u8; 40] = octets.first_chunk().ok_or(Reason::InnerMalformed)?;
        let mut length = 40 + usize::from(u16_at(header, 4));
        if is_quote {
            length = length.min(octets.len());
        }
        if length > octets.len() {
            return Err(Reason::InnerMalformed);
        }
        let octets = &octets[..length];
        let chain = walk(header[6], octets)?;
        Ok(Self {
            source: IpAddr::V6(v6_at(header, 8)),
            destination: IpAddr::V6(v6_at(header, 24)),
            protocol: chain.protocol,
            ports: ports(chain.protocol, chain.fragment, &octets[chain.offset..]),
            fragment: chain.fragment,
            upper_offset: chain.offset,
            length,
            tos: header[0] << 4 | header[1] >> 4,
            ttl: header[7],
            dont_fragment: true,
        })
    }
}

struct Chain {
    protocol: u8,
    offset: usize,
    fragment: Fragment,
}

/// Walks IPv6 extension headers. `octets` is the packet, cut at its own length.
fn walk(first: u8, octets: &[u8]) -> Result<Chain, Reason> {
    let mut chain = Chain {
        protocol: first,
        offset: 40,
        fragment: Fragment::Whole,
    };
    for _ in 0..=EXTENSION_HEADERS_MAX {
        // After a later fragment's header comes the middle of some other header.
        if !EXTENSIONS.contains(&chain.protocol) || chain.fragment == Fragment::Later {
            return Ok(chain);
        }
        let header: &[u8; 8] = octets
            .get(chain.offset..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(Reason::InnerMalformed)?;
        let length = match chain.protocol {
            FRAGMENT => {
                let field = u16_at(header, 2);
                chain.fragment = fragment(field >> 3, field & 1 != 0);
                8
            }
            AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        chain.protocol = header[0];
        chain.offset += length;
        if chain.offset > octets.len() {
            return Err(Reason::InnerMalformed);
        }
    }
    Err(Reason::ExtensionHeaders)
}

fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

fn ports(protocol: u8, fragment: Fragment, upper: &[u8]) -> Ports {
    use protocol::*;
    let kind = match protocol {
        TCP | UDP | DCCP | SCTP | UDP_LITE if fragment == Fragment::Later => Ports::Opaque,
        TCP | UDP | DCCP | SCTP | UDP_LITE => match upper {
            [a, b, c, d, ..] => Ports::Pair {
                source: u16::from_be_bytes([*a, *b]),
                destination: u16::from_be_bytes([*c, *d]),
            },
            _ => Ports::Opaque,
        },
        ICMP | ICMPV6 | MOBILITY if fragment == Fragment::Later => Ports::Opaque,
        ICMP | ICMPV6 => match upper {
            [kind, code, ..] => Ports::Kind(u16::from_be_bytes([*kind, *code])),
            _ => Ports::Opaque,
        },
        MOBILITY => match upper {
            [_, _, kind, ..] => Ports::Kind(u16::from(*kind) << 8),
            _ => Ports::Opaque,
        },
        _ => Ports::None,
    };
    debug_assert!(fragment != Fragment::Later || matches!(kind, Ports::Opaque | Ports::None));
    kind
}

fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

fn v6_at(header: &[u8; 40], at: usize) -> Ipv6Addr {
    let mut address = [0; 16];
    address.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(address)
}
