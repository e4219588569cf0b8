//! The loop's alarm clock: a timer of the kernel's, which wakes once and to the microsecond.
//!
//! The runtime's own timers count whole milliseconds, and one that crosses a slot of their wheel wakes
//! the process twice.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// An alarm clock that is set to one moment at a time.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set_to: Option<Instant>,
}

impl Alarm {
    /// It is not set.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            #[allow(
                deprecated,
                reason = "its successor is unsafe, and the descriptor is ours alone"
            )]
            timer: AsyncFd::new(timer)?,
            set_to: None,
        })
    }

    /// Waits until `moment`, or for ever. It may be dropped and asked again at any time.
    ///
    /// # Errors
    /// What the kernel gives for a timer of ours: nothing that is known.
    pub(super) async fn wait_until(&mut self, moment: Option<Instant>) -> io::Result<()> {
        if self.set_to != moment {
            self.set(moment)?;
        }
        loop {
            let mut guard = self.timer.readable().await?;
            let rung = guard.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?));
            // Otherwise it rang for a moment that it is no longer set to.
            if let Ok(rung) = rung {
                guard.clear_ready();
                self.set_to = None;
                return rung.map(drop);
            }
        }
    }

    fn set(&mut self, moment: Option<Instant>) -> io::Result<()> {
        // A span of nothing would switch it off.
        let left = |at: Instant| {
            at.saturating_duration_since(Instant::now())
                .max(Duration::from_nanos(1))
        };
        let left = moment.map_or(Duration::ZERO, left);
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.set_to = moment;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(3600);

    async fn rings_within(alarm: &mut Alarm, moment: Option<Instant>, span: Duration) -> bool {
        timeout(span, alarm.wait_until(moment))
            .await
            .map(Result::unwrap)
            .is_ok()
    }

    #[tokio::test]
    async fn it_never_rings_early() {
        let mut alarm = Alarm::new().unwrap();
        for span in [0, 1, 999, 1_000, 1_001, 70_000].map(Duration::from_micros) {
            let moment = Instant::now() + span;
            alarm.wait_until(Some(moment)).await.unwrap();
            assert!(Instant::now() >= moment, "{span:?}");
        }
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_rings_at_once() {
        let mut alarm = Alarm::new().unwrap();
        let moment = Instant::now();
        for _ in 0..2 {
            assert!(rings_within(&mut alarm, Some(moment), LONG).await);
        }
    }

    #[tokio::test]
    async fn it_rings_for_the_moment_it_was_set_to_last() {
        let mut alarm = Alarm::new().unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        let far = Instant::now() + LONG;
        let nothing = Duration::ZERO;
        // It may or may not ring already.
        rings_within(&mut alarm, Some(soon), nothing).await;
        assert!(!rings_within(&mut alarm, Some(far), nothing).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!rings_within(&mut alarm, Some(far), nothing).await);
        assert!(rings_within(&mut alarm, Some(soon), LONG).await);
        assert!(!rings_within(&mut alarm, None, Duration::from_millis(20)).await);
    }

    #[tokio::test]
    async fn one_that_rang_while_nobody_waited_is_not_missed() {
        let mut alarm = Alarm::new().unwrap();
        let soon = Instant::now() + Duration::from_millis(1);
        // It may or may not ring already.
        rings_within(&mut alarm, Some(soon), Duration::ZERO).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(rings_within(&mut alarm, Some(soon), LONG).await);
    }
}
