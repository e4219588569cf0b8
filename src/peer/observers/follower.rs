//! The observer's side: a task that follows one voter after the other, and tells what is new.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::follow_event::{ANSWER_WITHIN, FollowEvent, LostReason, SILENT_AFTER};
use super::knowledge::{Knowledge, OtherCluster};
use super::pursuit::Pursuit;
use super::tunnel::{Tunnel, TunnelEvent};
use super::visit::KEEP_ALIVE_AFTER;
use super::word::{Answer, News, OBSERVERS_VERSION, Opening, Position};
use crate::model::{Endpoint, NodeId, with_causes};
use crate::peer::dial::{Resolver, check_reach, connect_eagerly};
use crate::peer::key::ClusterKey;
use crate::peer::session::SessionError;

/// For the names of a voter to be resolved.
const RESOLVE_WITHIN: Duration = Duration::from_secs(1);
/// For a connection to one address.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// An attempt to connect that was not answered for so long gets another one beside it.
const ANOTHER_ATTEMPT_AFTER: Duration = Duration::from_millis(250);
/// How often a host that shows no sign of life is asked for one; the kernel counts in seconds.
const HOST_ASKED_EVERY: Duration = Duration::from_secs(1);
/// So many questions without an answer mean that it is gone.
const HOST_ASKED_TIMES: u32 = 2;
/// Silence of ours after which we show a sign of life.
const OWN_KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);
/// For a voter to take what we say.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How much is read at once, in bytes.
const READ_LENGTH: usize = 4_096;

const _: () = assert!(SILENT_AFTER.as_secs() > 2 * KEEP_ALIVE_AFTER.as_secs());

/// What a follower needs to know.
#[derive(Debug, Clone)]
pub struct FollowSettings {
    /// This observer.
    pub node: NodeId,
    /// The observers' ports of the voters; at least one.
    pub voters: BTreeMap<NodeId, Endpoint>,
    /// The observers' key. Without one, loopback only.
    pub key: Option<ClusterKey>,
    /// Tells in which order they are called.
    pub seed: u64,
}

/// The handle of the task, which ends when this is dropped.
#[derive(Debug)]
pub struct Follower {
    positions: watch::Sender<Position>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Starts to follow, from what is known already. What happens goes to `events`; while that is full,
    /// nothing more is read.
    #[must_use]
    pub fn start(
        settings: FollowSettings,
        knowledge: Knowledge,
        events: mpsc::Sender<FollowEvent>,
    ) -> Self {
        let (positions, placed) = watch::channel(Position::default());
        let resolvers = settings.voters.iter();
        let resolvers = resolvers.map(|(name, at)| (name.clone(), Resolver::new(at.clone())));
        let follow = Follow {
            pursuit: Pursuit::new(settings.voters.keys().cloned(), settings.seed),
            resolvers: resolvers.collect(),
            key: settings.key,
            node: settings.node,
            knowledge,
            positions: placed,
            events,
        };
        let task = tokio::spawn(follow.go_on());
        Self { positions, task }
    }

    /// Tells voters what the files of this host name.
    pub fn place(&self, position: Position) {
        self.positions.send_if_modified(|known| {
            let is_new = *known != position;
            *known = position;
            is_new
        });
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The loop that owns the events is gone.
struct Gone;

/// Why one voter is left.
enum Left {
    Lost(LostReason),
    Gone,
}

impl From<LostReason> for Left {
    fn from(reason: LostReason) -> Self {
        Self::Lost(reason)
    }
}

impl From<SessionError> for Left {
    fn from(error: SessionError) -> Self {
        Self::Lost(error.into())
    }
}

impl From<OtherCluster> for Left {
    fn from(error: OtherCluster) -> Self {
        Self::Lost(error.into())
    }
}

struct Follow {
    node: NodeId,
    key: Option<ClusterKey>,
    pursuit: Pursuit,
    resolvers: BTreeMap<NodeId, Resolver>,
    knowledge: Knowledge,
    positions: watch::Receiver<Position>,
    events: mpsc::Sender<FollowEvent>,
}

impl Follow {
    async fn go_on(mut self) {
        loop {
            let voter = self.pursuit.voter().clone();
            let mut heard_at = None;
            let reason = match self.follow(&voter, &mut heard_at).await {
                Ok(never) => match never {},
                Err(Left::Gone) => return,
                Err(Left::Lost(reason)) => reason,
            };
            let delay = match &reason {
                LostReason::Leaderless(_) => self.pursuit.doubted(),
                LostReason::Unreachable(_)
                | LostReason::NoAnswer
                | LostReason::Unwelcome
                | LostReason::Closed
                | LostReason::Broken(_)
                | LostReason::Session(_)
                | LostReason::Refused(_)
                | LostReason::WrongVoter { .. }
                | LostReason::Silent
                | LostReason::Slow
                | LostReason::OtherCluster(_) => self.pursuit.failed(),
            };
            let heard_at = heard_at.map(Instant::into_std);
            let lost = FollowEvent::Lost {
                voter,
                reason,
                heard_at,
            };
            if self.say(lost).await.is_err() {
                return;
            }
            sleep(delay).await;
        }
    }

    async fn say(&self, event: FollowEvent) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }

    async fn follow(
        &mut self,
        voter: &NodeId,
        heard_at: &mut Option<Instant>,
    ) -> Result<Infallible, Left> {
        let (mut stream, address) = self.connect(voter).await?;
        let meeting = self.meet(voter, &mut stream);
        let (mut tunnel, early) = timeout(ANSWER_WITHIN, meeting)
            .await
            .unwrap_or(Err(LostReason::NoAnswer))?;
        let attached = FollowEvent::Attached {
            voter: voter.clone(),
            address,
        };
        self.say(attached).await.map_err(|Gone| Left::Gone)?;
        let (mut heard, mut wrote) = (Instant::now(), Instant::now());
        *heard_at = Some(heard);
        let mut doubtful_since = Some(heard);
        self.listen_to(early, &mut doubtful_since).await?;
        let mut buffer = [0; READ_LENGTH];
        let mut positions = self.positions.clone();
        loop {
            if flush(&mut stream, &mut tunnel).await? {
                wrote = Instant::now();
            }
            let patience = self.pursuit.patience();
            let since = doubtful_since;
            let doubt = async move {
                match since {
                    Some(since) => sleep_until(since + patience).await,
                    None => std::future::pending().await,
                }
            };
            select! {
                length = stream.read(&mut buffer) => {
                    let length = length.map_err(LostReason::Broken)?;
                    if length == 0 {
                        return Err(LostReason::Closed.into());
                    }
                    let mut events = Vec::new();
                    tunnel.receive(&buffer[..length], &mut events)?;
                    heard = Instant::now();
                    *heard_at = Some(heard);
                    self.listen_to(events, &mut doubtful_since).await?;
                }
                changed = positions.changed() => {
                    changed.map_err(|_| Left::Gone)?;
                    let position = positions.borrow_and_update().encode();
                    tunnel.send(&position)?;
                }
                () = sleep_until(wrote + OWN_KEEP_ALIVE_AFTER) => tunnel.keep_alive(),
                () = sleep_until(heard + SILENT_AFTER) => return Err(LostReason::Silent.into()),
                () = doubt => return Err(LostReason::Leaderless(patience).into()),
            }
        }
    }

    async fn connect(&mut self, voter: &NodeId) -> Result<(TcpStream, SocketAddr), LostReason> {
        let unreachable =
            |error: &dyn std::error::Error| LostReason::Unreachable(with_causes(error));
        let resolver = self.resolvers.get_mut(voter);
        let resolver = resolver.expect("each voter of the pursuit has its address");
        let addresses = resolver.resolve(RESOLVE_WITHIN).await;
        let addresses = addresses.map_err(|error| unreachable(&error))?;
        let mut last = LostReason::Unreachable("its name has no address".to_owned());
        for address in addresses {
            check_reach(self.key.as_ref(), address).map_err(|error| unreachable(&error))?;
            let attempt = connect_eagerly(address, ANOTHER_ATTEMPT_AFTER);
            let connected = timeout(CONNECT_WITHIN, attempt).await;
            let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            match connected.and_then(|stream| set_up(&stream).map(|()| stream)) {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => {
                    last = LostReason::Unreachable(format!("cannot connect to {address}: {error}"));
                }
            }
        }
        Err(last)
    }

    /// The handshake. Also what came right behind it.
    async fn meet(
        &mut self,
        voter: &NodeId,
        stream: &mut TcpStream,
    ) -> Result<(Tunnel, Vec<TunnelEvent>), LostReason> {
        let opening = Opening {
            version: OBSERVERS_VERSION,
            node: self.node.clone(),
        };
        let key = self.key.clone();
        let key = key.unwrap_or_else(|| ClusterKey::well_known().for_observers());
        let mut tunnel = Tunnel::observer(&key, &opening.encode())?;
        let mut events = Vec::new();
        let mut buffer = [0; READ_LENGTH];
        flush(stream, &mut tunnel).await?;
        while events.is_empty() {
            let length = stream.read(&mut buffer).await;
            match length.map_err(LostReason::Broken)? {
                0 => return Err(LostReason::Unwelcome),
                length => tunnel.receive(&buffer[..length], &mut events)?,
            }
        }
        let rest = events.split_off(1);
        let answer = match events.pop() {
            Some(TunnelEvent::Answer(answer)) => Answer::decode(&answer),
            Some(_) | None => None,
        };
        match answer {
            Some(Answer::Welcome { voter: found }) if found != *voter => {
                Err(LostReason::WrongVoter { found })
            }
            Some(Answer::Welcome { .. }) => {
                let position = self.positions.borrow_and_update().encode();
                tunnel.send(&position)?;
                flush(stream, &mut tunnel).await?;
                Ok((tunnel, rest))
            }
            Some(Answer::Refused(refusal)) => Err(LostReason::Refused(refusal)),
            None => Err(SessionError::Malformed.into()),
        }
    }

    async fn listen_to(
        &mut self,
        events: Vec<TunnelEvent>,
        doubtful_since: &mut Option<Instant>,
    ) -> Result<(), Left> {
        for event in events {
            let payload = match event {
                TunnelEvent::KeepAlive => continue,
                TunnelEvent::Payload(payload) => payload,
                TunnelEvent::Opening(_) | TunnelEvent::Answer(_) => {
                    return Err(SessionError::Malformed.into());
                }
            };
            let news = News::decode(&payload).ok_or(SessionError::Malformed)?;
            let is_confirmed = news.is_confirmed;
            let taken = self.knowledge.take_in(news)?;
            if is_confirmed {
                self.pursuit.confirmed();
                *doubtful_since = None;
            } else {
                doubtful_since.get_or_insert(Instant::now());
            }
            let told = FollowEvent::Told {
                is_confirmed,
                taken,
                knowledge: self.knowledge.clone(),
            };
            self.say(told).await.map_err(|Gone| Left::Gone)?;
        }
        Ok(())
    }
}

/// The kernels of both hosts ask each other whether they are there: so a voter whose host is lost is left
/// soon, and no process has to wake up for that.
fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_keepidle(stream, HOST_ASKED_EVERY)?;
    sockopt::set_tcp_keepintvl(stream, HOST_ASKED_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, HOST_ASKED_TIMES)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

/// Writes what there is; whether there was anything.
async fn flush(stream: &mut TcpStream, tunnel: &mut Tunnel) -> Result<bool, LostReason> {
    let outgoing = tunnel.take_outgoing();
    if outgoing.is_empty() {
        return Ok(false);
    }
    match timeout(DRAIN_WITHIN, stream.write_all(&outgoing)).await {
        Ok(written) => written.map(|()| true).map_err(LostReason::Broken),
        Err(_) => Err(LostReason::Slow),
    }
}
