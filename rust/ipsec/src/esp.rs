//! Seal and open ESP packets in place (RFC 4303), tunnel mode.

use std::ops::Range;

use crate::cipher::{Suite, ESP_HEADER};
use crate::entropy::Entropy;
use crate::lifetime::{LimitNotice, Unit, Which};
use crate::packet::{protocol, Packet, Version};
use crate::replay::Place;
use crate::sa::{InboundSa, OutboundSa};
use crate::stats::Reason;
use crate::tunnel;

/// Octets to leave free before an inner packet: outer IPv6 and UDP headers, ESP header, longest IV.
pub const HEADROOM: usize = 40 + 8 + 8 + 16;
/// Octets to leave free after an inner packet: longest padding, trailer and ICV.
pub const TAILROOM: usize = 15 + 2 + 32;

/// Proof that the ICV of this sequence number verified; only [`InboundSa::open`] makes one.
#[derive(Debug)]
pub struct Authenticated {
    sequence: u64,
}

impl Authenticated {
    /// The whole sequence number, high half included.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Lets the tests of the window play the part of [`InboundSa::open`].
    #[cfg(test)]
    pub(crate) fn pretend(sequence: u64) -> Self {
        Self { sequence }
    }
}

/// A packet was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why; already counted in the SA's own counters, to be counted in the engine's by the caller.
    pub reason: Reason,
    /// A hard limit was met for the first time: tell IKE.
    pub notice: Option<LimitNotice>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            notice: None,
        }
    }
}

/// A sealed packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Where the ESP packet lies in the buffer, from SPI to ICV. With `encap` it is the payload of
    /// the UDP datagram, else of an IP packet of protocol 50.
    pub esp: Range<usize>,
    /// Type of service or traffic class of the outer header (DSCP and ECN copied).
    pub tos: u8,
    /// The don't-fragment flag of an outer IPv4 header.
    pub dont_fragment: bool,
    /// The sequence number used.
    pub sequence: u64,
    /// A soft limit was passed: tell IKE.
    pub notice: Option<LimitNotice>,
}

/// An opened packet: authentic, fresh, inside the selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where the inner packet lies in the buffer, cut at its own length.
    pub inner: Range<usize>,
    /// Its headers, as read after ECN was taken over.
    pub packet: Packet,
    /// The whole sequence number.
    pub sequence: u64,
    /// `Highest`: a new outer source address may be believed (RFC 3948 §7 and `peer_moved`).
    pub place: Place,
    /// The first authentic packet of this SA.
    pub first: bool,
    /// A soft limit was passed: tell IKE.
    pub notice: Option<LimitNotice>,
}

/// The SPI of an ESP packet; `None` if it is too short for an ESP header.
pub fn spi(packet: &[u8]) -> Option<u32> {
    packet
        .first_chunk::<8>()
        .map(|h| u32::from_be_bytes([h[0], h[1], h[2], h[3]]))
}

impl OutboundSa {
    /// Seals the inner packet at `inner` of `buffer`, in place.
    ///
    /// `packet` is the view of the same octets. The buffer must have [`HEADROOM`] before and
    /// [`TAILROOM`] after the packet (less is enough for most suites; too little is
    /// [`Reason::NoRoom`]). Counts, charges the lifetimes and takes a sequence number. The outer
    /// headers are not written: [`Path`](crate::sa::Path) and [`Sealed`] say what the kernel should
    /// put there, or [`crate::tunnel::write_outer`] does it.
    pub fn seal(
        &self,
        buffer: &mut [u8],
        inner: Range<usize>,
        packet: &Packet,
        now_ms: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<Sealed, Refused> {
        let result = self.try_seal(buffer, inner, packet, now_ms, entropy);
        if let Err(refused) = &result {
            self.shared().drops.count(refused.reason);
        }
        result
    }

    fn try_seal(
        &self,
        buffer: &mut [u8],
        inner: Range<usize>,
        packet: &Packet,
        now_ms: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<Sealed, Refused> {
        let fixed = self.parameters();
        if !fixed.selectors.match_outbound(packet) {
            return Err(Reason::SelectorOutbound.into());
        }
        let esp = lay_out(buffer, inner, packet, &fixed.suite).ok_or(Reason::NoRoom)?;
        let octets = &mut buffer[esp.clone()];
        let iv = ESP_HEADER..ESP_HEADER + fixed.suite.iv_length();
        // Everything that can fail for other reasons comes before what is used up for good.
        let random_iv = self.core().cipher.wants_random_iv();
        if random_iv {
            entropy
                .fill(&mut octets[iv.clone()])
                .map_err(|_| Reason::Entropy)?;
        }
        let usage = &self.shared().usage;
        let charged = usage
            .charge(&fixed.limits, packet.length as u64)
            .map_err(|reached| Refused {
                reason: reached.reason,
                notice: reached.notice,
            })?;
        let Some(taken) = self.core().sequence.take() else {
            let notice = usage.notice(Which::Hard, Unit::Sequence);
            return Err(Refused {
                reason: Reason::SequenceExhausted,
                notice,
            });
        };
        octets[..4].copy_from_slice(&fixed.spi.to_be_bytes());
        octets[4..ESP_HEADER].copy_from_slice(&(taken.number as u32).to_be_bytes());
        if !random_iv {
            // Sequence numbers are never given twice, so the nonce is unique for this key.
            octets[iv].copy_from_slice(&taken.number.to_be_bytes());
        }
        let high = fixed.esn.then_some((taken.number >> 32) as u32);
        self.core().cipher.seal(octets, high)?;
        self.shared().used(now_ms);
        let soft = || {
            taken
                .soft
                .then(|| usage.notice(Which::Soft, Unit::Sequence))
                .flatten()
        };
        Ok(Sealed {
            esp,
            tos: tunnel::outer_tos(packet.tos),
            dont_fragment: fixed.path.df.outer(packet),
            sequence: taken.number,
            notice: charged.or_else(soft),
        })
    }
}

impl InboundSa {
    /// Opens the ESP packet that `buffer` is (from SPI to ICV), in place.
    ///
    /// `outer_tos` is the outer header's type of service or traffic class, for ECN. A refused packet
    /// changes nothing but a counter, unless it was authentic; after a wrong ICV the payload octets
    /// of the buffer are zero.
    pub fn open(&self, buffer: &mut [u8], outer_tos: u8, now_ms: u64) -> Result<Opened, Refused> {
        let result = self
            .authenticate(buffer)
            .and_then(|(authenticated, place)| {
                self.shared().used(now_ms);
                Ok((self.inspect(buffer, outer_tos)?, authenticated, place))
            })
            .map_err(Refused::from)
            .and_then(|((inner, packet), authenticated, place)| {
                let notice = self
                    .shared()
                    .usage
                    .charge(&self.parameters().limits, packet.length as u64)
                    .map_err(|reached| Refused {
                        reason: reached.reason,
                        notice: reached.notice,
                    })?;
                let (sequence, first) = (authenticated.sequence(), self.shared().is_first());
                Ok(Opened {
                    inner,
                    packet,
                    sequence,
                    place,
                    first,
                    notice,
                })
            });
        if let Err(refused) = &result {
            self.shared().drops.count(refused.reason);
        }
        result
    }

    /// Replay check, ICV, replay commit (RFC 4303 §3.4.3, §3.4.4). Nothing moves before the ICV.
    fn authenticate(&self, buffer: &mut [u8]) -> Result<(Authenticated, Place), Reason> {
        let fixed = self.parameters();
        let header: &[u8; ESP_HEADER] = buffer.first_chunk().ok_or(Reason::EspMalformed)?;
        let [a, b, c, d, e, f, g, h] = *header;
        if u32::from_be_bytes([a, b, c, d]) != fixed.spi {
            return Err(Reason::NoSaInbound);
        }
        let low = u32::from_be_bytes([e, f, g, h]);
        let sequence = {
            let window = self.window();
            let sequence = window.infer(low, fixed.esn)?;
            window.check(sequence)?;
            sequence
        };
        let high = fixed.esn.then_some((sequence >> 32) as u32);
        self.core().cipher.open(buffer, high)?;
        let authenticated = Authenticated { sequence };
        let place = self.commit(&authenticated)?;
        Ok((authenticated, place))
    }

    /// Trailer, inner header, selectors and ECN of an authentic packet.
    fn inspect(&self, buffer: &mut [u8], outer_tos: u8) -> Result<(Range<usize>, Packet), Reason> {
        let fixed = self.parameters();
        let start = ESP_HEADER + fixed.suite.iv_length();
        let end = buffer.len().saturating_sub(fixed.suite.icv_length());
        let body = buffer.get_mut(start..end).ok_or(Reason::EspMalformed)?;
        let (payload, next_header) = unpad(body)?;
        let payload = &mut body[..payload];
        let version = match next_header {
            protocol::IPV4 => Version::V4,
            protocol::IPV6 => Version::V6,
            protocol::NONE => return Err(Reason::Dummy),
            _ => return Err(Reason::NextHeader),
        };
        let mut packet = Packet::parse(payload)?;
        if packet.version() != version {
            return Err(Reason::InnerMalformed);
        }
        if !fixed.selectors.match_inbound(&packet) {
            return Err(Reason::SelectorInbound);
        }
        let ecn = tunnel::decapsulated_ecn(packet.tos, outer_tos).ok_or(Reason::Ecn)?;
        if ecn != packet.tos & 3 {
            packet.tos = packet.tos & !3 | ecn;
            tunnel::write_tos(payload, packet.tos);
        }
        Ok((start..start + packet.length, packet))
    }
}

/// Finds the place of the ESP packet around the inner one and writes padding and trailer
/// (RFC 4303 §2.4). `None`: no room, or the range is not the packet's.
fn lay_out(
    buffer: &mut [u8],
    inner: Range<usize>,
    packet: &Packet,
    suite: &Suite,
) -> Option<Range<usize>> {
    if packet.length > buffer.get(inner.clone())?.len() {
        return None;
    }
    let start = inner.start.checked_sub(ESP_HEADER + suite.iv_length())?;
    let end = start.checked_add(suite.sealed_length(packet.length))?;
    let trailer = inner.start + packet.length..end - suite.icv_length();
    let (padding, lengths) = buffer
        .get_mut(..end)?
        .get_mut(trailer)?
        .split_last_chunk_mut::<2>()?;
    for (octet, value) in padding.iter_mut().zip(1..) {
        *octet = value;
    }
    *lengths = [padding.len() as u8, packet.version().next_header()];
    Some(start..end)
}

/// The payload's length and the next header of a decrypted body.
fn unpad(body: &[u8]) -> Result<(usize, u8), Reason> {
    let (rest, &[pad_length, next_header]) = body.split_last_chunk().ok_or(Reason::Padding)?;
    let payload = rest
        .len()
        .checked_sub(usize::from(pad_length))
        .ok_or(Reason::Padding)?;
    let good = rest[payload..]
        .iter()
        .zip(1..=255u8)
        .all(|(&octet, value)| octet == value);
    good.then_some((payload, next_header))
        .ok_or(Reason::Padding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifetime::Limits;
    use crate::sa::{Path, SaParameters};
    use crate::selector::{Selectors, TrafficSelector};
    use crate::tunnel::DfPolicy;

    const SPI: u32 = 0x1000;

    fn inbound(encr: u16, integ: u16) -> InboundSa {
        let suite = Suite::new(encr, 128, integ).unwrap();
        let any = vec![TrafficSelector::any_v4(), TrafficSelector::any_v6()];
        let end = "192.0.2.1:4500".parse().unwrap();
        let parameters = SaParameters {
            spi: SPI,
            policy: 1,
            name: String::new(),
            suite,
            encr_key: vec![1; suite.encr_key_length()].into(),
            integ_key: vec![2; suite.integ_key_length()].into(),
            esn: false,
            replay_window: 64,
            path: Path {
                local: end,
                remote: end,
                encap: false,
                df: DfPolicy::Copy,
            },
            selectors: Selectors::new(any.clone(), any).unwrap(),
            limits: Limits::default(),
            standby: false,
            tag: Vec::new(),
        };
        InboundSa::new(parameters, 0).unwrap()
    }

    /// An authentic packet whose plaintext is exactly `body`, as only a peer with the key can make.
    fn authentic(sa: &InboundSa, sequence: u32, body: &[u8]) -> Vec<u8> {
        let suite = sa.parameters().suite;
        let mut packet = SPI.to_be_bytes().to_vec();
        packet.extend(sequence.to_be_bytes());
        packet.extend(vec![9; suite.iv_length()]);
        packet.extend(body);
        packet.extend(vec![0; suite.icv_length()]);
        sa.core().cipher.seal(&mut packet, None).unwrap();
        packet
    }

    fn udp4(length: u8) -> Vec<u8> {
        let mut packet = vec![0; usize::from(length)];
        (packet[0], packet[3], packet[9]) = (0x45, length, 17);
        packet
    }

    /// `payload`, then the padding given, then the trailer.
    fn body(payload: &[u8], padding: &[u8], next_header: u8) -> Vec<u8> {
        [payload, padding, &[padding.len() as u8, next_header]].concat()
    }

    #[test]
    fn an_authentic_packet_that_is_wrong_inside_is_dropped_by_name() {
        let good = udp4(28);
        let mut six = vec![0; 40];
        six[0] = 0x60;
        let mut long = good.clone();
        long[3] = 100;
        for (body, reason) in [
            (body(&good, &[1, 3], 4), Reason::Padding),
            (body(&good, &[0, 0], 4), Reason::Padding),
            (vec![200, 4], Reason::Padding),
            (vec![2, 1, 4], Reason::Padding),
            (body(&[], &[1, 2], 59), Reason::Dummy),
            (body(&[7; 30], &[], 59), Reason::Dummy),
            (body(&good, &[1, 2], 17), Reason::NextHeader),
            (body(&good, &[1, 2], 41), Reason::InnerMalformed),
            (body(&six, &[1, 2], 4), Reason::InnerMalformed),
            (body(&long, &[1, 2], 4), Reason::InnerMalformed),
            (body(&[], &[1, 2], 4), Reason::InnerMalformed),
            (body(&[0x45], &[1], 4), Reason::InnerMalformed),
        ] {
            for sa in [inbound(20, 0), inbound(18, 0), inbound(13, 12)] {
                let mut packet = authentic(&sa, 5, &body);
                assert_eq!(sa.open(&mut packet, 0, 77), Err(reason.into()), "{body:?}");
                assert_eq!(sa.shared().drops.get(reason), 1);
                // It was authentic: the number is used up and the peer is alive, but nothing passed.
                assert_eq!((sa.sequence(), sa.shared().last_used_ms()), (5, Some(77)));
                assert_eq!(sa.shared().usage.packets(), 0);
            }
        }
    }

    #[test]
    fn padding_for_traffic_flow_confidentiality_is_cut_off() {
        let sa = inbound(20, 0);
        let payload = [udp4(28), vec![0xff; 500]].concat();
        let mut packet = authentic(&sa, 1, &body(&payload, &[1, 2], 4));
        let opened = sa.open(&mut packet, 0, 0).unwrap();
        assert_eq!(packet[opened.inner], udp4(28)[..]);
    }

    #[test]
    fn padding_of_up_to_255_octets_is_taken() {
        let sa = inbound(12, 12);
        let padding: Vec<u8> = (1..=255).collect();
        for (sequence, length) in [(1, 255), (2, 15), (3, 31)] {
            // Chosen so that the body is whole blocks.
            let inner = udp4(20 + (16 - ((20 + length + 2) % 16) as u8) % 16);
            let mut packet = authentic(&sa, sequence, &body(&inner, &padding[..length], 4));
            assert!(sa.open(&mut packet, 0, 0).is_ok(), "{length}");
        }
    }

    #[test]
    fn packets_that_are_too_short_or_not_whole_blocks_are_malformed() {
        for sa in [
            inbound(20, 0),
            inbound(12, 2),
            inbound(14, 0),
            inbound(13, 14),
        ] {
            let suite = sa.parameters().suite;
            let least = 8 + suite.iv_length() + suite.icv_length() + 2;
            for length in 0..least {
                let mut packet = vec![0; length];
                let head = [SPI.to_be_bytes(), 1u32.to_be_bytes()].concat();
                let shared = length.min(8);
                packet[..shared].copy_from_slice(&head[..shared]);
                assert_eq!(
                    sa.open(&mut packet, 0, 0),
                    Err(Reason::EspMalformed.into()),
                    "{length}"
                );
            }
        }
        let sa = inbound(12, 12);
        let mut packet = vec![0; 8 + 16 + 17 + 16];
        packet[..8].copy_from_slice(&[SPI.to_be_bytes(), 1u32.to_be_bytes()].concat());
        assert_eq!(sa.open(&mut packet, 0, 0), Err(Reason::EspMalformed.into()));
    }

    #[test]
    fn the_sequence_number_zero_and_another_spi_are_refused() {
        let sa = inbound(20, 0);
        let mut packet = authentic(&sa, 0, &body(&udp4(28), &[1, 2], 4));
        assert_eq!(sa.open(&mut packet, 0, 0), Err(Reason::ReplayZero.into()));
        packet[0] = 1;
        assert_eq!(sa.open(&mut packet, 0, 0), Err(Reason::NoSaInbound.into()));
    }
}
