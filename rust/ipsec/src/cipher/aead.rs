//! AES-GCM (RFC 4106), AES-CCM (RFC 4309) and ChaCha20-Poly1305 (RFC 7634).

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use aws_lc_rs::aead::{
    Aad, Algorithm, LessSafeKey, Nonce, UnboundKey, AES_128_GCM, AES_192_GCM, AES_256_GCM,
    CHACHA20_POLY1305,
};
use ccm::consts::{U11, U12, U16, U8};
use ccm::{AeadInOut, Ccm, KeyInit};
use cipher::array::Array;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::{encr, Suite, SuiteError};
use crate::stats::Reason;

pub(super) struct Aead {
    key: Key,
    /// As many octets as the transform has, then zeros.
    salt: [u8; 4],
}

enum Key {
    /// AES-GCM and ChaCha20-Poly1305 with their whole tag of 16 octets.
    Whole(LessSafeKey),
    /// AES-GCM with a tag cut to 8 or 12 octets.
    Cut(LessSafeKey),
    Ccm(CcmKey),
}

impl Drop for Aead {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl Aead {
    pub(super) fn new(suite: &Suite, key: &[u8], salt: &[u8]) -> Result<Self, SuiteError> {
        let mut own_salt = [0; 4];
        own_salt
            .get_mut(..salt.len())
            .ok_or(SuiteError::EncryptionKeyLength)?
            .copy_from_slice(salt);
        let gcm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            _ => &AES_256_GCM,
        };
        let key = match suite.encr() {
            encr::AES_GCM_16 => Key::Whole(bind(gcm, key)?),
            encr::AES_GCM_8 | encr::AES_GCM_12 => Key::Cut(bind(gcm, key)?),
            encr::CHACHA20_POLY1305 => Key::Whole(bind(&CHACHA20_POLY1305, key)?),
            _ => Key::Ccm(CcmKey::new(key, suite.icv_length())?),
        };
        Ok(Self {
            key,
            salt: own_salt,
        })
    }

    pub(super) fn seal(
        &self,
        aad: &[u8],
        iv: &[u8],
        body: &mut [u8],
        icv: &mut [u8],
    ) -> Result<(), Reason> {
        match &self.key {
            Key::Whole(key) | Key::Cut(key) => {
                let tag = key
                    .seal_in_place_separate_tag(self.nonce(iv)?, Aad::from(aad), body)
                    .map_err(|_| Reason::Seal)?;
                icv.copy_from_slice(&tag.as_ref()[..icv.len()]);
                Ok(())
            }
            Key::Ccm(key) => key
                .seal(&self.ccm_nonce(iv)?, aad, body, icv)
                .ok_or(Reason::Seal),
        }
    }

    /// Decrypts `body` in place; after a failure its content is not defined and must be wiped.
    pub(super) fn open(
        &self,
        aad: &[u8],
        iv: &[u8],
        body: &mut [u8],
        icv: &[u8],
    ) -> Result<(), Reason> {
        match &self.key {
            Key::Whole(key) => key
                .open_in_place_separate_tag(self.nonce(iv)?, Aad::from(aad), icv, body)
                .map(|_| ())
                .map_err(|_| Reason::Icv),
            Key::Cut(key) => self.open_cut(key, aad, iv, body, icv),
            Key::Ccm(key) => key
                .open(&self.ccm_nonce(iv)?, aad, body, icv)
                .ok_or(Reason::Icv),
        }
    }

    /// GCM with a cut tag, through an interface that knows whole tags only.
    ///
    /// Encryption and decryption are the same XOR, so sealing the ciphertext gives the plaintext
    /// (its tag means nothing), sealing that gives the ciphertext back together with the tag of
    /// this packet, and a last pass gives the plaintext, once the tag is known to be right.
    fn open_cut(
        &self,
        key: &LessSafeKey,
        aad: &[u8],
        iv: &[u8],
        body: &mut [u8],
        icv: &[u8],
    ) -> Result<(), Reason> {
        let mut pass = || {
            key.seal_in_place_separate_tag(self.nonce(iv)?, Aad::from(aad), body)
                .map_err(|_| Reason::Icv)
        };
        let _plain = pass()?;
        let tag = pass()?;
        if !bool::from(tag.as_ref()[..icv.len()].ct_eq(icv)) {
            return Err(Reason::Icv);
        }
        pass().map(|_| ())
    }

    fn nonce(&self, iv: &[u8]) -> Result<Nonce, Reason> {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(iv.first_chunk::<8>().ok_or(Reason::Seal)?);
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    fn ccm_nonce(&self, iv: &[u8]) -> Result<[u8; 11], Reason> {
        let mut nonce = [0; 11];
        nonce[..3].copy_from_slice(&self.salt[..3]);
        nonce[3..].copy_from_slice(iv.first_chunk::<8>().ok_or(Reason::Seal)?);
        Ok(nonce)
    }
}

fn bind(algorithm: &'static Algorithm, key: &[u8]) -> Result<LessSafeKey, SuiteError> {
    UnboundKey::new(algorithm, key)
        .map(LessSafeKey::new)
        .map_err(|_| SuiteError::EncryptionKeyLength)
}

macro_rules! ccm_keys {
    ($($variant:ident: $aes:ty, $key_length:literal, $tag:ty, $tag_length:literal;)+) => {
        /// AES-CCM in each size of key and ICV. Boxed one by one: in a shared box the octets after
        /// a small key would be whatever the stack held.
        enum CcmKey { $($variant(Box<Ccm<$aes, $tag, U11>>),)+ }

        impl CcmKey {
            fn new(key: &[u8], icv_length: usize) -> Result<Self, SuiteError> {
                match (key.len(), icv_length) {
                    $(($key_length, $tag_length) => Ccm::new_from_slice(key)
                        .map(|key| Self::$variant(Box::new(key)))
                        .map_err(|_| SuiteError::EncryptionKeyLength),)+
                    _ => Err(SuiteError::EncryptionKeyLength),
                }
            }

            fn seal(&self, nonce: &[u8; 11], aad: &[u8], body: &mut [u8], icv: &mut [u8]) -> Option<()> {
                match self {
                    $(Self::$variant(key) => {
                        let tag = key.encrypt_inout_detached(nonce.into(), aad, body.into()).ok()?;
                        icv.copy_from_slice(&tag);
                    })+
                }
                Some(())
            }

            fn open(&self, nonce: &[u8; 11], aad: &[u8], body: &mut [u8], icv: &[u8]) -> Option<()> {
                match self {
                    $(Self::$variant(key) => {
                        let tag = <&Array<u8, $tag>>::try_from(icv).ok()?;
                        key.decrypt_inout_detached(nonce.into(), aad, body.into(), tag).ok()
                    })+
                }
            }
        }
    };
}

ccm_keys! {
    Key128Icv8: Aes128Enc, 16, U8, 8;
    Key128Icv12: Aes128Enc, 16, U12, 12;
    Key128Icv16: Aes128Enc, 16, U16, 16;
    Key192Icv8: Aes192Enc, 24, U8, 8;
    Key192Icv12: Aes192Enc, 24, U12, 12;
    Key192Icv16: Aes192Enc, 24, U16, 16;
    Key256Icv8: Aes256Enc, 32, U8, 8;
    Key256Icv12: Aes256Enc, 32, U12, 12;
    Key256Icv16: Aes256Enc, 32, U16, 16;
}
