//! The outer side: opening and closing ports, and sending for IKE.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ipsec::nat::NON_ESP_MARKER;
use ipsec::packet::Version;

use super::Control;
use crate::counters::Event;
use crate::frames::{self, parse_address};
use crate::sys::batch::{Sender, Transmit};
use crate::sys::poll::{now_ms, Interest};
use crate::sys::socket::{self, is_any, Pair};
use crate::table::{Exit, ExitKind};

/// Most UDP ports: far above any use, so that a confused client cannot exhaust the process.
const PORTS_MAX: usize = 64;
/// A closed port is free once the packet threads have left the batch that still knew it.
const FREE_TRIES: usize = 10;
const FREE_WAIT: Duration = Duration::from_millis(5);

impl Control {
    /// Makes the open ports those that are named. Those not named are closed first, because a new
    /// one may want the same port on another address; if one then cannot be opened, the command is
    /// refused and those that stayed go on.
    pub(super) fn listen(&mut self, listen: &frames::Listen) -> Result<(), String> {
        if listen.ports.len() > PORTS_MAX {
            return Err(format!("at most {PORTS_MAX} ports"));
        }
        let mut wanted: Vec<(SocketAddr, bool)> = Vec::new();
        for port in &listen.ports {
            let bound = SocketAddr::new(parse_address(&port.address)?, port.port);
            if wanted.iter().any(|(other, _)| *other == bound) {
                return Err(format!("the port {bound} is named twice"));
            }
            wanted.push((bound, port.nat_t));
        }
        self.close_all_but(&wanted);
        let mut table = self.draft();
        if listen.mark != table.mark {
            for exit in &table.exits {
                for one in [&exit.pair.df_set, &exit.pair.df_clear] {
                    socket::set_mark(one, listen.mark)
                        .map_err(|error| format!("the mark cannot be set: {error}"))?;
                }
            }
            table.mark = listen.mark;
        }
        let mut fresh: Vec<Exit> = Vec::new();
        for (bound, nat_t) in wanted {
            let kind = ExitKind::Udp { bound, nat_t };
            match table.exits.iter_mut().find(|exit| exit.is_bound_to(bound)) {
                Some(exit) => exit.kind = kind,
                None => fresh.push(self.exit(kind, open_udp(bound, listen.mark)?)),
            }
        }
        let families = [
            (Version::V4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            (Version::V6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        ];
        for (version, any) in families {
            let kind = ExitKind::Esp { version };
            if table.exits.iter().any(|exit| exit.kind == kind) {
                continue;
            }
            match socket::esp_pair(any, listen.mark) {
                Ok(pair) => fresh.push(self.exit(kind, pair)),
                // A system without IPv6 has IPv4 all the same.
                Err(error)
                    if version == Version::V6
                        && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                Err(error) => {
                    return Err(format!("a raw socket for ESP cannot be opened: {error}"));
                }
            }
        }
        table.exits.extend(fresh.iter().cloned());
        self.publish(table);
        // After publishing, so that the first event finds its socket in the table.
        for exit in &fresh {
            self.shared
                .inbound_poller
                .add(&exit.pair.df_set, exit.token, Interest::Read)
                .map_err(|error| format!("a socket cannot be watched: {error}"))?;
        }
        Ok(())
    }

    fn exit(&self, kind: ExitKind, pair: Pair) -> Exit {
        Exit {
            token: self.shared.take_token(),
            kind,
            pair: Arc::new(pair),
        }
    }

    fn close_all_but(&self, wanted: &[(SocketAddr, bool)]) {
        let mut table = self.draft();
        let stays = |exit: &Exit| match exit.kind {
            ExitKind::Udp { bound, .. } => wanted.iter().any(|(other, _)| *other == bound),
            ExitKind::Esp { .. } => true,
        };
        for exit in table.exits.iter().filter(|exit| !stays(exit)) {
            // No event may come for it while an old snapshot still holds it open.
            let _ = self.shared.inbound_poller.remove(&exit.pair.df_set);
        }
        table.exits.retain(stays);
        self.publish(table);
    }

    pub(super) fn send_datagram(&mut self, datagram: &frames::Datagram<'_>) {
        let now_ms = now_ms();
        let (Ok(local), Ok(remote)) = (
            datagram.local.socket_address(),
            datagram.remote.socket_address(),
        ) else {
            return self.shared.counters.event(Event::FramesRefused);
        };
        let table = self.shared.table.load();
        let Some(exit) = table
            .exit_for_ike(local)
            .and_then(|index| table.exits.get(index))
        else {
            self.shared.counters.event(Event::DropNoPort);
            return self
                .shared
                .notices
                .send_failed(remote, libc::EADDRNOTAVAIL, now_ms);
        };
        let marker: &[u8] = match exit.kind {
            ExitKind::Udp { nat_t: true, .. } => &NON_ESP_MARKER,
            _ => &[],
        };
        let octets = [marker, datagram.octets.as_ref()].concat();
        let item = Transmit {
            start: 0,
            end: octets.len(),
            remote,
            local: (!is_any(local.ip())).then_some(local.ip()),
            traffic_class: 0,
        };
        let socket = if datagram.df {
            &exit.pair.df_set
        } else {
            &exit.pair.df_clear
        };
        let mut failure = None;
        Sender::new().send(socket.as_fd(), &octets, &[item], false, |_, errno| {
            failure = Some(errno)
        });
        match failure {
            None => self.shared.counters.event(Event::IkeSent),
            Some(errno) => self.shared.notices.send_failed(remote, errno, now_ms),
        }
    }
}

/// Opens a UDP port, with a little patience for one that is being closed.
fn open_udp(bound: SocketAddr, mark: u32) -> Result<Pair, String> {
    let mut tries = 1;
    loop {
        match socket::udp_pair(bound, mark) {
            Ok(pair) => return Ok(pair),
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) && tries < FREE_TRIES => {
                tries += 1;
                std::thread::sleep(FREE_WAIT);
            }
            Err(error) => return Err(format!("UDP {bound} cannot be opened: {error}")),
        }
    }
}
