//! 3DES-CBC (RFC 2451), three keys: for peers that have nothing better.
//!
//! Blocks of eight octets begin to repeat after some 2^32 of them under one key (RFC 8221 §5).

use cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use des::TdesEde3;

use super::block::chain;
use super::SuiteError;

/// A key schedule; the `des` crate wipes it on drop. Boxed, as `Aes` is.
pub(super) struct TripleDes(Box<TdesEde3>);

impl TripleDes {
    /// Parity bits are there and not looked at (RFC 2451 §2.2).
    pub(super) fn new(key: &[u8]) -> Result<Self, SuiteError> {
        TdesEde3::new_from_slice(key)
            .map(|key| Self(Box::new(key)))
            .map_err(|_| SuiteError::EncryptionKeyLength)
    }

    /// `None`: the IV is not a block or the body not whole blocks.
    pub(super) fn cbc_encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let (iv, blocks) = chain(iv, body)?;
        cbc::Encryptor::inner_iv_init(&*self.0, iv).encrypt_blocks(blocks);
        Some(())
    }

    /// `None`: the IV is not a block or the body not whole blocks.
    pub(super) fn cbc_decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let (iv, blocks) = chain(iv, body)?;
        cbc::Decryptor::inner_iv_init(&*self.0, iv).decrypt_blocks(blocks);
        Some(())
    }
}
