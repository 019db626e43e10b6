//! Which transforms there are, and their sizes.

use std::fmt;

/// IANA numbers of encryption transforms.
pub mod encr {
    /// 3DES-CBC (RFC 2451): weak, for peers with nothing better.
    pub const TRIPLE_DES: u16 = 3;
    /// AES-CBC (RFC 3602).
    pub const AES_CBC: u16 = 12;
    /// AES-CTR (RFC 3686).
    pub const AES_CTR: u16 = 13;
    /// AES-CCM with 8-octet ICV (RFC 4309).
    pub const AES_CCM_8: u16 = 14;
    /// AES-CCM with 12-octet ICV.
    pub const AES_CCM_12: u16 = 15;
    /// AES-CCM with 16-octet ICV.
    pub const AES_CCM_16: u16 = 16;
    /// AES-GCM with 8-octet ICV (RFC 4106).
    pub const AES_GCM_8: u16 = 18;
    /// AES-GCM with 12-octet ICV.
    pub const AES_GCM_12: u16 = 19;
    /// AES-GCM with 16-octet ICV.
    pub const AES_GCM_16: u16 = 20;
    /// ChaCha20-Poly1305 (RFC 7634).
    pub const CHACHA20_POLY1305: u16 = 28;
}

/// IANA numbers of integrity transforms.
pub mod integ {
    /// None: only with AEAD.
    pub const NONE: u16 = 0;
    /// HMAC-MD5-96 (RFC 2403): weak, for peers with nothing better.
    pub const HMAC_MD5_96: u16 = 1;
    /// HMAC-SHA1-96 (RFC 2404).
    pub const HMAC_SHA1_96: u16 = 2;
    /// AES-XCBC-96 (RFC 3566).
    pub const AES_XCBC_96: u16 = 5;
    /// AES-CMAC-96 (RFC 4494).
    pub const AES_CMAC_96: u16 = 8;
    /// HMAC-SHA2-256-128 (RFC 4868).
    pub const HMAC_SHA2_256_128: u16 = 12;
    /// HMAC-SHA2-384-192 (RFC 4868).
    pub const HMAC_SHA2_384_192: u16 = 13;
    /// HMAC-SHA2-512-256 (RFC 4868).
    pub const HMAC_SHA2_512_256: u16 = 14;
}

/// Why transforms or keys are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuiteError {
    /// Not an encryption transform of this plane.
    UnknownEncryption(u16),
    /// Not an integrity transform of this plane.
    UnknownIntegrity(u16),
    /// The encryption transform has no such key length.
    KeyBits(u16),
    /// Encryption without integrity is never accepted (RFC 8221 §4).
    NoIntegrity,
    /// An AEAD brings its own integrity (RFC 5282 §8).
    IntegrityWithAead,
    /// The encryption key has not the length that the transform asks for.
    EncryptionKeyLength,
    /// The integrity key has not the length that the transform asks for.
    IntegrityKeyLength,
}

impl fmt::Display for SuiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SuiteError::UnknownEncryption(n) => write!(f, "encryption transform {n} is not known"),
            SuiteError::UnknownIntegrity(n) => write!(f, "integrity transform {n} is not known"),
            SuiteError::KeyBits(n) => write!(f, "the transform has no key of {n} bits"),
            SuiteError::NoIntegrity => f.write_str("encryption without integrity is refused"),
            SuiteError::IntegrityWithAead => f.write_str("an AEAD takes no integrity transform"),
            SuiteError::EncryptionKeyLength => f.write_str("wrong length of encryption key"),
            SuiteError::IntegrityKeyLength => f.write_str("wrong length of integrity key"),
        }
    }
}

impl std::error::Error for SuiteError {}

/// A pair of transforms that works, with its sizes. All lengths are in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suite {
    encr: u16,
    key_bits: u16,
    integ: u16,
    key_length: u8,
    salt_length: u8,
    iv_length: u8,
    icv_length: u8,
    block: u8,
    integ_key_length: u8,
}

impl Suite {
    /// Checks that the transforms work together.
    ///
    /// `key_bits` is the key length attribute. ChaCha20-Poly1305 and 3DES have none: 0 says it, and
    /// so do 256 and 192, the sizes of their keys.
    pub fn new(encr: u16, key_bits: u16, integ: u16) -> Result<Self, SuiteError> {
        use encr::*;
        // Salt, IV, ICV (0: from the integrity transform), alignment of the ciphertext.
        let (salt_length, iv_length, aead_icv, block) = match encr {
            TRIPLE_DES => (0, 8, 0, 8),
            AES_CBC => (0, 16, 0, 16),
            AES_CTR => (4, 8, 0, 4),
            AES_CCM_8 => (3, 8, 8, 4),
            AES_CCM_12 => (3, 8, 12, 4),
            AES_CCM_16 => (3, 8, 16, 4),
            AES_GCM_8 => (4, 8, 8, 4),
            AES_GCM_12 => (4, 8, 12, 4),
            AES_GCM_16 | CHACHA20_POLY1305 => (4, 8, 16, 4),
            _ => return Err(SuiteError::UnknownEncryption(encr)),
        };
        let key_length = match (encr, key_bits) {
            (CHACHA20_POLY1305, 0 | 256) => 32,
            (TRIPLE_DES, 0 | 192) => 24,
            (CHACHA20_POLY1305 | TRIPLE_DES, _) => return Err(SuiteError::KeyBits(key_bits)),
            (_, 128) => 16,
            (_, 192) => 24,
            (_, 256) => 32,
            _ => return Err(SuiteError::KeyBits(key_bits)),
        };
        let (integ_key_length, integ_icv) = match integ {
            integ::NONE => (0, 0),
            integ::HMAC_MD5_96 => (16, 12),
            integ::HMAC_SHA1_96 => (20, 12),
            integ::AES_XCBC_96 | integ::AES_CMAC_96 => (16, 12),
            integ::HMAC_SHA2_256_128 => (32, 16),
            integ::HMAC_SHA2_384_192 => (48, 24),
            integ::HMAC_SHA2_512_256 => (64, 32),
            _ => return Err(SuiteError::UnknownIntegrity(integ)),
        };
        let icv_length = match (aead_icv, integ_icv) {
            (0, 0) => return Err(SuiteError::NoIntegrity),
            (0, icv) | (icv, 0) => icv,
            _ => return Err(SuiteError::IntegrityWithAead),
        };
        Ok(Self {
            encr,
            key_bits: u16::from(key_length) * 8,
            integ,
            key_length,
            salt_length,
            iv_length,
            icv_length,
            block,
            integ_key_length,
        })
    }

    /// IANA number of the encryption transform.
    pub fn encr(&self) -> u16 {
        self.encr
    }

    /// Bits of the encryption key, without salt.
    pub fn key_bits(&self) -> u16 {
        self.key_bits
    }

    /// IANA number of the integrity transform; 0 with AEAD.
    pub fn integ(&self) -> u16 {
        self.integ
    }

    /// Is it one transform for encryption and integrity?
    pub fn is_aead(&self) -> bool {
        self.integ == integ::NONE
    }

    /// Octets of encryption keying material: key and salt.
    pub fn encr_key_length(&self) -> usize {
        usize::from(self.key_length) + usize::from(self.salt_length)
    }

    /// Octets of the encryption key alone.
    pub(crate) fn key_length(&self) -> usize {
        usize::from(self.key_length)
    }

    /// Octets of the integrity key; 0 with AEAD.
    pub fn integ_key_length(&self) -> usize {
        usize::from(self.integ_key_length)
    }

    /// Octets of the IV in each packet.
    pub fn iv_length(&self) -> usize {
        usize::from(self.iv_length)
    }

    /// Octets of an ESP packet before the inner one: SPI, sequence number, IV.
    pub fn head_length(&self) -> usize {
        8 + self.iv_length()
    }

    /// Octets of the ICV in each packet.
    pub fn icv_length(&self) -> usize {
        usize::from(self.icv_length)
    }

    /// The ciphertext is a multiple of this.
    pub fn block(&self) -> usize {
        usize::from(self.block)
    }

    /// Octets of the ESP packet (SPI to ICV) for an inner packet of `inner` octets.
    pub fn sealed_length(&self, inner: usize) -> usize {
        let padded = (inner + 2).next_multiple_of(self.block());
        self.head_length() + padded + self.icv_length()
    }

    /// The largest inner packet whose ESP packet is not longer than `esp` octets.
    pub fn inner_max(&self, esp: usize) -> usize {
        let room = esp.saturating_sub(self.head_length() + self.icv_length());
        (room / self.block() * self.block()).saturating_sub(2)
    }
}
