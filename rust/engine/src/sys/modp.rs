//! Diffie-Hellman over the MODP groups (RFC 2409, RFC 3526) with AWS-LC's constant-time
//! exponentiation.
//!
//! The generator of every group is 2. The private value is given by the caller; its value does not
//! steer the time taken, its length does. Public values are checked as RFC 6989 §2.1 says for safe
//! primes: exact length and 1 < y < p - 1.

use std::fmt;

use aws_lc_sys::{
    BN_CTX_free, BN_CTX_new, BN_bin2bn, BN_bn2bin_padded, BN_clear_free, BN_mod_exp_mont_consttime,
    BN_new, BIGNUM, BN_CTX,
};
use zeroize::{Zeroize, Zeroizing};

use super::modp_primes as primes;

/// Shortest private value taken, in octets: 112 bits of strength want an exponent of at least 224
/// bits.
pub const PRIVATE_OCTETS_MIN: usize = 28;

/// Why nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModpError {
    UnknownGroup,
    PrivateLength,
    PeerLength,
    PeerRange,
    Library,
}

impl fmt::Display for ModpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownGroup => "the MODP group must be one of 2, 5, 14, 15, 16, 17 and 18",
            Self::PrivateLength => "the private value must be from 28 octets long to the length of the modulus, and not zero",
            Self::PeerLength => "the peer's public value must be as long as the modulus",
            Self::PeerRange => "the peer's public value must lie strictly between 1 and p - 1",
            Self::Library => "the crypto library could not compute the value",
        })
    }
}

impl std::error::Error for ModpError {}

/// A big number that is wiped when dropped.
struct Number(*mut BIGNUM);

impl Number {
    fn from_octets(octets: &[u8]) -> Result<Self, ModpError> {
        // SAFETY: the pointer and length describe `octets`; a null third argument asks for a new
        // number, which we then own.
        let number = unsafe { BN_bin2bn(octets.as_ptr(), octets.len(), std::ptr::null_mut()) };
        if number.is_null() {
            return Err(ModpError::Library);
        }
        Ok(Self(number))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: the pointer came from BN_bin2bn or BN_new and is freed once.
        unsafe { BN_clear_free(self.0) }
    }
}

struct Context(*mut BN_CTX);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the pointer came from BN_CTX_new and is freed once.
        unsafe { BN_CTX_free(self.0) }
    }
}

fn modulus(group: u16) -> Result<Vec<u8>, ModpError> {
    let text = match group {
        2 => primes::GROUP_2,
        5 => primes::GROUP_5,
        14 => primes::GROUP_14,
        15 => primes::GROUP_15,
        16 => primes::GROUP_16,
        17 => primes::GROUP_17,
        18 => primes::GROUP_18,
        _ => return Err(ModpError::UnknownGroup),
    };
    let digit = |octet: u8| {
        char::from(octet)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect::<Option<Vec<u8>>>()
        .ok_or(ModpError::Library)
}

fn power(base: &[u8], private: &[u8], modulus: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModpError> {
    let in_range = (PRIVATE_OCTETS_MIN..=modulus.len()).contains(&private.len());
    // Zero is no private value; every octet is looked at, so that time says nothing else.
    if !in_range || private.iter().fold(0_u8, |seen, octet| seen | octet) == 0 {
        return Err(ModpError::PrivateLength);
    }
    let base = Number::from_octets(base)?;
    let exponent = Number::from_octets(private)?;
    let prime = Number::from_octets(modulus)?;
    // SAFETY: both constructors take no argument and give a new object or null; each is owned and
    // freed by its wrapper.
    let (result, context) = unsafe { (Number(BN_new()), Context(BN_CTX_new())) };
    if result.0.is_null() || context.0.is_null() {
        return Err(ModpError::Library);
    }
    let mut octets = Zeroizing::new(vec![0_u8; modulus.len()]);
    // SAFETY: all numbers and the context are live and distinct; a null Montgomery context asks the
    // function to make its own; the output slice is as long as the length given.
    let done = unsafe {
        BN_mod_exp_mont_consttime(
            result.0,
            base.0,
            exponent.0,
            prime.0,
            context.0,
            std::ptr::null(),
        ) == 1
            && BN_bn2bin_padded(octets.as_mut_ptr(), octets.len(), result.0) == 1
    };
    if !done {
        octets.zeroize();
        return Err(ModpError::Library);
    }
    Ok(octets)
}

/// The public value 2^private mod p, as long as the modulus.
pub fn public_value(group: u16, private: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModpError> {
    power(&[2], private, &modulus(group)?)
}

/// The shared secret peer^private mod p, as long as the modulus (RFC 7296 §2.14: with its leading
/// zeros).
pub fn shared_secret(
    group: u16,
    private: &[u8],
    peer: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ModpError> {
    let modulus = modulus(group)?;
    if peer.len() != modulus.len() {
        return Err(ModpError::PeerLength);
    }
    let mut last = modulus.clone();
    // p is odd: its last octet has no borrow to hand on. The peer's value is public, so comparing
    // it may take its time.
    if let Some(octet) = last.last_mut() {
        *octet &= 0xfe;
    }
    let small = peer
        .split_last()
        .is_some_and(|(low, rest)| rest.iter().all(|o| *o == 0) && *low <= 1);
    if small || peer >= last.as_slice() {
        return Err(ModpError::PeerRange);
    }
    power(peer, private, &modulus)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: [(u16, usize); 7] = [
        (2, 128),
        (5, 192),
        (14, 256),
        (15, 384),
        (16, 512),
        (17, 768),
        (18, 1024),
    ];

    #[test]
    fn both_sides_of_every_group_reach_the_same_secret_of_full_length() {
        for (group, octets) in GROUPS {
            let (a, b) = ([0x5a_u8; 40], [0xc3_u8; 48]);
            let (to_b, to_a) = (
                public_value(group, &a).unwrap(),
                public_value(group, &b).unwrap(),
            );
            assert_eq!((to_b.len(), to_a.len()), (octets, octets));
            let secret = shared_secret(group, &a, &to_a).unwrap();
            assert_eq!(
                secret.as_slice(),
                shared_secret(group, &b, &to_b).unwrap().as_slice()
            );
        }
    }

    #[test]
    fn a_small_power_is_exact_and_padded() {
        let mut private = [0_u8; 28];
        private[27] = 9;
        let mut expected = vec![0_u8; 256];
        expected[254] = 2;
        assert_eq!(
            public_value(14, &private).unwrap().as_slice(),
            expected.as_slice()
        );
    }

    #[test]
    fn values_outside_the_open_interval_and_wrong_lengths_are_refused() {
        let private = [7_u8; 32];
        let p = modulus(14).unwrap();
        let number = |low: u8| {
            let mut octets = vec![0_u8; 256];
            octets[255] = low;
            octets
        };
        let (mut p_minus_1, mut p_plus_1, mut p_minus_2) = (p.clone(), p.clone(), p.clone());
        p_minus_1[255] = 0xfe;
        p_minus_2[255] = 0xfd;
        // p ends in 64 one bits, so p + 1 carries through its last eight octets.
        p_plus_1[248..].fill(0);
        for octet in p_plus_1[..248].iter_mut().rev() {
            let (sum, carry) = octet.overflowing_add(1);
            *octet = sum;
            if !carry {
                break;
            }
        }
        for bad in [number(0), number(1), p_minus_1, p.clone(), p_plus_1] {
            assert_eq!(shared_secret(14, &private, &bad), Err(ModpError::PeerRange));
        }
        assert!(shared_secret(14, &private, &number(2)).is_ok());
        assert!(shared_secret(14, &private, &p_minus_2).is_ok());
        for length in [0, 255, 257] {
            assert_eq!(
                shared_secret(14, &private, &vec![3; length]),
                Err(ModpError::PeerLength)
            );
        }
        for bad in [&[1_u8; 27][..], &[1; 257], &[0; 32]] {
            assert_eq!(public_value(14, bad), Err(ModpError::PrivateLength));
        }
        assert_eq!(public_value(22, &private), Err(ModpError::UnknownGroup));
    }
}
