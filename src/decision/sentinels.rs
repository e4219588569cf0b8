//! Whether a Sentinel watches a group too: two bosses are worse than one.
//!
//! Each Sentinel subscribes to the channel `__sentinel__:hello` of every master and replica that it
//! watches, so their subscribers are counted: a little before an `INFO` that is due anyway.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::instance_event::CommandFailure;
use super::watch::Watch;
use crate::model::Endpoint;

/// Time between two counts at one instance.
pub const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// A count is not believed when it is older than this: two in a row are missing.
const COUNT_FRESH_FOR: Duration = Duration::from_secs(25);

/// Where there were Sentinels, none are for so long before that is believed: one that promotes has the
/// server close all connections, its own too, and comes back a second later.
const NONE_FOR: Duration = Duration::from_secs(3);
/// Time between two counts meanwhile.
const RECOUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What was counted at one instance, the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// When it was asked for.
    pub asked_at: Instant,
    /// How many there are, or why that is not told.
    pub result: Result<u64, CommandFailure>,
    /// Since when none were found, while that is not believed.
    none_since: Option<Instant>,
}

impl Count {
    /// What to believe of an instance of which `before` was believed.
    #[must_use]
    pub fn after(
        before: Option<Self>,
        asked_at: Instant,
        result: Result<u64, CommandFailure>,
    ) -> Self {
        let known = before.filter(|before| before.result.as_ref().is_ok_and(|count| *count > 0));
        if let Some(known) = known.filter(|_| result == Ok(0)) {
            let since = known.none_since.unwrap_or(asked_at);
            if asked_at.saturating_duration_since(since) < NONE_FOR {
                return Self {
                    asked_at,
                    result: known.result,
                    none_since: Some(since),
                };
            }
        }
        Self {
            asked_at,
            result,
            none_since: None,
        }
    }

    /// When to count again.
    #[must_use]
    pub fn repeated_at(&self) -> Instant {
        let interval = match self.none_since {
            Some(_) => RECOUNT_INTERVAL,
            None => COUNT_INTERVAL,
        };
        self.asked_at + interval
    }
}

/// Sentinels that watch a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelWatch {
    /// One of the instances that they watch.
    pub instance: Endpoint,
    /// How many of them do.
    pub sentinels: u64,
}

/// The Sentinels that were counted lately: where there are most.
///
/// An instance that does not tell counts as one that nobody watches.
#[must_use]
pub fn found(watches: &BTreeMap<Endpoint, Watch>, now: Instant) -> Option<SentinelWatch> {
    let latest = watches
        .values()
        .filter(|watch| watch.open_link().is_some())
        .filter_map(Watch::sentinels)
        .filter(|count| count.result.is_ok())
        .map(|count| count.asked_at)
        .max();
    let counted = watches.values().filter_map(|watch| {
        let count = watch.sentinels()?;
        // What one that is down said last gives way to what the others say since.
        if watch.open_link().is_none() && latest.is_some_and(|latest| latest > count.asked_at) {
            return None;
        }
        let is_fresh = now.saturating_duration_since(count.asked_at) < COUNT_FRESH_FOR;
        let sentinels = *count.result.as_ref().ok()?;
        (is_fresh && sentinels > 0).then(|| SentinelWatch {
            instance: watch.endpoint().clone(),
            sentinels,
        })
    });
    counted.max_by_key(|found| found.sentinels)
}

/// An instance that does not tell, if there is one, and what it says.
#[must_use]
pub fn hidden(watches: &BTreeMap<Endpoint, Watch>) -> Option<(Endpoint, &CommandFailure)> {
    watches.values().find_map(|watch| {
        let failure = watch.sentinels()?.result.as_ref().err()?;
        match failure {
            CommandFailure::Denied(_) | CommandFailure::Refused(_) => {
                Some((watch.endpoint().clone(), failure))
            }
            CommandFailure::Loading
            | CommandFailure::Busy
            | CommandFailure::Malformed(_)
            | CommandFailure::TimedOut
            | CommandFailure::Lost(_)
            | CommandFailure::OtherProcess(_)
            | CommandFailure::WrongRole(_) => None,
        }
    })
}

#[cfg(test)]
#[path = "sentinels_tests.rs"]
mod tests;
