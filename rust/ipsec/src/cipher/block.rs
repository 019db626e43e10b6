//! AES in the modes that need no authentication of their own: CBC (RFC 3602), CTR (RFC 3686).

use aes::{Aes128, Aes192, Aes256};
use cipher::array::{Array, ArraySize};
use cipher::consts::U16;
use cipher::{
    BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use ctr::{flavors::Ctr32BE, CtrCore};

use super::SuiteError;

type Block = Array<u8, U16>;

/// A key schedule of any size; the `aes` crate wipes it on drop. Boxed: it is large, and one size
/// for all keeps the SA small.
pub(super) enum Aes {
    Bits128(Box<Aes128>),
    Bits192(Box<Aes192>),
    Bits256(Box<Aes256>),
}

macro_rules! with_key {
    ($self:expr, $aes:ident => $body:expr) => {
        match $self {
            Aes::Bits128($aes) => $body,
            Aes::Bits192($aes) => $body,
            Aes::Bits256($aes) => $body,
        }
    };
}

impl Aes {
    pub(super) fn new(key: &[u8]) -> Result<Self, SuiteError> {
        let wrong = |_| SuiteError::EncryptionKeyLength;
        match key.len() {
            16 => Aes128::new_from_slice(key)
                .map_err(wrong)
                .map(|k| Self::Bits128(Box::new(k))),
            24 => Aes192::new_from_slice(key)
                .map_err(wrong)
                .map(|k| Self::Bits192(Box::new(k))),
            32 => Aes256::new_from_slice(key)
                .map_err(wrong)
                .map(|k| Self::Bits256(Box::new(k))),
            _ => Err(SuiteError::EncryptionKeyLength),
        }
    }

    /// `None`: the IV is not a block or the body not whole blocks.
    pub(super) fn cbc_encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let (iv, blocks) = chain(iv, body)?;
        with_key!(self, aes => cbc::Encryptor::inner_iv_init(&**aes, iv).encrypt_blocks(blocks));
        Some(())
    }

    /// `None`: the IV is not a block or the body not whole blocks.
    pub(super) fn cbc_decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let (iv, blocks) = chain(iv, body)?;
        with_key!(self, aes => cbc::Decryptor::inner_iv_init(&**aes, iv).decrypt_blocks(blocks));
        Some(())
    }

    /// Encrypts or decrypts: counter block = nonce | IV | 1 and up (RFC 3686 §4).
    pub(super) fn ctr(&self, nonce: [u8; 4], iv: &[u8], body: &mut [u8]) -> Option<()> {
        let mut counter = Block::default();
        counter[..4].copy_from_slice(&nonce);
        counter[4..12].copy_from_slice(iv.first_chunk::<8>()?);
        counter[15] = 1;
        with_key!(self, aes => {
            let core = CtrCore::<_, Ctr32BE>::inner_iv_init(&**aes, &counter);
            StreamCipherCoreWrapper::from_core(core).try_apply_keystream(body).ok()
        })
    }
}

/// An IV and the blocks that hang on it, of a cipher whose blocks have `N` octets.
type Chain<'a, N> = (&'a Array<u8, N>, &'a mut [Array<u8, N>]);

/// The IV as a block and the body as whole ones. `None`: they are not.
pub(super) fn chain<'a, N: ArraySize>(iv: &'a [u8], body: &'a mut [u8]) -> Option<Chain<'a, N>> {
    let iv = <&Array<u8, N>>::try_from(iv).ok()?;
    let (blocks, rest) = Array::slice_as_chunks_mut(body);
    rest.is_empty().then_some((iv, blocks))
}
