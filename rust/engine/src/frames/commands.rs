//! What IKE asks of the plane, and its decoding.
//!
//! A command is decoded in two steps: first its type and ticket, then its body straight from the
//! same octets. Key octets are borrowed from the receive buffer and never copied on the way, so
//! wiping that buffer wipes what the decoder saw.

use serde::Deserialize;
use serde_bytes::Bytes;

use super::{Action, Direction, Endpoint, Limits, Selectors};

#[derive(Clone, Debug, Deserialize)]
pub struct ListenPort {
    pub address: String,
    pub port: u16,
    pub nat_t: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoSa {
    Hold,
    Drop,
    HoldQuiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Df {
    Copy,
    Set,
    Clear,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    pub id: u32,
    pub name: String,
    pub interface: u32,
    pub action: Action,
    pub selectors: Selectors,
    pub hold_packets_max: u32,
    pub hold_octets_max: u64,
    pub hold_age_ms: u32,
    pub on_no_sa: OnNoSa,
    pub clamp_mss: bool,
    /// Silence of its SAs after which IKE is told; none: never.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    #[serde(default)]
    pub map: Vec<NetworkPair>,
}

/// A network of ours and how the peer sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct NetworkPair {
    pub real: String,
    pub mapped: String,
    pub prefix: u8,
}

/// One direction of a Child SA. No `Debug`: it holds keys.
#[derive(Deserialize)]
pub struct Sa<'a> {
    pub direction: Direction,
    pub spi: u32,
    pub policy: u32,
    pub name: String,
    pub encr: u16,
    pub key_bits: u16,
    pub integ: u16,
    #[serde(borrow)]
    pub encr_key: &'a Bytes,
    #[serde(borrow)]
    pub integ_key: &'a Bytes,
    pub esn: bool,
    pub replay_window: u32,
    pub local: Endpoint,
    pub remote: Endpoint,
    pub encap: bool,
    pub selectors: Selectors,
    #[serde(default)]
    pub limits: Limits,
    pub df: Df,
    #[serde(default)]
    pub standby: bool,
    #[serde(default, borrow)]
    pub tag: &'a Bytes,
    /// Names its counts in memory that outlives the plane; 0: they need not.
    #[serde(default)]
    pub count_as: u64,
    /// An earlier plane had it: count on.
    #[serde(default)]
    pub resume: bool,
}

#[derive(Deserialize)]
pub struct Hello {
    pub version: u32,
}

#[derive(Deserialize)]
pub struct Listen {
    pub ports: Vec<ListenPort>,
    pub mark: u32,
}

#[derive(Deserialize)]
pub struct AttachInterface {
    pub interface: u32,
    pub name: String,
    pub mtu: u32,
    pub bypass_mark: u32,
    /// Large packets may pass between kernel and plane where the kernel can.
    #[serde(default = "yes")]
    pub offload: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
pub struct DetachInterface {
    pub interface: u32,
}

#[derive(Deserialize)]
pub struct SetPolicies {
    pub policies: Vec<Policy>,
    /// Others follow in a frame of their own.
    #[serde(default)]
    pub more: bool,
    /// Which part of the list this is, from 0 on.
    #[serde(default)]
    pub part: u32,
}

#[derive(Deserialize)]
pub struct ArmPolicy {
    pub policy: u32,
    pub on_no_sa: OnNoSa,
}

#[derive(Deserialize)]
pub struct SetCarrier {
    pub interface: u32,
    pub up: bool,
}

#[derive(Deserialize)]
pub struct InstallSa<'a> {
    #[serde(borrow)]
    pub sa: Sa<'a>,
}

#[derive(Deserialize)]
pub struct ExpectSa {
    pub spi: u32,
}

#[derive(Deserialize)]
pub struct UpdateSa {
    pub direction: Direction,
    pub spi: u32,
    /// Whose it is: peers choose outbound SPIs, so two policies may have the same.
    #[serde(default)]
    pub policy: Option<u32>,
    #[serde(default)]
    pub standby: Option<bool>,
    #[serde(default)]
    pub local: Option<Endpoint>,
    #[serde(default)]
    pub remote: Option<Endpoint>,
    #[serde(default)]
    pub encap: Option<bool>,
    #[serde(default)]
    pub limits: Option<Limits>,
}

#[derive(Deserialize)]
pub struct RemoveSa {
    pub direction: Direction,
    pub spi: u32,
    #[serde(default)]
    pub policy: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Sas,
    Policies,
    Interfaces,
    Counters,
}

#[derive(Deserialize)]
pub struct Query {
    pub what: What,
}

#[derive(Deserialize)]
pub struct Datagram<'a> {
    pub local: Endpoint,
    pub remote: Endpoint,
    #[serde(borrow)]
    pub octets: &'a Bytes,
    #[serde(default)]
    pub df: bool,
}

#[derive(Deserialize)]
pub struct ResolveLocal {
    pub remote: String,
}

#[derive(Deserialize)]
pub struct Keepalive {
    pub local: Endpoint,
    pub remote: Endpoint,
    pub every_ms: u32,
}

/// What IKE asks.
pub enum Command<'a> {
    Hello(Hello),
    Listen(Listen),
    AttachInterface(AttachInterface),
    DetachInterface(DetachInterface),
    SetCarrier(SetCarrier),
    SetPolicies(SetPolicies),
    ArmPolicy(ArmPolicy),
    InstallSa(Box<InstallSa<'a>>),
    ExpectSa(ExpectSa),
    UpdateSa(Box<UpdateSa>),
    RemoveSa(RemoveSa),
    Flush,
    Query(Query),
    Datagram(Datagram<'a>),
    ResolveLocal(ResolveLocal),
    Keepalive(Keepalive),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    ticket: Option<u32>,
}

/// A frame that is no command, with the ticket if that could be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub ticket: u32,
    pub reason: String,
}

/// Decodes one frame to its ticket (0 for `datagram`, which has none) and its command.
pub fn decode(octets: &[u8]) -> Result<(u32, Command<'_>), Unreadable> {
    let envelope: Envelope<'_> = rmp_serde::from_slice(octets).map_err(|_| Unreadable {
        ticket: 0,
        reason: "the frame is not a map with a type".to_owned(),
    })?;
    let kind = envelope.kind;
    let ticket = envelope.ticket.unwrap_or(0);
    if envelope.ticket.is_none() && kind != "datagram" {
        return Err(Unreadable {
            ticket: 0,
            reason: "the command has no ticket".to_owned(),
        });
    }
    let command = match kind {
        "hello" => body(octets, ticket).map(Command::Hello),
        "listen" => body(octets, ticket).map(Command::Listen),
        "attach_interface" => body(octets, ticket).map(Command::AttachInterface),
        "detach_interface" => body(octets, ticket).map(Command::DetachInterface),
        "set_carrier" => body(octets, ticket).map(Command::SetCarrier),
        "arm_policy" => body(octets, ticket).map(Command::ArmPolicy),
        "set_policies" => body(octets, ticket).map(Command::SetPolicies),
        "install_sa" => body(octets, ticket).map(|b| Command::InstallSa(Box::new(b))),
        "expect_sa" => body(octets, ticket).map(Command::ExpectSa),
        "update_sa" => body(octets, ticket).map(|b| Command::UpdateSa(Box::new(b))),
        "remove_sa" => body(octets, ticket).map(Command::RemoveSa),
        "flush" => Ok(Command::Flush),
        "query" => body(octets, ticket).map(Command::Query),
        "datagram" => body(octets, ticket).map(Command::Datagram),
        "resolve_local" => body(octets, ticket).map(Command::ResolveLocal),
        "keepalive" => body(octets, ticket).map(Command::Keepalive),
        _ => Err(Unreadable {
            ticket,
            reason: "unknown command type".to_owned(),
        }),
    }?;
    Ok((ticket, command))
}

fn body<'a, T: Deserialize<'a>>(octets: &'a [u8], ticket: u32) -> Result<T, Unreadable> {
    rmp_serde::from_slice(octets).map_err(|error| Unreadable {
        ticket,
        reason: sentence(&error),
    })
}

/// The decoder's complaint about names and types. It quotes a wrong value only when that is a
/// number or short text of a plain field; octets (keys) are described by their kind, so that no key
/// can be in it.
fn sentence(error: &rmp_serde::decode::Error) -> String {
    match error {
        rmp_serde::decode::Error::Syntax(text) => {
            let kind_only =
                text.starts_with("missing field") || text.starts_with("unknown variant");
            if kind_only {
                text.clone()
            } else {
                "a field has a wrong type or value".to_owned()
            }
        }
        _ => "the frame is not well-formed MessagePack".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_bytes::ByteBuf;

    use super::*;

    #[derive(Serialize)]
    struct Probe<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        ticket: Option<u32>,
        version: u32,
        extra: ByteBuf,
    }

    fn probe(kind: &str, ticket: Option<u32>) -> Vec<u8> {
        rmp_serde::to_vec_named(&Probe {
            kind,
            ticket,
            version: 1,
            extra: ByteBuf::from(vec![1, 2]),
        })
        .unwrap()
    }

    #[test]
    fn a_command_is_read_and_unknown_keys_are_passed_over() {
        let octets = probe("hello", Some(7));
        let (ticket, command) = decode(&octets).unwrap_or_else(|_| panic!("refused"));
        assert!(ticket == 7 && matches!(command, Command::Hello(Hello { version: 1 })));
    }

    #[test]
    fn an_unknown_type_and_a_missing_field_keep_the_ticket() {
        let unknown = decode(&probe("fly", Some(9))).err().unwrap();
        assert_eq!(
            (unknown.ticket, unknown.reason.as_str()),
            (9, "unknown command type")
        );
        let missing = decode(&probe("listen", Some(10))).err().unwrap();
        assert_eq!(
            (missing.ticket, missing.reason.as_str()),
            (10, "missing field `ports`")
        );
        assert_eq!(decode(&probe("flush", None)).err().unwrap().ticket, 0);
    }

    #[test]
    fn any_octets_give_a_command_or_a_refusal() {
        let good = probe("hello", Some(7));
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err());
        }
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let mut octets = good.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = usize::try_from(state >> 8).unwrap() % octets.len();
                octets[at] = state.to_le_bytes()[3];
            }
            let _ = decode(&octets);
        }
        // A claimed array of four thousand million entries in a few octets must not reserve memory
        // for them.
        let _ = decode(&[
            0x82, 0xa4, b't', b'y', b'p', b'e', 0xa3, b'a', b'b', b'c', 0xa1, b'p', 0xdd, 0xff,
            0xff, 0xff, 0xff,
        ]);
    }
}
