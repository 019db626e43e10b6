//! Frames to the values of the `ipsec` crate, and back. A refusal is a sentence for the log of the
//! IKE process.

use std::net::SocketAddr;

use ipsec::cipher::Suite;
use ipsec::hold::HoldLimits;
use ipsec::lifetime::Limits;
use ipsec::map::{AddressMap, NetworkPair};
use ipsec::sa::{KeyOctets, Path, SaParameters, SaUpdate};
use ipsec::selector::{Selectors, TrafficSelector};
use ipsec::spd::{Action, OnNoSa, Policy};
use ipsec::tunnel::DfPolicy;

use crate::frames;

/// Longest name of a policy or SA, in octets.
const NAME_MAX: usize = 256;
/// Longest tag, in octets.
const TAG_MAX: usize = 4096;

pub fn selectors(from: &frames::Selectors) -> Result<Selectors, String> {
    let side = |list: &[frames::Ts]| {
        list.iter()
            .map(traffic_selector)
            .collect::<Result<Vec<_>, String>>()
    };
    Selectors::new(side(&from.local)?, side(&from.remote)?).map_err(|error| error.to_string())
}

fn traffic_selector(from: &frames::Ts) -> Result<TrafficSelector, String> {
    Ok(TrafficSelector {
        start: frames::parse_address(&from.start)?,
        end: frames::parse_address(&from.end)?,
        protocol: from.protocol,
        port_start: from.port_start,
        port_end: from.port_end,
    })
}

pub fn selectors_back(from: &Selectors) -> frames::Selectors {
    let side = |list: &[TrafficSelector]| {
        let back = |ts: &TrafficSelector| frames::Ts {
            start: ts.start.to_string(),
            end: ts.end.to_string(),
            protocol: ts.protocol,
            port_start: ts.port_start,
            port_end: ts.port_end,
        };
        list.iter().map(back).collect()
    };
    frames::Selectors {
        local: side(from.local()),
        remote: side(from.remote()),
    }
}

pub fn policy(from: frames::Policy) -> Result<Policy, String> {
    let selectors = selectors(&from.selectors)?;
    Ok(Policy {
        id: from.id,
        name: name(from.name)?,
        interface: from.interface,
        action: match from.action {
            frames::Action::Protect => Action::Protect,
            frames::Action::Bypass => Action::Bypass,
            frames::Action::Discard => Action::Discard,
        },
        selectors,
        hold: HoldLimits {
            packets_max: from.hold_packets_max,
            octets_max: from.hold_octets_max,
            age_ms: from.hold_age_ms,
        },
        on_no_sa: on_no_sa(from.on_no_sa),
        clamp_mss: from.clamp_mss,
        idle_ms: from.idle_ms,
        map: map(&from.map)?,
    })
}

fn map(from: &[frames::NetworkPair]) -> Result<AddressMap, String> {
    let pairs = from
        .iter()
        .map(|pair| {
            Ok(NetworkPair {
                real: frames::parse_address(&pair.real)?,
                mapped: frames::parse_address(&pair.mapped)?,
                prefix: pair.prefix,
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    AddressMap::new(pairs).map_err(|error| error.to_string())
}

pub fn on_no_sa(from: frames::OnNoSa) -> OnNoSa {
    match from {
        frames::OnNoSa::Hold => OnNoSa::Hold,
        frames::OnNoSa::HoldQuiet => OnNoSa::HoldQuiet,
        frames::OnNoSa::Drop => OnNoSa::Drop,
    }
}

pub fn action_back(action: Action) -> frames::Action {
    match action {
        Action::Protect => frames::Action::Protect,
        Action::Bypass => frames::Action::Bypass,
        Action::Discard => frames::Action::Discard,
    }
}

fn name(name: String) -> Result<String, String> {
    if name.len() > NAME_MAX {
        return Err(format!("a name has at most {NAME_MAX} octets"));
    }
    Ok(name)
}

pub fn limits(from: &frames::Limits) -> Limits {
    Limits {
        soft_octets: from.soft_octets,
        hard_octets: from.hard_octets,
        soft_packets: from.soft_packets,
        hard_packets: from.hard_packets,
    }
}

pub fn sa(from: frames::Sa<'_>) -> Result<SaParameters, String> {
    if from.tag.len() > TAG_MAX {
        return Err(format!("a tag has at most {TAG_MAX} octets"));
    }
    Ok(SaParameters {
        spi: from.spi,
        policy: from.policy,
        name: name(from.name)?,
        suite: Suite::new(from.encr, from.key_bits, from.integ)
            .map_err(|error| error.to_string())?,
        encr_key: KeyOctets::from(from.encr_key.to_vec()),
        integ_key: KeyOctets::from(from.integ_key.to_vec()),
        esn: from.esn,
        replay_window: from.replay_window,
        path: Path {
            local: from.local.socket_address()?,
            remote: from.remote.socket_address()?,
            encap: from.encap,
            df: match from.df {
                frames::Df::Copy => DfPolicy::Copy,
                frames::Df::Set => DfPolicy::Set,
                frames::Df::Clear => DfPolicy::Clear,
            },
        },
        selectors: selectors(&from.selectors)?,
        limits: limits(&from.limits),
        standby: from.standby,
        tag: from.tag.to_vec(),
    })
}

pub fn update(from: &frames::UpdateSa) -> Result<SaUpdate, String> {
    let endpoint =
        |e: &Option<frames::Endpoint>| e.as_ref().map(frames::Endpoint::socket_address).transpose();
    let (local, remote): (Option<SocketAddr>, Option<SocketAddr>) =
        (endpoint(&from.local)?, endpoint(&from.remote)?);
    Ok(SaUpdate {
        standby: from.standby,
        local,
        remote,
        encap: from.encap,
        limits: from.limits.as_ref().map(limits),
    })
}
