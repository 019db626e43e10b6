//! What the plane says: replies, and notices that nobody asked for.

use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{Action, Direction, Endpoint, Selectors};

#[derive(Clone, Debug, Serialize)]
pub struct SaView {
    pub direction: Direction,
    pub spi: u32,
    pub policy: u32,
    pub name: String,
    pub encr: u16,
    pub key_bits: u16,
    pub integ: u16,
    pub esn: bool,
    pub encap: bool,
    pub local: Endpoint,
    pub remote: Endpoint,
    pub standby: bool,
    pub tag: ByteBuf,
    pub packets: u64,
    pub octets: u64,
    pub sequence: u64,
    pub age_ms: u64,
    pub idle_ms: Option<u64>,
    pub replay_window: u32,
    pub drops: std::collections::BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PolicyView {
    pub id: u32,
    pub name: String,
    pub interface: u32,
    pub action: Action,
    pub held_packets: u64,
    pub held_octets: u64,
    pub matched_packets: u64,
    pub selectors: Selectors,
    pub outbound_spis: Vec<u32>,
    /// Since its last packet or its first SA; none: it has no SA.
    pub idle_for_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct InterfaceView {
    pub interface: u32,
    pub name: String,
    pub mtu: u32,
    pub effective_mtu: u32,
    /// "none", "tcp" or "tcp+udp": packets of which kinds may be large.
    pub offload: &'static str,
    pub rx_packets: u64,
    pub tx_packets: u64,
}

/// What the plane says: replies (with a ticket) and notices (without).
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outgoing {
    Hello {
        ticket: u32,
        version: u32,
        pid: u32,
    },
    Done {
        ticket: u32,
    },
    Refused {
        ticket: u32,
        reason: String,
    },
    Sas {
        ticket: u32,
        more: bool,
        sas: Vec<SaView>,
    },
    Policies {
        ticket: u32,
        more: bool,
        policies: Vec<PolicyView>,
    },
    Interfaces {
        ticket: u32,
        interfaces: Vec<InterfaceView>,
    },
    Counters {
        ticket: u32,
        counters: std::collections::BTreeMap<&'static str, u64>,
    },
    LocalAddress {
        ticket: u32,
        address: Option<String>,
    },
    Datagram {
        local: Endpoint,
        remote: Endpoint,
        octets: ByteBuf,
    },
    PacketWanted {
        policy: u32,
        source: String,
        destination: String,
        protocol: u8,
        source_port: u16,
        destination_port: u16,
        held: u32,
    },
    Lifetime {
        direction: Direction,
        spi: u32,
        policy: u32,
        which: &'static str,
        unit: &'static str,
    },
    Idle {
        policy: u32,
        idle_ms: u64,
    },
    PeerMoved {
        spi: u32,
        remote: Endpoint,
    },
    FirstPacket {
        spi: u32,
    },
    UnknownSpi {
        spi: u32,
        remote: Endpoint,
    },
    SendFailed {
        remote: Endpoint,
        errno: i32,
    },
    NoticesLost {
        count: u64,
    },
}

/// One frame.
pub fn encode(message: &Outgoing) -> Vec<u8> {
    // Writing to a vector fails only when a value has no MessagePack form; none of these types
    // does.
    rmp_serde::to_vec_named(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outgoing_frame_is_a_map_with_its_tag_and_octets_as_bin() {
        let octets = encode(&Outgoing::Datagram {
            local: Endpoint {
                address: "192.0.2.1".to_owned(),
                port: 500,
            },
            remote: Endpoint {
                address: "::1".to_owned(),
                port: 4500,
            },
            octets: ByteBuf::from(vec![0xde, 0xad]),
        });
        assert_eq!(octets[0] & 0xf0, 0x80);
        assert_eq!(&octets[1..14], b"\xa4type\xa8datagram"[..13].as_ref());
        assert!(octets.windows(4).any(|w| w == [0xc4, 2, 0xde, 0xad]));
    }
}
