//! What must not be forgotten about an SA while its key lives: how far it has counted.
//!
//! A sequence number used twice under one key breaks the ciphers that make their nonce of it
//! (RFC 4106 §3.1), and one accepted twice is a replay. So these numbers may lie in memory that
//! outlives the process: a new one that is given the same key goes on where the last one stopped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// The counts of one SA. Nothing in here is secret.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Tally {
    /// Outbound: the sequence number given last; inbound: the highest accepted. 0: none yet.
    pub number: AtomicU64,
    /// Octets of inner packets so far.
    pub octets: AtomicU64,
    /// Packets so far.
    pub packets: AtomicU64,
}

impl Tally {
    /// Begins anew.
    pub fn clear(&self) {
        for count in [&self.number, &self.octets, &self.packets] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

impl AsRef<Tally> for Tally {
    fn as_ref(&self) -> &Tally {
        self
    }
}

/// A tally, wherever it lies.
pub type Kept = Arc<dyn AsRef<Tally> + Send + Sync>;

/// A tally that ends with the process.
pub fn own() -> Kept {
    Arc::new(Tally::default())
}
