//! How an instance's replication stream moves between two readings of `INFO`.

use std::time::{Duration, Instant};

use crate::model::{InstanceInfo, MasterLink, ReplicationId, ReplicationOffset, Role};

/// What two readings of one replication history tell.
#[derive(Debug, Default)]
pub struct StreamWatch {
    last: Option<Reading>,
    /// Where the measuring of the rate stands: far enough back to say something.
    measured: Option<Reading>,
    moving_since: Option<Instant>,
    /// Bytes a second; the highest seen of late.
    peak_rate: u64,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    asked_at: Instant,
    history: ReplicationId,
    offset: ReplicationOffset,
}

impl StreamWatch {
    /// Takes in a reading that was asked for at `asked_at`.
    pub fn observe(&mut self, asked_at: Instant, info: &InstanceInfo) {
        let reading = Reading {
            asked_at,
            history: info.history.id,
            offset: info.history.offset,
        };
        let before = self
            .last
            .replace(reading)
            .filter(|last| last.history == reading.history);
        self.observe_rate(reading);
        let Some(before) = before else {
            self.moving_since = None;
            return;
        };
        let grown = reading.offset.ahead_of(before.offset);
        let is_fed = match &info.role {
            Role::Replica { link, .. } => *link == MasterLink::Up,
            Role::Master { .. } => false,
        };
        if is_fed && grown > 0 {
            self.moving_since = Some(before.asked_at);
        }
    }

    /// Short spans say more about the moment of asking than about the rate.
    fn observe_rate(&mut self, reading: Reading) {
        const SPAN_MIN: Duration = Duration::from_millis(100);
        let base = self.measured.filter(|base| base.history == reading.history);
        let Some(base) = base else {
            self.measured = Some(reading);
            return;
        };
        let span = reading.asked_at.saturating_duration_since(base.asked_at);
        if span < SPAN_MIN {
            return;
        }
        self.measured = Some(reading);
        let grown = reading.offset.ahead_of(base.offset);
        let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = grown.saturating_mul(1000) / milliseconds;
        self.peak_rate = rate.max(self.peak_rate - self.peak_rate / 16);
    }

    /// A replica's stream grew after this moment for the last time: its master lived then.
    #[must_use]
    pub fn moving_since(&self) -> Option<Instant> {
        self.moving_since
    }

    /// Bytes that a master may have written since its last reading, at most, by the rate seen.
    #[must_use]
    pub fn unseen(&self, now: Instant) -> u64 {
        let Some(last) = self.last else { return 0 };
        let age = now.saturating_duration_since(last.asked_at);
        let milliseconds = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.peak_rate.saturating_mul(milliseconds) / 1000
    }
}
