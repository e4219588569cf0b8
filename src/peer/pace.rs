//! How long a link waits for what, and the two clocks that follow from it: liveness and retries.

use std::time::{Duration, Instant};

/// All spans of the links. Their defaults are what runs; tests shorten them.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// For the names of one endpoint to be resolved.
    pub(super) resolve_within: Duration,
    /// For a TCP connection to one address.
    pub(super) connect_within: Duration,
    /// An attempt to connect that was not answered for so long gets another one beside it.
    pub(super) another_attempt_after: Duration,
    /// For a whole handshake, on either side.
    pub(super) handshake_within: Duration,
    /// Silence of our own after which we show a sign of life.
    pub(super) keep_alive_after: Duration,
    /// Silence of the peer after which the link is dropped.
    pub(super) silent_after: Duration,
    /// For one batch of frames to be taken by the peer.
    pub(super) drain_within: Duration,
    /// First delay before a repeated call.
    pub(super) retry_delay_min: Duration,
    /// Longest delay before a repeated call, without jitter.
    pub(super) retry_delay_max: Duration,
    /// How long a link must last for its loss to be repaired at once.
    pub(super) settled_after: Duration,
    /// Rest after the system refused to accept a connection.
    pub(super) accept_pause: Duration,
    /// For what is queued to be written when the links stop.
    pub(super) stop_within: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            resolve_within: Duration::from_secs(1),
            connect_within: Duration::from_secs(1),
            another_attempt_after: Duration::from_millis(250),
            handshake_within: Duration::from_secs(1),
            keep_alive_after: Duration::from_millis(500),
            silent_after: Duration::from_secs(2),
            drain_within: Duration::from_secs(5),
            retry_delay_min: Duration::from_millis(10),
            retry_delay_max: Duration::from_secs(1),
            settled_after: Duration::from_secs(1),
            accept_pause: Duration::from_millis(100),
            stop_within: Duration::from_millis(500),
        }
    }
}

/// What is to be done about a connection when nothing else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// We were quiet for long: show a sign of life.
    KeepAlive,
    /// The peer was quiet for too long.
    Silent,
    /// The peer did not take what we write.
    Slow,
}

/// When each side of a connection was last heard.
#[derive(Debug)]
pub(super) struct Liveness {
    heard: Instant,
    wrote: Instant,
    writing_since: Option<Instant>,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            wrote: now,
            writing_since: None,
        }
    }

    /// An authentic frame came, or we were not listening until now.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// There is something to be written.
    pub(super) fn writing(&mut self, now: Instant) {
        self.writing_since.get_or_insert(now);
    }

    /// All is written.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.wrote = now;
        self.writing_since = None;
    }

    /// What is due next, and when.
    pub(super) fn next(&self, pace: &Pace) -> (Instant, Due) {
        let silent = (self.heard + pace.silent_after, Due::Silent);
        let ours = match self.writing_since {
            Some(since) => (since + pace.drain_within, Due::Slow),
            None => (self.wrote + pace.keep_alive_after, Due::KeepAlive),
        };
        silent.min(ours)
    }
}

/// The delays between calls to a peer that does not answer.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new(pace: &Pace) -> Self {
        Self {
            next: pace.retry_delay_min,
        }
    }

    /// A link ended after this time: one that had settled is worth an immediate call.
    pub(super) fn link_ended(&mut self, up_for: Duration, pace: &Pace) {
        if up_for >= pace.settled_after {
            self.next = Duration::ZERO;
        }
    }

    /// The delay before the next call; `jitter` from 0 to 1 spreads it from half to one and a half.
    pub(super) fn delay(&mut self, jitter: f64, pace: &Pace) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).clamp(pace.retry_delay_min, pace.retry_delay_max);
        delay.mul_f64(0.5 + jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(span: u64) -> Duration {
        Duration::from_millis(span)
    }

    #[test]
    fn calls_come_at_once_after_a_settled_link_and_then_ever_more_rarely() {
        let pace = Pace::default();
        let mut backoff = Backoff::new(&pace);
        let mut delays = |jitter| Vec::from_iter((0..9).map(|_| backoff.delay(jitter, &pace)));
        assert_eq!(
            delays(0.5),
            [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000].map(ms)
        );
        backoff.link_ended(ms(999), &pace);
        assert_eq!(backoff.delay(0.5, &pace), ms(1_000));
        backoff.link_ended(ms(1_000), &pace);
        assert_eq!(backoff.delay(0.5, &pace), ms(0));
        assert_eq!(backoff.delay(0.0, &pace), ms(5));
        assert_eq!(backoff.delay(1.0, &pace), ms(30));
    }

    #[test]
    fn a_connection_asks_for_what_comes_first() {
        let pace = Pace::default();
        let start = Instant::now();
        let at = |span| start + ms(span);
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.next(&pace), (at(500), Due::KeepAlive));
        liveness.writing(at(400));
        assert_eq!(liveness.next(&pace), (at(2_000), Due::Silent));
        liveness.writing(at(1_000));
        liveness.heard(at(4_000));
        assert_eq!(
            liveness.next(&pace),
            (at(5_400), Due::Slow),
            "a batch counts from when it was begun"
        );
        liveness.wrote(at(5_000));
        assert_eq!(liveness.next(&pace), (at(5_500), Due::KeepAlive));
    }
}
