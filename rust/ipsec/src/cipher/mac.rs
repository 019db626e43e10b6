//! Integrity transforms: truncated HMAC, and the AES-based XCBC and CMAC.

use ::hmac::Mac as _;
use aes::Aes128Enc;
use aws_lc_rs::hmac;
use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, KeyInit};
use md5::Md5;
use zeroize::Zeroize;

use super::{integ, SuiteError};

/// Octets of the longest ICV.
pub(super) const ICV_MAX: usize = 32;

type HmacMd5 = ::hmac::Hmac<Md5>;

pub(super) enum Mac {
    Hmac(Box<hmac::Key>),
    /// AWS-LC's safe interface has no HMAC-MD5.
    HmacMd5(Box<HmacMd5>),
    Block(Box<BlockMac>),
}

impl Mac {
    pub(super) fn new(integ: u16, key: &[u8]) -> Result<Self, SuiteError> {
        let hmac = |algorithm| Ok(Self::Hmac(Box::new(hmac::Key::new(algorithm, key))));
        let block = |make: fn(&[u8; 16]) -> BlockMac| {
            let key = key.try_into().map_err(|_| SuiteError::IntegrityKeyLength)?;
            Ok(Self::Block(Box::new(make(key))))
        };
        match integ {
            integ::HMAC_MD5_96 => HmacMd5::new_from_slice(key)
                .map(|key| Self::HmacMd5(Box::new(key)))
                .map_err(|_| SuiteError::IntegrityKeyLength),
            integ::HMAC_SHA1_96 => hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            integ::HMAC_SHA2_256_128 => hmac(hmac::HMAC_SHA256),
            integ::HMAC_SHA2_384_192 => hmac(hmac::HMAC_SHA384),
            integ::HMAC_SHA2_512_256 => hmac(hmac::HMAC_SHA512),
            integ::AES_XCBC_96 => block(BlockMac::xcbc),
            integ::AES_CMAC_96 => block(BlockMac::cmac),
            _ => Err(SuiteError::UnknownIntegrity(integ)),
        }
    }

    /// Writes the ICV, truncated to the length of `icv`, over `octets` and the upper half of an
    /// extended sequence number (RFC 4303 §2.2.1: it is authenticated, not sent).
    pub(super) fn write(&self, octets: &[u8], high: Option<u32>, icv: &mut [u8]) {
        let high = high.map(u32::to_be_bytes);
        let high = high.as_ref().map_or(&[][..], |high| high);
        match self {
            Mac::Hmac(key) => {
                let mut context = hmac::Context::with_key(key);
                context.update(octets);
                context.update(high);
                icv.copy_from_slice(&context.sign().as_ref()[..icv.len()]);
            }
            Mac::HmacMd5(key) => {
                let mut context = (**key).clone();
                context.update(octets);
                context.update(high);
                icv.copy_from_slice(&context.finalize().as_bytes()[..icv.len()]);
            }
            Mac::Block(mac) => icv.copy_from_slice(&mac.compute(octets, high)[..icv.len()]),
        }
    }
}

type Block = Array<u8, U16>;

/// CBC-MAC whose last block is masked: AES-XCBC-MAC (RFC 3566) and AES-CMAC (RFC 4493) differ only
/// in how the masks are made.
pub(super) struct BlockMac {
    aes: Aes128Enc,
    /// For a last block that is whole.
    whole: [u8; 16],
    /// For a last block that was padded.
    padded: [u8; 16],
}

impl Drop for BlockMac {
    fn drop(&mut self) {
        self.whole.zeroize();
        self.padded.zeroize();
    }
}

impl BlockMac {
    fn xcbc(key: &[u8; 16]) -> Self {
        let aes = Aes128Enc::new(&(*key).into());
        let derive = |octet| {
            let mut block = Block::from([octet; 16]);
            aes.encrypt_block(&mut block);
            block
        };
        let mut main = derive(1);
        let mac = Self {
            aes: Aes128Enc::new(&main),
            whole: derive(2).into(),
            padded: derive(3).into(),
        };
        main.zeroize();
        mac
    }

    fn cmac(key: &[u8; 16]) -> Self {
        let aes = Aes128Enc::new(&(*key).into());
        let mut zero = Block::default();
        aes.encrypt_block(&mut zero);
        let whole = double(zero.into());
        zero.zeroize();
        Self {
            aes,
            whole,
            padded: double(whole),
        }
    }

    fn compute(&self, octets: &[u8], high: &[u8]) -> [u8; 16] {
        let mut state = Block::default();
        let mut pending = [0; 16];
        let mut filled = 0;
        for part in [octets, high] {
            let mut part = part;
            while !part.is_empty() {
                if filled == 16 {
                    // More follows, so the pending block is not the last one.
                    xor(&mut state, &pending);
                    self.aes.encrypt_block(&mut state);
                    filled = 0;
                }
                let (now, rest) = part.split_at(part.len().min(16 - filled));
                pending[filled..filled + now.len()].copy_from_slice(now);
                filled += now.len();
                part = rest;
            }
        }
        let mask = if filled == 16 {
            &self.whole
        } else {
            pending[filled] = 0x80;
            pending[filled + 1..].fill(0);
            &self.padded
        };
        xor(&mut state, &pending);
        xor(&mut state, mask);
        self.aes.encrypt_block(&mut state);
        state.into()
    }
}

fn xor(state: &mut Block, octets: &[u8; 16]) {
    state.iter_mut().zip(octets).for_each(|(s, o)| *s ^= o);
}

/// Multiplies by x in GF(2^128) (RFC 4493 §2.3), in constant time.
fn double(octets: [u8; 16]) -> [u8; 16] {
    let value = u128::from_be_bytes(octets);
    let carry = 0x87 * (value >> 127);
    ((value << 1) ^ carry).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn xcbc_gives_the_macs_of_rfc_3566() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let message: Vec<u8> = (0..34).collect();
        for (length, mac) in [
            (0, "75f0251d528ac01c4573dfd584d79f29"),
            (3, "5b376580ae2f19afe7219ceef172756f"),
            (16, "d2a246fa349b68a79998a4394ff7a263"),
            (20, "47f51b4564966215b8985c63055ed308"),
            (32, "f54f0ec8d2b9f3d36807734bd5283fd4"),
            (34, "becbb3bccdb518a30677d5481fb6b4d8"),
        ] {
            assert_eq!(
                BlockMac::xcbc(&key).compute(&message[..length], &[])[..],
                hex(mac)[..]
            );
        }
    }

    #[test]
    fn cmac_gives_the_macs_of_rfc_4493() {
        let key: [u8; 16] = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
        let message = hex(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
             30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        );
        for (length, mac) in [
            (0, "bb1d6929e95937287fa37d129b756746"),
            (16, "070a16b46b4d4144f79bdd9dd04a287c"),
            (40, "dfa66747de9ae63030ca32611497c827"),
            (64, "51f0bebf7e3b9d92fc49741779363cfe"),
        ] {
            assert_eq!(
                BlockMac::cmac(&key).compute(&message[..length], &[])[..],
                hex(mac)[..]
            );
        }
    }

    #[test]
    fn a_message_in_two_parts_has_the_mac_of_the_whole() {
        let mac = BlockMac::cmac(&[9; 16]);
        let message: Vec<u8> = (0..64).collect();
        for at in 0..=64 {
            let (head, tail) = message.split_at(at);
            assert_eq!(mac.compute(head, tail), mac.compute(&message, &[]));
        }
    }
}
