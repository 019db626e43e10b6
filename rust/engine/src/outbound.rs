//! The outbound worker: reads its queue of every TUN device until it is empty, in batches, and
//! sends what comes of it.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use crate::counters::Event;
use crate::pipeline::Pipeline;
use crate::sys::poll::{now_ms, Waker};
use crate::table::{Shared, TOKEN_WAKE};

/// Packets read from one queue before the others are looked at.
const READS_MAX: usize = 64;

/// Runs until the plane stops.
pub fn run(shared: &Arc<Shared>, worker: usize, waker: &Waker) {
    let Some(poller) = shared.outbound_pollers.get(worker) else {
        return;
    };
    let mut pipeline = Pipeline::new();
    let mut events = Vec::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        if poller.wait(&mut events, None).is_err() {
            shared.counters.event(Event::DescriptorErrors);
            return;
        }
        for event in &events {
            if event.token == TOKEN_WAKE {
                waker.clear();
            } else {
                read_batch(shared, &mut pipeline, worker, event.token);
            }
        }
    }
}

/// Takes up to one batch from the queue that `token` names. What is left makes the poller ready
/// again.
fn read_batch(shared: &Arc<Shared>, pipeline: &mut Pipeline, worker: usize, token: u64) {
    let table = shared.table.load();
    // A queue that was detached after the poller spoke is not in the table any more.
    let Some((interface, index)) = table.queue(token) else {
        return;
    };
    let Some(queue) = interface.device.queues.get(index) else {
        return;
    };
    let now_ms = now_ms();
    let mut packets = 0_u64;
    for _ in 0..READS_MAX {
        match queue.read(pipeline.inbox()) {
            Ok(length) => packets += pipeline.take(shared, &table, interface, length, now_ms),
            Err(rustix::io::Errno::AGAIN) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                // The device is gone. Left in the poller it would be ready for ever.
                shared.counters.event(Event::DescriptorErrors);
                interface.device.dead.store(true, Ordering::Relaxed);
                if let Some(poller) = shared.outbound_pollers.get(worker) {
                    // It may have been taken out by the control thread in the meantime.
                    let _ = poller.remove(queue);
                }
                break;
            }
        }
    }
    pipeline.flush(shared, now_ms);
    interface
        .device
        .rx_packets
        .fetch_add(packets, Ordering::Relaxed);
}
