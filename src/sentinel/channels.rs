//! The channels that there are: what a client subscribes to is matched against them once, and not again
//! at each event.

use super::events::Event;
use super::pattern;

/// All of them.
const CHANNELS: [&str; 29] = [
    "+config-update-from",
    "+convert-to-slave",
    "+elected-leader",
    "+failover-end",
    "+failover-end-for-timeout",
    "+failover-state-reconf-slaves",
    "+failover-state-select-slave",
    "+failover-state-send-slaveof-noone",
    "+failover-state-wait-promotion",
    "+monitor",
    "+new-epoch",
    "+odown",
    "+promoted-slave",
    "+reboot",
    "+sdown",
    "+selected-slave",
    "+sentinel",
    "+slave",
    "+slave-reconf-done",
    "+slave-reconf-sent",
    "+switch-master",
    "+tilt",
    "+try-failover",
    "-failover-abort-master-timeout",
    "-failover-abort-no-good-slave",
    "-failover-abort-slave-timeout",
    "-odown",
    "-sdown",
    "-tilt",
];

/// Some of them, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels(u32);

/// An event as it is told to all clients.
#[derive(Debug, Clone, Copy)]
pub struct Announcement<'a> {
    /// The channel, among all of them.
    pub channels: Channels,
    /// Its name.
    pub channel: &'a str,
    /// What is told there.
    pub message: &'a str,
}

impl Channels {
    /// The one of this name, if there is one.
    #[must_use]
    pub fn named(name: &[u8]) -> Self {
        Self::which(|channel| channel == name)
    }

    /// Those that a pattern means.
    #[must_use]
    pub fn meant_by(pattern: &[u8]) -> Self {
        Self::which(|channel| pattern::matches(pattern, channel))
    }

    fn which(is_one: impl Fn(&[u8]) -> bool) -> Self {
        let all = CHANNELS.iter().enumerate();
        let which = all.filter(|(_, channel)| is_one(channel.as_bytes()));
        Self(which.fold(0, |bits, (position, _)| bits | (1 << position)))
    }

    /// Whether any channel is in both.
    #[must_use]
    pub fn meet(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl<'a> Announcement<'a> {
    /// That of an event.
    #[must_use]
    pub fn of((channel, message): &'a Event) -> Self {
        Self {
            channels: Channels::named(channel.as_bytes()),
            channel,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_event_has_its_channel_and_each_channel_an_event() {
        let literals = include_str!("events.rs").split('"').skip(1).step_by(2);
        let told: BTreeSet<&str> = literals
            .filter(|literal| literal.starts_with(['+', '-']))
            .collect();
        assert_eq!(told, BTreeSet::from(CHANNELS));
    }

    #[test]
    fn a_name_means_one_channel_and_a_pattern_those_that_it_fits() {
        for (pattern, names) in [
            ("[-+]tilt", &["+tilt", "-tilt"][..]),
            ("+slave", &["+slave"]),
            ("+slave-*", &["+slave-reconf-done", "+slave-reconf-sent"]),
            ("*", &CHANNELS),
            ("slave", &[]),
        ] {
            let meant = Channels::meant_by(pattern.as_bytes());
            for channel in CHANNELS {
                let is_meant = meant.meet(Channels::named(channel.as_bytes()));
                assert_eq!(is_meant, names.contains(&channel), "{pattern} {channel}");
            }
        }
        assert_eq!(Channels::named(b"+slav"), Channels(0));
    }
}
