//! The TUN device: one open file per queue.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// Longest interface name the kernel takes (IFNAMSIZ - 1).
pub const NAME_OCTETS_MAX: usize = libc::IFNAMSIZ - 1;

/// One queue of a TUN device, without packet information headers.
pub struct TunQueue {
    descriptor: OwnedFd,
}

impl TunQueue {
    /// Reads one IP packet; `WouldBlock` when there is none.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
        rustix::io::read(&self.descriptor, buffer)
    }

    /// Writes one IP packet.
    pub fn write(&self, packet: &[u8]) -> Result<usize, rustix::io::Errno> {
        rustix::io::write(&self.descriptor, packet)
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
/// made elsewhere without multi-queue gives one queue.
pub fn open(name: &str, queues: usize) -> io::Result<Vec<TunQueue>> {
    if name.is_empty() || name.len() > NAME_OCTETS_MAX || name.contains(['/', '\0', '%']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an interface name has 1 to 15 octets, no slash or percent",
        ));
    }
    if queues > 1 {
        match open_queues(name, queues, libc::IFF_MULTI_QUEUE) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => return result,
        }
    }
    match open_queues(name, 1, 0) {
        // A device made with multi-queue wants the flag also when one queue is enough.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            open_queues(name, 1, libc::IFF_MULTI_QUEUE)
        }
        result => result,
    }
}

fn open_queues(name: &str, queues: usize, extra: libc::c_int) -> io::Result<Vec<TunQueue>> {
    (0..queues)
        .map(|_| open_one(name, libc::IFF_TUN | libc::IFF_NO_PI | extra))
        .collect()
}

fn open_one(name: &str, flags: libc::c_int) -> io::Result<TunQueue> {
    let mode = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open("/dev/net/tun", mode, Mode::empty())?;
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
    Ok(TunQueue { descriptor })
}
