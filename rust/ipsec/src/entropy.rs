//! Randomness as an argument, so that a simulated world decides where it comes from.

/// The source could not give octets; the packet that needed them is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntropyFailure;

/// A cryptographically secure source of unpredictable octets (CBC initialization vectors).
///
/// The engine implements it with the generator of its crypto library. A source that can be
/// predicted breaks AES-CBC (RFC 3602 §3).
pub trait Entropy {
    /// Fills all of `octets`, or fails and promises nothing about them.
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), EntropyFailure>;
}
