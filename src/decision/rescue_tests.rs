//! Who saves what a returning master has, and for how long its demotion waits for that.

use super::super::ground_tests::*;
use super::super::instance_event::ProbeReport;
use super::super::view::HeldView;
use super::super::{Entry, Records};
use super::*;
use crate::model::{Life, PingReply, WriteLimits};

const LIMITS: RescueLimits = RescueLimits {
    size_max: 1 << 30,
    lasts_max: Duration::from_secs(60),
};

/// Epoch 2: `b` took the place of `a` at offset 900.
fn promoted() -> Records {
    let candidate = replica_info(2, 1, 900, "a");
    records([
        register(),
        Entry::Begin(begin(2, identity_of_a(), "b", &candidate)),
        done(2, master_b()),
    ])
}

fn master_b() -> Identity {
    Identity::of(endpoint("b"), &b())
}

fn b() -> InstanceInfo {
    continuing(master_info(2, 2, 900), 1, 901)
}

/// A node of the group, to which `a` has just come back with what `info` says.
struct Bench {
    group: Group,
    records: Records,
    start: Instant,
    leading: bool,
}

impl Bench {
    fn new(leading: bool, beside: bool, info: InstanceInfo) -> Self {
        let start = Instant::now();
        let policy = GroupPolicy {
            rescue: true,
            rescue_limits: LIMITS,
            ..policy()
        };
        let mut group = Group::new(group_name(), node("n1"), policy, start);
        let records = promoted();
        group.on_leadership(leading, records.get(&group_name()), start);
        let returned = if beside {
            watch_beside("a", info, start)
        } else {
            watch_reading("a", info, start)
        };
        group.watches = watches(vec![returned, watch_reading("b", b(), start)]);
        Self {
            group,
            records,
            start,
            leading,
        }
    }

    fn fenced(mut self) -> Self {
        let start = self.start;
        let watch = self.group.watches.get_mut(&endpoint("a")).unwrap();
        let link = watch.open_link().unwrap();
        let report = ProbeReport::LimitsReplied {
            sent_at: start,
            result: Ok(WriteLimits::FENCE),
        };
        watch.observe(link, report, &policy(), start, &mut Vec::new());
        assert!(watch.is_seen_fenced());
        self
    }

    fn at(&self, after: u64) -> Instant {
        self.start + milliseconds(after)
    }

    /// What is done, in words, and whether the demotion waits.
    fn poll(&mut self, after: u64) -> (Vec<&'static str>, bool) {
        let mut actions = Vec::new();
        let (now, record) = (self.at(after), self.records.get(&group_name()));
        for watch in self.group.watches.values_mut() {
            let answers = ProbeReport::PingReplied {
                sent_at: now,
                reply: PingReply::Pong,
            };
            let link = watch.open_link().unwrap();
            watch.observe(link, answers, &policy(), now, &mut Vec::new());
        }
        self.group
            .keep_rescues(record, self.leading, now, &mut actions);
        let words = actions.iter().map(|action| {
            if let Action::Rescue(order) = action {
                assert_eq!((order.epoch, order.run_id), (Epoch(2), run_id(1)));
                return "rescues";
            }
            let is_begun = matches!(action, Action::Announce(Happening::Rescuing { .. }));
            let is_failed = matches!(action, Action::Announce(Happening::RescueFailed { .. }));
            assert!(is_begun || is_failed, "{action:?}");
            if is_begun { "tells" } else { "gives up" }
        });
        let words = words.collect();
        (words, self.group.awaits_rescue(&endpoint("a"), now))
    }

    /// What the status says of `a`.
    fn trouble(&self, after: u64) -> Option<String> {
        let record = self.records.get(&group_name());
        let overview = self.group.overview(record, self.at(after));
        let mut instances = overview.instances.into_iter();
        instances.find(|it| it.endpoint == endpoint("a"))?.trouble
    }

    fn hear(&mut self, state: RescueState, after: u64) {
        let now = self.at(after);
        let record = self.records.get(&group_name()).unwrap();
        let view = self.group.view(record, now);
        let claim = RescueClaim {
            instance: endpoint("a"),
            run_id: run_id(1),
            state,
        };
        let view = View {
            rescues: vec![claim],
            ..view
        };
        let held = HeldView::receive(&view, Life(1), now);
        self.group.views.insert(node("n2"), held);
    }

    fn end(&mut self, result: Result<Rescued, String>) -> Option<Happening> {
        let order = RescueOrder {
            group: group_name(),
            epoch: Epoch(2),
            endpoint: endpoint("a"),
            run_id: run_id(1),
            diverged_bytes: Some(100),
            limits: LIMITS,
        };
        let mut actions = Vec::new();
        let outcome = RescueOutcome { order, result };
        self.group.on_rescued(&outcome, &mut actions);
        let action = actions.pop()?;
        let Action::Announce(happening) = action else {
            panic!("{action:?}");
        };
        Some(happening)
    }
}

fn saved() -> Result<Rescued, String> {
    Ok(Rescued {
        path: "/state/rescue/x.rdb".to_owned(),
        bytes: 7,
    })
}

/// The old master, 100 bytes beyond the point where the histories part.
fn diverged() -> InstanceInfo {
    master_info(1, 1, 1000)
}

#[test]
fn what_the_group_never_got_is_told_from_what_both_say() {
    use Divergence::{Bytes, None, Unknown};
    let empty = InstanceInfo {
        has_keys: false,
        ..diverged()
    };
    for (name, info, expected) in [
        ("the old master with more", diverged(), Bytes(100)),
        ("the old master with no more", master_info(1, 1, 900), None),
        ("the old master, emptied", empty, None),
        ("one with another history", master_info(1, 9, 5), Unknown),
        (
            "a replica of the new master, promoted by a stranger, with more",
            continuing(master_info(3, 7, 950), 2, 921),
            Bytes(30),
        ),
        (
            "the same with no more",
            continuing(master_info(3, 7, 920), 2, 921),
            None,
        ),
    ] {
        assert_eq!(divergence(&master_b(), &info), expected, "{name}");
    }
}

#[test]
fn the_node_beside_it_saves_its_data_as_soon_as_it_is_fenced() {
    for leading in [false, true] {
        let mut bench = Bench::new(leading, true, diverged());
        assert_eq!(bench.poll(0), (vec![], true));
        let mut bench = bench.fenced();
        assert_eq!(bench.poll(1), (vec!["tells", "rescues"], true));
        assert_eq!(bench.poll(2), (vec![], true));
        assert!(matches!(
            bench.end(saved()),
            Some(Happening::Rescued { bytes: 7, .. })
        ));
        assert_eq!(bench.poll(3), (vec![], false));
        assert_eq!(bench.group.rescue_claims()[0].state, RescueState::Saved);
    }
}

#[test]
fn the_leader_saves_them_where_nobody_else_says_that_he_does() {
    let mut bench = Bench::new(true, false, diverged()).fenced();
    assert_eq!(bench.poll(0), (vec![], true));
    assert_eq!(bench.poll(499), (vec![], true));
    assert_eq!(bench.poll(500), (vec!["tells", "rescues"], true));
    let mut bench = Bench::new(false, false, diverged()).fenced();
    bench.poll(0);
    assert_eq!(
        bench.poll(500),
        (vec![], false),
        "one that follows is not asked"
    );
}

#[test]
fn the_demotion_waits_for_whoever_says_that_he_saves_them() {
    let mut bench = Bench::new(true, false, diverged()).fenced();
    bench.poll(0);
    bench.hear(RescueState::Underway, 100);
    assert_eq!(bench.poll(600), (vec![], true));
    assert!(bench.trouble(600).unwrap().contains("demoted once"));
    bench.hear(RescueState::Saved, 700);
    assert_eq!(bench.poll(800), (vec![], false));
    assert!(!bench.trouble(800).unwrap().contains("demoted once"));
    // He is gone in the middle of it.
    let mut bench = Bench::new(true, false, diverged()).fenced();
    bench.poll(0);
    bench.hear(RescueState::Underway, 100);
    assert_eq!(bench.poll(600), (vec![], true));
    assert_eq!(bench.poll(2200), (vec!["tells", "rescues"], true));
}

#[test]
fn a_failure_is_told_and_ends_the_wait() {
    let mut bench = Bench::new(true, true, diverged()).fenced();
    bench.poll(0);
    let told = bench.end(Err("disk full".to_owned()));
    assert!(matches!(told, Some(Happening::RescueFailed { why, .. }) if why == "disk full"));
    assert_eq!(bench.poll(1), (vec![], false));
}

#[test]
fn a_copy_that_ends_since_another_is_whole_is_no_failure() {
    let mut bench = Bench::new(true, true, diverged()).fenced();
    bench.poll(0);
    bench.hear(RescueState::Saved, 1);
    assert_eq!(bench.end(Err("the connection ended".to_owned())), None);
    assert_eq!(bench.poll(2), (vec![], false));
}

#[test]
fn nobody_waits_beyond_the_time_that_the_operator_allows() {
    let mut bench = Bench::new(true, true, diverged());
    assert_eq!(bench.poll(0), (vec![], true));
    let over = 60_000 + 500 + 1_000;
    assert_eq!(bench.poll(over - 1), (vec![], true));
    assert_eq!(bench.poll(over), (vec!["gives up"], false));
    assert_eq!(bench.poll(over + 1), (vec![], false));
}

#[test]
fn without_anything_to_lose_and_without_the_setting_nothing_waits() {
    let mut bench = Bench::new(true, true, master_info(1, 1, 900)).fenced();
    assert_eq!(bench.poll(0), (vec![], false));
    let mut bench = Bench::new(true, true, diverged()).fenced();
    bench.group.policy.rescue = false;
    assert_eq!(bench.poll(0), (vec![], false));
}

#[test]
fn what_it_still_reads_from_its_file_is_waited_for() {
    let loading = InstanceInfo {
        loading: Loading::Blocking,
        ..master_info(1, 9, 0)
    };
    let mut bench = Bench::new(true, true, loading);
    assert_eq!(bench.poll(0), (vec![], true));
    assert_eq!(bench.poll(600_000), (vec![], true));
    let now = bench.at(600_001);
    let read = watch_beside("a", diverged(), now);
    bench.group.watches.insert(endpoint("a"), read);
    assert_eq!(
        bench.fenced().poll(600_001),
        (vec!["tells", "rescues"], true)
    );
}

#[test]
fn another_process_at_the_address_is_another_rescue() {
    let mut bench = Bench::new(true, true, diverged()).fenced();
    bench.poll(0);
    bench.end(saved()).unwrap().log();
    let now = bench.at(10);
    let restarted = watch_beside("a", master_info(9, 1, 1000), now);
    bench.group.watches.insert(endpoint("a"), restarted);
    assert_eq!(bench.poll(10), (vec![], true));
    assert_eq!(bench.group.rescue_claims(), []);
}
