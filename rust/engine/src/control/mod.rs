//! The control thread: one IKE client, its commands, the notices for it, and the timers of the
//! plane.
//!
//! The client may die at any time; the plane forwards on and waits for the next one, which replaces
//! the first also while that lives.

mod apply;
mod convert;
mod databases;
mod idle;
mod ports;
mod timers;
mod views;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use rustix::io::Errno;
use zeroize::Zeroize;

use crate::counters::Event;
use crate::frames::{decode, encode, Command, Outgoing, VERSION};
use crate::ledger::Ledger;
use crate::pipeline::Pipeline;
use crate::sys::poll::{Alarm, Interest, Poller, Waker};
use crate::sys::seqpacket::{Connection, Listener, FRAME_OCTETS_MAX};
use crate::table::{Shared, TOKEN_WAKE};

const TOKEN_LISTENER: u64 = 1;
const TOKEN_NOTICES: u64 = 2;
const TOKEN_ALARM: u64 = 3;
/// Each client has a token of its own from here on, so that an event of an old one is not taken for
/// the new one's.
const TOKEN_CLIENTS: u64 = 16;

/// Frames read from the client before other events are looked at.
const FRAMES_AT_ONCE: usize = 64;

struct Client {
    connection: Connection,
    token: u64,
    greeted: bool,
    /// Frames that the client has not taken yet. While there are any, no command is read and no
    /// notice is added, so this holds at most the answer to one command.
    unsent: VecDeque<Vec<u8>>,
}

/// State of the control thread.
pub struct Control {
    shared: Arc<Shared>,
    listener: Listener,
    poller: Poller,
    alarm: Alarm,
    client: Option<Client>,
    clients_seen: u64,
    buffer: Vec<u8>,
    pipeline: Pipeline,
    keepalives: Vec<timers::Keepalive>,
    /// Parts of an SPD that is not whole yet.
    gathered: databases::Gathered,
    idle: idle::Clocks,
    /// How far each SA has counted, for a plane that comes after this one.
    ledger: Ledger,
    /// When paths that were found narrow are asked about again.
    paths_again_ms: Option<u64>,
}

impl Control {
    pub fn new(shared: Arc<Shared>, listener: Listener, ledger: Ledger) -> io::Result<Self> {
        let poller = Poller::new()?;
        let alarm = Alarm::new()?;
        poller.add(&listener, TOKEN_LISTENER, Interest::Read)?;
        poller.add(&shared.notices.waker, TOKEN_NOTICES, Interest::Read)?;
        poller.add(&alarm, TOKEN_ALARM, Interest::Read)?;
        Ok(Self {
            shared,
            listener,
            poller,
            alarm,
            client: None,
            clients_seen: 0,
            // One octet more than a frame may have shows a frame that is too long.
            buffer: vec![0; FRAME_OCTETS_MAX + 1],
            pipeline: Pipeline::new(),
            keepalives: Vec::new(),
            gathered: databases::Gathered::default(),
            idle: idle::Clocks::default(),
            ledger,
            paths_again_ms: None,
        })
    }

    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Runs until the plane stops.
    pub fn run(&mut self, waker: &Waker) {
        let mut events = Vec::new();
        // After a panic these may be half-used; the first time it costs nothing.
        self.buffer.resize(FRAME_OCTETS_MAX + 1, 0);
        self.pipeline = Pipeline::new();
        while !self.shared.stopping.load(Ordering::Relaxed) {
            self.run_timers();
            if self.poller.wait(&mut events, None).is_err() {
                self.shared.counters.event(Event::DescriptorErrors);
                return;
            }
            for event in &events {
                match event.token {
                    TOKEN_WAKE => waker.clear(),
                    TOKEN_LISTENER => self.accept(),
                    TOKEN_NOTICES => self.shared.notices.waker.clear(),
                    TOKEN_ALARM => self.alarm.clear(),
                    token
                        if self
                            .client
                            .as_ref()
                            .is_some_and(|client| client.token == token) =>
                    {
                        if event.writable {
                            self.send_unsent();
                        }
                        if event.readable || event.hung_up {
                            self.read_frames();
                        }
                    }
                    _ => {}
                }
            }
            self.send_notices();
        }
    }

    fn accept(&mut self) {
        let Ok((connection, uid)) = self.listener.accept() else {
            return;
        };
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            return self.shared.counters.event(Event::ConnectionsRefused);
        }
        self.drop_client();
        self.clients_seen = self.clients_seen.wrapping_add(1);
        let token = TOKEN_CLIENTS.wrapping_add(self.clients_seen);
        if self.poller.add(&connection, token, Interest::Read).is_err() {
            return self.shared.counters.event(Event::DescriptorErrors);
        }
        self.client = Some(Client {
            connection,
            token,
            greeted: false,
            unsent: VecDeque::new(),
        });
    }

    fn drop_client(&mut self) {
        if let Some(client) = self.client.take() {
            // Closing would take it out as well; the order is made plain.
            let _ = self.poller.remove(&client.connection);
        }
    }

    fn read_frames(&mut self) {
        for _ in 0..FRAMES_AT_ONCE {
            let Some(client) = self
                .client
                .as_ref()
                .filter(|client| client.unsent.is_empty())
            else {
                return;
            };
            match client.connection.receive(&mut self.buffer) {
                Ok(0) => return self.drop_client(),
                Ok(length) => {
                    let mut frame = std::mem::take(&mut self.buffer);
                    self.on_frame(&frame[..length]);
                    // It may have held keys.
                    frame[..length].zeroize();
                    self.buffer = frame;
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => return self.drop_client(),
            }
        }
    }

    fn on_frame(&mut self, frame: &[u8]) {
        if frame.len() > FRAME_OCTETS_MAX {
            return self.refuse(0, "the frame is longer than 131072 octets".to_owned());
        }
        match decode(frame) {
            Err(unreadable) => self.refuse(unreadable.ticket, unreadable.reason),
            Ok((ticket, Command::Hello(hello))) => self.greet(ticket, hello.version),
            Ok((ticket, _)) if self.client.as_ref().is_none_or(|client| !client.greeted) => {
                self.refuse(ticket, "say hello first".to_owned());
            }
            Ok((_, Command::Datagram(datagram))) => self.send_datagram(&datagram),
            Ok((ticket, Command::Query(query))) => {
                for reply in views::answer(&self.shared, &self.idle, ticket, query.what) {
                    self.send(&reply);
                }
            }
            Ok((ticket, command)) => match self.apply(ticket, command) {
                Ok(reply) => self.send(&reply),
                Err(reason) => self.refuse(ticket, reason),
            },
        }
    }

    fn greet(&mut self, ticket: u32, version: u32) {
        if version != VERSION {
            return self.refuse(ticket, format!("this plane speaks version {VERSION}"));
        }
        let pid = std::process::id();
        self.send(&Outgoing::Hello {
            ticket,
            version: VERSION,
            pid,
        });
        if let Some(client) = self.client.as_mut() {
            client.greeted = true;
        }
        self.gathered = databases::Gathered::default();
        self.repeat_wanted();
        self.idle.tell_again();
    }

    fn refuse(&mut self, ticket: u32, reason: String) {
        self.shared.counters.event(Event::FramesRefused);
        self.send(&Outgoing::Refused { ticket, reason });
    }

    /// Sends one frame, or keeps it until the client takes it.
    fn send(&mut self, message: &Outgoing) {
        let Some(client) = self.client.as_mut() else {
            return;
        };
        client.unsent.push_back(encode(message));
        self.send_unsent();
    }

    fn send_unsent(&mut self) {
        let Some(client) = self.client.as_mut() else {
            return;
        };
        while let Some(frame) = client.unsent.front() {
            match client.connection.send(frame) {
                Ok(()) => {
                    client.unsent.pop_front();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return self.drop_client(),
            }
        }
        // A client that does not take its answers is not read from either.
        let interest = if client.unsent.is_empty() {
            Interest::Read
        } else {
            Interest::Write
        };
        if self
            .poller
            .modify(&client.connection, client.token, interest)
            .is_err()
        {
            self.drop_client();
        }
    }

    /// Hands waiting notices to a client that keeps up.
    fn send_notices(&mut self) {
        while self
            .client
            .as_ref()
            .is_some_and(|client| client.greeted && client.unsent.is_empty())
        {
            let Some(notice) = self.shared.notices.pop() else {
                return;
            };
            if let Outgoing::NoticesLost { count } = &notice {
                self.shared.counters.events_add(Event::NoticesLost, *count);
            }
            self.send(&notice);
        }
    }
}
