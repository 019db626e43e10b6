//! Many datagrams in one system call: the only `unsafe` of this program.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

static BUFFER_OCTETS: libc::c_int = 16 << 20;
const DATAGRAM_OCTETS: usize = 2048;
const RECEIVE_BATCH: usize = 64;

/// A socket address as the kernel takes it, for either family.
#[derive(Clone, Copy)]
union Address {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

fn address(of: SocketAddr) -> (Address, libc::socklen_t) {
    match of {
        SocketAddr::V4(of) => {
            // SAFETY: all zeroes is a valid sockaddr_in.
            let mut v4: libc::sockaddr_in = unsafe { zeroed() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = of.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(of.ip().octets());
            (Address { v4 }, size_of::<libc::sockaddr_in>() as u32)
        }
        SocketAddr::V6(of) => {
            // SAFETY: all zeroes is a valid sockaddr_in6.
            let mut v6: libc::sockaddr_in6 = unsafe { zeroed() };
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_port = of.port().to_be();
            v6.sin6_addr.s6_addr = of.ip().octets();
            (Address { v6 }, size_of::<libc::sockaddr_in6>() as u32)
        }
    }
}

fn large_buffer(socket: &UdpSocket, option: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is a c_int that lives through the call, and its size is said.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const BUFFER_OCTETS).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends equal datagrams to targets in turn, from sockets in turn: one flow for each socket.
pub struct Sender {
    sockets: Vec<UdpSocket>,
    targets: Vec<(Address, libc::socklen_t)>,
    _payload: Vec<u8>,
    slice: libc::iovec,
    headers: Vec<libc::mmsghdr>,
    flow: usize,
    target: usize,
}

impl Sender {
    /// `flows` sockets for datagrams of so many octets, at most `burst` in one call.
    pub fn new(
        targets: &[SocketAddr],
        flows: usize,
        octets: usize,
        burst: usize,
    ) -> io::Result<Self> {
        let any: IpAddr = match targets.first() {
            Some(SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            Some(SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            None => return Err(io::Error::other("no address")),
        };
        let sockets: Vec<UdpSocket> = (0..flows)
            .map(|_| UdpSocket::bind((any, 0)))
            .collect::<io::Result<_>>()?;
        for socket in &sockets {
            large_buffer(socket, libc::SO_SNDBUFFORCE)?;
        }
        let mut payload = vec![0_u8; octets];
        let slice = libc::iovec {
            iov_base: payload.as_mut_ptr().cast(),
            iov_len: octets,
        };
        // SAFETY: all zeroes is a valid mmsghdr.
        let headers = vec![unsafe { zeroed() }; burst];
        Ok(Self {
            sockets,
            targets: targets.iter().copied().map(address).collect(),
            _payload: payload,
            slice,
            headers,
            flow: 0,
            target: 0,
        })
    }

    /// One burst of one flow; how many the kernel took. What its queues had no room for is lost,
    /// as it would be to any sender.
    pub fn burst(&mut self, count: usize) -> io::Result<usize> {
        let count = count.min(self.headers.len());
        for index in 0..count {
            let (to, size) = &self.targets[self.target];
            let header = &mut self.headers[index].msg_hdr;
            // The kernel only reads the address and the payload of what is sent.
            header.msg_name = (&raw const *to).cast_mut().cast();
            header.msg_namelen = *size;
            header.msg_iov = (&raw const self.slice).cast_mut();
            header.msg_iovlen = 1;
            self.target = (self.target + 1) % self.targets.len();
        }
        // Datagrams to targets in turn are flows of their own already.
        let socket = &self.sockets[self.flow];
        self.flow = (self.flow + 1) % self.sockets.len();
        // SAFETY: the first `count` headers were filled in above; what they point to belongs to
        // `self` and does not move during the call.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                0,
            )
        };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // ECONNREFUSED: an ICMP error for an earlier datagram.
            Some(libc::ENOBUFS | libc::EAGAIN | libc::EPERM | libc::ECONNREFUSED) => Ok(0),
            _ => Err(error),
        }
    }
}

/// Counts datagrams.
pub struct Receiver {
    socket: UdpSocket,
    _octets: Vec<u8>,
    _slices: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Receiver {
    /// A socket with a large buffer: what is lost was lost on the way.
    pub fn new(at: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(at)?;
        socket.set_nonblocking(true)?;
        large_buffer(&socket, libc::SO_RCVBUFFORCE)?;
        let mut octets = vec![0_u8; RECEIVE_BATCH * DATAGRAM_OCTETS];
        let mut slices: Vec<libc::iovec> = octets
            .chunks_mut(DATAGRAM_OCTETS)
            .map(|room| libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            })
            .collect();
        let headers = slices
            .iter_mut()
            .map(|slice| {
                // SAFETY: all zeroes is a valid mmsghdr.
                let mut header: libc::mmsghdr = unsafe { zeroed() };
                header.msg_hdr.msg_name = null_mut();
                header.msg_hdr.msg_iov = &raw mut *slice;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Ok(Self {
            socket,
            _octets: octets,
            _slices: slices,
            headers,
        })
    }

    /// How many have come: waits for some. None when standard input was closed.
    pub fn batch(&mut self) -> io::Result<Option<usize>> {
        let mut watched = [self.socket.as_raw_fd(), 0].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        // SAFETY: two pollfds that live through the call.
        if unsafe { libc::poll(watched.as_mut_ptr(), 2, -1) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // What is there is counted before the end is heard.
        if watched[0].revents == 0 {
            return Ok(None);
        }
        // SAFETY: every header points to a slice and every slice to room of its own, all of
        // which belong to `self` and never move.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                RECEIVE_BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                null_mut(),
            )
        };
        if let Ok(count) = usize::try_from(count) {
            return Ok(Some(count));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Ok(Some(0)),
            _ => Err(error),
        }
    }
}
