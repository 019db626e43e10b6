//! Answers to `query`: what the plane holds, never its keys.

use std::sync::atomic::Ordering;

use ipsec::sa::{Fixed, Shared as SaShared};
use serde_bytes::ByteBuf;

use super::convert;
use super::idle::Clocks;
use crate::frames::{
    Direction, Endpoint, InterfaceView, Outgoing, PolicyView, SaView, Selectors, What,
};
use crate::sys::poll::now_ms;
use crate::sys::tun::Offload;
use crate::table::{Shared, Table};

/// A frame of a long answer is closed when it has grown to this, by a generous estimate.
const FRAME_TARGET: usize = 65_536;

/// All frames of one answer.
pub fn answer(shared: &Shared, clocks: &Clocks, ticket: u32, what: What) -> Vec<Outgoing> {
    let table = shared.table.load();
    match what {
        What::Sas => {
            let parts = parts(sas(&table), |sa| 1024 + sa.name.len() + sa.tag.len());
            numbered(parts, |sas, more| Outgoing::Sas { ticket, more, sas })
        }
        What::Policies => {
            let parts = parts(policies(&table, clocks), |policy| {
                512 + policy.name.len() + selectors_size(&policy.selectors)
            });
            numbered(parts, |policies, more| Outgoing::Policies {
                ticket,
                more,
                policies,
            })
        }
        What::Interfaces => vec![Outgoing::Interfaces {
            ticket,
            interfaces: interfaces(&table),
        }],
        What::Counters => vec![Outgoing::Counters {
            ticket,
            counters: shared.counters.named(),
        }],
    }
}

fn selectors_size(selectors: &Selectors) -> usize {
    // Two addresses of at most 39 characters, five keys, numbers.
    (selectors.local.len() + selectors.remote.len()).saturating_mul(160)
}

/// Cuts a list into frames; there is always at least one, perhaps empty.
fn parts<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts = vec![Vec::new()];
    let mut filled = 0_usize;
    for item in items {
        let octets = size(&item);
        if filled > 0 && filled + octets > FRAME_TARGET {
            parts.push(Vec::new());
            filled = 0;
        }
        filled += octets;
        if let Some(last) = parts.last_mut() {
            last.push(item);
        }
    }
    parts
}

fn numbered<T>(parts: Vec<Vec<T>>, frame: impl Fn(Vec<T>, bool) -> Outgoing) -> Vec<Outgoing> {
    let last = parts.len().saturating_sub(1);
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| frame(part, index < last))
        .collect()
}

fn sas(table: &Table) -> Vec<SaView> {
    let now_ms = now_ms();
    let inbound = table.sad.inbounds().map(|sa| {
        view(
            Direction::In,
            sa.parameters(),
            sa.shared(),
            sa.sequence(),
            now_ms,
        )
    });
    let outbound = table.sad.outbounds().map(|sa| {
        view(
            Direction::Out,
            sa.parameters(),
            sa.shared(),
            sa.sequence(),
            now_ms,
        )
    });
    inbound.chain(outbound).collect()
}

fn view(
    direction: Direction,
    fixed: &Fixed,
    shared: &SaShared,
    sequence: u64,
    now_ms: u64,
) -> SaView {
    let drops = shared.drops.iter().filter(|(_, count)| *count > 0);
    SaView {
        direction,
        spi: fixed.spi,
        policy: fixed.policy,
        name: fixed.name.to_string(),
        encr: fixed.suite.encr(),
        key_bits: fixed.suite.key_bits(),
        integ: fixed.suite.integ(),
        esn: fixed.esn,
        encap: fixed.path.encap,
        local: Endpoint::from(fixed.path.local),
        remote: Endpoint::from(fixed.path.remote),
        standby: fixed.standby,
        tag: ByteBuf::from(fixed.tag.to_vec()),
        packets: shared.usage.packets(),
        octets: shared.usage.octets(),
        sequence,
        age_ms: now_ms.saturating_sub(fixed.installed_ms),
        idle_ms: shared.last_used_ms().map(|at| now_ms.saturating_sub(at)),
        replay_window: fixed.replay_window,
        drops: drops
            .map(|(reason, count)| (reason.name(), count))
            .collect(),
    }
}

fn policies(table: &Table, clocks: &Clocks) -> Vec<PolicyView> {
    let now_ms = now_ms();
    let view = |entry: &std::sync::Arc<ipsec::spd::Entry>| {
        let policy = &entry.policy;
        let (packets, octets) = table.holds.get(&policy.id).map_or((0, 0), |queue| {
            let state = queue.lock();
            (state.hold.packets(), state.hold.octets())
        });
        PolicyView {
            id: policy.id,
            name: policy.name.clone(),
            interface: policy.interface,
            action: convert::action_back(policy.action),
            held_packets: u64::try_from(packets).unwrap_or(u64::MAX),
            held_octets: octets,
            matched_packets: entry.matched_packets(),
            selectors: convert::selectors_back(&policy.selectors),
            outbound_spis: table
                .sad
                .outbound_of(policy.id)
                .iter()
                .map(|sa| sa.parameters().spi)
                .collect(),
            idle_for_ms: clocks.idle_for_ms(entry, now_ms),
        }
    };
    table.spd.entries().iter().map(view).collect()
}

fn interfaces(table: &Table) -> Vec<InterfaceView> {
    let view = |interface: &std::sync::Arc<crate::table::Interface>| InterfaceView {
        interface: interface.id,
        name: interface.name.clone(),
        mtu: interface.mtu,
        effective_mtu: effective_mtu(table, interface.id, interface.mtu),
        offload: match interface.device.offload() {
            Offload::None => "none",
            Offload::Tcp => "tcp",
            Offload::TcpUdp => "tcp+udp",
        },
        rx_packets: interface.device.rx_packets.load(Ordering::Relaxed),
        tx_packets: interface.device.tx_packets.load(Ordering::Relaxed),
    };
    table.interfaces.iter().map(view).collect()
}

/// The largest inner packet that every SA of the interface can carry, or the device's own MTU if
/// that is less.
fn effective_mtu(table: &Table, interface: u32, mtu: u32) -> u32 {
    let of_this = |policy: u32| {
        table
            .spd
            .get(policy)
            .is_some_and(|entry| entry.policy.interface == interface)
    };
    table
        .sad
        .outbounds()
        .filter(|sa| of_this(sa.parameters().policy))
        .map(|sa| u32::try_from(table.inner_mtu(sa.parameters())).unwrap_or(u32::MAX))
        .fold(mtu, u32::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_only_the_last_frame_says_that_no_more_comes() {
        let frames = numbered(
            parts((0..100).collect(), |_| 1000),
            |part: Vec<i32>, more| {
                let interfaces = Vec::new();
                assert!(!part.is_empty());
                Outgoing::Interfaces {
                    ticket: u32::from(more),
                    interfaces,
                }
            },
        );
        let flags: Vec<bool> = frames
            .iter()
            .map(|f| matches!(f, Outgoing::Interfaces { ticket: 1, .. }))
            .collect();
        assert_eq!(flags, [true, false]);
        assert_eq!(parts(Vec::<i32>::new(), |_| 1).len(), 1);
    }
}
