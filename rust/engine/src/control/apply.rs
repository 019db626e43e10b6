//! Commands of the IKE process: each builds a new table and publishes it, or changes nothing and
//! says why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use super::Control;
use crate::frames::{self, parse_address, Command, Outgoing};
use crate::sys::poll::Interest;
use crate::sys::socket;
use crate::sys::tun;
use crate::table::{Bypass, Device, Interface, Table, QUEUES_MAX};

/// Most interfaces and keepalives: far above any use, so that a confused client cannot exhaust the
/// process.
const INTERFACES_MAX: usize = 256;
const KEEPALIVES_MAX: usize = 65_536;

type Reply = Result<Outgoing, String>;

impl Control {
    pub(super) fn apply(&mut self, ticket: u32, command: Command<'_>) -> Reply {
        let done = Ok(Outgoing::Done { ticket });
        match command {
            Command::Listen(listen) => self.listen(&listen).and(done),
            Command::AttachInterface(attach) => self.attach(attach).and(done),
            Command::DetachInterface(detach) => self.detach(detach.interface).and(done),
            Command::SetCarrier(carrier) => self.set_carrier(&carrier).and(done),
            Command::SetPolicies(set) => self.set_policies(set).and(done),
            Command::ArmPolicy(arm) => self.arm(&arm).and(done),
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
            None => Arc::new(self.open_device(&attach.name, attach.offload)?),
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

    fn open_device(&self, name: &str, offload: bool) -> Result<Device, String> {
        let queues = self
            .shared
            .outbound_pollers
            .len()
            .min(usize::try_from(QUEUES_MAX).unwrap_or(1));
        let queues = tun::open(name, queues, offload)
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

    fn set_carrier(&mut self, carrier: &frames::SetCarrier) -> Result<(), String> {
        let table = self.shared.table.load();
        let interface = table
            .interface(carrier.interface)
            .ok_or("no interface with this number")?;
        // The carrier is the device's, not the queue's.
        let queue = interface.device.queues.first();
        queue
            .ok_or("the device has no queue")?
            .set_carrier(carrier.up)
            .map_err(|error| format!("the carrier cannot be set: {error}"))
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

fn open_bypass(mark: u32) -> Result<Bypass, String> {
    let v4 = socket::bypass(IpAddr::V4(Ipv4Addr::UNSPECIFIED), mark)
        .map_err(|error| format!("a raw socket for bypass cannot be opened: {error}"))?;
    let v6 = socket::bypass(IpAddr::V6(Ipv6Addr::UNSPECIFIED), mark).ok();
    Ok(Bypass {
        v4: Arc::new(v4),
        v6: v6.map(Arc::new),
    })
}
