//! One counter for each reason of refusal, so that no packet vanishes without a name.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident => $name:literal,)+) => {
        /// Why a packet was refused. Each has one counter of the same name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])+ $variant,)+ }

        impl Reason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The counter's name, as operators see it.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// The packet is not a whole IPv4 or IPv6 packet.
    InnerMalformed => "drop_inner_malformed",
    /// More than eight IPv6 extension headers.
    ExtensionHeaders => "drop_extension_headers",
    /// No policy matches and the interface has no bypass.
    NoPolicy => "drop_no_policy",
    /// A fragment that may belong to a protected or discarded datagram, and that no policy takes
    /// for all ports: it must not go in clear.
    PortsHidden => "drop_ports_hidden",
    /// An ICMP error that would go in clear and quotes a protected packet (RFC 4301 §6.2).
    QuotesProtected => "drop_quotes_protected",
    /// A policy says discard.
    PolicyDiscard => "drop_policy_discard",
    /// The policy has no outbound SA and does not hold packets.
    NoSaOutbound => "drop_no_sa_outbound",
    /// The queue of held packets is full.
    HoldOverflow => "drop_hold_overflow",
    /// A held packet became too old.
    HoldExpired => "drop_hold_expired",
    /// A held packet's policy was removed, or the plane was flushed.
    HoldFlushed => "drop_hold_flushed",
    /// The outbound packet is outside the selectors of the SA.
    SelectorOutbound => "drop_selector_outbound",
    /// The packet does not fit the path; its sender was told.
    TooBig => "drop_too_big",
    /// The buffer has not enough headroom or tailroom (a fault of ours).
    NoRoom => "drop_no_room",
    /// The sequence numbers of the SA are used up (RFC 4303 §3.3.3).
    SequenceExhausted => "drop_sequence_exhausted",
    /// The hard limit of octets is reached.
    LifetimeOctets => "drop_lifetime_octets",
    /// The hard limit of packets is reached.
    LifetimePackets => "drop_lifetime_packets",
    /// No unpredictable octets could be had.
    Entropy => "drop_entropy",
    /// The cipher refused to encrypt (a fault of ours).
    Seal => "drop_seal",
    /// The operating system did not take the packet.
    SendFailed => "drop_send_failed",
    /// The UDP datagram is neither keepalive, IKE nor ESP (RFC 3948).
    DatagramMalformed => "drop_datagram_malformed",
    /// An IKE datagram came while IKE's queue was full.
    IkeQueueFull => "drop_ike_queue_full",
    /// The ESP packet is shorter than its transforms allow.
    EspMalformed => "drop_esp_malformed",
    /// No inbound SA has this SPI.
    NoSaInbound => "drop_no_sa_inbound",
    /// ESP in UDP for an SA without encapsulation, or the reverse.
    EncapMismatch => "drop_encap_mismatch",
    /// Sequence number zero (RFC 4303 §2.2).
    ReplayZero => "drop_replay_zero",
    /// The sequence number is older than the window.
    ReplayStale => "drop_replay_stale",
    /// The sequence number was seen before.
    ReplayDuplicate => "drop_replay_duplicate",
    /// The ICV is wrong.
    Icv => "drop_icv",
    /// The padding of an authentic packet is wrong (RFC 4303 §2.4).
    Padding => "drop_padding",
    /// A dummy packet of traffic flow confidentiality (next header 59).
    Dummy => "drop_dummy",
    /// The next header is neither IPv4 (4) nor IPv6 (41): not tunnel mode.
    NextHeader => "drop_next_header",
    /// The decrypted packet is outside the selectors of the SA.
    SelectorInbound => "drop_selector_inbound",
    /// Congestion was marked on a packet that is not ECN-capable (RFC 6040 §4.2).
    Ecn => "drop_ecn",
    /// A packet for a protected address arrived in clear (RFC 4301 §5.2).
    ClearInbound => "drop_clear_inbound",
}

/// One atomic counter per [`Reason`].
#[derive(Debug)]
pub struct Counters {
    values: [AtomicU64; Reason::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            values: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Counters {
    /// Counts one packet.
    pub fn count(&self, reason: Reason) {
        self.add(reason, 1);
    }

    /// Counts `packets` packets at once.
    pub fn add(&self, reason: Reason, packets: u64) {
        self.values[reason as usize].fetch_add(packets, Ordering::Relaxed);
    }

    /// Packets refused for this reason so far.
    pub fn get(&self, reason: Reason) -> u64 {
        self.values[reason as usize].load(Ordering::Relaxed)
    }

    /// Every reason with its count, zeros too.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }
}
