//! What the packet threads read: a published snapshot of policies, SAs, interfaces and sockets.
//!
//! The control thread builds a new table and swaps it in; a packet thread loads it once for each
//! batch, without a lock.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipsec::hold::Hold;
use ipsec::packet::Version;
use ipsec::sa::{Fixed, Path};
use ipsec::sad::Sad;
use ipsec::spd::{OnNoSa, Spd};

use crate::counters::Counters;
use crate::early::Early;
use crate::frames::Outgoing;
use crate::notice::Notices;
use crate::sys::poll::{Interest, Poller, Waker};
use crate::sys::socket::{is_any, Pair};
use crate::sys::tun::{Offload, TunQueue};

/// What a way out speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// A UDP port; with `nat_t` it carries ESP and marked IKE (RFC 3948), else plain IKE.
    Udp { bound: SocketAddr, nat_t: bool },
    /// IP protocol 50 of one family.
    Esp { version: Version },
}

/// A way out to the network, and in.
#[derive(Clone)]
pub struct Exit {
    /// Names it to the poller; never used twice.
    pub token: u64,
    pub kind: ExitKind,
    pub pair: Arc<Pair>,
}

impl Exit {
    /// Is this the UDP port `address`?
    pub fn is_bound_to(&self, address: SocketAddr) -> bool {
        matches!(self.kind, ExitKind::Udp { bound, .. } if bound == address)
    }

    fn serves(&self, path: &Path) -> bool {
        match self.kind {
            ExitKind::Udp { bound, nat_t } => {
                path.encap
                    && nat_t
                    && bound.port() == path.local.port()
                    && bound.is_ipv4() == path.remote.is_ipv4()
                    && (bound.ip() == path.local.ip() || is_any(bound.ip()))
            }
            ExitKind::Esp { version } => !path.encap && version == Version::of(&path.remote.ip()),
        }
    }
}

/// One attached TUN device.
pub struct Interface {
    pub id: u32,
    pub name: String,
    pub mtu: u32,
    /// Mark of packets sent in clear; 0 = no bypass.
    pub bypass_mark: u32,
    pub bypass: Option<Bypass>,
    pub device: Arc<Device>,
}

/// Raw sockets for packets that go in clear.
#[derive(Clone)]
pub struct Bypass {
    pub v4: Arc<OwnedFd>,
    pub v6: Option<Arc<OwnedFd>>,
}

/// The open queues of a TUN device; shared by the snapshots that know it.
pub struct Device {
    /// Names the queues to the pollers: token + queue number; never used twice.
    pub token: u64,
    pub queues: Vec<TunQueue>,
    /// A queue reported that the device is gone.
    pub dead: AtomicBool,
    pub rx_packets: AtomicU64,
    pub tx_packets: AtomicU64,
}

impl Device {
    /// What its packets may look like; all queues agree.
    pub fn offload(&self) -> Offload {
        self.queues.first().map_or(Offload::None, TunQueue::offload)
    }
}

/// Queues a device may have; tokens of devices are that far apart.
pub const QUEUES_MAX: u64 = 64;

/// Held packets of one policy, and what IKE was told about them.
pub struct HoldQueue {
    inner: Mutex<HoldState>,
    /// Packets inside, readable without the lock; changed only under it.
    pub held: AtomicUsize,
}

/// Behind the lock of a hold queue.
pub struct HoldState {
    pub hold: Hold<Vec<u8>>,
    /// What the policy says now; it changes more often than the SPD.
    pub on_no_sa: OnNoSa,
    /// The policy is gone; nothing may be held any more.
    pub closed: bool,
    pub wanted_at_ms: Option<u64>,
    /// The notice for the packet that wanted an SA last.
    pub wanted: Option<Outgoing>,
}

impl HoldQueue {
    pub fn new(on_no_sa: OnNoSa) -> Self {
        let state = HoldState {
            hold: Hold::default(),
            on_no_sa,
            closed: false,
            wanted_at_ms: None,
            wanted: None,
        };
        Self {
            inner: Mutex::new(state),
            held: AtomicUsize::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, HoldState> {
        // A queue is whole between any two statements; a worker that panicked while sealing lost at
        // most its own packet.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path MTU towards one peer address, as far as the kernel knows.
pub struct PathMtu {
    mtu: AtomicU32,
}

impl PathMtu {
    pub fn new(mtu: u32) -> Self {
        Self {
            mtu: AtomicU32::new(mtu),
        }
    }

    pub fn get(&self) -> usize {
        usize::try_from(self.mtu.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    pub fn set(&self, mtu: u32) {
        self.mtu.store(mtu, Ordering::Relaxed);
    }
}

/// The snapshot.
#[derive(Clone, Default)]
pub struct Table {
    pub spd: Arc<Spd>,
    pub sad: Arc<Sad>,
    pub exits: Vec<Exit>,
    pub interfaces: Vec<Arc<Interface>>,
    pub holds: Arc<HashMap<u32, Arc<HoldQueue>>>,
    pub paths: HashMap<IpAddr, Arc<PathMtu>>,
    /// SO_MARK of the outer sockets.
    pub mark: u32,
}

/// Assumed while a path has not been asked about: Ethernet.
pub const PATH_MTU_DEFAULT: usize = 1500;

impl Table {
    pub fn interface(&self, id: u32) -> Option<&Arc<Interface>> {
        self.interfaces.iter().find(|interface| interface.id == id)
    }

    /// The interface and queue that a poller's token names.
    pub fn queue(&self, token: u64) -> Option<(&Arc<Interface>, usize)> {
        self.interfaces.iter().find_map(|interface| {
            let queue = usize::try_from(token.checked_sub(interface.device.token)?).ok()?;
            (queue < interface.device.queues.len()).then_some((interface, queue))
        })
    }

    pub fn exit(&self, token: u64) -> Option<&Exit> {
        self.exits.iter().find(|exit| exit.token == token)
    }

    /// Index of the way out for packets of an SA.
    pub fn exit_for(&self, path: &Path) -> Option<usize> {
        self.exits.iter().position(|exit| exit.serves(path))
    }

    /// Index of the way out for an IKE datagram from `local`.
    pub fn exit_for_ike(&self, local: SocketAddr) -> Option<usize> {
        let any = is_any(local.ip());
        self.exits.iter().position(|exit| match exit.kind {
            ExitKind::Udp { bound, .. } => {
                bound.port() == local.port()
                    && bound.is_ipv4() == local.is_ipv4()
                    && (any || is_any(bound.ip()) || bound.ip() == local.ip())
            }
            ExitKind::Esp { .. } => false,
        })
    }

    /// The largest inner packet of an SA that fits its path.
    pub fn inner_mtu(&self, sa: &Fixed) -> usize {
        let remote = sa.path.remote.ip();
        let outer = self
            .paths
            .get(&remote)
            .map_or(PATH_MTU_DEFAULT, |path| path.get());
        ipsec::pmtu::inner_mtu(outer, Version::of(&remote), sa.path.encap, &sa.suite)
    }
}

/// What all threads of one plane share.
pub struct Shared {
    pub table: ArcSwap<Table>,
    pub counters: Counters,
    pub notices: Notices,
    /// Packets in all hold queues; zero lets the packet path skip looking.
    pub held_total: AtomicUsize,
    /// ESP that came before its SA.
    pub early: Early,
    pub stopping: AtomicBool,
    /// One for each outbound worker.
    pub outbound_pollers: Vec<Poller>,
    pub inbound_poller: Poller,
    /// Makes the inbound worker look at `stopping` and at what of `early` is ready.
    pub inbound_waker: Waker,
    next_token: AtomicU64,
}

/// The token of a worker's own wake-up descriptor.
pub const TOKEN_WAKE: u64 = 0;

impl Shared {
    pub fn new(workers: usize) -> io::Result<Self> {
        let (inbound_poller, inbound_waker) = (Poller::new()?, Waker::new()?);
        inbound_poller.add(&inbound_waker, TOKEN_WAKE, Interest::Read)?;
        Ok(Self {
            table: ArcSwap::from_pointee(Table::default()),
            counters: Counters::default(),
            notices: Notices::new()?,
            held_total: AtomicUsize::new(0),
            early: Early::default(),
            stopping: AtomicBool::new(false),
            outbound_pollers: (0..workers)
                .map(|_| Poller::new())
                .collect::<io::Result<_>>()?,
            inbound_poller,
            inbound_waker,
            next_token: AtomicU64::new(QUEUES_MAX),
        })
    }

    /// A range of tokens for the queues of one device, or for one exit.
    pub fn take_token(&self) -> u64 {
        self.next_token.fetch_add(QUEUES_MAX, Ordering::Relaxed)
    }
}
