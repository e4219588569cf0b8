//! What the loop shows the Sentinel endpoint, and the switchovers that clients ask of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::Daemon;
use super::node::{Node, NodeError};
use crate::decision::{Happening, Impossible, NotSwitched, OperationId, Requester, Scope, Wish};
use crate::model::{Endpoint, NodeId};
use crate::peer::Links;
use crate::sentinel::{
    FailoverAnswer, Feed, GroupView, PeerView, Question, SentinelServer, Serving, View,
};
use crate::settings::SentinelSettings;
use crate::status::{OperationOverview, Order, SwitchoverOverview};

use super::start::StartError;

/// Questions that may wait for the loop; beyond it they are turned away.
const QUESTIONS_MAX: usize = 16;
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
    is_changed: bool,
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
        let view = look(None, &guessed, election_max, node, links, now);
        let (feed, outlet) = Feed::open(view);
        let (questions, inbox) = mpsc::channel(QUESTIONS_MAX);
        let serving = server.start(settings.access.clone(), outlet, questions)?;
        let sentinel = Self {
            feed,
            serving,
            election_max,
            guessed,
            happenings: Vec::new(),
            is_changed: false,
        };
        Ok((sentinel, inbox))
    }

    /// Something happened that clients may have to hear of.
    pub(super) fn note(&mut self, happening: &Happening) {
        self.happenings.push(happening.clone());
        self.is_changed = true;
    }

    /// What is committed changed.
    pub(super) fn note_change(&mut self) {
        self.is_changed = true;
    }

    /// Tells what was noted, at the end of a turn: nothing that heals a group waits for it.
    pub(super) fn tell(&mut self, node: &Node, links: &Links, now: Instant) {
        if self.is_changed {
            self.look(node, links, now);
        }
    }

    /// Shows all that this node knows at `now`.
    pub(super) fn look(&mut self, node: &Node, links: &Links, now: Instant) {
        let before = self.feed.view();
        let guessed = &self.guessed;
        let view = look(Some(&before), guessed, self.election_max, node, links, now);
        self.is_changed = false;
        self.feed.tell(std::mem::take(&mut self.happenings), view);
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.serving.stop();
    }
}

fn look(
    before: Option<&View>,
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
    let groups = supervisor.groups().iter().filter_map(|(name, group)| {
        let record = supervisor.records().get(name)?;
        let before = before.and_then(|before| before.groups.get(name));
        let outline = group.outline(record, now);
        let view = GroupView::after(before.map(|before| &**before), outline, now);
        Some((name.clone(), Arc::new(view)))
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
        groups: groups.collect(),
    }
}

impl Daemon {
    /// A client of the Sentinel endpoint wants something.
    pub(super) fn answer_sentinel(&mut self, question: Question) -> Result<(), NodeError> {
        match question {
            Question::Look => {
                let effects = &mut self.effects;
                if let Some(sentinel) = &mut effects.sentinel {
                    sentinel.look(&self.node, &effects.links, Instant::now());
                }
                Ok(())
            }
            Question::Failover { group, by, answer } => {
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
