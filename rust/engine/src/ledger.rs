//! Counts of SAs in memory that outlives this process.
//!
//! When a plane dies, the next one is given the same keys by IKE. It may use them only where it
//! knows which sequence numbers were given and which were seen: that stands here, under a number
//! that IKE chose for the SA. Who asks for a number that does not stand here is refused, and IKE
//! makes new keys.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipsec::tally::{self, Kept, Tally};

use crate::sys::shared::SharedMemory;

/// Hands out places for the counts of SAs.
pub struct Ledger {
    book: Option<Arc<Book>>,
}

struct Book {
    memory: SharedMemory,
    places: Mutex<Places>,
}

struct Places {
    free: Vec<usize>,
    /// By the number of the SA: what an earlier process left.
    left: HashMap<u64, usize>,
}

/// The place of one SA; free again when the SA is gone, but not when this process is.
struct Place {
    book: Arc<Book>,
    index: usize,
}

impl Ledger {
    /// Without memory of that kind: nothing is kept, nothing can be resumed.
    pub fn none() -> Self {
        Self { book: None }
    }

    /// What an earlier process left there can be resumed.
    pub fn open(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let memory = SharedMemory::map(descriptor)?;
        let mut places = Places {
            free: Vec::new(),
            left: HashMap::new(),
        };
        // From the last on, so that the first are taken first and few pages are touched.
        for (index, slot) in memory.slots().iter().enumerate().rev() {
            match slot.id.load(Ordering::Relaxed) {
                0 => places.free.push(index),
                id => {
                    places.left.insert(id, index);
                }
            }
        }
        let places = Mutex::new(places);
        Ok(Self {
            book: Some(Arc::new(Book { memory, places })),
        })
    }

    /// A place for a new SA; one that ends with this process when `id` is 0 or all are taken.
    pub fn begin(&self, id: u64) -> Kept {
        let Some(book) = self.book.as_ref().filter(|_| id != 0) else {
            return tally::own();
        };
        let mut places = book.lock();
        if places.free.is_empty() {
            // Nobody asked for these since this process began: their SAs are gone for good.
            let left: Vec<usize> = places.left.drain().map(|(_, index)| index).collect();
            places.free.extend(left);
        }
        let Some((index, slot)) = places
            .free
            .pop()
            .and_then(|index| book.memory.slots().get(index).map(|slot| (index, slot)))
        else {
            return tally::own();
        };
        drop(places);
        slot.tally.clear();
        slot.id.store(id, Ordering::Release);
        Arc::new(Place {
            book: Arc::clone(book),
            index,
        })
    }

    /// The place of an SA that an earlier process had; once.
    pub fn resume(&self, id: u64) -> Option<Kept> {
        let book = self.book.as_ref()?;
        let index = book.lock().left.remove(&id)?;
        Some(Arc::new(Place {
            book: Arc::clone(book),
            index,
        }))
    }
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Places> {
        // Whole between any two statements.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Tally> for Place {
    fn as_ref(&self) -> &Tally {
        // The index came from these slots, whose number never changes.
        &self.book.memory.slots()[self.index].tally
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(slot) = self.book.memory.slots().get(self.index) {
            slot.id.store(0, Ordering::Release);
        }
        self.book.lock().free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::shared::tests::memory;

    fn number(kept: &Kept) -> u64 {
        (**kept).as_ref().number.load(Ordering::Relaxed)
    }

    fn count(kept: &Kept, number: u64) {
        (**kept).as_ref().number.store(number, Ordering::Relaxed);
    }

    #[test]
    fn who_comes_after_a_kill_resumes_once() {
        let descriptor = memory(4);
        let before = Ledger::open(descriptor.as_fd()).unwrap();
        let (a, b) = (before.begin(11), before.begin(12));
        count(&a, 100);
        count(&b, 200);
        // Killed: nothing is dropped.
        std::mem::forget((a, b));
        let after = Ledger::open(descriptor.as_fd()).unwrap();
        let kept = after.resume(12).unwrap();
        assert_eq!(number(&kept), 200);
        assert!(after.resume(12).is_none());
        assert!(after.resume(13).is_none());
        assert_eq!(number(&after.resume(11).unwrap()), 100);
    }

    #[test]
    fn what_ended_in_order_cannot_be_resumed_and_its_place_begins_at_zero() {
        let descriptor = memory(1);
        let before = Ledger::open(descriptor.as_fd()).unwrap();
        let kept = before.begin(11);
        count(&kept, 100);
        drop(kept);
        assert_eq!(number(&before.begin(12)), 0);
        let after = Ledger::open(descriptor.as_fd()).unwrap();
        assert!(after.resume(11).is_none() && after.resume(12).is_none());
    }

    #[test]
    fn a_full_ledger_gives_places_of_its_own_and_forgets_what_nobody_resumed() {
        let descriptor = memory(2);
        let before = Ledger::open(descriptor.as_fd()).unwrap();
        std::mem::forget(before.begin(11));
        let after = Ledger::open(descriptor.as_fd()).unwrap();
        let places = [after.begin(21), after.begin(22), after.begin(23)];
        places.iter().for_each(|kept| assert_eq!(number(kept), 0));
        assert!(after.resume(11).is_none());
        std::mem::forget(places);
        let last = Ledger::open(descriptor.as_fd()).unwrap();
        let found = [21, 22, 23].map(|id| last.resume(id).is_some());
        assert_eq!(found, [true, true, false]);
    }

    #[test]
    fn without_memory_nothing_is_kept() {
        assert!(Ledger::none().resume(11).is_none());
        assert_eq!(number(&Ledger::none().begin(11)), 0);
    }
}
