//! The TUN device: one open file per queue. Packets travel with a header, by which the kernel may
//! leave checksums and the cutting of large packets to us, and we to the kernel.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ipsec::offload::HEADER;
use rustix::fs::{Mode, OFlags};

/// Longest interface name the kernel takes (IFNAMSIZ - 1).
pub const NAME_OCTETS_MAX: usize = libc::IFNAMSIZ - 1;

/// Parts that one write may have (UIO_MAXIOV).
pub const PARTS_MAX: usize = 1024;

/// What a device's packets may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// Whole ones of at most the MTU.
    None,
    /// TCP may be large.
    Tcp,
    /// TCP and UDP may be large (Linux 6.2 and newer).
    TcpUdp,
}

/// One queue of a TUN device, without packet information headers.
pub struct TunQueue {
    descriptor: OwnedFd,
    offload: Offload,
}

impl TunQueue {
    /// What the device's packets may look like.
    pub fn offload(&self) -> Offload {
        self.offload
    }

    /// Reads one packet behind its header of [`HEADER`] octets; `WouldBlock` when there is none.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
        rustix::io::read(&self.descriptor, buffer)
    }

    /// Writes one IP packet as it is.
    pub fn write(&self, packet: &[u8]) -> Result<usize, rustix::io::Errno> {
        self.write_parts(&[IoSlice::new(&[0; HEADER]), IoSlice::new(packet)])
    }

    /// Writes a packet that lies in parts, at most [`PARTS_MAX`] of them, the first its header.
    pub fn write_parts(&self, parts: &[IoSlice<'_>]) -> Result<usize, rustix::io::Errno> {
        rustix::io::writev(&self.descriptor, parts)
    }

    /// Says whether the device has a carrier; without one the kernel takes its routes for dead.
    pub fn set_carrier(&self, up: bool) -> io::Result<()> {
        let value = libc::c_int::from(up);
        // SAFETY: TUNSETCARRIER reads one int, which lives across the call; the descriptor is open.
        let result = unsafe {
            libc::ioctl(
                self.descriptor.as_raw_fd(),
                libc::TUNSETCARRIER,
                &raw const value,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsFd for TunQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Opens `queues` queues of the TUN device `name`, creating it (non-persistent) if absent. A device
/// made elsewhere without multi-queue gives one queue. Without `offload` no packet is large.
pub fn open(name: &str, queues: usize, offload: bool) -> io::Result<Vec<TunQueue>> {
    if name.is_empty() || name.len() > NAME_OCTETS_MAX || name.contains(['/', '\0', '%']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an interface name has 1 to 15 octets, no slash or percent",
        ));
    }
    if queues > 1 {
        match open_queues(name, queues, libc::IFF_MULTI_QUEUE, offload) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => return result,
        }
    }
    match open_queues(name, 1, 0, offload) {
        // A device made with multi-queue wants the flag also when one queue is enough.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            open_queues(name, 1, libc::IFF_MULTI_QUEUE, offload)
        }
        result => result,
    }
}

fn open_queues(
    name: &str,
    queues: usize,
    extra: libc::c_int,
    offload: bool,
) -> io::Result<Vec<TunQueue>> {
    (0..queues)
        .map(|_| open_one(name, libc::IFF_TUN | libc::IFF_NO_PI | extra, offload))
        .collect()
}

fn open_one(name: &str, flags: libc::c_int, offload: bool) -> io::Result<TunQueue> {
    let mode = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open("/dev/net/tun", mode, Mode::empty())?;
    attach(&descriptor, name, flags | libc::IFF_VNET_HDR)?;
    let size = libc::c_int::try_from(HEADER).unwrap_or(0);
    // SAFETY: TUNSETVNETHDRSZ reads one int, which lives across the call; the descriptor is open.
    let result = unsafe {
        libc::ioctl(
            descriptor.as_raw_fd(),
            libc::TUNSETVNETHDRSZ,
            &raw const size,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let offload = match offload {
        true => most_offload(&descriptor),
        false => set_offload(&descriptor, Offload::None).map(|()| Offload::None)?,
    };
    Ok(TunQueue {
        descriptor,
        offload,
    })
}

fn attach(descriptor: &OwnedFd, name: &str, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, octet) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = libc::c_char::from_ne_bytes([octet]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "TUN flags do not fit"))?;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives across the call; the descriptor is
    // open.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Asks for as much as the kernel can; gives what it will do.
fn most_offload(descriptor: &OwnedFd) -> Offload {
    [Offload::TcpUdp, Offload::Tcp]
        .into_iter()
        .find(|offload| set_offload(descriptor, *offload).is_ok())
        .unwrap_or(Offload::None)
}

fn set_offload(descriptor: &OwnedFd, offload: Offload) -> io::Result<()> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let features = match offload {
        Offload::None => 0,
        Offload::Tcp => tcp,
        Offload::TcpUdp => tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6,
    };
    // SAFETY: TUNSETOFFLOAD takes its argument by value; the descriptor is open.
    let result = unsafe {
        libc::ioctl(
            descriptor.as_raw_fd(),
            libc::TUNSETOFFLOAD,
            libc::c_ulong::from(features),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
