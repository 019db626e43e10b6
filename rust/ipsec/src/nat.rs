//! UDP encapsulation of ESP (RFC 3948): what a datagram on port 4500 is, and the UDP header.

use crate::stats::Reason;

/// Octets before an IKE message on port 4500 (RFC 3948 §2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];
/// The one octet of a NAT keepalive (RFC 3948 §2.3).
pub const KEEPALIVE: [u8; 1] = [0xff];
/// Octets of a UDP header.
pub const UDP_HEADER: usize = 8;

/// What the payload of a datagram on a NAT-traversal port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A NAT keepalive; swallow it.
    Keepalive,
    /// An IKE message; it begins after the marker.
    Ike {
        /// Where the IKE message begins in the datagram.
        offset: usize,
    },
    /// An ESP packet; it begins at offset 0.
    Esp {
        /// The SPI.
        spi: u32,
    },
}

/// Sorts a datagram received on a NAT-traversal port.
///
/// Refused with [`Reason::DatagramMalformed`]: anything too short to be one of the three.
pub fn classify(datagram: &[u8]) -> Result<Datagram, Reason> {
    if datagram == KEEPALIVE {
        return Ok(Datagram::Keepalive);
    }
    match datagram {
        [0, 0, 0, 0, _, ..] => Ok(Datagram::Ike {
            offset: NON_ESP_MARKER.len(),
        }),
        [0, 0, 0, 0] => Err(Reason::DatagramMalformed),
        [a, b, c, d, _, _, _, _, ..] => Ok(Datagram::Esp {
            spi: u32::from_be_bytes([*a, *b, *c, *d]),
        }),
        _ => Err(Reason::DatagramMalformed),
    }
}

/// A UDP header for `payload` octets of ESP. The checksum is zero as RFC 3948 §2.1 asks for IPv4;
/// RFC 6935 lets tunnels do so over IPv6. `None`: the payload is too long for UDP.
pub fn udp_header(source: u16, destination: u16, payload: usize) -> Option<[u8; UDP_HEADER]> {
    let length = u16::try_from(payload.checked_add(UDP_HEADER)?).ok()?;
    let mut header = [0; UDP_HEADER];
    header[0..2].copy_from_slice(&source.to_be_bytes());
    header[2..4].copy_from_slice(&destination.to_be_bytes());
    header[4..6].copy_from_slice(&length.to_be_bytes());
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_datagram_is_told_from_the_others() {
        assert_eq!(classify(&[0xff]), Ok(Datagram::Keepalive));
        assert_eq!(classify(&[0, 0, 0, 0, 1]), Ok(Datagram::Ike { offset: 4 }));
        assert_eq!(
            classify(&[1, 2, 3, 4, 0, 0, 0, 1]),
            Ok(Datagram::Esp { spi: 0x0102_0304 })
        );
        // Two keepalive octets are not a keepalive.
        for bad in [
            &[][..],
            &[0xfe],
            &[0xff, 0xff],
            &[0, 0, 0, 0],
            &[0, 0, 0],
            &[1, 2, 3, 4, 5, 6, 7],
        ] {
            assert_eq!(classify(bad), Err(Reason::DatagramMalformed), "{bad:?}");
        }
    }

    #[test]
    fn a_udp_header_carries_ports_and_length_and_no_checksum() {
        assert_eq!(
            udp_header(4500, 4501, 100),
            Some([0x11, 0x94, 0x11, 0x95, 0, 108, 0, 0])
        );
        assert_eq!(udp_header(1, 2, 65_528), None);
    }
}
