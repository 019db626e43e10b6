//! The control socket: a Unix SOCK_SEQPACKET listener of mode 0600 and its connections. No `unsafe`
//! is needed here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::Mode;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// A frame is at most this long (plane protocol, version 1).
pub const FRAME_OCTETS_MAX: usize = 131_072;

/// The listening socket; the file goes with it.
pub struct Listener {
    descriptor: OwnedFd,
    path: String,
}

impl Listener {
    /// Binds `path` with mode 0600. A socket file that nobody listens on any more is replaced; a
    /// live one is an error.
    pub fn bind(path: &str) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        if is_stale(&address)? {
            rustix::fs::unlink(path)?;
        }
        let descriptor = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // The mode of the unbound socket becomes the mode of the file, so that there is no moment
        // with a wider one.
        rustix::fs::fchmod(&descriptor, Mode::from_raw_mode(0o600))?;
        net::bind(&descriptor, &address)?;
        net::listen(&descriptor, 4)?;
        Ok(Self {
            descriptor,
            path: path.to_owned(),
        })
    }

    /// The next connection, with the user id of its other end.
    pub fn accept(&self) -> io::Result<(Connection, u32)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let descriptor = net::accept_with(&self.descriptor, flags)?;
        let credentials = net::sockopt::socket_peercred(&descriptor)?;
        // Room for a few frames of the largest size; the kernel may give less.
        let _ = net::sockopt::set_socket_send_buffer_size(&descriptor, 8 * FRAME_OCTETS_MAX);
        Ok((Connection { descriptor }, credentials.uid.as_raw()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The file may be gone already; then there is nothing to tidy.
        let _ = rustix::fs::unlink(self.path.as_str());
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn is_stale(address: &SocketAddrUnix) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    match net::connect(&probe, address) {
        Err(rustix::io::Errno::CONNREFUSED) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Ok(()) | Err(rustix::io::Errno::AGAIN) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another plane listens on this socket",
        )),
        Err(error) => Err(error.into()),
    }
}

/// One connection; each packet is one frame.
pub struct Connection {
    descriptor: OwnedFd,
}

impl Connection {
    /// Receives one frame into `buffer`; 0 means that the other end is gone. A longer frame fills
    /// the buffer and loses its tail.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
        net::recv(&self.descriptor, buffer, RecvFlags::DONTWAIT).map(|(taken, _)| taken)
    }

    /// Sends one frame whole, or `AGAIN` when the other end does not keep up.
    pub fn send(&self, frame: &[u8]) -> Result<(), rustix::io::Errno> {
        net::send(
            &self.descriptor,
            frame,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        )
        .map(|_| ())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
