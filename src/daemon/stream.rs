//! Where people hear of what happens, and the clock that they read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::decision::{Happening, WallClock};
use crate::model::UnixTime;
use crate::status::EventFeed;

/// Where people hear of what happens: the log, and whoever reads the event stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) feed: EventFeed,
}

impl Stream {
    pub(super) fn announce(&self, happening: &Happening) {
        happening.log();
        self.feed.publish(happening, wall_clock().time);
    }
}

/// What the wall clock says now.
pub(super) fn wall_clock() -> WallClock {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    WallClock {
        at: Instant::now(),
        time: UnixTime(0).after(since_1970),
    }
}
