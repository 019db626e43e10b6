//! Opened packets on their way into TUN devices: those of one flow that follow each other are
//! joined to large ones, each written by one call. The order within a flow stays.

use std::io::IoSlice;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use ipsec::offload::{Joined, Segment, SEGMENTS_MAX};
use ipsec::packet::{Packet, Ports};

use crate::counters::Event;
use crate::sys::tun::Offload;
use crate::table::{Interface, Shared};

/// Packets, joined or not, that wait for the end of the batch at most. Every new one is compared
/// with them.
const GROUPS_MAX: usize = 32;

/// What all packets of a flow have in common.
type Flow = (IpAddr, IpAddr, u8, Ports);

/// One packet for the kernel.
struct Group {
    interface: Arc<Interface>,
    flow: Flow,
    /// None: nothing can be joined to it.
    joined: Option<Joined>,
    /// Where its first packet lies in the buffer.
    first: Range<usize>,
    /// Where the payload of those joined to it lies, in order.
    rest: Vec<Range<usize>>,
}

/// The packets of one batch, in the buffer that they were opened in.
#[derive(Default)]
pub struct Delivery {
    groups: Vec<Group>,
    /// Emptied lists of groups that are written.
    spare: Vec<Vec<Range<usize>>>,
}

impl Delivery {
    /// Takes the packet at `inner` of `buffer` in, to be written by [`Delivery::flush`] at the
    /// latest.
    pub fn add(
        &mut self,
        shared: &Shared,
        buffer: &mut [u8],
        interface: &Arc<Interface>,
        inner: Range<usize>,
        packet: &Packet,
    ) {
        let flow = (
            packet.source,
            packet.destination,
            packet.protocol,
            packet.ports,
        );
        let octets = &buffer[inner.clone()];
        let segment = match interface.device.offload() {
            Offload::None => None,
            Offload::Tcp => Segment::of(octets, packet, false),
            Offload::TcpUdp => Segment::of(octets, packet, true),
        };
        // Only the newest group of the flow: what goes behind an older one would overtake.
        let newest = self
            .groups
            .iter_mut()
            .rev()
            .find(|group| group.flow == flow && group.interface.id == interface.id);
        if let (Some(group), Some(segment)) = (newest, segment) {
            if let Some(joined) = &mut group.joined {
                if joined.join(&buffer[group.first.clone()], &segment, octets) {
                    let payload = segment.payload();
                    group
                        .rest
                        .push(inner.start + payload.start..inner.start + payload.end);
                    return;
                }
            }
        }
        let joined = segment.map(|segment| Joined::new(segment, octets));
        if self.groups.len() >= GROUPS_MAX {
            self.flush(shared, buffer);
        }
        self.groups.push(Group {
            interface: Arc::clone(interface),
            flow,
            joined,
            first: inner,
            rest: self.spare.pop().unwrap_or_default(),
        });
    }

    /// Writes everything.
    pub fn flush(&mut self, shared: &Shared, buffer: &mut [u8]) {
        for group in self.groups.drain(..) {
            write(shared, buffer, &group);
            let mut rest = group.rest;
            rest.clear();
            self.spare.push(rest);
        }
    }
}

fn write(shared: &Shared, buffer: &mut [u8], group: &Group) {
    let queues = &group.interface.device.queues;
    // The kernel sends a flow's answers to the queue that the flow was written to: writing by flow
    // spreads outbound work.
    let index = if queues.len() > 1 {
        hash(&group.flow) % queues.len()
    } else {
        0
    };
    let count = 1 + group.rest.len();
    let lost = u64::try_from(count).unwrap_or(1);
    let Some(queue) = queues.get(index) else {
        return shared.counters.events_add(Event::DropTunWrite, lost);
    };
    let written = match &group.joined {
        Some(joined) if count > 1 => {
            let header = joined.finish(&mut buffer[group.first.clone()]).encode();
            let mut parts = [IoSlice::new(&[]); 1 + SEGMENTS_MAX];
            parts[0] = IoSlice::new(&header);
            let ranges = std::iter::once(&group.first).chain(&group.rest);
            for (part, range) in parts[1..].iter_mut().zip(ranges) {
                *part = IoSlice::new(&buffer[range.clone()]);
            }
            queue.write_parts(&parts[..1 + count])
        }
        _ => queue.write(&buffer[group.first.clone()]),
    };
    match written {
        Ok(_) => {
            group
                .interface
                .device
                .tx_packets
                .fetch_add(lost, Ordering::Relaxed);
        }
        Err(_) => shared.counters.events_add(Event::DropTunWrite, lost),
    }
}

/// The same number for all packets of a flow.
fn hash(flow: &Flow) -> usize {
    let (source, destination, _, ports) = flow;
    let fold = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => v6
            .segments()
            .iter()
            .fold(0_u32, |sum, part| sum.rotate_left(5) ^ u32::from(*part)),
    };
    let ports = match ports {
        Ports::Pair {
            source,
            destination,
        } => u32::from(*source) << 16 | u32::from(*destination),
        _ => 0,
    };
    let mixed =
        (fold(source) ^ fold(destination).rotate_left(16) ^ ports).wrapping_mul(0x9e37_79b1);
    usize::try_from(mixed >> 16).unwrap_or(0)
}
