//! The pure half of the data plane: RFC 4301 policies, RFC 4303 ESP, and the arithmetic around them.
//!
//! This crate opens no socket, starts no thread and reads no clock. Time enters as milliseconds
//! (`now_ms`, any monotonic origin), entropy as the trait [`entropy::Entropy`], packets as
//! `&mut [u8]` with headroom, so a simulated world can run exactly the code that the engine runs.
//!
//! # How an engine calls it
//!
//! Outbound: view, policy, SA, seal. Inbound: SPI, open, the inner packet is a slice of the buffer.
//!
//! ```
//! use ipsec::esp::{HEADROOM, TAILROOM};
//! use ipsec::{packet::Packet, sa::*, sad::Sad, selector::*, spd::*};
//! # use ipsec::{cipher::Suite, entropy::{Entropy, EntropyFailure}, hold::HoldLimits, lifetime::Limits, tunnel::DfPolicy};
//! # struct NoEntropy;
//! # impl Entropy for NoEntropy {
//! #     fn fill(&mut self, _octets: &mut [u8]) -> Result<(), EntropyFailure> { Err(EntropyFailure) }
//! # }
//! # fn parameters(spi: u32) -> SaParameters {
//! #     let ends = |a: &str| "192.0.2.1:4500".replace("192.0.2.1", a).parse().unwrap();
//! #     SaParameters {
//! #         spi, policy: 1, name: "site/net".into(),
//! #         suite: Suite::new(20, 256, 0).unwrap(),
//! #         encr_key: vec![7; 36].into(), integ_key: Vec::new().into(),
//! #         esn: true, replay_window: 1024,
//! #         path: Path { local: ends("192.0.2.1"), remote: ends("192.0.2.2"), encap: true, df: DfPolicy::Copy },
//! #         selectors: any_selectors(), limits: Limits::default(), standby: false, tag: Vec::new(),
//! #     }
//! # }
//! # fn any_selectors() -> Selectors {
//! #     let any = TrafficSelector::any_v4();
//! #     Selectors::new(vec![any], vec![any]).unwrap()
//! # }
//! # let spd = Spd::new(vec![Policy {
//! #     id: 1, name: "site/net".into(), interface: 3, action: Action::Protect, selectors: any_selectors(),
//! #     hold: HoldLimits::default(), on_no_sa: OnNoSa::Hold, clamp_mss: true, idle_ms: None,
//! #     map: Default::default(),
//! # }]).unwrap();
//! # let mut sad = Sad::default();
//! # sad.install_outbound(OutboundSa::new(parameters(0x1001), 0).unwrap()).unwrap();
//! # let mut receiver = Sad::default();
//! # receiver.install_inbound(InboundSa::new(parameters(0x1001), 0).unwrap()).unwrap();
//! # let now_ms = 5;
//! # let mut entropy = NoEntropy;
//! # let from_tun: Vec<u8> = {
//! #     let mut p = vec![0u8; 28];
//! #     p[0] = 0x45; p[3] = 28; p[8] = 64; p[9] = 17; p[12] = 10; p[16] = 10; p[25] = 8; p
//! # };
//! // A packet read from the TUN device into a pooled buffer, behind the headroom.
//! let mut buffer = vec![0u8; HEADROOM + from_tun.len() + TAILROOM];
//! let inner = HEADROOM..HEADROOM + from_tun.len();
//! buffer[inner.clone()].copy_from_slice(&from_tun);
//!
//! let packet = Packet::parse(&buffer[inner.clone()]).unwrap();
//! let Verdict::Protect(policy) = spd.decide(3, &packet) else { panic!() };
//! let sa = sad.outbound(policy.policy.id, &packet.destination);
//! let sa = sa.expect("else: hold the packet and ask for an SA");
//! let sealed = sa.seal(&mut buffer, inner, &packet, now_ms, &mut entropy).unwrap();
//! let datagram = &mut buffer[sealed.esp.clone()]; // UDP payload when encap, else IP protocol 50
//!
//! // The other end: the buffer begins with the SPI.
//! let spi = ipsec::esp::spi(datagram).unwrap();
//! let sa = receiver.inbound(spi).expect("else: count drop_no_sa_inbound");
//! let opened = sa.open(datagram, sealed.tos, now_ms).unwrap();
//! assert_eq!(&datagram[opened.inner], &from_tun[..]);
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod checksum;
pub mod cipher;
pub mod entropy;
pub mod esp;
pub mod hold;
mod index;
pub mod lifetime;
pub mod map;
pub mod nat;
pub mod offload;
pub mod packet;
pub mod pmtu;
pub mod replay;
pub mod sa;
pub mod sad;
pub mod selector;
pub mod sequence;
pub mod spd;
pub mod stats;
pub mod tally;
pub mod tunnel;
pub mod wipe;
