//! Frames of the control socket (plane protocol, version 1): MessagePack maps with string keys,
//! "type" being the tag.

mod commands;
mod outgoing;

use serde::{Deserialize, Serialize};

pub use commands::*;
pub use outgoing::*;

/// Version that both ends must speak.
pub const VERSION: u32 = 1;

/// An address and a port; the address is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub address: String,
    pub port: u16,
}

/// One traffic selector (RFC 7296 §3.13.1); for ICMP the ports hold type and code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ts {
    pub start: String,
    pub end: String,
    pub protocol: u8,
    pub port_start: u16,
    pub port_end: u16,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Selectors {
    pub local: Vec<Ts>,
    pub remote: Vec<Ts>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    #[serde(default)]
    pub soft_octets: Option<u64>,
    #[serde(default)]
    pub hard_octets: Option<u64>,
    #[serde(default)]
    pub soft_packets: Option<u64>,
    #[serde(default)]
    pub hard_packets: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Protect,
    Bypass,
    Discard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    In,
    Out,
}

impl From<std::net::SocketAddr> for Endpoint {
    fn from(address: std::net::SocketAddr) -> Self {
        Self {
            address: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl Endpoint {
    /// The endpoint as a socket address; refuses text that is no IP address.
    pub fn socket_address(&self) -> Result<std::net::SocketAddr, String> {
        let address = parse_address(&self.address)?;
        Ok(std::net::SocketAddr::new(address, self.port))
    }
}

/// An IP address from text.
pub fn parse_address(text: &str) -> Result<std::net::IpAddr, String> {
    text.parse()
        .map_err(|_| "an address is not an IPv4 or IPv6 address".to_owned())
}
