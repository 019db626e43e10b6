//! sendmmsg: many datagrams, or groups of them (UDP_SEGMENT), by one call.

use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{encode_name, put, Control, BATCH, CONTROL_OCTETS};

/// Most octets that travel as one datagram: an IPv4 packet less its largest headers.
pub const GROUP_OCTETS_MAX: usize = 65_000;

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
            let vectors = gather(
                &mut self.vectors[first..first + group],
                arena,
                &items[first..first + group],
            );
            let index = self.group_sizes.len();
            let name_length = encode_name(item.remote, &mut self.names[index]);
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = name_length;
            header.msg_iov = &raw mut self.vectors[first];
            header.msg_iovlen = vectors;
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

/// Points `vectors` to the octets of the items, in order; gives how many it took. Items that lie side
/// by side in the arena are one run for the kernel, which copies long runs faster.
fn gather(vectors: &mut [libc::iovec], arena: &[u8], items: &[Transmit]) -> usize {
    let mut rest = items;
    let mut used = 0_usize;
    while let (Some(head), Some(vector)) = (rest.first(), vectors.get_mut(used)) {
        let run = 1 + rest
            .windows(2)
            .take_while(|pair| pair[0].end == pair[1].start)
            .count();
        let end = rest.get(run - 1).map_or(head.end, |last| last.end);
        let octets = arena.get(head.start..end).unwrap_or(&[]);
        // The kernel does not write through an outgoing vector; the type has no const form.
        *vector = libc::iovec {
            iov_base: octets.as_ptr().cast_mut().cast(),
            iov_len: octets.len(),
        };
        used += 1;
        rest = rest.get(run..).unwrap_or(&[]);
    }
    used
}

/// How many of the items can travel together: the same way, all of one length, the last perhaps
/// shorter, and not more than one datagram's octets.
pub(super) fn group_length(items: &[Transmit]) -> usize {
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
