//! Instances with several names.

use super::super::ground_tests::*;
use super::super::{Entry, Identity, LinkId};
use super::*;
use crate::decision::ProbeCommand;
use crate::decision::watch::{LinkIds, Pace};
use crate::model::InstanceInfo;

struct Bench {
    group: Group,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let group = Group::new(group_name(), node("n1"), policy(), now);
        Self { group, now }
    }

    /// The instance of this name is connected, and says this.
    fn hear(
        &mut self,
        name: &str,
        info: InstanceInfo,
        record: Option<&GroupRecord>,
    ) -> Vec<Action> {
        let (watch, link) = watch_connected(name, self.now);
        self.group.watches.insert(endpoint(name), watch);
        let event = ProbeEvent {
            endpoint: endpoint(name),
            link,
            report: ProbeReport::InfoReplied {
                sent_at: self.now,
                result: Ok(info),
            },
        };
        let mut actions = Vec::new();
        self.group.on_probe(event, record, self.now, &mut actions);
        actions
    }

    fn names(&self) -> (Vec<&str>, Vec<(&str, &str)>) {
        let watched = self.group.watches.keys().map(Endpoint::host).collect();
        let aliases = self.group.aliases.iter();
        let aliases = aliases
            .map(|(name, kept)| (name.host(), kept.host()))
            .collect();
        (watched, aliases)
    }
}

fn disconnects(actions: &[Action]) -> Vec<(&str, u64)> {
    actions
        .iter()
        .map(|action| {
            let Action::Probe(order) = action else {
                panic!("unexpected: {action:?}");
            };
            assert_eq!(order.command, ProbeCommand::Disconnect);
            (order.endpoint.host(), order.link.0)
        })
        .collect()
}

#[test]
fn of_two_names_for_one_process_the_listed_one_stays() {
    for (first, second, kept, dropped) in [
        ("a", "0-alias", "a", "0-alias"),
        ("0-alias", "a", "a", "0-alias"),
        ("a", "z-alias", "a", "z-alias"),
        ("a", "b", "a", "b"),
        ("x", "y", "x", "y"),
    ] {
        let mut bench = Bench::new();
        assert_eq!(bench.hear(first, master_info(1, 1, 10), None), []);
        let actions = bench.hear(second, master_info(1, 1, 10), None);
        assert_eq!(disconnects(&actions), [(dropped, 1)]);
        assert_eq!(bench.names(), (vec![kept], vec![(dropped, kept)]));
    }
}

#[test]
fn of_three_names_all_lead_to_the_one_that_stays() {
    let mut bench = Bench::new();
    for name in ["1-alias", "0-alias", "a"] {
        bench.hear(name, master_info(1, 1, 10), None);
    }
    let aliases = vec![("0-alias", "a"), ("1-alias", "a")];
    assert_eq!(bench.names(), (vec!["a"], aliases));
}

#[test]
fn a_name_that_is_let_go_leaves_no_connection_behind() {
    let mut bench = Bench::new();
    bench.hear("z-alias", master_info(1, 1, 10), None);
    let watch = bench.group.watches.get_mut(&endpoint("z-alias")).unwrap();
    let mut ids = LinkIds::default();
    let pace = Pace {
        info_interval: GroupPolicy::INFO_INTERVAL,
    };
    let mut later = Orders::new();
    // A first connection uses up number 1, so the second one of this watch is number 2.
    Watch::new(endpoint("q"), bench.now).poll(&policy(), pace, bench.now, &mut ids, &mut later);
    watch.ask_ping(&policy(), bench.now, &mut later);
    let doubted_at = bench.now + policy().doubt_after();
    watch.poll(&policy(), pace, doubted_at, &mut ids, &mut later);
    assert_eq!(watch.links().collect::<Vec<_>>(), [LinkId(1), LinkId(2)]);
    let actions = bench.hear("a", master_info(1, 1, 10), None);
    assert_eq!(disconnects(&actions), [("z-alias", 1), ("z-alias", 2)]);
}

#[test]
fn the_master_is_watched_by_its_logged_name_and_never_told_to_follow_itself() {
    let mut bench = Bench::new();
    bench.hear("a", master_info(1, 1, 10), None);
    bench.hear("m", master_info(1, 1, 10), None);
    assert_eq!(bench.names(), (vec!["a"], vec![("m", "a")]));

    // Another leader knew it as m only.
    let master = Identity::of(endpoint("m"), &master_info(1, 1, 10));
    let members = ["a", "b", "c", "m"].map(endpoint).into();
    let registered = Entry::Register {
        group: group_name(),
        master,
        members,
    };
    let records = records([registered]);
    let record = records.get(&group_name()).unwrap();
    bench.group.watch_members(Some(record), bench.now);
    let watched = vec!["a", "b", "c", "m"];
    assert_eq!(bench.names(), (watched, Vec::new()));
    assert_eq!(bench.group.standings(record, bench.now).len(), 0);

    let actions = bench.hear("m", master_info(1, 1, 10), Some(record));
    assert_eq!(disconnects(&actions), [("a", 1)]);
    assert_eq!(bench.names(), (vec!["b", "c", "m"], vec![("a", "m")]));
}
