//! One-to-one mapping of inside networks (1:1 NAT) for sites whose addresses overlap: a host keeps
//! its place in the network, only the prefix changes. Stateless, so nothing is kept per flow.
//!
//! Checksums are mended by what changed (RFC 1624), in the packet and in what an ICMP error quotes
//! (RFC 5508 §4.2); a packet that was damaged stays damaged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum;
use crate::packet::{protocol, Fragment, Packet, Version};

/// Most pairs of networks that one policy maps.
pub const PAIRS_MAX: usize = 64;

const ICMP_HEADER: usize = 8;
const ICMP_CHECKSUM: usize = 2;

/// One network and how the peer sees it. Both have the same prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPair {
    /// The first address of the network as it is on our side.
    pub real: IpAddr,
    /// The first address of the network as the peer sees it.
    pub mapped: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
}

/// Why a list of pairs is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// More than [`PAIRS_MAX`].
    TooMany,
    /// The two networks of a pair are of different versions of IP.
    MixedVersions,
    /// A prefix is longer than an address, or an address has bits behind it.
    Prefix,
    /// Two networks of one side overlap: an address would have two places to go.
    Overlap,
}

impl std::fmt::Display for MapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MapError::TooMany => "a policy maps at most 64 networks",
            MapError::MixedVersions => "a network is mapped to one of another version of IP",
            MapError::Prefix => "a mapped network has address bits behind its prefix",
            MapError::Overlap => "mapped networks overlap",
        })
    }
}

impl std::error::Error for MapError {}

/// The mapping of a policy; empty: packets stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    pairs: Box<[NetworkPair]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

impl AddressMap {
    /// Refuses pairs that would make an address ambiguous.
    pub fn new(pairs: Vec<NetworkPair>) -> Result<Self, MapError> {
        if pairs.len() > PAIRS_MAX {
            return Err(MapError::TooMany);
        }
        for (index, pair) in pairs.iter().enumerate() {
            if pair.real.is_ipv4() != pair.mapped.is_ipv4() {
                return Err(MapError::MixedVersions);
            }
            let bits = bits(&pair.real);
            if pair.prefix > bits
                || [pair.real, pair.mapped]
                    .iter()
                    .any(|first| number(first) & host_mask(bits, pair.prefix) != 0)
            {
                return Err(MapError::Prefix);
            }
            if pairs[..index].iter().any(|other| overlaps(pair, other)) {
                return Err(MapError::Overlap);
            }
        }
        Ok(Self {
            pairs: pairs.into(),
        })
    }

    /// Nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs, in their order.
    pub fn pairs(&self) -> &[NetworkPair] {
        &self.pairs
    }

    /// How the peer sees an address of ours; None: as it is.
    pub fn outward(&self, address: &IpAddr) -> Option<IpAddr> {
        self.moved(address, |pair| (pair.real, pair.mapped))
    }

    /// The address of ours that the peer means; None: as it is.
    pub fn inward(&self, address: &IpAddr) -> Option<IpAddr> {
        self.moved(address, |pair| (pair.mapped, pair.real))
    }

    fn moved(
        &self,
        address: &IpAddr,
        ends: impl Fn(&NetworkPair) -> (IpAddr, IpAddr),
    ) -> Option<IpAddr> {
        self.pairs.iter().find_map(|pair| {
            let (from, to) = ends(pair);
            if from.is_ipv4() != address.is_ipv4() {
                return None;
            }
            let host = host_mask(bits(address), pair.prefix);
            let given = number(address);
            (given & !host == number(&from)).then(|| like(address, number(&to) | (given & host)))
        })
    }

    /// Gives a packet that leaves the source that the peer knows. `octets` begin with it.
    pub fn leave(&self, octets: &mut [u8], packet: &Packet) -> Packet {
        self.rewrite(octets, packet, End::Source)
    }

    /// Gives a packet that came the destination that is meant. `octets` begin with it.
    pub fn arrive(&self, octets: &mut [u8], packet: &Packet) -> Packet {
        self.rewrite(octets, packet, End::Destination)
    }

    /// `ours` is the end of the packet that is on our side; of what it quotes it is the other one.
    fn rewrite(&self, octets: &mut [u8], packet: &Packet, ours: End) -> Packet {
        let mut view = *packet;
        if self.is_empty() {
            return view;
        }
        let change = |address: &IpAddr| match ours {
            End::Source => self.outward(address),
            End::Destination => self.inward(address),
        };
        let quoted = packet.quoted(octets).and_then(Result::ok);
        let own = match ours {
            End::Source => &mut view.source,
            End::Destination => &mut view.destination,
        };
        let mut patch = Patch {
            octets,
            enclosing: None,
        };
        if let Some(new) = change(own) {
            patch.address(0, packet, ours, new);
            *own = new;
        }
        if let Some(quoted) = quoted {
            let (theirs, address) = match ours {
                End::Source => (End::Destination, quoted.destination),
                End::Destination => (End::Source, quoted.source),
            };
            if let Some(new) = change(&address) {
                patch.enclosing = Some(packet.upper_offset + ICMP_CHECKSUM);
                patch.address(packet.upper_offset + ICMP_HEADER, &quoted, theirs, new);
            }
        }
        view
    }
}

/// Changes words of a packet and the checksums over them.
struct Patch<'a> {
    octets: &'a mut [u8],
    /// Where the checksum of the ICMP error lies whose quote is being changed.
    enclosing: Option<usize>,
}

impl Patch<'_> {
    /// Gives the packet that begins at `base` another address at one end.
    fn address(&mut self, base: usize, packet: &Packet, end: End, new: IpAddr) {
        let version = packet.version();
        let at = base
            + match (version, end) {
                (Version::V4, End::Source) => 12,
                (Version::V4, End::Destination) => 16,
                (Version::V6, End::Source) => 8,
                (Version::V6, End::Destination) => 24,
            };
        let upper = upper_checksum(packet).map(|offset| base + packet.upper_offset + offset);
        let header = (version == Version::V4).then_some(base + 10);
        let fits = |at: &usize| at + 2 <= base + packet.length;
        let mut sums = [header, upper.filter(fits)].map(|at| {
            let at = at?;
            Some((at, self.word(at)?))
        });
        if let Some((_, 0)) = sums[1].filter(|_| is_udp(packet)) {
            // The sender computed none (RFC 768, RFC 6935).
            sums[1] = None;
        }
        let words = usize::from(bits(&new)) / 16;
        for index in 0..words {
            let shift = 16 * (words - 1 - index);
            // The low sixteen bits are meant.
            let fresh = (number(&new) >> shift) as u16;
            let Some(old) = self.word(at + 2 * index) else {
                return;
            };
            for (_, sum) in sums.iter_mut().flatten() {
                *sum = checksum::update(*sum, old, fresh);
            }
            self.put(at + 2 * index, fresh);
        }
        for (at, sum) in sums.into_iter().flatten() {
            let none = sum == 0 && Some(at) == upper && is_udp(packet);
            self.put(at, if none { 0xffff } else { sum });
        }
    }

    fn word(&self, at: usize) -> Option<u16> {
        let word = self.octets.get(at..at + 2)?;
        Some(u16::from_be_bytes([word[0], word[1]]))
    }

    fn put(&mut self, at: usize, new: u16) {
        let Some(old) = self.word(at) else { return };
        self.octets[at..at + 2].copy_from_slice(&new.to_be_bytes());
        if let Some(sum_at) = self.enclosing {
            if let Some(sum) = self.word(sum_at) {
                let mended = checksum::update(sum, old, new);
                self.octets[sum_at..sum_at + 2].copy_from_slice(&mended.to_be_bytes());
            }
        }
    }
}

/// Where the checksum over the addresses lies in the upper-layer header, if there is one here.
fn upper_checksum(packet: &Packet) -> Option<usize> {
    if packet.fragment == Fragment::Later {
        return None;
    }
    match packet.protocol {
        protocol::TCP => Some(16),
        protocol::UDP | protocol::UDP_LITE | protocol::DCCP => Some(6),
        protocol::ICMPV6 => Some(ICMP_CHECKSUM),
        protocol::MOBILITY => Some(4),
        _ => None,
    }
}

fn is_udp(packet: &Packet) -> bool {
    packet.protocol == protocol::UDP
}

fn bits(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn like(model: &IpAddr, number: u128) -> IpAddr {
    match model {
        // Below 2^32: it is made of two numbers that are.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

/// Ones where the host's part of an address is.
fn host_mask(bits: u8, prefix: u8) -> u128 {
    match bits - prefix {
        128 => u128::MAX,
        host => (1 << host) - 1,
    }
}

fn overlaps(one: &NetworkPair, other: &NetworkPair) -> bool {
    if one.real.is_ipv4() != other.real.is_ipv4() {
        return false;
    }
    let wide = host_mask(bits(&one.real), one.prefix.min(other.prefix));
    let meet = |a: &IpAddr, b: &IpAddr| number(a) & !wide == number(b) & !wide;
    meet(&one.real, &other.real) || meet(&one.mapped, &other.mapped)
}
