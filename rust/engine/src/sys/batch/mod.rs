//! Many datagrams per system call: recvmmsg and sendmmsg with the local address and the traffic
//! class as control messages. Here is what both share: control messages and socket addresses.

mod receive;
mod send;

use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub use receive::{Facts, Receiver};
pub use send::{Sender, Transmit, GROUP_OCTETS_MAX};

/// Datagrams taken or given by one system call.
pub const BATCH: usize = 64;
/// Room for the control messages of one datagram: packet information, traffic class and segment
/// size of either family.
const CONTROL_OCTETS: usize = 128;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_OCTETS]);

/// cmsg_len of a control message that holds one `T`.
fn control_length<T>() -> usize {
    let octets = libc::c_uint::try_from(size_of::<T>()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: CMSG_LEN is arithmetic on its argument.
    usize::try_from(unsafe { libc::CMSG_LEN(octets) }).unwrap_or(usize::MAX)
}

/// Writes one control message at `message`; gives the room it takes.
///
/// # Safety
/// `message` must point to a cmsghdr with CMSG_SPACE(size_of::<T>()) writable octets.
unsafe fn put<T>(
    message: *mut libc::cmsghdr,
    level: libc::c_int,
    kind: libc::c_int,
    value: T,
) -> usize {
    let octets = libc::c_uint::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the caller promises the room; the data is written unaligned.
    unsafe {
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = control_length::<T>();
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
        usize::try_from(libc::CMSG_SPACE(octets)).unwrap_or(0)
    }
}

fn storage_octets() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).unwrap_or(128)
}

fn encode_name(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    let place: *mut libc::sockaddr_storage = storage;
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_storage is at least as large and as strictly aligned as sockaddr_in,
            // which is plain data.
            unsafe {
                let name = place.cast::<libc::sockaddr_in>();
                (*name).sin_family = family_number(libc::AF_INET);
                (*name).sin_port = v4.port().to_be();
                (*name).sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            }
            libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(16)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: sockaddr_storage is at least as large and as strictly aligned as
            // sockaddr_in6, which is plain data.
            unsafe {
                let name = place.cast::<libc::sockaddr_in6>();
                (*name).sin6_family = family_number(libc::AF_INET6);
                (*name).sin6_port = v6.port().to_be();
                (*name).sin6_flowinfo = 0;
                (*name).sin6_addr.s6_addr = v6.ip().octets();
                (*name).sin6_scope_id = v6.scope_id();
            }
            libc::socklen_t::try_from(size_of::<libc::sockaddr_in6>()).unwrap_or(28)
        }
    }
}

fn family_number(family: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).unwrap_or(0)
}

fn decode_name(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place: *const libc::sockaddr_storage = storage;
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says sockaddr_in, which fits inside sockaddr_storage and is plain
            // data.
            let name = unsafe { place.cast::<libc::sockaddr_in>().read() };
            let address = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::V4(SocketAddrV4::new(
                address,
                u16::from_be(name.sin_port),
            )))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says sockaddr_in6, which fits inside sockaddr_storage and is plain
            // data.
            let name = unsafe { place.cast::<libc::sockaddr_in6>().read() };
            let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            Some(SocketAddr::V6(SocketAddrV6::new(
                address,
                port,
                0,
                name.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
