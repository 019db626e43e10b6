//! Memory that outlives this process: a memfd that the supervisor holds, mapped here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use ipsec::tally::Tally;
use rustix::fs::SealFlags;

/// One place in it, on a cache line of its own so that workers do not slow each other down.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Slot {
    /// Whose it is; 0: nobody's.
    pub id: AtomicU64,
    /// The counts of that SA.
    pub tally: Tally,
}

/// Most slots that are mapped: far above any use.
const SLOTS_MAX: usize = 1 << 20;

/// The mapping.
pub struct SharedMemory {
    start: NonNull<Slot>,
    slots: usize,
}

// SAFETY: the mapping is not tied to a thread, and all that is ever read or written through it are
// atomics.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Maps all of it. Refuses what could become shorter, for touching what is gone would end the
    /// process.
    pub fn map(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        if !rustix::fs::fcntl_get_seals(descriptor)?.contains(SealFlags::SHRINK) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the memory for counts could be made shorter",
            ));
        }
        let size = rustix::fs::fstat(descriptor)?.st_size;
        let octets = usize::try_from(size).unwrap_or(0);
        let slots = (octets / size_of::<Slot>()).min(SLOTS_MAX);
        if slots == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the memory for counts is empty",
            ));
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours; the
        // descriptor is open.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                slots * size_of::<Slot>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(address.cast::<Slot>())
            .ok_or_else(|| io::Error::other("mapped at address zero"))?;
        Ok(Self { start, slots })
    }

    /// Every slot.
    pub fn slots(&self) -> &[Slot] {
        // SAFETY: the mapping has `slots` of them, begins at a page, lives as long as `self` and
        // cannot become shorter (see `map`). Any bits are a valid `Slot`, which is atomics only, so
        // that other processes may write there.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.slots) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the very mapping that `map` made; nothing borrowed from it outlives `self`.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.slots * size_of::<Slot>());
        }
    }
}

/// A descriptor that this process was started with, by its number: a copy of it.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: borrowed for this one call, which answers EBADF when nothing is open there.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed.as_fd(), 3)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::MemfdFlags;

    use super::*;

    /// Memory for so many slots, sealed as the supervisor seals it.
    pub fn memory(slots: u64) -> OwnedFd {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let descriptor = rustix::fs::memfd_create("test", flags).unwrap();
        rustix::fs::ftruncate(&descriptor, slots * 64).unwrap();
        rustix::fs::fcntl_add_seals(&descriptor, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        descriptor
    }

    #[test]
    fn what_is_written_is_there_for_the_next_mapping() {
        let descriptor = memory(4);
        let first = SharedMemory::map(descriptor.as_fd()).unwrap();
        assert_eq!(first.slots().len(), 4);
        first.slots()[3].tally.number.store(77, Ordering::Relaxed);
        drop(first);
        let second = SharedMemory::map(descriptor.as_fd()).unwrap();
        assert_eq!(second.slots()[3].tally.number.load(Ordering::Relaxed), 77);
    }

    #[test]
    fn what_could_become_shorter_is_refused() {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let descriptor = rustix::fs::memfd_create("test", flags).unwrap();
        rustix::fs::ftruncate(&descriptor, 4096).unwrap();
        assert!(SharedMemory::map(descriptor.as_fd()).is_err());
        assert!(SharedMemory::map(memory(0).as_fd()).is_err());
        assert!(inherited(-1).is_err() && inherited(1 << 20).is_err());
    }
}
