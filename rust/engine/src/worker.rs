//! A packet thread: it takes no signals, and a panic costs it one batch, not its life.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::counters::Event;
use crate::sys::process::block_all_signals;
use crate::table::Shared;

/// Between a panic and the next start, so that a fault that repeats does not burn a CPU.
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(10);

/// Runs `body` on a thread of its own until it returns; a panic is counted and `body` is called
/// again.
pub fn spawn(
    name: String,
    shared: Arc<Shared>,
    mut body: impl FnMut(&Arc<Shared>) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(move || {
        block_all_signals();
        // What a panic can leave half-done is the batch in the body's own buffers, which it makes
        // anew; everything shared is atomic, or behind a lock whose contents are whole between any
        // two statements.
        while catch_unwind(AssertUnwindSafe(|| body(&shared))).is_err() {
            shared.counters.event(Event::WorkerPanics);
            if shared.stopping.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(PAUSE_AFTER_PANIC);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_and_the_body_starts_again() {
        let shared = Arc::new(Shared::new(1).unwrap());
        let mut runs = 0;
        let thread = spawn("test".to_owned(), Arc::clone(&shared), move |_| {
            runs += 1;
            assert!(runs > 2, "on purpose");
        });
        thread.unwrap().join().unwrap();
        assert_eq!(shared.counters.named()["worker_panics"], 2);
    }
}
