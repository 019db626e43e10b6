//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// Sum of `octets` as 16-bit words on top of `sum`; an odd last octet is padded with zero.
pub fn add(mut sum: u32, octets: &[u8]) -> u32 {
    let mut words = octets.chunks_exact(2);
    for word in &mut words {
        sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
        // Folded at once: the sum can never overflow, however long the input.
        sum = (sum & 0xffff) + (sum >> 16);
    }
    if let [last] = words.remainder() {
        sum += u32::from(*last) << 8;
    }
    (sum & 0xffff) + (sum >> 16)
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
    fn long_input_does_not_overflow() {
        assert_eq!(finish(add(0, &vec![0xff; 1 << 20])), 0);
    }
}
