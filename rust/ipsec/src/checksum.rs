//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// Octets that are summed at once: what the vectors of every x86-64 hold.
const BLOCK: usize = 16;

/// Sum of `octets` as 16-bit words on top of `sum`; an odd last octet is padded with zero.
pub fn add(sum: u32, octets: &[u8]) -> u32 {
    let mut lanes = Lanes::default();
    let mut blocks = octets.chunks_exact(BLOCK);
    for block in &mut blocks {
        lanes.add(block);
    }
    lanes.finish(sum, blocks.remainder())
}

/// A running sum. A sum of one's complement is the same in either byte order, save for a swap at
/// the end (RFC 1071 §2 B), so words are read in the machine's own order: 64 bits at once, whose
/// upper halves are summed apart. What is then too much in the sum of the whole can be taken off
/// again, for it wraps. Two lanes of each are a vector, and what a compiler makes the fastest code
/// of. Sums of halves could overflow only after 8 GiB.
#[derive(Default)]
struct Lanes {
    whole: [u64; 2],
    upper: [u64; 2],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, block: &[u8]) {
        let mut words = [0_u64; 2];
        for (word, octets) in words.iter_mut().zip(block.chunks_exact(8)) {
            let mut own = [0; 8];
            own.copy_from_slice(octets);
            *word = u64::from_ne_bytes(own);
        }
        for (lane, word) in self.whole.iter_mut().zip(&words) {
            *lane = lane.wrapping_add(*word);
        }
        for (lane, word) in self.upper.iter_mut().zip(&words) {
            *lane = lane.wrapping_add(*word >> 32);
        }
    }

    /// The sum with what is left, less than a block.
    fn finish(&self, sum: u32, rest: &[u8]) -> u32 {
        let mut wide = 0_u64;
        for (whole, upper) in self.whole.iter().zip(&self.upper) {
            wide += whole.wrapping_sub(upper << 32) + upper;
        }
        let mut words = rest.chunks_exact(4);
        for word in &mut words {
            wide += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
        wide += match *words.remainder() {
            [a, b, c] => {
                u64::from(u16::from_ne_bytes([a, b])) + u64::from(u16::from_ne_bytes([c, 0]))
            }
            [a, b] => u64::from(u16::from_ne_bytes([a, b])),
            [a] => u64::from(u16::from_ne_bytes([a, 0])),
            _ => 0,
        };
        // Folded: 16 bits.
        let ours = u16::from_be(fold(wide) as u16);
        let sum = (sum & 0xffff) + (sum >> 16) + u32::from(ours);
        (sum & 0xffff) + (sum >> 16)
    }
}

/// The sum of a number's 16-bit words, itself one word.
fn fold(wide: u64) -> u64 {
    let wide = (wide & 0xffff_ffff) + (wide >> 32);
    let wide = (wide & 0xffff) + (wide >> 16 & 0xffff) + (wide >> 32);
    let wide = (wide & 0xffff) + (wide >> 16);
    (wide & 0xffff) + (wide >> 16)
}

/// The checksum field for a sum.
pub fn finish(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// The checksum after one 16-bit word changed from `old` to `new` (RFC 1624 equation 3).
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    finish(u32::from(!checksum) + u32::from(!old) + u32::from(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        let sum = add(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(finish(sum), !0xddf2);
    }

    #[test]
    fn an_update_equals_a_new_computation() {
        let mut octets = [0x45, 0, 0, 84, 0x12, 0x34, 0x40, 0, 64, 1];
        let before = finish(add(0, &octets));
        for (old, new) in [(0x4500u16, 0x45b8u16), (0x45b8, 0x4500), (0x4500, 0x4500)] {
            let from = finish(add(0, &[&old.to_be_bytes()[..], &octets[2..]].concat()));
            octets[..2].copy_from_slice(&new.to_be_bytes());
            assert_eq!(update(from, old, new), finish(add(0, &octets)));
        }
        assert_eq!(before, finish(add(0, &octets)));
    }

    #[test]
    fn any_length_adds_up_as_word_by_word() {
        let octets: Vec<u8> = (0..200_u32).map(|n| (n * 151 + 7) as u8).collect();
        for length in 0..octets.len() {
            let words = octets[..length].chunks(2).fold(0_u64, |sum, word| {
                sum + u64::from(u16::from_be_bytes([
                    word[0],
                    word.get(1).copied().unwrap_or(0),
                ]))
            });
            let expected = words % 0xffff;
            let sum = u64::from(add(0xfffe, &octets[..length]));
            assert_eq!(sum % 0xffff, (expected + 0xfffe) % 0xffff, "{length}");
        }
    }

    #[test]
    fn long_input_does_not_overflow() {
        assert_eq!(finish(add(0, &vec![0xff; 1 << 20])), 0);
    }
}
