//! What the servers logged: each promotion by a command, and the history that it began.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use promoterd::model::ReplicationId;

use super::history::{At, Fork, InstanceId, Promotion};

const SECONDARY: &str = "Setting secondary replication ID to ";
const VALID: &str = ", valid up to offset: ";
const NEW: &str = ". New replication ID is ";
const PROMOTED: &str = "MASTER MODE enabled";
const FOLLOWS: &str = "Connecting to MASTER";

/// Reads the log of one instance; its times count from when the run began.
pub fn read(
    path: &Path,
    instance: InstanceId,
    began: SystemTime,
    forks: &mut BTreeMap<ReplicationId, Fork>,
) -> Logged {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let promotions = parse(&text, instance, forks).into_iter();
    let promotions = promotions.map(|(time_of_day, promotion)| Promotion {
        at: since(began, time_of_day),
        ..promotion
    });
    let mut followers: BTreeMap<u32, BTreeSet<At>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains(FOLLOWS)) {
        if let (Some(process_id), Some(at)) = (process_id(line), time_of_day(line)) {
            let began_to = followers.entry(process_id).or_default();
            began_to.insert(since(began, at));
        }
    }
    Logged {
        promotions: promotions.collect(),
        followers,
    }
}

/// What one instance logged.
pub struct Logged {
    pub promotions: Vec<Promotion>,
    /// The processes that followed some master, and when they began to.
    pub followers: BTreeMap<u32, BTreeSet<At>>,
}

/// Each promotion with its time of day.
fn parse(
    text: &str,
    instance: InstanceId,
    forks: &mut BTreeMap<ReplicationId, Fork>,
) -> Vec<(Duration, Promotion)> {
    let mut promotions = Vec::new();
    let mut begun: BTreeMap<u32, ReplicationId> = BTreeMap::new();
    for line in text.lines() {
        let Some(process_id) = process_id(line) else {
            continue;
        };
        if let Some((history, fork)) = fork(line) {
            forks.insert(history, fork);
            begun.insert(process_id, history);
        }
        if !line.contains(PROMOTED) {
            continue;
        }
        if let (Some(at), Some(history)) = (time_of_day(line), begun.get(&process_id)) {
            let promotion = Promotion {
                instance,
                process_id,
                at: At::ZERO,
                history: *history,
            };
            promotions.push((at, promotion));
        }
    }
    promotions
}

fn process_id(line: &str) -> Option<u32> {
    line.split_once(':')?.0.parse().ok()
}

fn fork(line: &str) -> Option<(ReplicationId, Fork)> {
    let (_, rest) = line.split_once(SECONDARY)?;
    let (parent, rest) = rest.split_once(VALID)?;
    let (offset, history) = rest.split_once(NEW)?;
    let valid: u64 = offset.parse().ok()?;
    let fork = Fork {
        parent: parent.parse().ok()?,
        shared: valid.saturating_sub(1),
    };
    Some((history.trim().parse().ok()?, fork))
}

/// `123:M 21 Nov 2026 19:34:49.387 # ...`
fn time_of_day(line: &str) -> Option<Duration> {
    let time = line.split(' ').nth(4)?;
    let (clock, milliseconds) = time.split_once('.')?;
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some(Duration::from_secs(seconds) + Duration::from_millis(milliseconds.parse().ok()?))
}

/// Servers log local time; runs are shorter than an hour, and whole hours are all that zones differ by.
fn since(began: SystemTime, time_of_day: Duration) -> At {
    const HOUR_MS: u128 = 3_600_000;
    let epoch = began.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let in_hour = |moment: Duration| moment.as_millis() % HOUR_MS;
    let passed = (in_hour(time_of_day) + HOUR_MS - in_hour(epoch)) % HOUR_MS;
    // What was logged right before the run began counts as its beginning.
    let is_before = passed > HOUR_MS - 60_000;
    let passed = if is_before { 0 } else { passed };
    Duration::from_millis(u64::try_from(passed).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "17638:S 21 Nov 2026 19:34:47.357 * Ready to accept connections\n\
        17638:M 21 Nov 2026 19:34:49.387 # Setting secondary replication ID to \
        5b57676b1642458fd13b58726dd461cc067d41d8, valid up to offset: 101. New replication ID is \
        7f0b243ff65019399a0dc1566870544556711297\n\
        17638:M 21 Nov 2026 19:34:49.388 * MASTER MODE enabled (user request from 'id=3')\n";

    #[test]
    fn a_promotion_is_found_with_the_history_that_it_began() {
        let mut forks = BTreeMap::new();
        let found = parse(LOG, 2, &mut forks);
        let [(at, promotion)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            *at,
            Duration::from_millis(((19 * 60 + 34) * 60 + 49) * 1000 + 388)
        );
        assert_eq!((promotion.instance, promotion.process_id), (2, 17638));
        let history = "7f0b243ff65019399a0dc1566870544556711297".parse().unwrap();
        let parent = "5b57676b1642458fd13b58726dd461cc067d41d8".parse().unwrap();
        assert_eq!(promotion.history, history);
        assert_eq!(
            forks[&history],
            Fork {
                parent,
                shared: 100
            }
        );
    }

    #[test]
    fn its_time_counts_from_the_beginning_of_the_run_whatever_the_zone() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(20 * 3600 + 59 * 60 + 58);
        let seconds = |hour: u64, minute: u64, second: u64| {
            Duration::from_secs((hour * 60 + minute) * 60 + second)
        };
        assert_eq!(since(began, seconds(20, 59, 59)), Duration::from_secs(1));
        assert_eq!(since(began, seconds(22, 0, 3)), Duration::from_secs(5));
        assert_eq!(since(began, seconds(20, 59, 57)), Duration::ZERO);
    }
}
