//! What the loop shows the Sentinel endpoint, and the switchovers that clients ask of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::Daemon;
use super::node::{Node, NodeError};
use crate::decision::{Happening, Impossible, NotSwitched, OperationId, Requester, Scope, Wish};
use crate::model::{Endpoint, GroupName, NodeId};
use crate::peer::Links;
use crate::sentinel::{
    FailoverAnswer, Feed, GroupView, PeerView, Question, SentinelServer, Serving, View,
};
use crate::settings::SentinelSettings;
use crate::status::{OperationOverview, Order, SwitchoverOverview};

use super::start::StartError;

/// Questions that may wait for the loop; beyond it they are turned away.
const QUESTIONS_MAX: usize = 16;
/// Longest name of whoever asks for a switchover, as it is logged.
const BY_LENGTH_MAX: usize = 64;
/// How long a switchover that a client asked for is tried.
const SWITCHOVER_WITHIN: Duration = Duration::from_secs(10);

/// The loop's side of the endpoint, where there is one.
pub(super) struct Sentinel {
    feed: Feed,
    serving: Serving,
    election_max: Duration,
    /// Where the endpoint of a voter is that has not said so: at its host, at the port of ours.
    guessed: BTreeMap<NodeId, Endpoint>,
    /// What happened in this turn of the loop.
    happenings: Vec<Happening>,
    /// The groups that it was about.
    changed: BTreeSet<GroupName>,
}

impl Sentinel {
    /// Binds and serves it.
    pub(super) async fn start(
        settings: &SentinelSettings,
        voters: &BTreeMap<NodeId, Endpoint>,
        election_max: Duration,
        node: &Node,
        links: &Links,
    ) -> Result<(Self, mpsc::Receiver<Question>), StartError> {
        let server = SentinelServer::bind(&settings.listen).await?;
        let announced = &settings.announce;
        let guess = |(name, address): (&NodeId, &Endpoint)| {
            let guess = Endpoint::new(address.host(), announced.port()).ok()?;
            (guess != *announced && name != node.name()).then(|| (name.clone(), guess))
        };
        let guessed = voters.iter().filter_map(guess).collect();
        let now = Instant::now();
        let groups = look_at_groups(None, node, now);
        let view = look(None, groups, &guessed, election_max, node, links, now);
        let (feed, outlet) = Feed::open(view);
        let (questions, inbox) = mpsc::channel(QUESTIONS_MAX);
        let serving = server.start(settings.access.clone(), outlet, questions)?;
        let sentinel = Self {
            feed,
            serving,
            election_max,
            guessed,
            happenings: Vec::new(),
            changed: BTreeSet::new(),
        };
        Ok((sentinel, inbox))
    }

    /// Something happened that clients may have to hear of.
    pub(super) fn note(&mut self, happening: &Happening) {
        self.changed.extend(happening.group().cloned());
        self.happenings.push(happening.clone());
    }

    /// What is committed of a group changed.
    pub(super) fn note_change(&mut self, group: &GroupName) {
        self.changed.insert(group.clone());
    }

    /// Tells what was noted, at the end of a turn: nothing that heals a group waits for it. Only those groups
    /// are looked at.
    pub(super) fn tell(&mut self, node: &Node, links: &Links, now: Instant) {
        if self.changed.is_empty() && self.happenings.is_empty() {
            return;
        }
        let before = self.feed.view();
        let mut groups = before.groups.clone();
        for name in std::mem::take(&mut self.changed) {
            if let Some(group) = look_at_group(&before, &name, node, now) {
                groups.insert(name, group);
            }
        }
        let taken_at = before.taken_at;
        let (before, guessed) = (Some(&*before), &self.guessed);
        let view = look(before, groups, guessed, self.election_max, node, links, now);
        let view = View { taken_at, ..view };
        self.feed.tell(std::mem::take(&mut self.happenings), view);
    }

    /// Shows all that this node knows at `now`.
    pub(super) fn look(&mut self, node: &Node, links: &Links, now: Instant) {
        let before = self.feed.view();
        let groups = look_at_groups(Some(&before), node, now);
        let (before, guessed) = (Some(&*before), &self.guessed);
        let view = look(before, groups, guessed, self.election_max, node, links, now);
        self.changed.clear();
        self.feed.tell(std::mem::take(&mut self.happenings), view);
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.serving.stop();
    }
}

type Groups = BTreeMap<GroupName, Arc<GroupView>>;

fn look_at_groups(before: Option<&View>, node: &Node, now: Instant) -> Groups {
    let groups = node.supervisor().groups().iter();
    let views = groups.filter_map(|(name, group)| {
        let record = node.supervisor().records().get(name)?;
        let before = before.and_then(|before| before.groups.get(name));
        let view = GroupView::after(
            before.map(|before| &**before),
            group.outline(record, now),
            now,
        );
        Some((name.clone(), Arc::new(view)))
    });
    views.collect()
}

fn look_at_group(
    before: &View,
    name: &GroupName,
    node: &Node,
    now: Instant,
) -> Option<Arc<GroupView>> {
    let group = node.supervisor().groups().get(name)?;
    let record = node.supervisor().records().get(name)?;
    let before = before.groups.get(name).map(|before| &**before);
    Some(Arc::new(GroupView::after(
        before,
        group.outline(record, now),
        now,
    )))
}

fn look(
    before: Option<&View>,
    groups: Groups,
    guessed: &BTreeMap<NodeId, Endpoint>,
    election_max: Duration,
    node: &Node,
    links: &Links,
    now: Instant,
) -> View {
    let engine = node.engine_status();
    let supervisor = node.supervisor();
    let leaderless_before = before.and_then(|before| before.leaderless_since);
    let status = links.status();
    let peers = status.iter().map(|(peer, status)| PeerView {
        node: peer.clone(),
        sentinel: match supervisor.sentinel_of(peer) {
            Some(said) => said.cloned(),
            None => guessed.get(peer).cloned(),
        },
        is_connected: status.connected.is_some(),
        heard_at: supervisor.heard_at(peer),
    });
    View {
        taken_at: now,
        node: node.name().clone(),
        cluster: node.cluster(),
        leaderless_since: match engine.leader {
            Some(_) => None,
            None => Some(leaderless_before.unwrap_or(now)),
        },
        leader: engine.leader,
        term: engine.term,
        election_max,
        is_confirmed: supervisor.is_confirmed(),
        peers: peers.collect(),
        groups,
    }
}

impl Daemon {
    /// Shows the Sentinel endpoint all that this node knows now. Its first view holds no more than the
    /// snapshot: what the log has behind that is applied later, and announced to nobody.
    pub(super) fn show_sentinel(&mut self) {
        let effects = &mut self.effects;
        if let Some(sentinel) = &mut effects.sentinel {
            sentinel.look(&self.node, &effects.links, Instant::now());
        }
    }

    /// A client of the Sentinel endpoint wants something.
    pub(super) fn answer_sentinel(&mut self, question: Question) -> Result<(), NodeError> {
        match question {
            Question::Look => {
                self.show_sentinel();
                Ok(())
            }
            Question::Failover { group, by, answer } => {
                let by: String = by
                    .chars()
                    .filter(char::is_ascii)
                    .take(BY_LENGTH_MAX)
                    .collect();
                let Ok(number) = getrandom::u64() else {
                    let why = "the system gave no random bytes".to_owned();
                    drop(answer.send(FailoverAnswer::Refused(why)));
                    return Ok(());
                };
                let order = Order {
                    operation: OperationId(number),
                    scope: Scope::Group(group),
                    wish: Wish::Switchover {
                        to: None,
                        within: SWITCHOVER_WITHIN,
                        reason: None,
                    },
                    uid: Requester::REMOTE,
                    user: Some(by),
                };
                let (outcome, awaited) = oneshot::channel();
                tokio::spawn(async move {
                    let answered = match awaited.await {
                        Ok(outcome) => judge(outcome),
                        Err(_) => FailoverAnswer::Refused("promoterd stops".to_owned()),
                    };
                    // Whoever asked may have left.
                    drop(answer.send(answered));
                });
                self.operate(order, outcome)
            }
        }
    }
}

fn judge(outcome: Result<OperationOverview, Impossible>) -> FailoverAnswer {
    let overview = match outcome {
        Ok(overview) => overview,
        Err(Impossible::NotSwitchable { why, .. }) => return refused(&why),
        Err(impossible) => return FailoverAnswer::Refused(impossible.to_string()),
    };
    let switchover = overview
        .groups
        .into_iter()
        .find_map(|group| group.switchover);
    match switchover {
        Some(SwitchoverOverview::Begun(record)) => match &record.outcome {
            crate::decision::Outcome::Done => FailoverAnswer::Done,
            crate::decision::Outcome::Open => FailoverAnswer::Begun,
            crate::decision::Outcome::Aborted(why) => FailoverAnswer::Refused(why.to_string()),
        },
        Some(SwitchoverOverview::GivenUp(given_up)) => refused(&given_up.why),
        None => FailoverAnswer::Refused("no leader took it up in time".to_owned()),
    }
}

fn refused(why: &NotSwitched) -> FailoverAnswer {
    let words = why.to_string();
    match why {
        NotSwitched::UnderWay => FailoverAnswer::InProgress,
        NotSwitched::NobodyEligible(_)
        | NotSwitched::TooFarBehind { .. }
        | NotSwitched::NotCaughtUp { .. } => FailoverAnswer::NoGoodReplica(words),
        NotSwitched::HeldBack(_)
        | NotSwitched::NoMajority(_)
        | NotSwitched::MasterNotWell { .. }
        | NotSwitched::IsMaster(_)
        | NotSwitched::Unknown { .. }
        | NotSwitched::NotEligible { .. }
        | NotSwitched::NotHeld(_)
        | NotSwitched::MasterChanged(_)
        | NotSwitched::TimedOut => FailoverAnswer::Refused(words),
    }
}
