//! Which groups have to look at everything anew: what happens to one of them is nothing to the others.

use std::time::Instant;

use super::Supervisor;
use crate::decision::event::Event;
use crate::decision::group::Group;
use crate::decision::policy::EARLY;
use crate::decision::view::REPORT_INTERVAL;
use crate::model::GroupName;

impl Supervisor {
    /// Stirs the groups that an event is about, and those for which time alone has something to do.
    ///
    /// All are stirred by what happens to the node itself, and whenever a report is due: so what no
    /// deadline names is noticed within [`REPORT_INTERVAL`] too, as in a node that has one group.
    pub(super) fn stir(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Probed(event) => {
                let groups = self.groups.values_mut();
                groups.for_each(|group| group.stir_by(event, now));
            }
            Event::Followed(outcome) => self.stir_one(&outcome.order.group),
            Event::Guarded(outcome) => self.stir_one(&outcome.order.group),
            Event::Held(outcome) => self.stir_one(&outcome.order.group),
            Event::Rescued(outcome) => self.stir_one(&outcome.order.group),
            Event::Leased { message, .. } => self.stir_one(&message.group),
            Event::ProposalRefused(group) => self.stir_one(group),
            Event::Committed(entry) => self.stir_one(entry.group()),
            Event::FilesRewritten { group, .. } => self.stir_one(group),
            Event::PeerReported { report, .. } if report.claims.is_none() => {
                for view in &report.views {
                    self.stir_one(&view.group);
                }
            }
            Event::DeadlineReached => {}
            Event::PeerReported { .. }
            | Event::PeerUp(_)
            | Event::Suspended
            | Event::LeadershipChanged { .. }
            | Event::Confirmed
            | Event::Requested(_)
            | Event::Forwarded(_)
            | Event::Adjusted(_) => self.stir_all(),
        }
        // What an administrator wants may become something for any of them.
        if self.is_report_due(now) || self.desk.next_deadline().is_some() {
            self.stir_all();
        }
        for group in self.groups.values_mut() {
            group.stir_if_due(now);
        }
    }

    pub(super) fn stir_all(&mut self) {
        self.groups.values_mut().for_each(Group::stir);
    }

    fn stir_one(&mut self, name: &GroupName) {
        if let Some(group) = self.groups.get_mut(name) {
            group.stir();
        }
    }

    /// Whether the peers are to be told that nothing changed; what is almost due goes along.
    pub(super) fn is_report_due(&self, now: Instant) -> bool {
        self.report_due <= now + REPORT_INTERVAL / EARLY
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::super::ground_tests::*;
    use super::super::super::{
        Action, ConnectFailure, Event, GroupPolicy, LinkId, ProbeEvent, ProbeReport, Records,
        Report, WallClock,
    };
    use super::*;
    use crate::decision::view::Claims;
    use crate::model::{Life, NodeRole, PingReply, UnixTime};

    /// A node that watches `a` as the group `one`, and `b` as the group `other`, which is more patient.
    fn supervisor(now: Instant) -> Supervisor {
        let group = |instance, down_after| GroupPolicy {
            instances: [endpoint(instance)].into(),
            down_after: milliseconds(down_after),
            ..policy()
        };
        let policies: BTreeMap<GroupName, GroupPolicy> = [
            ("one".parse().unwrap(), group("a", 700)),
            ("other".parse().unwrap(), group("b", 2000)),
        ]
        .into();
        let wall = WallClock {
            at: now,
            time: UnixTime(0),
        };
        Supervisor::new(node("n1"), policies, Records::default(), wall).among([node("n2")])
    }

    /// The groups that look after an event.
    fn stirred(supervisor: &mut Supervisor, event: &Event, now: Instant) -> Vec<String> {
        supervisor.stir(event, now);
        let groups = supervisor.groups.iter();
        let stirred = groups.filter(|(_, group)| group.is_stirred());
        let stirred = stirred.map(|(name, _)| name.to_string()).collect();
        supervisor.rest(now);
        stirred
    }

    fn probed(instance: &str) -> Event {
        Event::Probed(ProbeEvent {
            endpoint: endpoint(instance),
            link: LinkId(7),
            report: ProbeReport::ConnectFailed(ConnectFailure::Refused),
        })
    }

    #[test]
    fn what_happens_to_one_group_is_nothing_to_the_others() {
        let start = Instant::now();
        let mut supervisor = supervisor(start);
        supervisor.handle(Event::DeadlineReached, start);
        let report = |claims| Event::PeerReported {
            peer: node("n2"),
            life: Life(1),
            report: Report {
                views: Vec::new(),
                claims,
            },
        };
        let claims = Claims {
            role: NodeRole::default(),
            sentinel: None,
            groups: Vec::new(),
        };
        let (all, none): (&[&str], &[&str]) = (&["one", "other"], &[]);
        for (name, event, expected) in [
            ("a probe of the one", probed("a"), &["one"][..]),
            ("a probe of the other", probed("b"), &["other"]),
            ("a probe of nobody", probed("z"), none),
            (
                "a refusal",
                Event::ProposalRefused("other".parse().unwrap()),
                &["other"],
            ),
            ("nothing", Event::DeadlineReached, none),
            ("views of others", report(None), none),
            ("a peer's settings", report(Some(claims)), all),
            ("a confirmation", Event::Confirmed, all),
            (
                "leadership",
                Event::LeadershipChanged { leading: true },
                all,
            ),
        ] {
            let now = start + milliseconds(1);
            assert_eq!(stirred(&mut supervisor, &event, now), expected, "{name}");
        }
    }

    #[test]
    fn time_stirs_whom_it_has_something_for_and_a_report_all() {
        let start = Instant::now();
        let mut supervisor = supervisor(start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        supervisor.handle(Event::DeadlineReached, at(0));
        for (ms, expected) in [
            (400, &[][..]),
            // The first report is due.
            (500, &["one", "other"]),
            // The one gets no answer for so long.
            (700, &["one"]),
        ] {
            let found = stirred(&mut supervisor, &Event::DeadlineReached, at(ms));
            assert_eq!(found, expected, "{ms}");
            supervisor.handle(Event::DeadlineReached, at(ms));
        }
    }

    #[test]
    fn the_answer_of_a_well_instance_to_a_ping_only_puts_off_the_next_look() {
        let start = Instant::now();
        // The group is no news any more.
        let at = |ms: u64| start + milliseconds(2000 + ms);
        let wall = WallClock {
            at: start,
            time: UnixTime(0),
        };
        let policies = [(group_name(), policy())].into();
        let mut supervisor =
            Supervisor::new(node("n1"), policies, records([register()]), wall).among([node("n2")]);
        let mut links = BTreeMap::new();
        for action in supervisor.handle(Event::DeadlineReached, at(0)) {
            if let Action::Probe(order) = action {
                links.insert(order.endpoint, order.link);
            }
        }
        let probed = |instance: &str, report| {
            let endpoint = endpoint(instance);
            let link = links[&endpoint];
            Event::Probed(ProbeEvent {
                endpoint,
                link,
                report,
            })
        };
        let replied = |instance, reply| {
            let sent_at = at(1);
            probed(instance, ProbeReport::PingReplied { sent_at, reply })
        };
        for (instance, info) in [
            ("a", master_info(1, 1, 0)),
            ("b", replica_info(2, 1, 0, "a")),
            ("c", replica_info(3, 1, 0, "a")),
        ] {
            let result = Ok(info);
            let read = ProbeReport::InfoReplied {
                sent_at: at(1),
                result,
            };
            let same_host = false;
            supervisor.handle(
                probed(instance, ProbeReport::Connected { same_host }),
                at(1),
            );
            supervisor.handle(probed(instance, read), at(2));
        }
        let loading = replied("a", PingReply::Loading);
        assert_eq!(stirred(&mut supervisor, &loading, at(3)), ["features"]);
        for instance in ["b", "c", "a"] {
            let pong = replied(instance, PingReply::Pong);
            assert!(stirred(&mut supervisor, &pong, at(3)).is_empty());
            let doubted_at = supervisor.next_deadline().map(|deadline| deadline.at);
            assert_eq!(doubted_at, Some(at(101)), "{instance}");
            supervisor.handle(pong, at(3));
        }
        let pings_at = supervisor.next_deadline().map(|deadline| deadline.at);
        assert_eq!(pings_at, Some(at(201)));
    }
}
