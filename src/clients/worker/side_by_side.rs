//! Work on many files at once: nearly all of its time is spent waiting for disks, each by itself.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Most threads at a time.
const THREADS_MAX: usize = 16;

/// What `act` makes of each item, in the order of `items`. One alone costs no thread; where no more can be
/// had, those that are there do all.
pub(super) fn each_at_once<Item: Send, Made: Send>(
    items: Vec<Item>,
    act: impl Fn(Item) -> Made + Sync,
) -> Vec<Made> {
    let threads = items.len().min(THREADS_MAX);
    if threads < 2 {
        return items.into_iter().map(act).collect();
    }
    let waiting = Mutex::new(items.into_iter().enumerate());
    let next = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    };
    let work = || {
        let mut made = Vec::new();
        while let Some((place, item)) = next() {
            made.push((place, act(item)));
        }
        made
    };
    let mut made = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut made = work();
        for other in others {
            match other.join() {
                Ok(more) => made.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        made
    });
    made.sort_unstable_by_key(|(place, _)| *place);
    made.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn what_is_made_stands_in_the_order_of_what_it_was_made_of() {
        for count in [0, 1, 2, 15, 16, 17, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(each_at_once(items, |item| item * 2), doubled);
        }
    }

    #[test]
    fn a_few_are_worked_on_at_the_same_time_and_one_alone_where_it_is() {
        let all_there = Barrier::new(THREADS_MAX);
        let threads = each_at_once(vec![(); THREADS_MAX], |()| {
            // None goes on before the others have begun.
            all_there.wait();
            thread::current().id()
        });
        let threads: BTreeSet<String> = threads.iter().map(|id| format!("{id:?}")).collect();
        assert_eq!(threads.len(), THREADS_MAX);
        let here = thread::current().id();
        assert_eq!(each_at_once(vec![()], |()| thread::current().id()), [here]);
    }
}
