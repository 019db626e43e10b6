//! One security association: fixed parameters, keys, counters.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::cipher::{Cipher, Suite, SuiteError};
use crate::esp::Authenticated;
use crate::lifetime::{Limits, Usage};
use crate::replay::{Place, Replay, Window};
use crate::selector::Selectors;
use crate::sequence::Sequence;
use crate::stats::Counters;
use crate::tally::{self, Kept};
use crate::tunnel::DfPolicy;

/// Octets of a key: wiped on drop, never shown.
pub struct KeyOctets(Zeroizing<Vec<u8>>);

impl KeyOctets {
    /// The octets, for building key contexts.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for KeyOctets {
    fn from(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }
}

impl fmt::Debug for KeyOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyOctets({} octets)", self.0.len())
    }
}

/// Where the outer packets of an SA go, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Our end; the port matters with `encap`.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// ESP in UDP (RFC 3948).
    pub encap: bool,
    /// The outer don't-fragment flag.
    pub df: DfPolicy,
}

/// Everything IKE says when it installs an SA.
#[derive(Debug)]
pub struct SaParameters {
    /// The SPI on the wire: ours for inbound, the peer's for outbound. At least 256 (RFC 4303 §2.1).
    pub spi: u32,
    /// The policy it serves.
    pub policy: u32,
    /// "tunnel/rule", for operators.
    pub name: String,
    /// The transforms.
    pub suite: Suite,
    /// Encryption key, with the salt after it where the transform has one.
    pub encr_key: KeyOctets,
    /// Integrity key; empty for AEAD.
    pub integ_key: KeyOctets,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Packets in the anti-replay window; 0 = off. Ignored for outbound.
    pub replay_window: u32,
    /// Outer ends.
    pub path: Path,
    /// What it may carry.
    pub selectors: Selectors,
    /// Lifetimes.
    pub limits: Limits,
    /// Outbound: used only when no other SA of the policy can be.
    pub standby: bool,
    /// Opaque octets kept for IKE.
    pub tag: Vec<u8>,
}

/// Why an SA is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaError {
    /// SPIs 0 to 255 are reserved (RFC 4303 §2.1).
    ReservedSpi,
    /// The keys do not fit the transforms.
    Suite(SuiteError),
    /// The window is neither 0 nor between 64 and 4096.
    ReplayWindow,
    /// The ends are of different IP versions.
    MixedVersions,
}

impl fmt::Display for SaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaError::ReservedSpi => f.write_str("SPIs below 256 are reserved"),
            SaError::Suite(error) => error.fmt(f),
            SaError::ReplayWindow => f.write_str("replay window must be 0 or 64 to 4096"),
            SaError::MixedVersions => f.write_str("IPv4 and IPv6 in one pair of outer addresses"),
        }
    }
}

impl std::error::Error for SaError {}

/// What can change while an SA lives; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct SaUpdate {
    /// Take it into or out of standby.
    pub standby: Option<bool>,
    /// Our end.
    pub local: Option<SocketAddr>,
    /// The peer's end.
    pub remote: Option<SocketAddr>,
    /// UDP encapsulation.
    pub encap: Option<bool>,
    /// Limits; soft notices may come again.
    pub limits: Option<Limits>,
}

/// What is fixed about an SA and free of secrets.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The SPI on the wire.
    pub spi: u32,
    /// The policy it serves.
    pub policy: u32,
    /// "tunnel/rule".
    pub name: Arc<str>,
    /// The transforms.
    pub suite: Suite,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Packets in the anti-replay window; 0 = off.
    pub replay_window: u32,
    /// Outer ends.
    pub path: Path,
    /// What it may carry.
    pub selectors: Arc<Selectors>,
    /// Lifetimes.
    pub limits: Limits,
    /// Used only when no other SA of the policy can be.
    pub standby: bool,
    /// Opaque octets kept for IKE.
    pub tag: Arc<[u8]>,
    /// When it was installed.
    pub installed_ms: u64,
}

/// What all copies of one SA share: counters and the time of last use.
#[derive(Debug)]
pub struct Shared {
    /// Octets and packets.
    pub usage: Usage,
    /// Refusals.
    pub drops: Counters,
    /// Time of last use plus one; 0 = never.
    last_used: AtomicU64,
    /// Has a packet been passed on?
    passed: AtomicBool,
}

impl Shared {
    fn new(kept: Kept) -> Self {
        Self {
            usage: Usage::new(kept),
            drops: Counters::default(),
            last_used: AtomicU64::new(0),
            passed: AtomicBool::new(false),
        }
    }

    /// When a packet last passed, in the caller's milliseconds.
    pub fn last_used_ms(&self) -> Option<u64> {
        self.last_used.load(Ordering::Relaxed).checked_sub(1)
    }

    /// True for exactly one caller.
    pub(crate) fn is_first(&self) -> bool {
        !self.passed.load(Ordering::Relaxed) && !self.passed.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn used(&self, now_ms: u64) {
        let mark = now_ms.saturating_add(1);
        if self.last_used.load(Ordering::Relaxed) < mark {
            self.last_used.fetch_max(mark, Ordering::Relaxed);
        }
    }
}

/// An SA that seals. Shared by workers; [`OutboundSa::seal`](crate::esp) takes `&self`.
pub struct OutboundSa {
    fixed: Fixed,
    core: Arc<OutboundCore>,
}

pub(crate) struct OutboundCore {
    pub(crate) cipher: Cipher,
    pub(crate) sequence: Sequence,
    shared: Shared,
}

/// An SA that opens. Shared by workers.
pub struct InboundSa {
    fixed: Fixed,
    core: Arc<InboundCore>,
}

pub(crate) struct InboundCore {
    pub(crate) cipher: Cipher,
    window: Mutex<Window>,
    /// Where the window's upper end stands for who comes after.
    kept: Kept,
    shared: Shared,
}

impl OutboundSa {
    /// Builds the key contexts; `parameters` and its keys are wiped.
    pub fn new(parameters: SaParameters, now_ms: u64) -> Result<Self, SaError> {
        Self::resumed(parameters, now_ms, tally::own())
    }

    /// As `new`, but counts on from what `kept` holds.
    pub fn resumed(parameters: SaParameters, now_ms: u64, kept: Kept) -> Result<Self, SaError> {
        let (fixed, cipher) = build(parameters, now_ms)?;
        let sequence = Sequence::new(fixed.esn, fixed.spi, Kept::clone(&kept));
        Ok(Self {
            fixed,
            core: Arc::new(OutboundCore {
                cipher,
                sequence,
                shared: Shared::new(kept),
            }),
        })
    }

    /// What is fixed about it.
    pub fn parameters(&self) -> &Fixed {
        &self.fixed
    }

    /// Counters and time of last use.
    pub fn shared(&self) -> &Shared {
        &self.core.shared
    }

    /// The sequence number given last; 0 before the first packet.
    pub fn sequence(&self) -> u64 {
        self.core.sequence.given()
    }

    /// The same SA with changed parameters: keys, sequence numbers and counters are shared.
    pub fn updated(&self, update: &SaUpdate) -> Self {
        let fixed = changed(&self.fixed, &self.core.shared, update);
        Self {
            fixed,
            core: Arc::clone(&self.core),
        }
    }

    pub(crate) fn core(&self) -> &OutboundCore {
        &self.core
    }
}

impl InboundSa {
    /// Builds the key contexts; `parameters` and its keys are wiped.
    pub fn new(parameters: SaParameters, now_ms: u64) -> Result<Self, SaError> {
        Self::resumed(parameters, now_ms, tally::own())
    }

    /// As `new`, but what `kept` says was accepted is not accepted again.
    pub fn resumed(parameters: SaParameters, now_ms: u64, kept: Kept) -> Result<Self, SaError> {
        let (fixed, cipher) = build(parameters, now_ms)?;
        let window = match (*kept).as_ref().number.load(Ordering::Relaxed) {
            0 => Window::new(fixed.replay_window),
            highest => Window::resumed(fixed.replay_window, highest),
        };
        let core = InboundCore {
            cipher,
            window: Mutex::new(window.ok_or(SaError::ReplayWindow)?),
            kept: Kept::clone(&kept),
            shared: Shared::new(kept),
        };
        Ok(Self {
            fixed,
            core: Arc::new(core),
        })
    }

    /// What is fixed about it.
    pub fn parameters(&self) -> &Fixed {
        &self.fixed
    }

    /// Counters and time of last use.
    pub fn shared(&self) -> &Shared {
        &self.core.shared
    }

    /// The highest sequence number accepted; 0 before the first packet.
    pub fn sequence(&self) -> u64 {
        self.window().highest()
    }

    /// The same SA with changed parameters: keys, window and counters are shared.
    pub fn updated(&self, update: &SaUpdate) -> Self {
        let fixed = changed(&self.fixed, &self.core.shared, update);
        Self {
            fixed,
            core: Arc::clone(&self.core),
        }
    }

    pub(crate) fn core(&self) -> &InboundCore {
        &self.core
    }

    /// Moves the window, and says so where it outlives this process, before the packet is passed
    /// on: a packet that was passed on is never taken again.
    pub(crate) fn commit(&self, packet: &Authenticated) -> Result<Place, Replay> {
        let mut window = self.window();
        let place = window.commit(packet)?;
        let number = &(*self.core.kept).as_ref().number;
        number.store(window.highest(), Ordering::Relaxed);
        Ok(place)
    }

    /// The window, for the few instructions of a check or a commit.
    pub(crate) fn window(&self) -> MutexGuard<'_, Window> {
        // A window is whole between any two statements, so a panic elsewhere does not spoil it.
        self.core
            .window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for OutboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSa")
            .field("fixed", &self.fixed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for InboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundSa")
            .field("fixed", &self.fixed)
            .finish_non_exhaustive()
    }
}

fn build(parameters: SaParameters, now_ms: u64) -> Result<(Fixed, Cipher), SaError> {
    if parameters.spi < 256 {
        return Err(SaError::ReservedSpi);
    }
    if parameters.path.local.is_ipv4() != parameters.path.remote.is_ipv4() {
        return Err(SaError::MixedVersions);
    }
    let (encr_key, integ_key) = (parameters.encr_key.expose(), parameters.integ_key.expose());
    let cipher = Cipher::new(parameters.suite, encr_key, integ_key).map_err(SaError::Suite)?;
    let fixed = Fixed {
        spi: parameters.spi,
        policy: parameters.policy,
        name: parameters.name.into(),
        suite: parameters.suite,
        esn: parameters.esn,
        replay_window: parameters.replay_window,
        path: parameters.path,
        selectors: Arc::new(parameters.selectors),
        limits: parameters.limits.within(&parameters.suite),
        standby: parameters.standby,
        tag: parameters.tag.into(),
        installed_ms: now_ms,
    };
    Ok((fixed, cipher))
}

fn changed(fixed: &Fixed, shared: &Shared, update: &SaUpdate) -> Fixed {
    let mut fixed = fixed.clone();
    fixed.standby = update.standby.unwrap_or(fixed.standby);
    fixed.path.local = update.local.unwrap_or(fixed.path.local);
    fixed.path.remote = update.remote.unwrap_or(fixed.path.remote);
    fixed.path.encap = update.encap.unwrap_or(fixed.path.encap);
    if let Some(limits) = update.limits {
        fixed.limits = limits.within(&fixed.suite);
        shared.usage.forget_told();
    }
    fixed
}
