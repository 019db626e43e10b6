//! The security policy database (RFC 4301 §4.4.1): ordered policies, first match wins.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crate::hold::HoldLimits;
use crate::index::Index;
use crate::map::AddressMap;
use crate::packet::Packet;
use crate::selector::Selectors;

/// What a policy does with its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// ESP by an SA of this policy.
    Protect,
    /// Send in clear.
    Bypass,
    /// Drop and count.
    Discard,
}

/// What happens to a packet of a protect policy while no outbound SA stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNoSa {
    /// Hold it and ask IKE for an SA.
    Hold,
    /// Hold it without asking.
    HoldQuiet,
    /// Drop and count; the tunnel is held down by its user.
    Drop,
}

/// One policy as IKE describes it.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Number chosen by IKE, unique.
    pub id: u32,
    /// "tunnel/rule", for operators.
    pub name: String,
    /// The interface whose packets it judges.
    pub interface: u32,
    /// What it does.
    pub action: Action,
    /// Which packets it is for.
    pub selectors: Selectors,
    /// Bounds of its queue of held packets.
    pub hold: HoldLimits,
    /// What to do without an SA.
    pub on_no_sa: OnNoSa,
    /// Lower the MSS of TCP connections to what fits.
    pub clamp_mss: bool,
    /// Silence after which IKE wants to hear of it.
    pub idle_ms: Option<u64>,
    /// How the peer sees the addresses of our side. Its selectors are those before the mapping.
    pub map: AddressMap,
}

/// A policy in the database, with its counter.
#[derive(Debug)]
pub struct Entry {
    /// The policy.
    pub policy: Policy,
    meter: Arc<Meter>,
}

/// What is counted for a policy for as long as there is one with its id.
#[derive(Debug, Default)]
struct Meter {
    matched: AtomicU64,
    /// Time of last use plus one; 0 = never.
    last_used: AtomicU64,
}

impl Entry {
    /// Outbound packets that matched.
    pub fn matched_packets(&self) -> u64 {
        self.meter.matched.load(Ordering::Relaxed)
    }

    /// So many more packets matched than were judged: a large one was cut.
    pub fn matched(&self, more: u64) {
        self.meter.matched.fetch_add(more, Ordering::Relaxed);
    }

    /// A packet of this policy passed by an SA, in either direction.
    pub fn used(&self, now_ms: u64) {
        let mark = now_ms.saturating_add(1);
        if self.meter.last_used.load(Ordering::Relaxed) < mark {
            self.meter.last_used.fetch_max(mark, Ordering::Relaxed);
        }
    }

    /// When a packet last passed, in the caller's milliseconds.
    pub fn last_used_ms(&self) -> Option<u64> {
        self.meter.last_used.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// Why a list of policies is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpdError {
    /// Two policies have this id.
    DuplicateId(u32),
}

impl std::fmt::Display for SpdError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SpdError::DuplicateId(id) => write!(f, "two policies have the id {id}"),
        }
    }
}

impl std::error::Error for SpdError {}

/// What the database says about a packet.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// Protect with an SA of this policy.
    Protect(&'a Arc<Entry>),
    /// Send in clear.
    Bypass(&'a Arc<Entry>),
    /// Drop and count.
    Discard(&'a Arc<Entry>),
    /// The packet hides its ports, so that it may belong to what a policy protects or discards, and
    /// nothing but clear text would be left for it: drop and count.
    PortsHidden,
    /// No policy matches; the interface decides.
    NoPolicy,
}

/// The policies of one interface, in their order of match, by the peer's address.
#[derive(Clone, Debug, Default)]
struct Ordered {
    entries: Vec<Arc<Entry>>,
    index: Index,
}

impl Ordered {
    fn new(entries: Vec<Arc<Entry>>) -> Self {
        let ranges: Vec<_> = entries
            .iter()
            .enumerate()
            .flat_map(|(place, entry)| {
                let remote = entry.policy.selectors.remote().iter();
                remote.map(move |range| (place, range.start, range.end))
            })
            .collect();
        let index = Index::new(entries.len(), &ranges);
        Self { entries, index }
    }

    /// Those that may be for packets from or to this address of the other side, in order.
    fn of(&self, address: &IpAddr) -> impl Iterator<Item = &Arc<Entry>> + Clone {
        let places = self.index.places(address).iter();
        places.filter_map(|place| self.entries.get(*place))
    }
}

/// An immutable database; the control side builds a new one and publishes it.
#[derive(Clone, Debug, Default)]
pub struct Spd {
    /// In the order given.
    entries: Vec<Arc<Entry>>,
    by_interface: HashMap<u32, Ordered>,
    by_id: HashMap<u32, Arc<Entry>>,
}

impl Spd {
    /// A database of `policies` in their order of match.
    pub fn new(policies: Vec<Policy>) -> Result<Self, SpdError> {
        Self::default().replaced(policies)
    }

    /// A database of `policies`; those that were here before keep their counters.
    pub fn replaced(&self, policies: Vec<Policy>) -> Result<Self, SpdError> {
        let mut spd = Self::default();
        let mut by_interface: HashMap<u32, Vec<Arc<Entry>>> = HashMap::new();
        for policy in policies {
            let known = self.by_id.get(&policy.id);
            let meter = known.map_or_else(Arc::default, |old| Arc::clone(&old.meter));
            let entry = Arc::new(Entry { policy, meter });
            let id = entry.policy.id;
            if spd.by_id.insert(id, Arc::clone(&entry)).is_some() {
                return Err(SpdError::DuplicateId(id));
            }
            by_interface
                .entry(entry.policy.interface)
                .or_default()
                .push(Arc::clone(&entry));
            spd.entries.push(entry);
        }
        spd.by_interface = by_interface
            .into_iter()
            .map(|(interface, entries)| (interface, Ordered::new(entries)))
            .collect();
        Ok(spd)
    }

    /// Judges a packet that came from an interface's protected side, and counts it.
    ///
    /// A fragment without ports goes by the first policy that takes all ports of its protocol
    /// (RFC 4301 §7). It goes in clear only if its datagram surely does.
    pub fn decide(&self, interface: u32, packet: &Packet) -> Verdict<'_> {
        let Some(ordered) = self.by_interface.get(&interface) else {
            return Verdict::NoPolicy;
        };
        let policies = ordered.of(&packet.destination);
        let place = policies
            .clone()
            .position(|e| e.policy.selectors.match_outbound(packet));
        let entry = place.and_then(|place| policies.clone().nth(place));
        if packet.hides_upper() && entry.is_none_or(|e| e.policy.action == Action::Bypass) {
            let mut before = policies.take(place.unwrap_or(usize::MAX));
            if before.any(|e| {
                e.policy.action != Action::Bypass && e.policy.selectors.could_match_outbound(packet)
            }) {
                return Verdict::PortsHidden;
            }
        }
        let Some(entry) = entry else {
            return Verdict::NoPolicy;
        };
        entry.meter.matched.fetch_add(1, Ordering::Relaxed);
        match entry.policy.action {
            Action::Protect => Verdict::Protect(entry),
            Action::Bypass => Verdict::Bypass(entry),
            Action::Discard => Verdict::Discard(entry),
        }
    }

    /// May a packet that arrived in clear for this interface's protected side pass (RFC 4301 §5.2)?
    ///
    /// The first policy that matches must not be protect or discard; S-32. A fragment that hides its
    /// ports passes only if its datagram surely does.
    pub fn allows_clear_inbound(&self, interface: u32, packet: &Packet) -> bool {
        let Some(ordered) = self.by_interface.get(&interface) else {
            return true;
        };
        let hidden = packet.hides_upper();
        ordered
            .of(&packet.source)
            .find(|e| {
                let selectors = &e.policy.selectors;
                let is_doubtful = hidden && e.policy.action != Action::Bypass;
                selectors.match_inbound(packet)
                    || (is_doubtful && selectors.could_match_inbound(packet))
            })
            .is_none_or(|e| e.policy.action == Action::Bypass)
    }

    /// May this packet, which no policy protects, leave in clear? Not an ICMP error that quotes what
    /// came protected, or what cannot be told from it. `octets` begin with the packet.
    pub fn allows_clear_outbound(&self, interface: u32, packet: &Packet, octets: &[u8]) -> bool {
        match packet.quoted(octets) {
            None => true,
            Some(Ok(quoted)) => self.allows_clear_inbound(interface, &quoted),
            Some(Err(_)) => false,
        }
    }

    /// The policy with this id.
    pub fn get(&self, id: u32) -> Option<&Arc<Entry>> {
        self.by_id.get(&id)
    }

    /// All policies in their order.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }
}
