//! System calls and foreign functions: the only module of this crate that may hold `unsafe`.
//!
//! Every block says why it is sound. What leaves this module is safe to call with any argument.

pub mod batch;
pub mod modp;
mod modp_primes;
pub mod poll;
pub mod process;
pub mod random;
pub mod seqpacket;
pub mod shared;
pub mod socket;
pub mod tun;
