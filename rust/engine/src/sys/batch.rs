//! Many datagrams per system call: recvmmsg and sendmmsg with the local address and the traffic
//! class as control messages.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams taken or given by one system call.
pub const BATCH: usize = 64;
/// Room for the control messages of one datagram: packet information and traffic class of either
/// family.
const CONTROL_OCTETS: usize = 128;
/// Longest datagram, and a little so that slots do not all start in the same cache set.
const SLOT_OCTETS: usize = 65_535 + 193;
/// Most octets that travel as one datagram: an IPv4 packet less its largest headers.
const GROUP_OCTETS_MAX: usize = 65_000;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_OCTETS]);

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

    /// The datagram at `index` of the last batch. None if it was cut, or its sender is no IP
    /// address.
    pub fn datagram(&mut self, index: usize) -> Option<(&mut [u8], Facts)> {
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
        let octets = self.octets.get_mut(start..start.checked_add(length)?)?;
        Some((
            octets,
            Facts {
                remote,
                local: told.local,
                traffic_class: told.traffic_class,
                segment: told.segment,
            },
        ))
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

/// cmsg_len of a control message that holds one `T`.
fn control_length<T>() -> usize {
    let octets = libc::c_uint::try_from(size_of::<T>()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: CMSG_LEN is arithmetic on its argument.
    usize::try_from(unsafe { libc::CMSG_LEN(octets) }).unwrap_or(usize::MAX)
}

/// One datagram to send: where its octets are in the sender's arena, and how it goes out.
#[derive(Clone, Copy, Debug)]
pub struct Transmit {
    pub start: usize,
    pub end: usize,
    pub remote: SocketAddr,
    /// Source address; none leaves the choice to the kernel.
    pub local: Option<IpAddr>,
    pub traffic_class: u8,
}

/// Header arrays for one thread's sending.
pub struct Sender {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    /// Items in each prepared message.
    group_sizes: Vec<usize>,
    /// The system refused grouped items that it took one by one; it is not asked again.
    segment_refused: bool,
}

impl Sender {
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
            headers: vec![header; BATCH],
            vectors: vec![vector; BATCH],
            names: vec![name; BATCH],
            controls: vec![Control([0; CONTROL_OCTETS]); BATCH],
            group_sizes: Vec::with_capacity(BATCH),
            segment_refused: false,
        }
    }

    /// Sends the items in order. Each one that the kernel refuses is reported with its index and
    /// error number and skipped; when the send buffer is full, all that remain are reported with
    /// EAGAIN. Gives the number sent.
    ///
    /// With `segment` (a UDP socket that sets DF), neighbours of one length to one peer travel the
    /// kernel as one datagram that is cut at the end of its way (UDP_SEGMENT).
    pub fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        arena: &[u8],
        items: &[Transmit],
        segment: bool,
        mut refused: impl FnMut(usize, i32),
    ) -> usize {
        let mut sent = 0_usize;
        let mut done = 0_usize;
        // Items before this index go one by one, because their group was refused.
        let mut single_until = 0_usize;
        let mut single_refused = false;
        while done < items.len() {
            let single = done < single_until || !segment || self.segment_refused;
            let end = if done < single_until {
                single_until
            } else {
                items.len()
            };
            let chunk = &items[done..end.min(done + BATCH)];
            let messages = self.fill(arena, chunk, !single);
            let count = libc::c_uint::try_from(messages).unwrap_or(1);
            // SAFETY: the first `count` headers point to names, vectors and control buffers owned
            // by `self` and to octets of `arena`, all alive across the call; the kernel only reads
            // them (and writes msg_len).
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    count,
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            };
            match usize::try_from(result) {
                Ok(taken) => {
                    let taken: usize = self.group_sizes.iter().take(taken).sum();
                    sent += taken;
                    done += taken.max(1);
                }
                Err(_) => {
                    let number = io::Error::last_os_error()
                        .raw_os_error()
                        .unwrap_or(libc::EIO);
                    let group = self.group_sizes.first().copied().unwrap_or(1);
                    match number {
                        libc::EINTR => {}
                        // ENOBUFS is a full queue of the device: as good as a full send buffer.
                        libc::EAGAIN | libc::ENOBUFS => {
                            (done..items.len()).for_each(|index| refused(index, libc::EAGAIN));
                            break;
                        }
                        _ if group > 1 => {
                            single_until = done + group;
                            single_refused = false;
                        }
                        other => {
                            single_refused = true;
                            refused(done, other);
                            done += 1;
                        }
                    }
                }
            }
            if single_until > 0 && done >= single_until {
                // One by one they went: it is the grouping that this way out cannot do.
                self.segment_refused |= !single_refused;
                single_until = 0;
            }
        }
        sent
    }

    /// Prepares messages for the items, in groups if `segment` says so; gives their number.
    fn fill(&mut self, arena: &[u8], items: &[Transmit], segment: bool) -> usize {
        self.group_sizes.clear();
        let mut first = 0_usize;
        while let Some(item) = items.get(first) {
            let group = if segment {
                group_length(&items[first..])
            } else {
                1
            };
            for (vector, part) in self.vectors[first..]
                .iter_mut()
                .zip(&items[first..first + group])
            {
                let octets = arena.get(part.start..part.end).unwrap_or(&[]);
                // The kernel does not write through an outgoing vector; the type has no const form.
                *vector = libc::iovec {
                    iov_base: octets.as_ptr().cast_mut().cast(),
                    iov_len: octets.len(),
                };
            }
            let index = self.group_sizes.len();
            let name_length = encode_name(item.remote, &mut self.names[index]);
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = name_length;
            header.msg_iov = &raw mut self.vectors[first];
            header.msg_iovlen = group;
            header.msg_flags = 0;
            header.msg_control = self.controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_OCTETS;
            let cut = if group > 1 {
                u16::try_from(item.end - item.start).ok()
            } else {
                None
            };
            let used = write_control(header, item, cut);
            header.msg_controllen = used;
            if used == 0 {
                header.msg_control = std::ptr::null_mut();
            }
            self.group_sizes.push(group);
            first += group;
        }
        self.group_sizes.len()
    }
}

/// How many of the items can travel together: the same way, all of one length, the last perhaps
/// shorter, and not more than one datagram's octets.
fn group_length(items: &[Transmit]) -> usize {
    let Some(head) = items.first() else { return 0 };
    let size = head.end - head.start;
    let mut octets = size;
    let mut count = 1;
    for item in &items[1..] {
        let length = item.end - item.start;
        let same_way = item.remote == head.remote
            && item.local == head.local
            && item.traffic_class == head.traffic_class;
        if !same_way || length > size || octets + length > GROUP_OCTETS_MAX {
            break;
        }
        octets += length;
        count += 1;
        if length < size {
            break;
        }
    }
    count
}

// SAFETY: the raw pointers in the header arrays are written and used within one call of `send`,
// which holds `&mut self`; between calls they are never followed, so another thread may own the
// value.
unsafe impl Send for Sender {}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the control messages of one datagram; gives their length.
fn write_control(header: &libc::msghdr, item: &Transmit, cut: Option<u16>) -> usize {
    let mut used = 0_usize;
    // SAFETY: msg_control points to CONTROL_OCTETS octets, aligned for cmsghdr, and msg_controllen
    // says so; at most one packet information (40 octets with its header), one traffic class
    // (24) and one segment size (24) are written, which fits; CMSG_NXTHDR reads the next header's length only inside that
    // room, and every message written carries its own length.
    unsafe {
        std::ptr::write_bytes(header.msg_control.cast::<u8>(), 0, CONTROL_OCTETS);
        let mut message = libc::CMSG_FIRSTHDR(header);
        match item.local {
            Some(IpAddr::V4(address)) if !message.is_null() => {
                let mut info: libc::in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = u32::from_ne_bytes(address.octets());
                used += put(message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
                message = libc::CMSG_NXTHDR(header, message);
            }
            Some(IpAddr::V6(address)) if !message.is_null() => {
                let mut info: libc::in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = address.octets();
                used += put(message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
                message = libc::CMSG_NXTHDR(header, message);
            }
            _ => {}
        }
        if item.traffic_class != 0 && !message.is_null() {
            let value = libc::c_int::from(item.traffic_class);
            used += match item.remote {
                SocketAddr::V4(_) => put(message, libc::IPPROTO_IP, libc::IP_TOS, value),
                SocketAddr::V6(_) => put(message, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, value),
            };
            message = libc::CMSG_NXTHDR(header, message);
        }
        if let Some(size) = cut.filter(|_| !message.is_null()) {
            used += put(message, libc::SOL_UDP, libc::UDP_SEGMENT, size);
        }
    }
    used
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
mod tests {
    use super::*;
    use crate::sys::socket::udp_pair;
    use std::os::fd::AsFd;

    fn bound(pair: &crate::sys::socket::Pair) -> SocketAddr {
        SocketAddr::try_from(rustix::net::getsockname(&pair.df_set).unwrap()).unwrap()
    }

    fn exchange(address: &str, segment: bool) {
        let left = udp_pair(format!("{address}:0").parse().unwrap(), 0).unwrap();
        let right = udp_pair(format!("{address}:0").parse().unwrap(), 0).unwrap();
        let to = bound(&right);
        let arena: Vec<u8> = (0..=255).collect();
        let items: Vec<Transmit> = (0..100)
            .map(|i| Transmit {
                start: i,
                end: i + length(i),
                remote: to,
                local: Some(to.ip()),
                traffic_class: 0x2a,
            })
            .collect();
        let sent = Sender::new().send(left.df_set.as_fd(), &arena, &items, segment, |i, e| {
            panic!("{i} refused: {e}")
        });
        assert_eq!(sent, 100);
        let mut receiver = Receiver::new();
        let mut seen = 0_usize;
        while seen < 100 {
            let count = receiver.receive(right.df_set.as_fd()).unwrap();
            for index in 0..count {
                let (octets, facts) = receiver.datagram(index).unwrap();
                for part in octets.chunks(facts.segment.unwrap_or(octets.len())) {
                    assert_eq!(part, &arena[seen..seen + length(seen)]);
                    seen += 1;
                }
                assert_eq!(facts.remote, bound(&left));
                assert_eq!(facts.local, Some(to.ip()));
                assert_eq!(facts.traffic_class, 0x2a);
            }
        }
    }

    /// Runs of one length, with a shorter and a longer one in between.
    fn length(index: usize) -> usize {
        match index {
            33 | 34 | 71 => 7,
            50 => 30,
            _ => 10,
        }
    }

    #[test]
    fn a_batch_arrives_in_order_with_address_and_class() {
        for address in ["127.0.0.1", "[::1]"] {
            exchange(address, false);
            exchange(address, true);
        }
    }

    #[test]
    fn groups_are_of_one_way_and_length_with_a_shorter_end() {
        let item = |length: usize, port: u16| Transmit {
            start: 5,
            end: 5 + length,
            remote: SocketAddr::from(([192, 0, 2, 1], port)),
            local: None,
            traffic_class: 0,
        };
        let lengths = |list: &[(usize, u16)]| {
            let items: Vec<_> = list.iter().map(|(l, p)| item(*l, *p)).collect();
            group_length(&items)
        };
        assert_eq!(lengths(&[(9, 1)]), 1);
        assert_eq!(lengths(&[(9, 1), (9, 1), (9, 1)]), 3);
        assert_eq!(lengths(&[(9, 1), (9, 2)]), 1);
        assert_eq!(lengths(&[(9, 1), (10, 1)]), 1);
        assert_eq!(lengths(&[(9, 1), (8, 1), (8, 1)]), 2);
        assert_eq!(lengths(&[(1400, 1); 64]), 46);
    }

    #[test]
    fn a_refused_datagram_is_reported_and_the_others_go() {
        let pair = udp_pair("127.0.0.1:0".parse().unwrap(), 0).unwrap();
        let to = bound(&pair);
        let arena = vec![0_u8; 70_000];
        let short = Transmit {
            start: 0,
            end: 4,
            remote: to,
            local: None,
            traffic_class: 0,
        };
        let long = Transmit {
            end: 70_000,
            ..short
        };
        let mut refusals = Vec::new();
        let sent = Sender::new().send(
            pair.df_set.as_fd(),
            &arena,
            &[short, long, short],
            false,
            |i, e| refusals.push((i, e)),
        );
        assert_eq!((sent, refusals), (2, vec![(1, libc::EMSGSIZE)]));
    }
}
