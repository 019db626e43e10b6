//! Unpredictable octets from AWS-LC's generator (one state for each thread, seeded by the kernel).

use ipsec::entropy::{Entropy, EntropyFailure};

/// The generator; it holds nothing itself.
#[derive(Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), EntropyFailure> {
        // SAFETY: the pointer and length describe a writable slice that lives across the call.
        let done = unsafe { aws_lc_sys::RAND_bytes(octets.as_mut_ptr(), octets.len()) };
        if done == 1 {
            Ok(())
        } else {
            Err(EntropyFailure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_differs() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut octets = [0_u8; 16];
            SystemEntropy.fill(&mut octets).unwrap();
            assert!(seen.insert(octets));
        }
    }
}
