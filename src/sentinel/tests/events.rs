//! What subscribers hear of each happening, in order.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{assert_transcript, endpoint, group, outline, view};
use crate::decision::{
    AbortReason, Candidate, Cause, Evidence, GroupOutline, Happening, NotSwitched, Step, StepName,
};
use crate::model::{Epoch, GroupName, ReplicationId, ReplicationOffset, RunId};
use crate::sentinel::events::Translator;
use crate::sentinel::feed::News;
use crate::sentinel::view::View;

/// A node's view, told of as it changes.
struct Ground {
    now: Instant,
    outline: GroupOutline,
    view: View,
    translator: Translator,
    transcript: String,
}

fn name() -> GroupName {
    "features".parse().unwrap()
}

impl Ground {
    fn new() -> Self {
        let now = Instant::now();
        let outline = outline(now);
        let view = view(vec![group(outline.clone(), now)], now);
        Self {
            now,
            outline,
            translator: Translator::new(Arc::new(view.clone())),
            view,
            transcript: String::new(),
        }
    }

    fn tell(&mut self, what: &str, happenings: Vec<Happening>) {
        let mut view = self.view.clone();
        view.groups = super::view(vec![group(self.outline.clone(), self.now)], self.now).groups;
        let news = News {
            happenings,
            view: Arc::new(view),
            is_gap_before: false,
        };
        writeln!(self.transcript, "# {what}").unwrap();
        for (channel, message) in self.translator.translate(&news) {
            writeln!(self.transcript, "{channel} {message}").unwrap();
        }
    }

    /// The second instance becomes the master, and the first one its replica.
    fn switch(&mut self) {
        self.outline.epoch = Epoch(5);
        self.outline.replaced = Some(self.outline.master.clone());
        self.outline.instances.swap(0, 1);
        self.outline.master = self.outline.instances[0].endpoint.clone();
        self.outline.is_down = false;
        self.outline.open = None;
    }
}

fn evidence() -> Evidence {
    Evidence {
        cause: Cause::Gone,
        views: vec![
            ("a".parse().unwrap(), Cause::Gone),
            ("b".parse().unwrap(), Cause::Gone),
        ],
        needed: 2,
    }
}

fn begun(evidence: Option<Evidence>) -> Happening {
    Happening::Begun {
        group: name(),
        epoch: Epoch(5),
        candidate: Candidate {
            endpoint: endpoint("10.0.0.2:6379"),
            run_id: RunId::from_bytes([2; 20]),
            replication_id: ReplicationId::from_bytes([0xab; 20]),
            offset: ReplicationOffset(4200),
        },
        evidence,
        asked_by: None,
        passed_over: Vec::new(),
        loss_estimate_bytes: Some(0),
        reinstates: false,
    }
}

fn promoted(master: &str) -> Happening {
    Happening::Promoted {
        group: name(),
        epoch: Epoch(5),
        master: endpoint(master),
    }
}

fn done(planned: bool) -> Happening {
    Happening::Done {
        group: name(),
        epoch: Epoch(5),
        master: endpoint("10.0.0.2:6379"),
        planned,
        steps: Vec::new(),
    }
}

fn settled(steps: &[StepName]) -> Happening {
    let step = |what: &StepName| Step {
        what: *what,
        after: Duration::from_millis(40),
    };
    Happening::Settled {
        group: name(),
        epoch: Epoch(5),
        steps: steps.iter().map(step).collect(),
    }
}

fn down() -> Happening {
    Happening::SubjectivelyDown {
        group: name(),
        instance: endpoint("10.0.0.1:6379"),
        is_master: true,
        cause: Cause::Gone,
    }
}

#[test]
fn happenings_are_told_in_sentinels_words_and_order() {
    let mut transcript = String::new();

    let mut leader = Ground::new();
    leader.outline.instances[0].down_since = Some(leader.now);
    leader.tell("the leader: the master is lost", vec![down()]);
    leader.outline.is_down = true;
    let objectively = Happening::ObjectivelyDown {
        group: name(),
        epoch: Epoch(4),
        master: endpoint("10.0.0.1:6379"),
        evidence: evidence(),
    };
    leader.tell("a quorum holds it down", vec![objectively]);
    leader.tell("an epoch begins", vec![begun(Some(evidence()))]);
    leader.tell("the candidate is a master", vec![promoted("10.0.0.2:6379")]);
    leader.switch();
    leader.tell("it is done", vec![done(false)]);
    let followed = |demoted| Happening::Followed {
        group: name(),
        instance: endpoint("db-3.example:6380"),
        master: endpoint("10.0.0.2:6379"),
        demoted,
    };
    leader.tell("a replica is told to follow", vec![followed(false)]);
    let settled = settled(&[StepName::ReplicasFollow, StepName::FilesRewritten]);
    leader.tell("all that answer have followed", vec![settled]);
    let answers = Happening::AnswersAgain {
        group: name(),
        instance: endpoint("10.0.0.1:6379"),
    };
    leader.outline.instances[1].down_since = None;
    leader.tell("the old master is back", vec![answers]);
    leader.tell("and made to follow", vec![followed(true)]);
    transcript.push_str(&leader.transcript);
    transcript.push('\n');

    let mut follower = Ground::new();
    follower.outline.is_down = true;
    follower.tell(
        "a follower, which saw nothing: an epoch begins",
        vec![begun(Some(evidence()))],
    );
    follower.switch();
    follower.tell("it is done", vec![done(false)]);
    follower.tell("nothing happened", Vec::new());
    transcript.push_str(&follower.transcript);
    transcript.push('\n');

    let mut planned = Ground::new();
    planned.tell("a switchover begins", vec![begun(None)]);
    planned.switch();
    planned.tell("it is done", vec![done(true)]);
    transcript.push_str(&planned.transcript);
    transcript.push('\n');

    let mut late = Ground::new();
    late.switch();
    late.tell(
        "a snapshot of the log, in place of all that happened",
        Vec::new(),
    );
    transcript.push_str(&late.transcript);
    transcript.push('\n');

    let mut others = Ground::new();
    let why = AbortReason::TimedOut(Duration::from_secs(5));
    others.tell(
        "an epoch comes to nothing",
        vec![
            begun(Some(evidence())),
            Happening::Aborted {
                group: name(),
                epoch: Epoch(5),
                why,
            },
            Happening::NobodyEligible {
                group: name(),
                passed_over: Vec::new(),
            },
            Happening::SwitchoverGivenUp {
                group: name(),
                by: "somebody".to_owned(),
                why: NotSwitched::TimedOut,
            },
        ],
    );
    others.view.peers[0].is_connected = false;
    others.tell("a peer is lost", Vec::new());
    others.view.peers[0].is_connected = true;
    others.tell("and is back", Vec::new());
    let sentinel = others.view.peers[1].sentinel.take();
    others.view.peers[1].node = "d".parse().unwrap();
    others.tell("one has no endpoint", Vec::new());
    others.view.peers[1].sentinel = sentinel;
    others.tell("and has one", Vec::new());
    let mut fourth = others.outline.instances[1].clone();
    fourth.endpoint = endpoint("[fd77::4]:6379");
    others.outline.instances.push(fourth);
    others.tell("another replica", Vec::new());
    others.tell("the node slept", vec![Happening::Slept { for_ms: 5000 }]);
    transcript.push_str(&others.transcript);
    assert_transcript("events.txt", &transcript);
}

#[test]
fn a_switch_is_told_once() {
    let mut ground = Ground::new();
    ground.switch();
    ground.tell("first", vec![done(false)]);
    ground.tell("again", vec![done(false)]);
    let switches = ground.transcript.matches("+switch-master").count();
    assert_eq!(switches, 1, "{}", ground.transcript);
}

#[test]
fn a_failover_that_is_over_in_one_turn_is_told_of_the_old_master() {
    let mut ground = Ground::new();
    ground.switch();
    let happened = vec![down(), begun(Some(evidence())), done(false)];
    ground.tell("all at once", happened);
    let (before, after) = ground.transcript.split_once("+switch-master").unwrap();
    for line in [
        "+sdown master features 10.0.0.1 6379\n",
        "+odown master features 10.0.0.1 6379 #quorum 2/2\n",
        "+try-failover master features 10.0.0.1 6379\n",
        "+selected-slave slave 10.0.0.2:6379 10.0.0.2 6379 @ features 10.0.0.1 6379\n",
        "+promoted-slave slave 10.0.0.2:6379 10.0.0.2 6379 @ features 10.0.0.1 6379\n",
    ] {
        assert!(before.contains(line), "{line}{before}");
    }
    assert!(after.starts_with(" features 10.0.0.1 6379 10.0.0.2 6379\n"));
}

#[test]
fn an_epoch_that_keeps_its_master_is_over_when_it_is_done() {
    let mut ground = Ground::new();
    let mut kept = begun(Some(evidence()));
    if let Happening::Begun {
        candidate,
        reinstates,
        ..
    } = &mut kept
    {
        candidate.endpoint = endpoint("10.0.0.1:6379");
        *reinstates = true;
    }
    let done = Happening::Done {
        group: name(),
        epoch: Epoch(5),
        master: endpoint("10.0.0.1:6379"),
        planned: false,
        steps: Vec::new(),
    };
    for _ in 0..2 {
        let happened = vec![kept.clone(), promoted("10.0.0.1:6379"), done.clone()];
        ground.tell("it is kept", happened);
    }
    let count = ground.transcript.matches("+promoted-slave").count();
    assert_eq!(count, 2, "{}", ground.transcript);
    // Nor is it the epoch of a switch that only a snapshot told of.
    ground.switch();
    ground.tell("a snapshot of the log", Vec::new());
    assert!(ground.transcript.contains("+switch-master"));
    assert!(!ground.transcript.contains("+config-update-from"));
}

#[test]
fn replicas_that_do_not_follow_in_time_are_not_said_to() {
    let mut ground = Ground::new();
    ground.tell("given up", vec![settled(&[StepName::FilesRewritten])]);
    assert_eq!(
        ground.transcript,
        "# given up\n+failover-end-for-timeout master features 10.0.0.1 6379\n\
         +failover-end master features 10.0.0.1 6379\n"
    );
}

#[test]
fn a_peer_whose_endpoint_is_elsewhere_is_told_of_anew() {
    let mut ground = Ground::new();
    ground.view.peers[0].sentinel = Some(endpoint("10.0.0.9:26380"));
    ground.tell("elsewhere", Vec::new());
    ground.tell("nothing more", Vec::new());
    ground.view.peers[0].sentinel = Some(endpoint("10.0.0.2:26379"));
    ground.view.peers[0].is_connected = false;
    ground.tell("back, and lost", Vec::new());
    let id = "cff6421650471acb15661840ce681eb9e345a88e";
    assert_eq!(
        ground.transcript,
        format!(
            "# elsewhere\n+sentinel sentinel {id} 10.0.0.9 26380 @ features 10.0.0.1 6379\n\
             # nothing more\n# back, and lost\n\
             +sentinel sentinel {id} 10.0.0.2 26379 @ features 10.0.0.1 6379\n\
             +sdown sentinel {id} 10.0.0.2 26379 @ features 10.0.0.1 6379\n"
        )
    );
}
