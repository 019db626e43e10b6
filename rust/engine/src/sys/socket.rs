//! Sockets of the outer side: UDP ports, raw ESP, raw IP for bypassed packets, and questions to the
//! routing table.
//!
//! The DF bit of an IPv4 outer header follows the socket, not the packet (IP_MTU_DISCOVER has no
//! control message). So every way out is a pair: one socket that sets DF (PMTUDISC_DO) and
//! receives, one that leaves it clear (PMTUDISC_DONT) and only sends.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

/// IP protocol number of ESP.
const PROTOCOL_ESP: u32 = 50;
/// IPPROTO_RAW: the sender supplies the IP header.
const PROTOCOL_RAW: u32 = 255;
/// Asked for receive and send buffers; bursts of a full window of large packets fit.
const BUFFER_OCTETS: usize = 8 << 20;

/// A receiving socket that sets DF, and its sending twin that does not.
pub struct Pair {
    pub df_set: OwnedFd,
    pub df_clear: OwnedFd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Df {
    Set,
    Clear,
}

/// Opens a UDP port. The clear-DF twin is bound to the same port, and a filter steers every
/// arriving datagram to the first.
pub fn udp_pair(address: SocketAddr, mark: u32) -> io::Result<Pair> {
    let df_set = udp_socket(address, mark, Df::Set)?;
    // Bound alone first: a port that somebody else holds is an error, never shared.
    net::bind(&df_set, &address)?;
    let bound = local_address(&df_set)?;
    net::sockopt::set_socket_reuseport(&df_set, true)?;
    let df_clear = udp_socket(address, mark, Df::Clear)?;
    net::sockopt::set_socket_reuseport(&df_clear, true)?;
    net::bind(&df_clear, &bound)?;
    attach_program(&df_set, libc::SO_ATTACH_REUSEPORT_CBPF, 0)?;
    Ok(Pair { df_set, df_clear })
}

/// Opens raw sockets for IP protocol 50 of the family of `address`.
pub fn esp_pair(address: IpAddr, mark: u32) -> io::Result<Pair> {
    let df_set = raw_socket(address, PROTOCOL_ESP, mark)?;
    set_df_policy(&df_set, address, Df::Set)?;
    ask_for_facts(&df_set, address)?;
    let df_clear = raw_socket(address, PROTOCOL_ESP, mark)?;
    // A raw socket would get a copy of every ESP packet; this one only sends.
    attach_program(&df_clear, libc::SO_ATTACH_FILTER, 0)?;
    set_df_policy(&df_clear, address, Df::Clear)?;
    Ok(Pair { df_set, df_clear })
}

/// Opens a raw socket that sends whole IP packets of one family (for bypassed packets); it receives
/// nothing.
pub fn bypass(address: IpAddr, mark: u32) -> io::Result<OwnedFd> {
    let socket = raw_socket(address, PROTOCOL_RAW, mark)?;
    match address {
        IpAddr::V4(_) => set_option(&socket, libc::IPPROTO_IP, libc::IP_HDRINCL, 1)?,
        IpAddr::V6(_) => set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_HDRINCL, 1)?,
    }
    Ok(socket)
}

fn udp_socket(address: SocketAddr, mark: u32, df: Df) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family(address.ip()), SocketType::DGRAM, flags, None)?;
    if address.is_ipv6() {
        net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    prepare(&socket, mark)?;
    set_df_policy(&socket, address.ip(), df)?;
    ask_for_facts(&socket, address.ip())?;
    // A system without it delivers datagrams one by one.
    let _ = set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1);
    Ok(socket)
}

fn raw_socket(address: IpAddr, protocol: u32, mark: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let number = net::Protocol::from_raw(
        rustix::net::RawProtocol::new(protocol)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?,
    );
    let socket = net::socket_with(family(address), SocketType::RAW, flags, Some(number))?;
    prepare(&socket, mark)?;
    Ok(socket)
}

fn prepare(socket: &OwnedFd, mark: u32) -> io::Result<()> {
    if mark != 0 {
        set_mark(socket, mark)?;
    }
    // The forced sizes need a privilege; without it the system's own maximum holds.
    if net::sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_OCTETS).is_err() {
        net::sockopt::set_socket_recv_buffer_size(socket, BUFFER_OCTETS)?;
    }
    let size = i32::try_from(BUFFER_OCTETS).unwrap_or(i32::MAX);
    if set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size).is_err() {
        net::sockopt::set_socket_send_buffer_size(socket, BUFFER_OCTETS)?;
    }
    Ok(())
}

/// Sets SO_MARK, by which policy routing tells our own packets from others.
pub fn set_mark(socket: &OwnedFd, mark: u32) -> io::Result<()> {
    set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_MARK,
        i32::from_ne_bytes(mark.to_ne_bytes()),
    )
}

fn set_df_policy(socket: &OwnedFd, address: IpAddr, df: Df) -> io::Result<()> {
    let (level, option, value) = match (address, df) {
        (IpAddr::V4(_), Df::Set) => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DO,
        ),
        (IpAddr::V4(_), Df::Clear) => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DONT,
        ),
        (IpAddr::V6(_), Df::Set) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DO,
        ),
        (IpAddr::V6(_), Df::Clear) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DONT,
        ),
    };
    set_option(socket, level, option, value)
}

/// Asks the kernel to tell the local address and the traffic class of what arrives.
fn ask_for_facts(socket: &OwnedFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => {
            set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            set_option(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
        }
        IpAddr::V6(_) => {
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)
        }
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

fn set_option(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: the value is a c_int that lives across the call and its length is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Attaches the one-instruction classic BPF program "return `answer`".
fn attach_program(socket: &OwnedFd, option: libc::c_int, answer: u32) -> io::Result<()> {
    const BPF_RET_K: u16 = 0x06;
    let mut program = [libc::sock_filter {
        code: BPF_RET_K,
        jt: 0,
        jf: 0,
        k: answer,
    }];
    let descriptor = libc::sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sock_fprog>())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the kernel copies one instruction from `program`, which lives across the call, as
    // `len` says.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const descriptor).cast(),
            length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    SocketAddr::try_from(net::getsockname(socket)?)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// A throw-away UDP socket connected to `remote`, so that the kernel makes its routing decision (no
/// packet is sent).
fn routed(remote: IpAddr, mark: u32) -> io::Result<OwnedFd> {
    let socket = net::socket_with(
        family(remote),
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    if mark != 0 {
        set_mark(&socket, mark)?;
    }
    net::connect(&socket, &SocketAddr::new(remote, 500))?;
    Ok(socket)
}

/// The source address that the kernel would use towards `remote`; none without a route.
pub fn resolve_local(remote: IpAddr, mark: u32) -> Option<IpAddr> {
    let socket = routed(remote, mark).ok()?;
    local_address(&socket).ok().map(|address| address.ip())
}

/// The path MTU towards `remote` that the kernel knows (from the route or from ICMP); none without
/// a route.
pub fn path_mtu(remote: IpAddr, mark: u32) -> Option<u32> {
    let socket = routed(remote, mark).ok()?;
    let (level, option) = match remote {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).ok()?;
    // SAFETY: the kernel writes at most `length` octets into `value`; both live across the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return None;
    }
    u32::try_from(value).ok()
}

/// True for "0.0.0.0" and "::".
pub fn is_any(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_pair_receives_on_its_first_socket_only() {
        let pair = udp_pair("127.0.0.1:0".parse().unwrap(), 0).unwrap();
        let port = local_address(&pair.df_set).unwrap();
        assert_eq!(local_address(&pair.df_clear).unwrap(), port);
        for _ in 0..64 {
            let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(b"x", port).unwrap();
        }
        let mut buffer = [0_u8; 8];
        for _ in 0..64 {
            net::recv(&pair.df_set, &mut buffer[..], net::RecvFlags::empty()).unwrap();
        }
        assert!(net::recv(&pair.df_clear, &mut buffer[..], net::RecvFlags::empty()).is_err());
    }

    #[test]
    fn a_port_that_is_taken_is_not_shared() {
        let pair = udp_pair("127.0.0.1:0".parse().unwrap(), 0).unwrap();
        let port = local_address(&pair.df_set).unwrap();
        assert!(udp_pair(port, 0).is_err());
    }

    #[test]
    fn the_kernel_tells_source_and_mtu_of_a_path() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(resolve_local(loopback, 0), Some(loopback));
        assert!(path_mtu(loopback, 0).is_some_and(|mtu| mtu >= 576));
    }
}
