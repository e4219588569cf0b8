//! A voter's port and observers on loopback.

use std::collections::BTreeMap;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::word::tests::{group, state};
use super::{
    FollowEvent, FollowSettings, Follower, Knowledge, LostReason, ObserverRefusal, Observers,
    ObserversSettings, Position, PublicGroup, PublicState,
};
use crate::model::{Endpoint, Epoch, NodeId};
use crate::peer::key::ClusterKey;
use crate::peer::test_ground::PATIENCE;

fn name(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn cluster_key() -> ClusterKey {
    ClusterKey::from([1; 32])
}

/// A port that was free a moment ago.
fn free_endpoint() -> Endpoint {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    address.to_string().parse().unwrap()
}

async fn voter(node: &str, count_max: usize) -> Observers {
    let settings = ObserversSettings {
        node: name(node),
        listen: free_endpoint(),
        key: Some(cluster_key()),
    };
    Observers::start_with(settings, count_max).await.unwrap()
}

struct Observer {
    follower: Follower,
    events: mpsc::Receiver<FollowEvent>,
}

fn observer(node: &str, voters: &[(&str, &Observers)], key: ClusterKey) -> Observer {
    let (sender, events) = mpsc::channel(16);
    let voters = voters.iter();
    let voters = voters.map(|(voter, port)| {
        let endpoint = port.address().to_string().parse().unwrap();
        (name(voter), endpoint)
    });
    let settings = FollowSettings {
        node: name(node),
        voters: voters.collect(),
        key: Some(key),
        seed: 1,
    };
    let follower = Follower::start(settings, Knowledge::default(), sender);
    Observer { follower, events }
}

type Taken = BTreeMap<String, PublicGroup>;

impl Observer {
    /// The next event, and how it looks.
    async fn next(&mut self) -> (FollowEvent, String) {
        let event = timeout(PATIENCE, self.events.recv()).await;
        let event = event.expect("something happens").unwrap();
        let shown = format!("{event:?}");
        (event, shown)
    }

    /// Whether the next news are confirmed, and what of them is new.
    async fn told(&mut self) -> (bool, Taken) {
        let (event, shown) = self.next().await;
        let FollowEvent::Told {
            is_confirmed,
            taken,
            knowledge,
        } = event
        else {
            panic!("{shown}");
        };
        for (name, group) in &taken {
            assert_eq!(knowledge.groups()[name], *group);
        }
        let taken = taken.into_iter();
        let taken = taken.map(|(name, group)| (name.to_string(), (*group).clone()));
        (is_confirmed, taken.collect())
    }

    async fn attached(&mut self) -> NodeId {
        let (event, shown) = self.next().await;
        let FollowEvent::Attached { voter, .. } = event else {
            panic!("{shown}");
        };
        voter
    }

    async fn lost(&mut self) -> LostReason {
        let (event, shown) = self.next().await;
        let FollowEvent::Lost { reason, .. } = event else {
            panic!("{shown}");
        };
        reason
    }
}

async fn eventually(what: &str, is_there: impl Fn() -> bool) {
    let looks = async {
        while !is_there() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, looks).await.expect(what);
}

fn taken(groups: &[(&str, PublicGroup)]) -> Taken {
    let groups = groups.iter();
    groups
        .map(|(name, it)| ((*name).to_owned(), it.clone()))
        .collect()
}

#[tokio::test]
async fn an_observer_is_told_all_at_first_then_what_changes_and_is_shown_with_its_position() {
    let voter = voter("a", 10).await;
    voter.show(&state(&[
        ("f", group(1, "m:1", 1)),
        ("g", group(1, "n:1", 2)),
    ]));
    let mut observer = observer("x", &[("a", &voter)], cluster_key().for_observers());
    assert_eq!(observer.attached().await, name("a"));
    let all = taken(&[("f", group(1, "m:1", 1)), ("g", group(1, "n:1", 2))]);
    assert_eq!(observer.told().await, (true, all));
    let changed = [("f", group(1, "m:1", 1)), ("g", group(2, "o:1", 5))];
    voter.show(&state(&changed));
    assert_eq!(
        observer.told().await,
        (true, taken(&[("g", group(2, "o:1", 5))]))
    );
    let doubtful = PublicState {
        is_confirmed: false,
        ..state(&changed)
    };
    voter.show(&doubtful);
    assert_eq!(observer.told().await, (false, Taken::new()));

    let position = Position {
        files: [("g".parse().unwrap(), Epoch(2))].into(),
    };
    let mut said = position.clone();
    said.files.insert("unheard-of".parse().unwrap(), Epoch(7));
    observer.follower.place(said);
    let is_placed = || {
        voter
            .guests()
            .first()
            .is_some_and(|it| it.position == position)
    };
    eventually("its position is known", is_placed).await;
    assert_eq!(voter.guests()[0].node, name("x"));
    drop(observer);
    eventually("it has left", || voter.guests().is_empty()).await;
}

#[tokio::test]
async fn when_its_voter_ends_an_observer_follows_another_one_and_takes_nothing_that_is_older() {
    let [a, b] = [voter("a", 10).await, voter("b", 10).await];
    let mut ports = BTreeMap::from([(name("a"), a), (name("b"), b)]);
    for port in ports.values() {
        port.show(&state(&[("f", group(2, "n:1", 9))]));
    }
    let key = cluster_key().for_observers();
    let mut observer = observer(
        "x",
        &[("a", &ports[&name("a")]), ("b", &ports[&name("b")])],
        key,
    );
    let first = observer.attached().await;
    assert_eq!(observer.told().await.1.len(), 1);
    drop(ports.remove(&first));
    let (second, port) = ports.into_iter().next().unwrap();
    // It lags behind the one that is lost.
    port.show(&state(&[
        ("f", group(1, "m:1", 4)),
        ("g", group(1, "p:1", 2)),
    ]));
    assert!(matches!(observer.lost().await, LostReason::Closed));
    assert_eq!(observer.attached().await, second);
    assert_eq!(
        observer.told().await,
        (true, taken(&[("g", group(1, "p:1", 2))]))
    );
    port.show(&state(&[
        ("f", group(3, "q:1", 12)),
        ("g", group(1, "p:1", 2)),
    ]));
    assert_eq!(
        observer.told().await,
        (true, taken(&[("f", group(3, "q:1", 12))]))
    );
}

#[tokio::test]
async fn an_observer_without_the_key_or_one_too_many_or_with_a_voters_name_is_told_nothing() {
    let voter = voter("a", 1).await;
    voter.show(&state(&[("f", group(1, "m:1", 1))]));
    let good = cluster_key().for_observers();
    let mut first = observer("x", &[("a", &voter)], good.clone());
    first.attached().await;
    first.told().await;
    let mut with_cluster_key = observer("y", &[("a", &voter)], cluster_key());
    let reason = with_cluster_key.lost().await;
    assert!(matches!(reason, LostReason::Unwelcome), "{reason:?}");
    let mut namesake = observer("a", &[("a", &voter)], good.clone());
    let reason = namesake.lost().await;
    let own_name = ObserverRefusal::OwnName { node: name("a") };
    assert!(
        matches!(&reason, LostReason::Refused(refusal) if *refusal == own_name),
        "{reason:?}"
    );
    let mut second = observer("y", &[("a", &voter)], good.clone());
    let reason = second.lost().await;
    let full = ObserverRefusal::Full { max: 1 };
    assert!(
        matches!(&reason, LostReason::Refused(refusal) if *refusal == full),
        "{reason:?}"
    );
    let mut elsewhere = observer("z", &[("b", &voter)], good);
    drop(first);
    loop {
        let reason = elsewhere.lost().await;
        if let LostReason::WrongVoter { found } = reason {
            break assert_eq!(found, name("a"));
        }
        // The first one may not have left yet.
        assert!(matches!(reason, LostReason::Refused(_)), "{reason:?}");
    }
}

#[tokio::test]
async fn strangers_that_keep_silent_keep_no_observer_out_and_are_dropped() {
    let voter = voter("a", 10).await;
    voter.show(&state(&[("f", group(1, "m:1", 1))]));
    let mut strangers = Vec::new();
    for _ in 0..20 {
        strangers.push(TcpStream::connect(voter.address()).await.unwrap());
    }
    let mut observer = observer("x", &[("a", &voter)], cluster_key().for_observers());
    observer.attached().await;
    observer.told().await;
    for mut stranger in strangers {
        let read = timeout(PATIENCE, stranger.read(&mut [0; 8])).await;
        assert_eq!(read.expect("it is dropped").unwrap_or(0), 0);
    }
    assert_eq!(voter.guests().len(), 1);
}

#[tokio::test]
async fn an_observer_refuses_what_a_voter_of_another_cluster_tells() {
    let voter = voter("a", 10).await;
    voter.show(&state(&[("f", group(1, "m:1", 1))]));
    let mut observer = observer("x", &[("a", &voter)], cluster_key().for_observers());
    observer.attached().await;
    observer.told().await;
    let other = PublicState {
        cluster: Some(crate::model::ClusterId(8)),
        groups: [("f".parse().unwrap(), Arc::new(group(9, "x:1", 99)))].into(),
        ..state(&[])
    };
    voter.show(&other);
    let reason = observer.lost().await;
    assert!(matches!(reason, LostReason::OtherCluster(_)), "{reason:?}");
}

#[tokio::test]
async fn without_a_cluster_key_observers_are_told_on_loopback_only() {
    let settings = |listen: &str| ObserversSettings {
        node: name("a"),
        listen: listen.parse().unwrap(),
        key: None,
    };
    let refused = Observers::start(settings("0.0.0.0:7401"))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("there is no cluster key"));
    let voter = Observers::start(settings(&free_endpoint().to_string())).await;
    let voter = voter.unwrap();
    voter.show(&state(&[("f", group(1, "m:1", 1))]));
    let well_known = ClusterKey::well_known().for_observers();
    let mut observer = observer("x", &[("a", &voter)], well_known);
    observer.attached().await;
    assert_eq!(observer.told().await.1.len(), 1);
}
