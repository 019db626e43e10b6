//! Commands of the IKE process: each builds a new table and publishes it, or changes nothing and
//! says why.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use ipsec::sa::{InboundSa, OutboundSa};
use ipsec::sad::{Sad, SadError};

use super::{convert, Control};
use crate::counters::Event;
use crate::frames::{self, parse_address, Command, Direction, Outgoing};
use crate::hold;
use crate::sys::poll::{now_ms, Interest};
use crate::sys::socket;
use crate::sys::tun;
use crate::table::{Bypass, Device, HoldQueue, Interface, PathMtu, Table, QUEUES_MAX};

/// Most interfaces and keepalives: far above any use, so that a confused client cannot exhaust the
/// process.
const INTERFACES_MAX: usize = 256;
const KEEPALIVES_MAX: usize = 65_536;
/// SPIs 0 to 255 are never an SA's (RFC 4303 §2.1).
const SPI_RESERVED_MAX: u32 = 255;

type Reply = Result<Outgoing, String>;

impl Control {
    pub(super) fn apply(&mut self, ticket: u32, command: Command<'_>) -> Reply {
        let done = Ok(Outgoing::Done { ticket });
        match command {
            Command::Listen(listen) => self.listen(&listen).and(done),
            Command::AttachInterface(attach) => self.attach(attach).and(done),
            Command::DetachInterface(detach) => self.detach(detach.interface).and(done),
            Command::SetPolicies(set) => self.set_policies(set.policies).and(done),
            Command::InstallSa(install) => self.install(install.sa).and(done),
            Command::ExpectSa(expect) => self.expect(expect.spi).and(done),
            Command::UpdateSa(update) => self.update(&update).and(done),
            Command::RemoveSa(remove) => self.remove(&remove).and(done),
            Command::Flush => {
                self.flush_all();
                done
            }
            Command::ResolveLocal(resolve) => {
                let remote = parse_address(&resolve.remote)?;
                let mark = self.shared.table.load().mark;
                let address =
                    socket::resolve_local(remote, mark).map(|address| address.to_string());
                Ok(Outgoing::LocalAddress { ticket, address })
            }
            Command::Keepalive(keepalive) => {
                if self.keepalives.len() >= KEEPALIVES_MAX && keepalive.every_ms > 0 {
                    return Err("too many keepalives".to_owned());
                }
                let (local, remote) = (
                    keepalive.local.socket_address()?,
                    keepalive.remote.socket_address()?,
                );
                self.set_keepalive(local, remote, keepalive.every_ms);
                done
            }
            Command::Hello(_) | Command::Query(_) | Command::Datagram(_) => {
                Err("not expected here".to_owned())
            }
        }
    }

    /// A copy of the published table, cheap because everything in it is shared.
    pub(super) fn draft(&self) -> Table {
        Table::clone(&self.shared.table.load())
    }

    pub(super) fn publish(&self, table: Table) {
        self.shared.table.store(Arc::new(table));
    }

    // Interfaces.

    fn attach(&mut self, attach: frames::AttachInterface) -> Result<(), String> {
        let mut table = self.draft();
        let old = table.interface(attach.interface).cloned();
        if old.is_none() && table.interfaces.len() >= INTERFACES_MAX {
            return Err(format!("at most {INTERFACES_MAX} interfaces"));
        }
        let other = |interface: &&Arc<Interface>| {
            interface.id != attach.interface && interface.name == attach.name
        };
        if table.interfaces.iter().find(other).is_some() {
            return Err(format!(
                "the device {} is attached as another interface",
                attach.name
            ));
        }
        let bypass = match (attach.bypass_mark, &old) {
            (0, _) => None,
            (mark, Some(old)) if mark == old.bypass_mark => old.bypass.clone(),
            (mark, _) => Some(open_bypass(mark)?),
        };
        let kept = old
            .as_ref()
            .filter(|o| o.name == attach.name && !o.device.dead.load(Ordering::Relaxed));
        let device = match kept {
            Some(old) => Arc::clone(&old.device),
            None => Arc::new(self.open_device(&attach.name)?),
        };
        let is_new = kept.is_none();
        let interface = Arc::new(Interface {
            id: attach.interface,
            name: attach.name,
            mtu: attach.mtu,
            bypass_mark: attach.bypass_mark,
            bypass,
            device: Arc::clone(&device),
        });
        table.interfaces.retain(|i| i.id != attach.interface);
        table.interfaces.push(interface);
        self.publish(table);
        if is_new {
            if let Some(old) = old {
                self.unwatch(&old.device);
            }
            self.watch(&device)?;
        }
        Ok(())
    }

    fn open_device(&self, name: &str) -> Result<Device, String> {
        let queues = self
            .shared
            .outbound_pollers
            .len()
            .min(usize::try_from(QUEUES_MAX).unwrap_or(1));
        let queues = tun::open(name, queues)
            .map_err(|error| format!("the TUN device {name} cannot be opened: {error}"))?;
        Ok(Device {
            token: self.shared.take_token(),
            queues,
            dead: AtomicBool::new(false),
            rx_packets: AtomicU64::new(0),
            tx_packets: AtomicU64::new(0),
        })
    }

    fn watch(&self, device: &Device) -> Result<(), String> {
        for ((queue, poller), token) in device
            .queues
            .iter()
            .zip(&self.shared.outbound_pollers)
            .zip(device.token..)
        {
            poller
                .add(queue, token, Interest::Read)
                .map_err(|error| format!("a TUN queue cannot be watched: {error}"))?;
        }
        Ok(())
    }

    fn unwatch(&self, device: &Device) {
        for (queue, poller) in device.queues.iter().zip(&self.shared.outbound_pollers) {
            // A dead queue has been taken out by its worker.
            let _ = poller.remove(queue);
        }
    }

    fn detach(&mut self, id: u32) -> Result<(), String> {
        let mut table = self.draft();
        let Some(interface) = table.interface(id).cloned() else {
            return Err("no interface with this number".to_owned());
        };
        table.interfaces.retain(|i| i.id != id);
        self.publish(table);
        self.unwatch(&interface.device);
        Ok(())
    }

    // Policies.

    fn set_policies(&mut self, policies: Vec<frames::Policy>) -> Result<(), String> {
        let policies = policies
            .into_iter()
            .map(convert::policy)
            .collect::<Result<Vec<_>, String>>()?;
        let mut table = self.draft();
        let spd = table
            .spd
            .replaced(policies)
            .map_err(|error| error.to_string())?;
        let mut holds = HashMap::new();
        for entry in spd.entries() {
            let id = entry.policy.id;
            let queue = table
                .holds
                .remove(&id)
                .unwrap_or_else(|| Arc::new(HoldQueue::new()));
            holds.insert(id, queue);
        }
        let gone = std::mem::replace(&mut table.holds, holds);
        table.spd = Arc::new(spd);
        self.publish(table);
        for queue in gone.values() {
            let mut state = queue.lock();
            state.closed = true;
            hold::flush(&self.shared, queue, &mut state);
        }
        Ok(())
    }

    // Security associations.

    fn install(&mut self, sa: frames::Sa<'_>) -> Result<(), String> {
        let now_ms = now_ms();
        let direction = sa.direction;
        let parameters = convert::sa(sa)?;
        let spi = parameters.spi;
        let (policy, remote) = (parameters.policy, parameters.path.remote.ip());
        let mut table = self.draft();
        let mut sad = Sad::clone(&table.sad);
        let first = match direction {
            Direction::In => {
                let sa = InboundSa::new(parameters, now_ms).map_err(|error| error.to_string())?;
                sad.install_inbound(sa).map_err(sad_error)?;
                false
            }
            Direction::Out => {
                let sa = OutboundSa::new(parameters, now_ms).map_err(|error| error.to_string())?;
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
        if first {
            self.release(policy);
        }
        Ok(())
    }

    /// Has early ESP for an inbound SPI kept.
    fn expect(&mut self, spi: u32) -> Result<(), String> {
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

    fn update(&mut self, update: &frames::UpdateSa) -> Result<(), String> {
        let change = convert::update(update)?;
        let mut table = self.draft();
        let mut sad = Sad::clone(&table.sad);
        match update.direction {
            Direction::In => sad.update_inbound(update.spi, &change).map_err(sad_error)?,
            Direction::Out => sad
                .update_outbound(None, update.spi, &change)
                .map_err(sad_error)?,
        }
        table.sad = Arc::new(sad);
        if let (Direction::Out, Some(remote)) = (update.direction, change.remote) {
            learn_path(&mut table, remote.ip());
            forget_paths(&mut table);
        }
        self.publish(table);
        Ok(())
    }

    fn remove(&mut self, remove: &frames::RemoveSa) -> Result<(), String> {
        if remove.direction == Direction::In {
            if let Some(packets) = self.shared.early.forget(remove.spi) {
                let counters = &self.shared.counters;
                counters.events_add(Event::DropEarlyExpired, packets);
                return Ok(());
            }
        }
        let mut table = self.draft();
        let mut sad = Sad::clone(&table.sad);
        match remove.direction {
            Direction::In => drop(sad.remove_inbound(remove.spi).map_err(sad_error)?),
            Direction::Out => drop(sad.remove_outbound(None, remove.spi).map_err(sad_error)?),
        }
        table.sad = Arc::new(sad);
        forget_paths(&mut table);
        self.publish(table);
        Ok(())
    }

    fn flush_all(&mut self) {
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
    }

    /// Tells a new client about packets that wait: the notices for them may have gone to one that
    /// is dead.
    pub(super) fn repeat_wanted(&self) {
        let table = self.shared.table.load();
        for queue in table.holds.values() {
            let state = queue.lock();
            if state.hold.packets() == 0 {
                continue;
            }
            if let Some(notice) = &state.wanted {
                self.shared.notices.packet_wanted(notice.clone());
            }
        }
    }
}

fn sad_error(error: SadError) -> String {
    error.to_string()
}

fn open_bypass(mark: u32) -> Result<Bypass, String> {
    let v4 = socket::bypass(IpAddr::V4(Ipv4Addr::UNSPECIFIED), mark)
        .map_err(|error| format!("a raw socket for bypass cannot be opened: {error}"))?;
    let v6 = socket::bypass(IpAddr::V6(Ipv6Addr::UNSPECIFIED), mark).ok();
    Ok(Bypass {
        v4: Arc::new(v4),
        v6: v6.map(Arc::new),
    })
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

/// Forgets paths that no outbound SA uses.
fn forget_paths(table: &mut Table) {
    let sad = Arc::clone(&table.sad);
    table.paths.retain(|remote, _| {
        sad.outbounds()
            .any(|sa| sa.parameters().path.remote.ip() == *remote)
    });
}
