//! What the control thread does by the clock: NAT keepalives, ageing of held packets, asking again
//! about narrow paths.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use ipsec::nat::KEEPALIVE;

use super::Control;
use crate::counters::Event;
use crate::frames::Outgoing;
use crate::hold;
use crate::sys::batch::{Sender, Transmit};
use crate::sys::poll::now_ms;
use crate::sys::socket::{is_any, path_mtu};

/// Shortest period of NAT keepalives that is honoured, in milliseconds.
const KEEPALIVE_EVERY_MS_MIN: u64 = 1000;
/// A path that ICMP made narrow is asked about again after this long (RFC 1191 §6.3 says ten
/// minutes).
pub const PATHS_AGAIN_MS: u64 = 600_000;

/// One asked-for stream of NAT keepalives (RFC 3948 §4).
pub struct Keepalive {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    every_ms: u64,
    next_ms: u64,
}

impl Control {
    /// Starts, changes or (with 0) stops keepalives between two endpoints.
    pub fn set_keepalive(&mut self, local: SocketAddr, remote: SocketAddr, every_ms: u32) {
        self.keepalives
            .retain(|k| (k.local, k.remote) != (local, remote));
        if every_ms > 0 {
            let every_ms = u64::from(every_ms).max(KEEPALIVE_EVERY_MS_MIN);
            self.keepalives.push(Keepalive {
                local,
                remote,
                every_ms,
                next_ms: now_ms().saturating_add(every_ms),
            });
        }
    }

    /// Does what is due and sets the alarm for what comes next.
    pub fn run_timers(&mut self) {
        let now_ms = now_ms();
        let next = [
            self.send_keepalives(now_ms),
            self.age_held(now_ms),
            self.age_early(now_ms),
            self.tell_idle(now_ms),
            self.ask_paths(now_ms),
        ]
        .into_iter()
        .flatten()
        .min();
        let delay = next.map(|at| Duration::from_millis(at.saturating_sub(now_ms).max(1)));
        if self.alarm.set(delay).is_err() {
            self.shared.counters.event(Event::DescriptorErrors);
        }
    }

    fn send_keepalives(&mut self, now_ms: u64) -> Option<u64> {
        let table = self.shared.table.load();
        for keepalive in &mut self.keepalives {
            if keepalive.next_ms > now_ms {
                continue;
            }
            keepalive.next_ms = now_ms.saturating_add(keepalive.every_ms);
            let exit = table
                .exit_for_ike(keepalive.local)
                .and_then(|index| table.exits.get(index));
            let Some(exit) = exit else {
                self.shared.counters.event(Event::DropNoPort);
                continue;
            };
            let local = keepalive.local.ip();
            let item = Transmit {
                start: 0,
                end: KEEPALIVE.len(),
                remote: keepalive.remote,
                local: (!is_any(local)).then_some(local),
                traffic_class: 0,
            };
            let sent = Sender::new().send(
                exit.pair.df_clear.as_fd(),
                &KEEPALIVE,
                &[item],
                false,
                |_, errno| {
                    self.shared
                        .notices
                        .send_failed(keepalive.remote, errno, now_ms);
                },
            );
            if sent > 0 {
                self.shared.counters.event(Event::KeepalivesSent);
            }
        }
        self.keepalives.iter().map(|k| k.next_ms).min()
    }

    /// Drops held packets that are too old; gives when the next one will be.
    fn age_held(&self, now_ms: u64) -> Option<u64> {
        if self
            .shared
            .held_total
            .load(std::sync::atomic::Ordering::Acquire)
            == 0
        {
            return None;
        }
        let table = self.shared.table.load();
        let mut next: Option<u64> = None;
        for (id, queue) in table.holds.iter() {
            let Some(entry) = table.spd.get(*id) else {
                continue;
            };
            let mut state = queue.lock();
            hold::expire(&self.shared, queue, &mut state, entry, now_ms);
            if let Some(since_ms) = state.hold.oldest_ms() {
                let at = since_ms
                    .saturating_add(u64::from(entry.policy.hold.age_ms))
                    .saturating_add(1);
                next = Some(next.map_or(at, |other| other.min(at)));
            }
        }
        next
    }

    /// Drops early ESP that is too old and ends announcements; gives when there is more to do.
    fn age_early(&self, now_ms: u64) -> Option<u64> {
        let (packets, next) = self.shared.early.expire(now_ms);
        self.shared
            .counters
            .events_add(Event::DropEarlyExpired, packets);
        next
    }

    /// Tells IKE of policies whose SAs are silent; while there is no IKE it would be old news.
    fn tell_idle(&mut self, now_ms: u64) -> Option<u64> {
        if self.client.as_ref().is_none_or(|client| !client.greeted) {
            return None;
        }
        let (table, notices) = (self.shared.table.load(), &self.shared.notices);
        self.idle.sweep(&table.spd, now_ms, |policy, idle_ms| {
            notices.push(Outgoing::Idle { policy, idle_ms })
        })
    }

    /// Asks the kernel again about every path, once in a while as long as there is one.
    fn ask_paths(&mut self, now_ms: u64) -> Option<u64> {
        let table = self.shared.table.load();
        if table.paths.is_empty() {
            self.paths_again_ms = None;
            return None;
        }
        let due = *self
            .paths_again_ms
            .get_or_insert(now_ms.saturating_add(PATHS_AGAIN_MS));
        if due > now_ms {
            return Some(due);
        }
        for (remote, path) in &table.paths {
            if let Some(mtu) = path_mtu(*remote, table.mark) {
                path.set(mtu);
            }
        }
        self.paths_again_ms = Some(now_ms.saturating_add(PATHS_AGAIN_MS));
        self.paths_again_ms
    }
}
