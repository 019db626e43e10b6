//! The data plane on Linux: packets from a TUN device leave as ESP, ESP comes in and its packets go
//! into a TUN device.
//!
//! Threads: one worker for each TUN queue number (outbound), one for all sockets (inbound), one for
//! the control socket, timers and notices. Packet threads read a published [`table::Table`]; they
//! never wait for the control thread. Start at [`plane::Plane`].
//!
//! All `unsafe` is in [`sys`].

#![deny(unsafe_code)]

pub mod control;
pub mod counters;
mod deliver;
mod early;
pub mod frames;
mod hold;
mod inbound;
mod ledger;
mod notice;
mod outbound;
mod pipeline;
pub mod plane;
#[allow(unsafe_code)]
pub mod sys;
mod table;
mod worker;
