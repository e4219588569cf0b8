//! Callers in their handshake: so many at once, and whoever waits longest gives way.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::IpAddr;

use tokio::task::{AbortHandle, JoinSet};

/// The connections that have not introduced themselves yet.
///
/// A peer needs a round trip for that, so when it is crowded whoever waits longest has to leave, of the
/// address that has the most of them: strangers that keep silent then cannot keep a peer out, nor can
/// those that call faster than anybody is served.
pub(super) struct Lobby {
    length_max: usize,
    guests: JoinSet<()>,
    waiting: VecDeque<(IpAddr, AbortHandle)>,
}

impl Lobby {
    /// For so many at once.
    pub(super) fn new(length_max: usize) -> Self {
        Self {
            length_max,
            guests: JoinSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Begins a handshake; whether another one had to leave for it.
    pub(super) fn let_in(
        &mut self,
        address: IpAddr,
        guest: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        while self.guests.try_join_next().is_some() {}
        self.waiting.retain(|(_, guest)| !guest.is_finished());
        let is_crowded = self.waiting.len() == self.length_max;
        let leaves = is_crowded.then(|| self.most_numerous()).flatten();
        self.waiting.push_back((address, self.guests.spawn(guest)));
        leaves
            .and_then(|place| self.waiting.remove(place))
            .is_some_and(|(_, guest)| {
                guest.abort();
                true
            })
    }

    /// The place of the longest waiting one of the address that has the most.
    fn most_numerous(&self) -> Option<usize> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (address, _) in &self.waiting {
            *counts.entry(*address).or_default() += 1;
        }
        // Of several the first, which has waited longest.
        let places = self.waiting.iter().enumerate().rev();
        places
            .max_by_key(|(_, (address, _))| counts.get(address))
            .map(|(place, _)| place)
    }
}
