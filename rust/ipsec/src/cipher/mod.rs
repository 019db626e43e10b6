//! Every ESP transform behind one type: AEAD, and cipher with a separate integrity transform.
//!
//! Numbers are those of the IANA registry "IKEv2 Transform Type Values".

mod aead;
mod block;
mod mac;
mod suite;

pub use suite::{Suite, SuiteError};

use crate::stats::Reason;

/// The key contexts of one SA. Built once; shared by workers; wiped on drop.
pub struct Cipher {
    suite: Suite,
}

impl Cipher {
    /// Refuses keys of the wrong length.
    pub fn new(suite: Suite, encr_key: &[u8], integ_key: &[u8]) -> Result<Self, SuiteError> {
        if encr_key.len() != suite.encr_key_length() {
            return Err(SuiteError::EncryptionKeyLength);
        }
        if integ_key.len() != suite.integ_key_length() {
            return Err(SuiteError::IntegrityKeyLength);
        }
        Ok(Self { suite })
    }

    /// Encrypts a whole ESP packet in place and writes its ICV. SPI, sequence number, IV and
    /// trailer are there already; `high` is the upper half of an extended sequence number.
    pub(crate) fn seal(&self, _packet: &mut [u8], _high: Option<u32>) -> Result<(), Reason> {
        let _ = self.suite;
        todo!()
    }
}
