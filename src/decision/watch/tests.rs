//! Sequences of events on the probe connections of one instance, in `tests.txt`: behind each
//! event, all the orders that it leads to, and the health of the instance from then on.

use super::super::ground_tests::{
    assert_transcript, endpoint, master_info, milliseconds, policy, run_id,
};
use super::*;
use crate::decision::{ConnectFailure, Fencing, ProbeReport};
use crate::model::{PingReply, WriteLimits};

const PACE: Pace = Pace {
    info_interval: GroupPolicy::INFO_INTERVAL,
};

struct Bench {
    policy: GroupPolicy,
    watch: Watch,
    ids: LinkIds,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            policy: GroupPolicy {
                fencing: Fencing::Off,
                ..policy()
            },
            watch: Watch::new(endpoint("a"), start),
            ids: LinkIds::default(),
            start,
        }
    }

    fn moment(&self, text: &str) -> Instant {
        self.start + milliseconds(text.parse().unwrap())
    }

    fn age(&self, at: Instant) -> u128 {
        (at - self.start).as_millis()
    }

    /// Plays `<ms> <event>` and says what came of it.
    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = self.moment(words[0]);
        let mut orders = Orders::new();
        match words[1..] {
            ["poll"] => {}
            ["somebody", "doubts"] => self.watch.ask_ping(&self.policy, now, &mut orders),
            ["this", "node", "slept"] => self.watch.forgive(now),
            ["fencing", "is", "fast"] => self.policy.fencing = Fencing::Fast,
            ["exited", "is", "off"] => self.policy.exited = false,
            [link, ref rest @ ..] => {
                let link = LinkId(link.parse().unwrap());
                let report = self.report(rest);
                self.watch
                    .observe(link, report, &self.policy, now, &mut orders);
            }
            [] => panic!("an event is missing: {line}"),
        }
        self.watch
            .poll(&self.policy, PACE, now, &mut self.ids, &mut orders);
        let next = self.watch.next_deadline(&self.policy, PACE, now);
        assert!(next.is_none_or(|at| at > now), "a busy loop at: {line}");
        let orders: Vec<String> = orders.iter().map(describe).collect();
        let health = self.describe_health(now);
        format!("{:<36}=> {:<28}; {health}", line.trim(), orders.join(", "))
    }

    fn report(&self, words: &[&str]) -> ProbeReport {
        let ping = |reply, sent: &str| ProbeReport::PingReplied {
            sent_at: self.moment(sent),
            reply,
        };
        let failed = ProbeReport::ConnectFailed;
        match *words {
            ["up"] => ProbeReport::Connected { same_host: false },
            ["up", "here"] => ProbeReport::Connected { same_host: true },
            ["refused"] => failed(ConnectFailure::Refused),
            ["times", "out"] => failed(ConnectFailure::TimedOut),
            ["unreachable"] => failed(ConnectFailure::Unreachable("reset".to_owned())),
            ["denied"] => failed(ConnectFailure::Denied("WRONGPASS".to_owned())),
            ["closed"] => ProbeReport::Closed("end of stream".to_owned()),
            ["pong", sent] => ping(PingReply::Pong, sent),
            ["loading", sent] => ping(PingReply::Loading, sent),
            ["masterdown", sent] => ping(PingReply::MasterDown, sent),
            ["busy", sent] => ping(PingReply::Busy, sent),
            ["noauth", sent] => ping(PingReply::Denied("NOAUTH".to_owned()), sent),
            ["misconf", sent] => ping(PingReply::Error("MISCONF".to_owned()), sent),
            ["info", life, sent] => ProbeReport::InfoReplied {
                sent_at: self.moment(sent),
                result: Ok(master_info(life.parse().unwrap(), 1, 0)),
            },
            ["noperm", sent] => ProbeReport::InfoReplied {
                sent_at: self.moment(sent),
                result: Err(CommandFailure::Denied("NOPERM".to_owned())),
            },
            ["limits", limits, sent] => ProbeReport::LimitsReplied {
                sent_at: self.moment(sent),
                result: Ok(match limits {
                    "fence" => WriteLimits::FENCE,
                    _ => WriteLimits::default(),
                }),
            },
            ["process", "exits"] => ProbeReport::ProcessExited,
            _ => panic!("no such event: {words:?}"),
        }
    }

    fn describe_health(&self, now: Instant) -> String {
        match self.watch.health(&self.policy, None, now) {
            Health::Unknown => "unknown".to_owned(),
            Health::Up => "up".to_owned(),
            Health::Suspected { since } => format!("suspected since {}", self.age(since)),
            Health::Down { cause, since } => format!("{cause} since {}", self.age(since)),
        }
    }
}

fn describe((link, command): &(LinkId, ProbeCommand)) -> String {
    let command = match command {
        ProbeCommand::Connect => "connect",
        ProbeCommand::Disconnect => "disconnect",
        ProbeCommand::Ping => "ping",
        ProbeCommand::CountSentinels => "count",
        ProbeCommand::AskInfo => "info",
        ProbeCommand::WatchProcess(number) => &format!("watch {number}"),
        ProbeCommand::AskLimits => "limits",
        ProbeCommand::SetLimits(_) => panic!("a watch fences nobody by itself"),
        ProbeCommand::Promote(_) => panic!("a watch promotes nobody"),
        ProbeCommand::HoldWrites(_) | ProbeCommand::ReleaseWrites => {
            panic!("a watch holds no writes")
        }
    };
    format!("{} {command}", link.0)
}

#[test]
fn each_sequence_of_events_leads_to_exactly_these_orders_and_judgements() {
    let script = include_str!("tests.txt");
    let mut bench = Bench::new();
    let mut actual = String::new();
    for line in script.lines() {
        if line.starts_with('#') {
            bench = Bench::new();
            actual.push_str(line);
        } else if !line.trim().is_empty() {
            let event = line.split("=>").next().unwrap();
            actual.push_str(bench.play(event).trim_end());
        }
        actual.push('\n');
    }
    assert_transcript("watch/tests.txt", &actual);
}

#[test]
fn an_exit_says_nothing_of_another_life() {
    let mut bench = Bench::new();
    for line in [
        "0 poll",
        "1 1 up here",
        "2 1 info 1 1",
        "3 1 info 1 2",
        "5 1 closed",
        "5 1 process exits",
    ] {
        bench.play(line);
    }
    let now = bench.moment("5");
    let health = |life| bench.watch.health(&bench.policy, Some(run_id(life)), now);
    let since = now;
    assert_eq!(
        health(1),
        Health::Down {
            cause: Cause::Exited,
            since
        }
    );
    assert_eq!(health(2), Health::Suspected { since });
}
