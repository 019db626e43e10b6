//! What the whole process promises about secrets: no core file, no ptrace by another process, and
//! signals for one thread.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Resource, Rlimit};

/// Makes the process non-dumpable and turns core files off (SECURITY-GUIDE 2.3).
pub fn harden() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    Ok(())
}

fn termination_signals() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data, any bit pattern is valid for it, and sigemptyset/sigaddset
    // write only to it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        set
    }
}

/// Blocks every signal for the calling thread, so that the host's main thread gets them all.
pub fn block_all_signals() {
    // SAFETY: the set is initialised by sigfillset before use; a null old set is allowed by
    // pthread_sigmask.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// SIGTERM and SIGINT as a readable descriptor while this value lives; the old mask comes back on
/// drop.
pub struct TerminationSignals {
    descriptor: OwnedFd,
    before: libc::sigset_t,
}

impl TerminationSignals {
    /// Blocks both signals for the calling thread (and for threads it makes from now on).
    pub fn take() -> io::Result<Self> {
        let set = termination_signals();
        // SAFETY: both sets are valid for the call; signalfd returns a new descriptor that nobody
        // else owns.
        unsafe {
            let mut before: libc::sigset_t = std::mem::zeroed();
            if libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before) != 0 {
                return Err(io::Error::last_os_error());
            }
            let number = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if number < 0 {
                let error = io::Error::last_os_error();
                libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
                return Err(error);
            }
            Ok(Self {
                descriptor: std::os::fd::FromRawFd::from_raw_fd(number),
                before,
            })
        }
    }

    /// Readable when one of the signals is pending.
    pub fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }
}

impl Drop for TerminationSignals {
    fn drop(&mut self) {
        // The signal was answered by an orderly stop; left pending it would kill the process when
        // unblocked.
        let mut record = [0_u8; 128];
        while matches!(rustix::io::read(&self.descriptor, &mut record), Ok(n) if n > 0) {}
        // SAFETY: `before` was filled by pthread_sigmask in `take`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}
