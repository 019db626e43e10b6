//! recvmmsg: many datagrams, or groups of them (UDP_GRO), by one call.

use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{control_length, decode_name, storage_octets, Control, BATCH, CONTROL_OCTETS};

/// Longest datagram, and a little so that slots do not all start in the same cache set.
const SLOT_OCTETS: usize = 65_535 + 193;

/// What one datagram was, beside its octets.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub remote: SocketAddr,
    /// The address it was sent to, when the kernel told.
    pub local: Option<IpAddr>,
    /// TOS octet or traffic class of the outer header.
    pub traffic_class: u8,
    /// The octets are several datagrams of this length each, the last perhaps shorter (UDP_GRO).
    pub segment: Option<usize>,
}

/// Buffers for one thread's receiving.
pub struct Receiver {
    octets: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    received: usize,
}

impl Receiver {
    pub fn new() -> Self {
        // SAFETY: mmsghdr, iovec and sockaddr_storage are plain data for which all zeros is a valid
        // value.
        let (header, vector, name) = unsafe {
            (
                zeroed::<libc::mmsghdr>(),
                zeroed::<libc::iovec>(),
                zeroed::<libc::sockaddr_storage>(),
            )
        };
        Self {
            octets: vec![0; BATCH * SLOT_OCTETS],
            headers: vec![header; BATCH],
            vectors: vec![vector; BATCH],
            names: vec![name; BATCH],
            controls: vec![Control([0; CONTROL_OCTETS]); BATCH],
            received: 0,
        }
    }

    /// Takes what is there, up to a batch; an error when there is nothing or the socket has a
    /// pending error.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.received = 0;
        for (index, slot) in self.octets.chunks_exact_mut(SLOT_OCTETS).enumerate() {
            self.vectors[index] = libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: SLOT_OCTETS,
            };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = storage_octets();
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_OCTETS;
            header.msg_flags = 0;
        }
        let count = libc::c_uint::try_from(BATCH).unwrap_or(1);
        // SAFETY: each header points to a slot, a name and a control buffer of its own, all owned
        // by `self`, alive across the call and as long as the lengths given; no Rust reference to
        // them is used during the call.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if taken < 0 {
            return Err(io::Error::last_os_error());
        }
        self.received = usize::try_from(taken).unwrap_or(0).min(BATCH);
        Ok(self.received)
    }

    /// The datagram at `index` of the last batch: the buffer of all of them, and its place there.
    /// None if it was cut, or its sender is no IP address.
    pub fn datagram(&mut self, index: usize) -> Option<(&mut [u8], Range<usize>, Facts)> {
        if index >= self.received {
            return None;
        }
        let header = &self.headers[index];
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let remote = decode_name(&self.names[index])?;
        let told = read_control(&header.msg_hdr);
        let length = usize::try_from(header.msg_len).ok()?;
        let start = index.checked_mul(SLOT_OCTETS)?;
        let place = start..start.checked_add(length)?;
        self.octets.get(place.clone())?;
        Some((
            &mut self.octets,
            place,
            Facts {
                remote,
                local: told.local,
                traffic_class: told.traffic_class,
                segment: told.segment,
            },
        ))
    }
}

impl Receiver {
    /// What the datagrams of the last batch lie in.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.octets
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// What control messages say.
#[derive(Default)]
struct Told {
    local: Option<IpAddr>,
    traffic_class: u8,
    segment: Option<usize>,
}

/// Walks the control messages that the kernel wrote.
fn read_control(header: &libc::msghdr) -> Told {
    let mut told = Told::default();
    // SAFETY: the kernel has filled msg_control up to msg_controllen with well-formed messages;
    // CMSG_FIRSTHDR and CMSG_NXTHDR stay inside that length, and every data type is read unaligned
    // after its level, type and length were checked.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            let length = (*message).cmsg_len;
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO)
                    if length >= control_length::<libc::in_pktinfo>() =>
                {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    told.local = Some(IpAddr::V4(Ipv4Addr::from(
                        info.ipi_addr.s_addr.to_ne_bytes(),
                    )));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                    if length >= control_length::<libc::in6_pktinfo>() =>
                {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    told.local = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                }
                // IPv4 tells its TOS as one octet, IPv6 its traffic class as an int.
                (libc::IPPROTO_IP, libc::IP_TOS) if length >= control_length::<u8>() => {
                    told.traffic_class = data.read();
                }
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
                    if length >= control_length::<libc::c_int>() =>
                {
                    told.traffic_class =
                        data.cast::<libc::c_int>().read_unaligned().to_le_bytes()[0];
                }
                (libc::SOL_UDP, libc::UDP_GRO) if length >= control_length::<libc::c_int>() => {
                    let size = data.cast::<libc::c_int>().read_unaligned();
                    told.segment = usize::try_from(size).ok().filter(|size| *size > 0);
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    told
}
