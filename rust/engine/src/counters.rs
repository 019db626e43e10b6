//! The engine's own counters, beside one for each reason of refusal of the `ipsec` crate.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use ipsec::stats::{Counters as Refusals, Reason};

macro_rules! events {
    ($($(#[$doc:meta])+ $variant:ident => $name:literal,)+) => {
        /// What the engine counts. Names that begin with "drop_" are packets that went no further.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $($(#[$doc])+ $variant,)+ }

        impl Event {
            const NAMES: &'static [&'static str] = &[$($name,)+];
        }
    };
}

events! {
    /// The socket's send buffer or the device's queue was full.
    DropSendBuffer => "drop_send_buffer",
    /// The TUN device did not take a packet.
    DropTunWrite => "drop_tun_write",
    /// No socket is open for the local endpoint of the SA.
    DropNoPort => "drop_no_port",
    /// The policy of an inbound SA names no attached interface.
    DropNoInterface => "drop_no_interface",
    /// The bypass socket did not take a packet, or the interface has no bypass mark.
    DropBypass => "drop_bypass",
    /// An arriving datagram was longer than any packet can be, or had no usable sender.
    DropTruncated => "drop_truncated",
    /// The kernel said that the outer packet does not fit the path (the path MTU was lowered).
    DropPathMtu => "drop_path_mtu",
    /// A datagram for IKE is shorter than an IKE header or longer than a frame can carry.
    DropIkeMalformed => "drop_ike_malformed",
    /// ESP packets sealed and given to the kernel.
    EspSent => "esp_sent",
    /// ESP packets opened and accepted.
    EspReceived => "esp_received",
    /// Octets of inner packets sealed and sent.
    EspOctetsSent => "esp_octets_sent",
    /// Octets of inner packets opened and accepted.
    EspOctetsReceived => "esp_octets_received",
    /// Packets sent in clear because a policy or the interface says bypass.
    Bypassed => "bypassed",
    /// Packets put into a hold queue.
    Held => "held",
    /// Held packets that left by an SA.
    HeldReleased => "held_released",
    /// ESP packets kept because their SA was announced and is not installed yet.
    EarlyKept => "early_kept",
    /// Kept ESP packets handed to their SA when it was installed.
    EarlyReplayed => "early_replayed",
    /// An ESP packet came for an announced SPI that has its most kept already.
    DropEarlyOverflow => "drop_early_overflow",
    /// A kept ESP packet became too old, or what announced it was taken back.
    DropEarlyExpired => "drop_early_expired",
    /// ICMP too-big answers written into a TUN.
    TooBigAnswers => "too_big_answers",
    /// TCP connections whose MSS was lowered.
    MssClamped => "mss_clamped",
    /// Datagrams handed to IKE.
    IkeReceived => "ike_received",
    /// Datagrams sent for IKE.
    IkeSent => "ike_sent",
    /// NAT keepalives swallowed.
    KeepalivesReceived => "keepalives_received",
    /// NAT keepalives sent.
    KeepalivesSent => "keepalives_sent",
    /// Notices dropped because the IKE process does not keep up or is not there.
    NoticesLost => "notices_lost",
    /// Workers that panicked and were started again.
    WorkerPanics => "worker_panics",
    /// A TUN queue or socket gave an error that will not go away by itself.
    DescriptorErrors => "descriptor_errors",
    /// Control frames that were refused.
    FramesRefused => "frames_refused",
    /// Connections to the control socket of a user who may not.
    ConnectionsRefused => "connections_refused",
}

/// All counters of the plane.
#[derive(Debug)]
pub struct Counters {
    /// Refused packets by reason.
    pub refusals: Refusals,
    events: [AtomicU64; Event::NAMES.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            refusals: Refusals::default(),
            events: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Counters {
    pub fn event(&self, event: Event) {
        self.events_add(event, 1);
    }

    pub fn events_add(&self, event: Event, count: u64) {
        if count > 0 {
            // The discriminant is the position by construction.
            self.events[event as usize].fetch_add(count, Ordering::Relaxed);
        }
    }

    pub fn refused(&self, reason: Reason) {
        self.refusals.count(reason);
    }

    pub fn refused_many(&self, reason: Reason, packets: usize) {
        self.refusals
            .add(reason, u64::try_from(packets).unwrap_or(u64::MAX));
    }

    /// Every counter by name, zeros too.
    pub fn named(&self) -> BTreeMap<&'static str, u64> {
        let refusals = self
            .refusals
            .iter()
            .map(|(reason, count)| (reason.name(), count));
        let events = Event::NAMES
            .iter()
            .zip(&self.events)
            .map(|(name, count)| (*name, count.load(Ordering::Relaxed)));
        refusals.chain(events).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_lands_under_its_own_name_and_no_two_counters_share_one() {
        let counters = Counters::default();
        counters.event(Event::ConnectionsRefused);
        counters.refused(Reason::Icv);
        let named = counters.named();
        assert_eq!(named.len(), Event::NAMES.len() + Reason::ALL.len());
        assert_eq!(
            (
                named["connections_refused"],
                named["drop_icv"],
                named["drop_send_buffer"]
            ),
            (1, 1, 0)
        );
    }
}
