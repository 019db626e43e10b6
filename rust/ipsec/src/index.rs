//! Which of many policies may be for an address, without asking each: the axis of addresses is cut
//! wherever the ranges of one begin or end, and each piece knows its policies.

use std::net::{IpAddr, Ipv6Addr};

/// Ranges up to here are not worth an index.
const SMALL: usize = 16;
/// Places that an index holds for each policy on average at most: ranges that lie over each other
/// in great numbers would make it grow with the square of their number.
const PLACES_EACH: usize = 64;

/// An index over one kind of address (the destination of what leaves, the source of what comes).
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Where pieces begin, in order; empty: there is no index, and everybody is asked.
    starts: Vec<IpAddr>,
    /// Where in `places` each piece's own begin; one more than pieces.
    bounds: Vec<usize>,
    /// Places of policies, ascending within a piece.
    places: Vec<usize>,
    /// All places, for when there is no index.
    all: Vec<usize>,
}

impl Index {
    /// An index of `ranges`, each with the place of its policy, first and last address.
    pub fn new(policies: usize, ranges: &[(usize, IpAddr, IpAddr)]) -> Self {
        let everybody = Self {
            all: (0..policies).collect(),
            ..Self::default()
        };
        if policies <= SMALL {
            return everybody;
        }
        // (address, begins, place): a range ends before the address that follows its last one.
        let mut events: Vec<(IpAddr, bool, usize)> = Vec::with_capacity(ranges.len() * 2);
        for (place, first, last) in ranges {
            events.push((*first, true, *place));
            if let Some(after) = successor(*last) {
                events.push((after, false, *place));
            }
        }
        events.sort_unstable();
        let mut open: std::collections::BTreeMap<usize, usize> = std::collections::BTreeMap::new();
        let mut index = everybody;
        let limit = policies.saturating_mul(PLACES_EACH);
        let mut rest = events.as_slice();
        while let Some((address, _, _)) = rest.first() {
            let (here, after) = rest.split_at(rest.partition_point(|event| event.0 == *address));
            for (_, begins, place) in here {
                if *begins {
                    *open.entry(*place).or_default() += 1;
                } else if let Some(count) = open.get_mut(place) {
                    *count -= 1;
                    if *count == 0 {
                        open.remove(place);
                    }
                }
            }
            index.starts.push(*address);
            index.bounds.push(index.places.len());
            index.places.extend(open.keys());
            if index.places.len() > limit {
                return Self {
                    all: index.all,
                    ..Self::default()
                };
            }
            rest = after;
        }
        index.bounds.push(index.places.len());
        index.all = Vec::new();
        index
    }

    /// Places of the policies that may be for an address, in order. None is left out.
    pub fn places(&self, address: &IpAddr) -> &[usize] {
        if self.starts.is_empty() {
            return &self.all;
        }
        let Some(piece) = self
            .starts
            .partition_point(|start| start <= address)
            .checked_sub(1)
        else {
            return &[];
        };
        match (self.bounds.get(piece), self.bounds.get(piece + 1)) {
            (Some(&from), Some(&to)) => self.places.get(from..to).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// The address after this one; IPv6 begins where IPv4 ends, in the order of `IpAddr`.
fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => Some(match v4.to_bits().checked_add(1) {
            Some(bits) => IpAddr::V4(bits.into()),
            None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }),
        IpAddr::V6(v6) => v6
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V6(bits.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn v4(bits: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    }

    #[test]
    fn it_finds_what_asking_everybody_finds() {
        let mut seed = 7_u32;
        let mut next = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for policies in [1_usize, 16, 17, 200] {
            let mut ranges = Vec::new();
            for place in 0..policies {
                for _ in 0..=next(2) {
                    let first = next(500);
                    let last = first + next(20);
                    let wide = next(40) == 0;
                    let last = if wide { u32::MAX } else { last };
                    ranges.push((place, v4(first), v4(last)));
                }
            }
            ranges.push((
                policies - 1,
                IpAddr::V6(1.into()),
                IpAddr::V6(u128::MAX.into()),
            ));
            let index = Index::new(policies, &ranges);
            assert_eq!(index.starts.is_empty(), policies <= SMALL);
            let addresses = (0..600).map(v4).chain([v4(u32::MAX)]);
            let sixes = [0_u128, 1, 2, u128::MAX].map(|bits| IpAddr::V6(bits.into()));
            for address in addresses.chain(sixes) {
                let mut expected: Vec<usize> = ranges
                    .iter()
                    .filter(|(_, first, last)| (*first..=*last).contains(&address))
                    .map(|(place, _, _)| *place)
                    .collect();
                expected.dedup();
                let found = index.places(&address);
                if policies > SMALL {
                    assert_eq!(found, expected, "{address}");
                }
                assert!(expected.iter().all(|place| found.contains(place)));
                assert!(found.is_sorted());
            }
        }
    }

    #[test]
    fn ranges_that_all_overlap_make_no_index() {
        let ranges: Vec<_> = (0..1000_usize)
            .map(|place| (place, v4(u32::try_from(place).unwrap()), v4(u32::MAX)))
            .collect();
        let index = Index::new(1000, &ranges);
        assert_eq!(index.places(&v4(0)).len(), 1000);
    }
}
