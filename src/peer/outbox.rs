//! What waits to be sent to one peer: bounded, and given up with the link that it was meant for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::Notify;

use super::frame::FRAME_LENGTH_MAX;
use crate::model::NodeId;

/// How many payloads may wait.
const COUNT_MAX: usize = 1_024;
/// How many bytes may wait.
const LENGTH_MAX: usize = 8 << 20;

/// Why a payload is not sent. It is gone; whoever repeats it does so with news.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotSent {
    /// The peer is no voter, or it is ourselves.
    #[error("{peer} is no peer of this node")]
    UnknownPeer {
        /// Its name.
        peer: NodeId,
    },
    /// It is longer than any frame may be.
    #[error("a message of {length} bytes is longer than peers take ({FRAME_LENGTH_MAX})")]
    Oversized {
        /// In bytes.
        length: usize,
    },
    /// There is no link at the moment.
    #[error("{peer} is not connected")]
    NotConnected {
        /// Its name.
        peer: NodeId,
    },
    /// Too much waits already: the peer does not read. The link is dropped.
    #[error("{peer} does not read fast enough")]
    Overflow {
        /// Its name.
        peer: NodeId,
    },
}

/// The queue of one peer, between whoever sends and the task that writes.
#[derive(Debug)]
pub(super) struct Outbox {
    peer: NodeId,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
enum State {
    /// There is no link.
    Closed,
    /// There is one; `length` is that of all payloads, in bytes.
    Open {
        payloads: VecDeque<Vec<u8>>,
        length: usize,
    },
    /// The peer did not keep up: its link is to be dropped.
    Overflowed,
}

impl Outbox {
    pub(super) fn new(peer: NodeId) -> Self {
        Self {
            peer,
            state: Mutex::new(State::Closed),
            changed: Notify::new(),
        }
    }

    /// Begins anew for a new link: what was meant for an older one is forgotten.
    pub(super) fn open(&self) {
        *self.lock() = State::Open {
            payloads: VecDeque::new(),
            length: 0,
        };
    }

    /// Forgets all: the link is gone.
    pub(super) fn close(&self) {
        *self.lock() = State::Closed;
    }

    pub(super) fn push(&self, payload: Vec<u8>) -> Result<(), NotSent> {
        if payload.len() > FRAME_LENGTH_MAX {
            return Err(NotSent::Oversized {
                length: payload.len(),
            });
        }
        let outcome = self.lock().push(payload, &self.peer);
        self.changed.notify_one();
        outcome
    }

    /// The payload that waits longest.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        match &mut *self.lock() {
            State::Open { payloads, length } => {
                let payload = payloads.pop_front()?;
                *length -= payload.len();
                Some(payload)
            }
            State::Closed | State::Overflowed => None,
        }
    }

    /// Whether more was sent than the peer takes, so that its link is to be dropped.
    pub(super) fn has_overflowed(&self) -> bool {
        matches!(*self.lock(), State::Overflowed)
    }

    /// Returns at once when something was pushed since the last call, else once something is.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, payload: Vec<u8>, peer: &NodeId) -> Result<(), NotSent> {
        match self {
            Self::Closed => Err(NotSent::NotConnected { peer: peer.clone() }),
            Self::Open { payloads, length }
                if payloads.len() < COUNT_MAX && *length + payload.len() <= LENGTH_MAX =>
            {
                *length += payload.len();
                payloads.push_back(payload);
                Ok(())
            }
            Self::Open { .. } | Self::Overflowed => {
                *self = Self::Overflowed;
                Err(NotSent::Overflow { peer: peer.clone() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::hello::tests::node;

    fn outbox() -> Outbox {
        let outbox = Outbox::new(node("b"));
        outbox.open();
        outbox
    }

    #[test]
    fn what_was_meant_for_an_older_link_is_not_sent_on_a_newer_one() {
        let outbox = outbox();
        outbox.push(b"old".to_vec()).unwrap();
        outbox.close();
        let peer = node("b");
        assert_eq!(
            outbox.push(b"between".to_vec()),
            Err(NotSent::NotConnected { peer })
        );
        outbox.open();
        outbox.push(b"new".to_vec()).unwrap();
        assert_eq!(outbox.take(), Some(b"new".to_vec()));
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn a_queue_that_is_full_by_count_or_by_bytes_gives_up_its_link() {
        for (length, fit) in [(0, COUNT_MAX), (FRAME_LENGTH_MAX, 2)] {
            let outbox = outbox();
            for _ in 0..fit {
                outbox.push(vec![0; length]).unwrap();
            }
            let overflow = Err(NotSent::Overflow { peer: node("b") });
            assert_eq!(outbox.push(vec![0]), overflow);
            assert!(outbox.has_overflowed(), "{length}");
            assert_eq!(outbox.take(), None);
            assert_eq!(outbox.push(vec![0]), overflow);
        }
    }

    #[test]
    fn room_that_was_taken_is_free_again() {
        let outbox = outbox();
        for _ in 0..5 {
            outbox.push(vec![0; FRAME_LENGTH_MAX]).unwrap();
            assert!(outbox.take().is_some());
        }
    }

    #[test]
    fn an_oversized_payload_is_refused_and_leaves_the_link_alone() {
        let outbox = outbox();
        let length = FRAME_LENGTH_MAX + 1;
        assert_eq!(
            outbox.push(vec![0; length]),
            Err(NotSent::Oversized { length })
        );
        assert_eq!(outbox.take(), None);
    }
}
