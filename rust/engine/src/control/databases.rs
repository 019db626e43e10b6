//! The SPD and the SAD as IKE asks for them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipsec::sa::{InboundSa, OutboundSa};
use ipsec::sad::{Sad, SadError};
use ipsec::spd::Policy;

use super::{convert, Control};
use crate::counters::Event;
use crate::frames::{self, Direction};
use crate::hold;
use crate::sys::poll::now_ms;
use crate::sys::socket;
use crate::table::{HoldQueue, PathMtu, Table};

/// Most policies: far above any use, so that a confused client cannot exhaust the process.
const POLICIES_MAX: usize = 65_536;
/// SPIs 0 to 255 are never an SA's (RFC 4303 §2.1).
const SPI_RESERVED_MAX: u32 = 255;

/// Parts of an SPD until the last one comes.
#[derive(Default)]
pub struct Gathered {
    parts: u32,
    policies: Vec<Policy>,
}

impl Control {
    /// Gathers the parts of a list; the last one puts all of it in force. A part that is refused,
    /// or never came, makes the rest refused too: half an SPD must not be in force.
    pub(super) fn set_policies(&mut self, set: frames::SetPolicies) -> Result<(), String> {
        let mut gathered = std::mem::take(&mut self.gathered);
        if set.part == 0 {
            gathered = Gathered::default();
        }
        if set.part != gathered.parts {
            return Err("a part of the policies is missing".to_owned());
        }
        if gathered.policies.len() + set.policies.len() > POLICIES_MAX {
            return Err(format!("at most {POLICIES_MAX} policies"));
        }
        for policy in set.policies {
            gathered.policies.push(convert::policy(policy)?);
        }
        if !set.more {
            return self.replace_policies(gathered.policies);
        }
        gathered.parts += 1;
        self.gathered = gathered;
        Ok(())
    }

    fn replace_policies(&mut self, policies: Vec<Policy>) -> Result<(), String> {
        let mut table = self.draft();
        let spd = table
            .spd
            .replaced(policies)
            .map_err(|error| error.to_string())?;
        let before = Arc::clone(&table.holds);
        let mut holds = HashMap::with_capacity(spd.entries().len());
        for entry in spd.entries() {
            let (id, on_no_sa) = (entry.policy.id, entry.policy.on_no_sa);
            let queue = before
                .get(&id)
                .map_or_else(|| Arc::new(HoldQueue::new(on_no_sa)), Arc::clone);
            holds.insert(id, queue);
        }
        let spd = Arc::new(spd);
        table.holds = Arc::new(holds);
        table.spd = Arc::clone(&spd);
        self.publish(table);
        let now_ms = now_ms();
        for (id, queue) in before.iter() {
            let mut state = queue.lock();
            match spd.get(*id) {
                Some(entry) => {
                    let on_no_sa = entry.policy.on_no_sa;
                    hold::arm(&self.shared, &mut state, *id, on_no_sa, now_ms);
                }
                None => {
                    state.closed = true;
                    hold::flush(&self.shared, queue, &mut state);
                }
            }
        }
        self.idle.look_again();
        Ok(())
    }

    pub(super) fn arm(&mut self, arm: &frames::ArmPolicy) -> Result<(), String> {
        let table = self.shared.table.load();
        let queue = table
            .holds
            .get(&arm.policy)
            .ok_or("no policy with this number")?;
        let on_no_sa = convert::on_no_sa(arm.on_no_sa);
        let mut state = queue.lock();
        hold::arm(&self.shared, &mut state, arm.policy, on_no_sa, now_ms());
        Ok(())
    }

    // Security associations.

    pub(super) fn install(&mut self, sa: frames::Sa<'_>) -> Result<(), String> {
        let now_ms = now_ms();
        let direction = sa.direction;
        let kept = if sa.resume {
            let found = self.ledger.resume(sa.count_as);
            found.ok_or("how far it has counted is not known")?
        } else {
            self.ledger.begin(sa.count_as)
        };
        let parameters = convert::sa(sa)?;
        let spi = parameters.spi;
        let (policy, remote) = (parameters.policy, parameters.path.remote.ip());
        let mut table = self.draft();
        let mut sad = Sad::clone(&table.sad);
        let first = match direction {
            Direction::In => {
                let sa = InboundSa::resumed(parameters, now_ms, kept);
                let sa = sa.map_err(|error| error.to_string())?;
                sad.install_inbound(sa).map_err(sad_error)?;
                false
            }
            Direction::Out => {
                let sa = OutboundSa::resumed(parameters, now_ms, kept);
                let sa = sa.map_err(|error| error.to_string())?;
                sad.install_outbound(sa).map_err(sad_error)?
            }
        };
        if direction == Direction::Out {
            learn_path(&mut table, remote);
        }
        table.sad = Arc::new(sad);
        match direction {
            Direction::In => {
                if self.shared.early.install(spi, || self.publish(table)) {
                    self.shared.inbound_waker.wake();
                }
            }
            Direction::Out => self.publish(table),
        }
        self.idle.installed(policy, now_ms);
        if first {
            self.release(policy);
        }
        Ok(())
    }

    /// Has early ESP for an inbound SPI kept.
    pub(super) fn expect(&mut self, spi: u32) -> Result<(), String> {
        if spi <= SPI_RESERVED_MAX {
            return Err("SPIs up to 255 are reserved".to_owned());
        }
        if self.shared.table.load().sad.inbound(spi).is_some() {
            return Err(sad_error(SadError::Duplicate));
        }
        self.shared.early.expect(spi, now_ms())
    }

    /// Sends what was held for a policy whose first outbound SA has just been published.
    fn release(&mut self, policy: u32) {
        let table = self.shared.table.load_full();
        let parts = table.spd.get(policy).zip(table.holds.get(&policy));
        let Some((entry, queue)) = parts else { return };
        let Some(interface) = table.interface(entry.policy.interface) else {
            return;
        };
        let mut state = queue.lock();
        state.wanted_at_ms = None;
        state.wanted = None;
        self.pipeline.release(
            &self.shared,
            &table,
            queue,
            &mut state,
            interface,
            entry,
            now_ms(),
        );
    }

    pub(super) fn update(&mut self, update: &frames::UpdateSa) -> Result<(), String> {
        let change = convert::update(update)?;
        let mut table = self.draft();
        let mut sad = Sad::clone(&table.sad);
        match update.direction {
            Direction::In => {
                check_inbound(&sad, update.spi, update.policy)?;
                sad.update_inbound(update.spi, &change).map_err(sad_error)?;
            }
            Direction::Out => sad
                .update_outbound(update.policy, update.spi, &change)
                .map_err(sad_error)?,
        }
        let old = Arc::clone(&table.sad);
        table.sad = Arc::new(sad);
        if let (Direction::Out, Some(remote)) = (update.direction, change.remote) {
            learn_path(&mut table, remote.ip());
            let list = old.outbounds().map(|sa| sa.parameters());
            let left = list.filter(|sa| sa.spi == update.spi);
            left.for_each(|sa| forget_path(&mut table, sa.path.remote.ip()));
        }
        self.publish(table);
        Ok(())
    }

    pub(super) fn remove(&mut self, remove: &frames::RemoveSa) -> Result<(), String> {
        if remove.direction == Direction::In {
            if let Some(packets) = self.shared.early.forget(remove.spi) {
                let counters = &self.shared.counters;
                counters.events_add(Event::DropEarlyExpired, packets);
                return Ok(());
            }
        }
        let mut table = self.draft();
        let mut sad = Sad::clone(&table.sad);
        let policy = match remove.direction {
            Direction::In => {
                check_inbound(&sad, remove.spi, remove.policy)?;
                let gone = sad.remove_inbound(remove.spi).map_err(sad_error)?;
                table.sad = Arc::new(sad);
                gone.parameters().policy
            }
            Direction::Out => {
                let gone = sad
                    .remove_outbound(remove.policy, remove.spi)
                    .map_err(sad_error)?;
                table.sad = Arc::new(sad);
                forget_path(&mut table, gone.parameters().path.remote.ip());
                gone.parameters().policy
            }
        };
        self.publish(table);
        self.idle.removed(policy);
        Ok(())
    }

    pub(super) fn flush_all(&mut self) {
        let mut table = self.draft();
        table.sad = Arc::new(Sad::default());
        table.paths.clear();
        let holds = table.holds.clone();
        self.publish(table);
        let packets = self.shared.early.flush();
        let counters = &self.shared.counters;
        counters.events_add(Event::DropEarlyExpired, packets);
        for queue in holds.values() {
            hold::flush(&self.shared, queue, &mut queue.lock());
        }
        self.idle.clear();
    }
}

fn sad_error(error: SadError) -> String {
    error.to_string()
}

/// Refuses an inbound SA of another policy than the one named.
fn check_inbound(sad: &Sad, spi: u32, policy: Option<u32>) -> Result<(), String> {
    let other = |sa: &&Arc<InboundSa>| policy.is_some_and(|id| sa.parameters().policy != id);
    match sad.inbound(spi).filter(other) {
        Some(_) => Err(sad_error(SadError::Unknown)),
        None => Ok(()),
    }
}

/// Asks the kernel about the path to a peer.
fn learn_path(table: &mut Table, remote: IpAddr) {
    let Some(mtu) = socket::path_mtu(remote, table.mark) else {
        return;
    };
    match table.paths.get(&remote) {
        Some(path) => path.set(mtu),
        None => {
            table.paths.insert(remote, Arc::new(PathMtu::new(mtu)));
        }
    }
}

/// Forgets a path if no outbound SA uses it.
fn forget_path(table: &mut Table, remote: IpAddr) {
    let mut ends = table.sad.outbounds().map(|sa| sa.parameters().path.remote);
    if !ends.any(|end| end.ip() == remote) {
        table.paths.remove(&remote);
    }
}
