//! Every ESP transform behind one type: AEAD, and cipher with a separate integrity transform.
//!
//! Numbers are those of the IANA registry "IKEv2 Transform Type Values".

mod aead;
mod block;
mod mac;
mod suite;
mod triple_des;
#[cfg(test)]
mod vectors;

pub use suite::{encr, integ, Suite, SuiteError};

use subtle::ConstantTimeEq;

use crate::stats::Reason;
use crate::wipe::wipe_stack;
use aead::Aead;
use block::Aes;
use mac::Mac;
use triple_des::TripleDes;

/// Octets of SPI and sequence number.
pub(crate) const ESP_HEADER: usize = 8;

/// The key contexts of one SA. Built once, shared by workers, wiped on drop.
pub struct Cipher {
    suite: Suite,
    transform: Transform,
}

enum Transform {
    Aead(Aead),
    Cbc { cipher: Chained, mac: Mac },
    Ctr { aes: Aes, nonce: [u8; 4], mac: Mac },
}

/// A block cipher in CBC.
enum Chained {
    Aes(Aes),
    TripleDes(TripleDes),
}

impl Chained {
    /// `None`: the IV is not a block or the body not whole blocks.
    fn encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        match self {
            Chained::Aes(aes) => aes.cbc_encrypt(iv, body),
            Chained::TripleDes(des) => des.cbc_encrypt(iv, body),
        }
    }

    /// `None`: the IV is not a block or the body not whole blocks.
    fn decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        match self {
            Chained::Aes(aes) => aes.cbc_decrypt(iv, body),
            Chained::TripleDes(des) => des.cbc_decrypt(iv, body),
        }
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        wipe_stack();
    }
}

impl Cipher {
    /// Builds the contexts. Refuses keys of the wrong length.
    pub fn new(suite: Suite, encr_key: &[u8], integ_key: &[u8]) -> Result<Self, SuiteError> {
        let cipher = Self::build(suite, encr_key, integ_key);
        wipe_stack();
        cipher
    }

    #[inline(never)] // Its stack is below the caller's, where it can be wiped.
    fn build(suite: Suite, encr_key: &[u8], integ_key: &[u8]) -> Result<Self, SuiteError> {
        if encr_key.len() != suite.encr_key_length() {
            return Err(SuiteError::EncryptionKeyLength);
        }
        if integ_key.len() != suite.integ_key_length() {
            return Err(SuiteError::IntegrityKeyLength);
        }
        let (key, salt) = encr_key.split_at(suite.key_length());
        let transform = match suite.encr() {
            encr::AES_CBC => Transform::Cbc {
                cipher: Chained::Aes(Aes::new(key)?),
                mac: Mac::new(suite.integ(), integ_key)?,
            },
            encr::TRIPLE_DES => Transform::Cbc {
                cipher: Chained::TripleDes(TripleDes::new(key)?),
                mac: Mac::new(suite.integ(), integ_key)?,
            },
            encr::AES_CTR => {
                let nonce = salt
                    .try_into()
                    .map_err(|_| SuiteError::EncryptionKeyLength)?;
                let mac = Mac::new(suite.integ(), integ_key)?;
                Transform::Ctr {
                    aes: Aes::new(key)?,
                    nonce,
                    mac,
                }
            }
            _ => Transform::Aead(Aead::new(&suite, key, salt)?),
        };
        Ok(Self { suite, transform })
    }

    /// The transforms.
    pub fn suite(&self) -> &Suite {
        &self.suite
    }

    /// Must the IV be unpredictable? Else it is a counter.
    pub(crate) fn wants_random_iv(&self) -> bool {
        matches!(self.transform, Transform::Cbc { .. })
    }

    /// Encrypts a whole ESP packet in place and writes its ICV.
    ///
    /// SPI, sequence number, IV and trailer are there already; `high` is the upper half of an
    /// extended sequence number. The body must be whole blocks.
    pub(crate) fn seal(&self, packet: &mut [u8], high: Option<u32>) -> Result<(), Reason> {
        let parts = Parts::of(&self.suite, packet).ok_or(Reason::Seal)?;
        match &self.transform {
            Transform::Aead(aead) => {
                let aad = Aad::new(parts.header, high);
                return aead.seal(aad.octets(), parts.iv, parts.body, parts.icv);
            }
            Transform::Cbc { cipher, .. } => {
                cipher.encrypt(parts.iv, parts.body).ok_or(Reason::Seal)?;
            }
            Transform::Ctr { aes, nonce, .. } => {
                aes.ctr(*nonce, parts.iv, parts.body).ok_or(Reason::Seal)?;
            }
        }
        if let Some(mac) = self.mac() {
            let (authenticated, icv) = packet.split_at_mut(packet.len() - self.suite.icv_length());
            mac.write(authenticated, high, icv);
        }
        Ok(())
    }

    /// Verifies the ICV and decrypts in place. On failure the body is zero.
    pub(crate) fn open(&self, packet: &mut [u8], high: Option<u32>) -> Result<(), Reason> {
        let result = self.try_open(packet, high);
        if result.is_err() {
            let start = packet.len().min(ESP_HEADER);
            packet[start..].fill(0);
        }
        result
    }

    fn try_open(&self, packet: &mut [u8], high: Option<u32>) -> Result<(), Reason> {
        let body_length = Parts::of(&self.suite, packet)
            .ok_or(Reason::EspMalformed)?
            .body
            .len();
        if body_length < 2 || (self.wants_random_iv() && body_length % self.suite.block() != 0) {
            return Err(Reason::EspMalformed);
        }
        if let Some(mac) = self.mac() {
            let (authenticated, icv) = packet.split_at(packet.len() - self.suite.icv_length());
            let mut expected = [0; mac::ICV_MAX];
            let expected = &mut expected[..icv.len()];
            mac.write(authenticated, high, expected);
            if !bool::from(expected.ct_eq(icv)) {
                return Err(Reason::Icv);
            }
        }
        let parts = Parts::of(&self.suite, packet).ok_or(Reason::EspMalformed)?;
        match &self.transform {
            Transform::Aead(aead) => {
                let aad = Aad::new(parts.header, high);
                aead.open(aad.octets(), parts.iv, parts.body, parts.icv)
            }
            Transform::Cbc { cipher, .. } => cipher
                .decrypt(parts.iv, parts.body)
                .ok_or(Reason::EspMalformed),
            Transform::Ctr { aes, nonce, .. } => aes
                .ctr(*nonce, parts.iv, parts.body)
                .ok_or(Reason::EspMalformed),
        }
    }

    fn mac(&self) -> Option<&Mac> {
        match &self.transform {
            Transform::Aead(_) => None,
            Transform::Cbc { mac, .. } | Transform::Ctr { mac, .. } => Some(mac),
        }
    }
}

/// The fields of an ESP packet, by the sizes of its suite.
struct Parts<'a> {
    header: [u8; ESP_HEADER],
    iv: &'a [u8],
    body: &'a mut [u8],
    icv: &'a mut [u8],
}

impl<'a> Parts<'a> {
    /// `None`: too short.
    fn of(suite: &Suite, packet: &'a mut [u8]) -> Option<Self> {
        let (header, rest) = packet.split_first_chunk_mut::<ESP_HEADER>()?;
        let (iv, rest) = rest.split_at_mut_checked(suite.iv_length())?;
        let body_length = rest.len().checked_sub(suite.icv_length())?;
        let (body, icv) = rest.split_at_mut(body_length);
        Some(Self {
            header: *header,
            iv,
            body,
            icv,
        })
    }
}

/// Additional authenticated data of an AEAD: SPI and sequence number, 32 or 64 bits (RFC 4106 §5).
struct Aad {
    octets: [u8; 12],
    length: usize,
}

impl Aad {
    fn new(header: [u8; ESP_HEADER], high: Option<u32>) -> Self {
        let mut octets = [0; 12];
        octets[..4].copy_from_slice(&header[..4]);
        let Some(high) = high else {
            octets[4..8].copy_from_slice(&header[4..]);
            return Self { octets, length: 8 };
        };
        octets[4..8].copy_from_slice(&high.to_be_bytes());
        octets[8..].copy_from_slice(&header[4..]);
        Self { octets, length: 12 }
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}
