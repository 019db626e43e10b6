//! Clearing what ciphers leave behind on the stack.

use std::hint::black_box;

use zeroize::Zeroize;

/// Octets of stack that are cleared; more than any call of this crate uses.
const STACK: usize = 16 * 1024;

/// Overwrites the stack below the caller.
///
/// Key contexts are wiped where they live, but building one moves it, and block ciphers spread
/// round keys over the stack while they work. This crate calls it when an SA is built and when its
/// keys go; a worker thread should call it when it takes a new snapshot of the SAD, so that nothing
/// of a removed SA stays on its own stack.
#[inline(never)]
pub fn wipe_stack() {
    let mut octets = [0xff; STACK];
    black_box(&mut octets);
    octets.zeroize();
    black_box(&octets);
}
