//! Waiting without spinning: epoll, a wake-up descriptor, a timer descriptor. No `unsafe` is needed
//! here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::event::{eventfd, EventfdFlags};
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags,
    Timespec,
};

/// Events taken by one wait; what is left is reported by the next one.
const EVENTS_MAX: usize = 32;

/// Which conditions to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN,
            Self::Write => epoll::EventFlags::OUT,
        }
    }
}

/// One readiness report.
#[derive(Clone, Copy)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    pub hung_up: bool,
}

/// A set of descriptors; level triggered, so that nothing is lost when a batch limit ends a read
/// early.
pub struct Poller {
    descriptor: OwnedFd,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            descriptor: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        })
    }

    pub fn add(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(
            &self.descriptor,
            source,
            data,
            interest.flags(),
        )?)
    }

    pub fn modify(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::modify(
            &self.descriptor,
            source,
            data,
            interest.flags(),
        )?)
    }

    pub fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.descriptor, source)?)
    }

    /// Waits until something is ready; an interrupted wait gives an empty list.
    pub fn wait(&self, events: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let mut raw: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let limit = timeout.map(to_timespec);
        match epoll::wait(&self.descriptor, spare_capacity(&mut raw), limit.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in raw {
            let flags = event.flags;
            events.push(Ready {
                token: event.data.u64(),
                readable: flags.intersects(epoll::EventFlags::IN),
                writable: flags.intersects(epoll::EventFlags::OUT),
                hung_up: flags.intersects(
                    epoll::EventFlags::HUP | epoll::EventFlags::ERR | epoll::EventFlags::RDHUP,
                ),
            });
        }
        Ok(())
    }
}

fn to_timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// A descriptor that any thread can make readable.
pub struct Waker {
    descriptor: OwnedFd,
}

impl Waker {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            descriptor: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Makes the descriptor readable. A full counter is readable already, so that error means
    /// success.
    pub fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        while rustix::io::write(&self.descriptor, &one) == Err(rustix::io::Errno::INTR) {}
    }

    /// Makes the descriptor quiet again.
    pub fn clear(&self) {
        let mut octets = [0_u8; 8];
        while rustix::io::read(&self.descriptor, &mut octets) == Err(rustix::io::Errno::INTR) {}
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A one-shot timer descriptor on the monotonic clock.
pub struct Alarm {
    descriptor: OwnedFd,
}

impl Alarm {
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?,
        })
    }

    /// Fires once after `delay` (at least one nanosecond), or never.
    pub fn set(&self, delay: Option<Duration>) -> io::Result<()> {
        let value = delay.map_or(Duration::ZERO, |d| d.max(Duration::from_nanos(1)));
        let spec = Itimerspec {
            it_interval: to_timespec(Duration::ZERO),
            it_value: to_timespec(value),
        };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Makes the descriptor quiet after it fired.
    pub fn clear(&self) {
        let mut octets = [0_u8; 8];
        while rustix::io::read(&self.descriptor, &mut octets) == Err(rustix::io::Errno::INTR) {}
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Milliseconds of the monotonic clock, coarse (a few milliseconds) and cheap: one read per batch
/// of packets.
pub fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let millis = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
    seconds.saturating_mul(1000).saturating_add(millis)
}

/// Waits until one of the descriptors is readable. Gives `Interrupted` so that a host can look at
/// its signals.
pub fn wait_readable(sources: &[&OwnedFd], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    use rustix::event::{poll, PollFd, PollFlags};
    let mut list: Vec<PollFd<'_>> = sources
        .iter()
        .map(|s| PollFd::new(*s, PollFlags::IN))
        .collect();
    let limit = timeout.map(to_timespec);
    poll(&mut list, limit.as_ref())?;
    Ok(list.iter().map(|p| !p.revents().is_empty()).collect())
}
