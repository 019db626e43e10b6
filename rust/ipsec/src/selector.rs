//! Traffic selectors (RFC 4301 §4.4.1.1, RFC 7296 §3.13.1): ranges of addresses and ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::packet::{Packet, Ports, Version};

/// Most traffic selectors in one list.
pub const SELECTORS_MAX: usize = 255;

/// One range of addresses, a protocol and a range of ports.
///
/// `protocol` 0 means any. `port_start..=port_end` of 0..=65535 means any port, and packets that
/// show none; 65535..=0 is OPAQUE: only packets that show none. For ICMP the ports are
/// type << 8 | code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficSelector {
    /// First address.
    pub start: IpAddr,
    /// Last address, of the same version.
    pub end: IpAddr,
    /// Upper-layer protocol; 0 = any.
    pub protocol: u8,
    /// First port.
    pub port_start: u16,
    /// Last port.
    pub port_end: u16,
}

/// Why selectors are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorError {
    /// Local or remote holds nothing.
    Empty,
    /// More than [`SELECTORS_MAX`].
    TooMany,
    /// IPv4 and IPv6 in one range.
    MixedVersions,
    /// The range of addresses runs backwards.
    AddressesReversed,
    /// The range of ports runs backwards and is not OPAQUE.
    PortsReversed,
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SelectorError::Empty => "no traffic selector on one side",
            SelectorError::TooMany => "too many traffic selectors",
            SelectorError::MixedVersions => "IPv4 and IPv6 in one traffic selector",
            SelectorError::AddressesReversed => "address range runs backwards",
            SelectorError::PortsReversed => "port range runs backwards",
        })
    }
}

impl std::error::Error for SelectorError {}

impl TrafficSelector {
    /// Everything in IPv4.
    pub const fn any_v4() -> Self {
        Self {
            start: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            end: IpAddr::V4(Ipv4Addr::BROADCAST),
            protocol: 0,
            port_start: 0,
            port_end: u16::MAX,
        }
    }

    /// Everything in IPv6.
    pub const fn any_v6() -> Self {
        Self {
            start: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            end: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
            protocol: 0,
            port_start: 0,
            port_end: u16::MAX,
        }
    }

    fn validate(&self) -> Result<(), SelectorError> {
        if Version::of(&self.start) != Version::of(&self.end) {
            return Err(SelectorError::MixedVersions);
        }
        if self.start > self.end {
            return Err(SelectorError::AddressesReversed);
        }
        if self.port_start > self.port_end && !self.is_opaque() {
            return Err(SelectorError::PortsReversed);
        }
        Ok(())
    }

    fn is_opaque(&self) -> bool {
        (self.port_start, self.port_end) == (u16::MAX, 0)
    }

    fn is_any_port(&self) -> bool {
        (self.port_start, self.port_end) == (0, u16::MAX)
    }

    fn matches(&self, address: &IpAddr, protocol: u8, port: Port) -> bool {
        // IpAddr orders all of IPv4 before all of IPv6, so a range never holds the other version.
        (self.start..=self.end).contains(address)
            && (self.protocol == 0 || self.protocol == protocol)
            && match port {
                Port::Number(number) => (self.port_start..=self.port_end).contains(&number),
                Port::Hidden => self.is_any_port() || self.is_opaque(),
                Port::Irrelevant => true,
            }
    }
}

/// One side's port as a selector sees it.
#[derive(Clone, Copy)]
enum Port {
    Number(u16),
    /// The packet does not show one.
    Hidden,
    /// The other side's selector decides.
    Irrelevant,
}

/// The selectors of a policy or an SA. A packet must be in one local and one remote range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selectors {
    local: Box<[TrafficSelector]>,
    remote: Box<[TrafficSelector]>,
}

impl Selectors {
    /// Refuses empty sides and ranges that run backwards.
    pub fn new(
        local: Vec<TrafficSelector>,
        remote: Vec<TrafficSelector>,
    ) -> Result<Self, SelectorError> {
        for side in [&local, &remote] {
            match side.len() {
                0 => return Err(SelectorError::Empty),
                1..=SELECTORS_MAX => side.iter().try_for_each(TrafficSelector::validate)?,
                _ => return Err(SelectorError::TooMany),
            }
        }
        Ok(Self {
            local: local.into(),
            remote: remote.into(),
        })
    }

    /// Ranges of our side.
    pub fn local(&self) -> &[TrafficSelector] {
        &self.local
    }

    /// Ranges of the peer's side.
    pub fn remote(&self) -> &[TrafficSelector] {
        &self.remote
    }

    /// Is a packet that leaves (source local, destination remote) inside?
    pub fn match_outbound(&self, packet: &Packet) -> bool {
        let (source, destination) = sides(packet.ports);
        holds(&self.local, &packet.source, packet.protocol, source)
            && holds(
                &self.remote,
                &packet.destination,
                packet.protocol,
                destination,
            )
    }

    /// Is an address on the far side inside, whatever the protocol and port?
    pub fn reaches(&self, remote: &IpAddr) -> bool {
        self.remote
            .iter()
            .any(|range| (range.start..=range.end).contains(remote))
    }

    /// Could the datagram that an outbound fragment belongs to be inside?
    pub fn could_match_outbound(&self, packet: &Packet) -> bool {
        could_hold(&self.local, &packet.source, packet)
            && could_hold(&self.remote, &packet.destination, packet)
    }

    /// Could the datagram that an inbound fragment belongs to be inside?
    pub fn could_match_inbound(&self, packet: &Packet) -> bool {
        could_hold(&self.remote, &packet.source, packet)
            && could_hold(&self.local, &packet.destination, packet)
    }

    /// Is a packet that came in (source remote, destination local) inside?
    pub fn match_inbound(&self, packet: &Packet) -> bool {
        let (source, destination) = sides(packet.ports);
        holds(&self.remote, &packet.source, packet.protocol, source)
            && holds(
                &self.local,
                &packet.destination,
                packet.protocol,
                destination,
            )
    }
}

/// Could the datagram that a fragment belongs to be inside, whatever the fragment hides?
fn could_hold(ranges: &[TrafficSelector], address: &IpAddr, packet: &Packet) -> bool {
    ranges.iter().any(|range| {
        (range.start..=range.end).contains(address)
            && (range.protocol == 0 || range.protocol == packet.protocol || packet.hides_protocol())
    })
}

/// Ports of the sender's and of the receiver's side. Type and code belong to who sends them
/// (RFC 4301 §4.4.1.1: local = what may be sent, remote = what may be received).
fn sides(ports: Ports) -> (Port, Port) {
    match ports {
        Ports::Pair {
            source,
            destination,
        } => (Port::Number(source), Port::Number(destination)),
        Ports::Kind(kind) => (Port::Number(kind), Port::Irrelevant),
        Ports::Opaque | Ports::None => (Port::Hidden, Port::Hidden),
    }
}

fn holds(ranges: &[TrafficSelector], address: &IpAddr, protocol: u8, port: Port) -> bool {
    ranges
        .iter()
        .any(|range| range.matches(address, protocol, port))
}
