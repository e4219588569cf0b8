//! The fencer's alarm clock: it counts on while the host is suspended, and rings as soon as it wakes up.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::clock::BootMoment;

/// An alarm clock that is set to one moment at a time.
#[derive(Debug)]
pub(super) struct Timer {
    timer: AsyncFd<OwnedFd>,
    set_to: Option<BootMoment>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
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
    pub(super) async fn wait_until(&mut self, moment: Option<BootMoment>) -> io::Result<()> {
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

    fn set(&mut self, moment: Option<BootMoment>) -> io::Result<()> {
        const SECOND: u64 = 1_000_000_000;
        // The first nanosecond has passed long ago; zero would switch it off.
        let nanoseconds = moment.map_or(0, |moment| moment.0.max(1));
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(nanoseconds / SECOND).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(nanoseconds % SECOND).unwrap_or_default(),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.set_to = moment;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    async fn rings(timer: &mut Timer, moment: Option<BootMoment>, within: Duration) -> bool {
        timeout(within, timer.wait_until(moment)).await.is_ok()
    }

    #[tokio::test]
    async fn it_rings_when_the_moment_has_come_and_not_before() {
        let mut timer = Timer::new().unwrap();
        for span in [Duration::ZERO, Duration::from_micros(1), SOON] {
            let moment = BootMoment::now().after(span);
            assert!(rings(&mut timer, Some(moment), LONG).await);
            assert!(BootMoment::now() >= moment);
        }
        assert!(rings(&mut timer, Some(BootMoment(0)), LONG).await);
    }

    #[tokio::test]
    async fn it_rings_for_the_moment_it_was_set_to_last() {
        let mut timer = Timer::new().unwrap();
        let now = BootMoment::now();
        assert!(!rings(&mut timer, Some(now.after(SOON)), Duration::ZERO).await);
        assert!(!rings(&mut timer, Some(now.after(LONG)), SOON * 2).await);
        assert!(!rings(&mut timer, None, SOON).await);
        assert!(rings(&mut timer, Some(now.after(SOON)), LONG).await);
    }
}
