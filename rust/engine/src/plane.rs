//! A running plane: its threads and their end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::control::Control;
use crate::ledger::Ledger;
use crate::sys::poll::{wait_readable, Interest, Waker};
use crate::sys::process::{harden, TerminationSignals};
use crate::sys::seqpacket::Listener;
use crate::table::{Shared, TOKEN_WAKE};
use crate::{inbound, outbound, worker};

/// Most outbound workers.
pub const WORKERS_MAX: usize = 64;
/// Most outbound workers unless the host asks for more.
const WORKERS_DEFAULT_MAX: usize = 4;

/// A started plane. Dropping it stops it.
pub struct Plane {
    shared: Arc<Shared>,
    wakers: Vec<Arc<Waker>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    ended: Arc<OwnedFd>,
}

impl Plane {
    /// Listens on the control socket `path` and starts the threads. `workers` 0 means one for each
    /// CPU, at most four. `tallies` is memory that outlives this process, for the counts of SAs.
    pub fn start(path: &str, workers: usize, tallies: Option<OwnedFd>) -> io::Result<Self> {
        harden()?;
        let ledger = match tallies {
            Some(descriptor) => Ledger::open(descriptor.as_fd())?,
            None => Ledger::none(),
        };
        let workers = match workers {
            0 => {
                std::thread::available_parallelism().map_or(1, |n| n.get().min(WORKERS_DEFAULT_MAX))
            }
            n => n.min(WORKERS_MAX),
        };
        let listener = Listener::bind(path)?;
        let shared = Arc::new(Shared::new(workers)?);
        let mut plane = Self {
            shared: Arc::clone(&shared),
            wakers: Vec::new(),
            threads: Mutex::new(Vec::new()),
            ended: Arc::new(rustix::event::eventfd(
                0,
                rustix::event::EventfdFlags::CLOEXEC,
            )?),
        };
        plane.add_thread(worker::spawn(
            "inbound".to_owned(),
            Arc::clone(&shared),
            inbound::run,
        )?);
        for index in 0..workers {
            let Some(poller) = shared.outbound_pollers.get(index) else {
                continue;
            };
            let waker = plane.add_waker(poller)?;
            plane.add_thread(worker::spawn(
                format!("outbound-{index}"),
                Arc::clone(&shared),
                move |shared| {
                    outbound::run(shared, index, &waker);
                },
            )?);
        }
        let mut control = Control::new(Arc::clone(&shared), listener, ledger)?;
        let waker = plane.add_waker(control.poller())?;
        let ended = Arc::clone(&plane.ended);
        plane.add_thread(worker::spawn("control".to_owned(), shared, move |_| {
            control.run(&waker);
            // The counter of an eventfd is far from full, so this write cannot wait.
            let _ = rustix::io::write(&*ended, &1_u64.to_ne_bytes());
        })?);
        Ok(plane)
    }

    fn add_waker(&mut self, poller: &crate::sys::poll::Poller) -> io::Result<Arc<Waker>> {
        let waker = Arc::new(Waker::new()?);
        poller.add(&*waker, TOKEN_WAKE, Interest::Read)?;
        self.wakers.push(Arc::clone(&waker));
        Ok(waker)
    }

    fn add_thread(&self, thread: JoinHandle<()>) {
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
    }

    /// Asks all threads to end and waits for them. Keys are wiped with the tables. May be called
    /// again.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.inbound_waker.wake();
        self.wakers.iter().for_each(|waker| waker.wake());
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A worker's panics are caught inside; a thread that ended otherwise has nothing to
            // hand back.
            let _ = thread.join();
        }
    }

    /// Readable once the plane has ended.
    pub fn ended(&self) -> &OwnedFd {
        &self.ended
    }

    /// Waits until the plane has ended or the time is over; true when it has. `Interrupted` when a
    /// signal came.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        Ok(wait_readable(&[&self.ended], timeout)?
            .first()
            .copied()
            .unwrap_or(false))
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a plane until SIGTERM or SIGINT, which only the calling thread should be able to get.
pub fn serve(path: &str, workers: usize, tallies: Option<OwnedFd>) -> io::Result<()> {
    let signals = TerminationSignals::take()?;
    let plane = Plane::start(path, workers, tallies)?;
    loop {
        match wait_readable(&[signals.descriptor(), plane.ended()], None) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    plane.stop();
    Ok(())
}
