//! Tables of counts, and what they come to.

use super::super::ground_tests::*;
use super::super::{ProbeCommand, ProbeReport};
use super::*;

/// An instance that was asked at `asked_at` and answered so.
fn counted(name: &str, asked_at: Instant, result: Result<u64, CommandFailure>) -> Watch {
    let (mut watch, link) = watch_connected(name, asked_at);
    let report = ProbeReport::SentinelsCounted {
        sent_at: asked_at,
        result,
    };
    watch.observe(link, report, &policy(), asked_at, &mut Vec::new());
    watch
}

#[test]
fn sentinels_are_those_that_were_counted_lately_anywhere() {
    let start = Instant::now();
    let denied = || Err(CommandFailure::Denied("NOPERM".to_owned()));
    for (counts, age, expected) in [
        (vec![("a", Ok(0)), ("b", Ok(0))], 0, None),
        (vec![("a", Ok(3)), ("b", Ok(2))], 0, Some(("a", 3))),
        (vec![("a", Ok(0)), ("b", Ok(1))], 24_999, Some(("b", 1))),
        (vec![("a", Ok(0)), ("b", Ok(1))], 25_000, None),
        (vec![("a", denied()), ("b", Ok(1))], 0, Some(("b", 1))),
        (vec![("a", denied()), ("b", denied())], 0, None),
        (vec![], 0, None),
    ] {
        let all = counts.iter();
        let all = all.map(|(name, result)| counted(name, start, result.clone()));
        let found = found(&watches(all.collect()), start + milliseconds(age));
        let found = found.as_ref();
        let found = found.map(|found| (found.instance.host(), found.sentinels));
        assert_eq!(found, expected, "{counts:?} {age}");
    }
}

/// A Sentinel that promotes has the server close its own connections, too.
#[test]
fn sentinels_that_are_gone_for_a_moment_are_still_there() {
    let start = Instant::now();
    let denied = Err(CommandFailure::Denied("NOPERM".to_owned()));
    for (counts, expected, next) in [
        (vec![(0, Ok(3))], Ok(3), 10_000),
        (vec![(0, Ok(3)), (5000, Ok(0))], Ok(3), 6000),
        (vec![(0, Ok(3)), (5000, Ok(0)), (7900, Ok(0))], Ok(3), 8900),
        (
            vec![(0, Ok(3)), (5000, Ok(0)), (8000, Ok(0))],
            Ok(0),
            18_000,
        ),
        (
            vec![
                (0, Ok(3)),
                (5000, Ok(0)),
                (6000, Ok(2)),
                (7000, Ok(0)),
                (9000, Ok(0)),
            ],
            Ok(2),
            10_000,
        ),
        (vec![(0, Ok(0)), (5000, Ok(0))], Ok(0), 15_000),
        (vec![(0, Ok(3)), (5000, denied.clone())], denied, 15_000),
    ] {
        let mut believed = None;
        for (at, result) in &counts {
            let asked_at = start + milliseconds(*at);
            believed = Some(Count::after(believed, asked_at, result.clone()));
        }
        let believed = believed.unwrap();
        assert_eq!(believed.result, expected, "{counts:?}");
        let again = believed.repeated_at().duration_since(start);
        assert_eq!(again, milliseconds(next), "{counts:?}");
    }
}

#[test]
fn who_does_not_tell_is_named_and_who_cannot_at_the_moment_is_not() {
    let start = Instant::now();
    for (result, is_hidden) in [
        (Ok(1), false),
        (Err(CommandFailure::Denied("NOPERM".to_owned())), true),
        (
            Err(CommandFailure::Refused("ERR unknown command".to_owned())),
            true,
        ),
        (Err(CommandFailure::Loading), false),
        (Err(CommandFailure::Busy), false),
    ] {
        let watches = watches(vec![counted("a", start, result.clone())]);
        assert_eq!(hidden(&watches).is_some(), is_hidden, "{result:?}");
    }
}

#[test]
fn sentinels_are_counted_before_the_first_info_and_then_every_ten_seconds() {
    let start = Instant::now();
    let (mut watch, link) = watch_connected("a", start);
    let pace = crate::decision::Pace {
        info_interval: milliseconds(1000),
    };
    let mut counted = Vec::new();
    for second in 0..25 {
        let now = start + Duration::from_secs(second);
        let mut orders = Vec::new();
        let mut ids = crate::decision::LinkIds::default();
        watch.poll(&policy(), pace, now, &mut ids, &mut orders);
        let commands: Vec<ProbeCommand> = orders
            .into_iter()
            .filter(|(on, _)| *on == link)
            .map(|(_, command)| command)
            .collect();
        let count = commands
            .iter()
            .position(|command| *command == ProbeCommand::CountSentinels);
        let info = commands
            .iter()
            .position(|command| *command == ProbeCommand::AskInfo);
        if let Some(count) = count {
            assert_eq!(info, Some(count + 1), "{commands:?}");
            counted.push(second);
        }
        for command in commands {
            let report = match command {
                ProbeCommand::Ping => ProbeReport::PingReplied {
                    sent_at: now,
                    reply: crate::model::PingReply::Pong,
                },
                ProbeCommand::AskInfo => ProbeReport::InfoReplied {
                    sent_at: now,
                    result: Ok(master_info(1, 1, 10)),
                },
                ProbeCommand::CountSentinels => ProbeReport::SentinelsCounted {
                    sent_at: now,
                    result: Ok(0),
                },
                ProbeCommand::Connect
                | ProbeCommand::Disconnect
                | ProbeCommand::WatchProcess(_)
                | ProbeCommand::Promote(_)
                | ProbeCommand::AskLimits
                | ProbeCommand::SetLimits(_)
                | ProbeCommand::HoldWrites(_)
                | ProbeCommand::ReleaseWrites => continue,
            };
            watch.observe(link, report, &policy(), now, &mut Vec::new());
        }
    }
    assert_eq!(counted, [0, 10, 20]);
}

#[test]
fn what_a_dead_instance_said_gives_way_to_what_the_others_say_since() {
    let start = Instant::now();
    let mut dead = counted("a", start, Ok(3));
    let link = dead.open_link().unwrap();
    let closed = ProbeReport::Closed("closed by the server".to_owned());
    dead.observe(link, closed, &policy(), start, &mut Vec::new());
    let now = start + milliseconds(5000);
    let all = watches(vec![dead, counted("b", start, Ok(0))]);
    assert!(found(&all, now).is_some());
    let mut all = all;
    all.insert(endpoint("b"), counted("b", now, Ok(0)));
    assert_eq!(found(&all, now), None);
}
