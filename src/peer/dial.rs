//! The calling side of a link: resolve, connect, introduce, and again with growing delays.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::select;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::admission::Admission;
use super::connection::{Ended, Link, run};
use super::handshake::{Established, HandshakeError, shake_hands};
use super::key::ClusterKey;
use super::ledger::{DropReason, Dropped};
use super::pace::Backoff;
use super::session::Session;
use crate::model::Endpoint;

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;

/// Why a call did not become a link.
#[derive(Debug, Error)]
pub(super) enum DialError {
    #[error("cannot resolve {endpoint}: correct it in PROMOTERD_PEERS, or the name service")]
    Resolve {
        endpoint: Endpoint,
        #[source]
        source: io::Error,
    },
    #[error(
        "{address} is beyond this machine and there is no cluster key: set PROMOTERD_PEER_KEY_FILE"
    )]
    NotLoopback { address: SocketAddr },
    #[error("cannot connect to {address}: is promoterd running there, and the port open?")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("no link to {address}")]
    Handshake {
        address: SocketAddr,
        #[source]
        source: HandshakeError,
    },
}

impl DialError {
    /// Nothing came back for as long as a connection may take.
    fn is_silence(&self) -> bool {
        match self {
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::TimedOut,
            Self::Resolve { .. } | Self::NotLoopback { .. } | Self::Handshake { .. } => false,
        }
    }
}

impl Dropped for DialError {
    fn drop_reason(&self) -> DropReason {
        match self {
            Self::Resolve { .. } => DropReason::Unresolved,
            Self::NotLoopback { .. } => DropReason::NotLoopback,
            Self::Connect { .. } => DropReason::Unreachable,
            Self::Handshake { source, .. } => source.drop_reason(),
        }
    }
}

/// Calls one peer for as long as the links run.
pub(super) struct Dialer {
    pub(super) link: Link,
    pub(super) resolver: Resolver,
    pub(super) admission: Admission,
    /// None: loopback addresses only.
    pub(super) key: Option<ClusterKey>,
}

impl Dialer {
    /// Keeps a link to the peer.
    pub(super) async fn keep_connected(mut self) {
        let stop = self.link.stop.clone();
        let mut backoff = Backoff::new(&self.link.pace);
        loop {
            let dialed = select! {
                dialed = self.dial() => dialed,
                () = stop.cancelled() => return,
            };
            // That took its time already, and a network that works again is worth noticing.
            let was_silent = dialed.as_ref().is_err_and(DialError::is_silence);
            match dialed {
                Ok(established) => {
                    let since = Instant::now();
                    match run(&self.link, established, pending()).await {
                        Ended::Down | Ended::Replaced(_) => {}
                        Ended::Stopped => return,
                    }
                    backoff.link_ended(since.elapsed(), &self.link.pace);
                }
                Err(error) => {
                    let now = Instant::now().into_std();
                    let peer = Some(&self.link.peer);
                    self.link.ledger.dropped(peer, None, &error, now);
                }
            }
            let delay = match was_silent {
                true => self.link.pace.retry_delay_min,
                false => backoff.delay(fastrand::f64(), &self.link.pace),
            };
            select! {
                () = sleep(delay) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn dial(&mut self) -> Result<Box<Established<TcpStream>>, DialError> {
        let pace = self.link.pace.clone();
        let addresses = self.resolver.resolve(pace.resolve_within).await?;
        let (stream, address) = self.connect(&addresses).await?;
        let session = Session::initiator(
            &self.key.clone().unwrap_or_else(ClusterKey::well_known),
            self.admission.clone(),
        );
        let handshake = |source| DialError::Handshake { address, source };
        let session = session.map_err(|error| handshake(HandshakeError::Session(error)))?;
        shake_hands(stream, address, session, pace.handshake_within)
            .await
            .map_err(|failed| handshake(failed.error))
    }

    /// Connects to the first address that answers; fails as the last one did.
    async fn connect(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<(TcpStream, SocketAddr), DialError> {
        let mut last = Err(self.resolver.failure(io::ErrorKind::NotFound.into()));
        for &address in addresses {
            last = self.connect_to(address).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<(TcpStream, SocketAddr), DialError> {
        check_reach(self.key.as_ref(), address)?;
        let connect = async {
            let stream = connect_eagerly(address, self.link.pace.another_attempt_after).await?;
            stream.set_nodelay(true)?;
            Ok((stream, address))
        };
        timeout(self.link.pace.connect_within, connect)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| DialError::Connect { address, source })
    }
}

/// The kernel repeats an unanswered attempt only after a second: a network that works again would not be
/// noticed before. So another attempt is made beside it, and the first one that succeeds counts.
pub(super) async fn connect_eagerly(
    address: SocketAddr,
    again_after: Duration,
) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::from_iter([TcpStream::connect(address)]);
    loop {
        select! {
            biased;
            Some(ended) = attempts.next() => match ended {
                Err(_) if !attempts.is_empty() => {}
                ended => return ended,
            },
            () = sleep(again_after) => attempts.push(TcpStream::connect(address)),
        }
    }
}

/// Without a key, nothing is said to another machine.
pub(super) fn check_reach(key: Option<&ClusterKey>, address: SocketAddr) -> Result<(), DialError> {
    if key.is_none() && !address.ip().to_canonical().is_loopback() {
        return Err(DialError::NotLoopback { address });
    }
    Ok(())
}

/// Finds the addresses of one endpoint, anew for each call.
///
/// When the name service fails, the addresses that it gave last stand in: a failover must not wait
/// for it, and who answers there has to authenticate anyway.
pub(super) struct Resolver {
    endpoint: Endpoint,
    /// A lookup that has not ended; the system's resolver cannot be interrupted, so no second one is
    /// begun beside it.
    lookup: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
    known: Vec<SocketAddr>,
}

impl Resolver {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            lookup: None,
            known: Vec::new(),
        }
    }

    pub(super) async fn resolve(&mut self, within: Duration) -> Result<Vec<SocketAddr>, DialError> {
        if let Some(address) = self.endpoint.address() {
            return Ok(vec![SocketAddr::new(address, self.endpoint.port())]);
        }
        match self.look_up(within).await {
            Ok(addresses) => self.known = addresses,
            Err(source) if self.known.is_empty() => return Err(self.failure(source)),
            Err(error) => tracing::debug!(
                endpoint = %self.endpoint,
                %error,
                "name not resolved, using its last addresses"
            ),
        }
        Ok(self.known.clone())
    }

    async fn look_up(&mut self, within: Duration) -> io::Result<Vec<SocketAddr>> {
        let endpoint = self.endpoint.clone();
        let lookup = self
            .lookup
            .get_or_insert_with(|| tokio::spawn(async move { addresses_of(&endpoint).await }));
        let Ok(joined) = timeout(within, lookup).await else {
            return Err(io::ErrorKind::TimedOut.into());
        };
        self.lookup = None;
        joined?
    }

    fn failure(&self, source: io::Error) -> DialError {
        DialError::Resolve {
            endpoint: self.endpoint.clone(),
            source,
        }
    }
}

/// The addresses of an endpoint, at least one.
pub(super) async fn addresses_of(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let found = lookup_host((endpoint.host(), endpoint.port())).await?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn resolver(endpoint: &str) -> Resolver {
        Resolver::new(endpoint.parse().unwrap())
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_an_address_is_taken_as_it_is() {
        let found = resolver("localhost:7400").resolve(LONG).await.unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 7_400),
            "{found:?}"
        );
        let found = resolver("[::1]:7400").resolve(LONG).await.unwrap();
        assert_eq!(found, ["[::1]:7400".parse().unwrap()]);
    }

    #[tokio::test]
    async fn the_last_known_addresses_stand_in_for_a_name_service_that_fails() {
        let known: SocketAddr = "127.0.0.1:7400".parse().unwrap();
        let mut resolver = resolver("localhost:7400");
        let failing = || Some(tokio::spawn(async { Err(io::ErrorKind::NotFound.into()) }));
        resolver.lookup = failing();
        let error = resolver.resolve(LONG).await.unwrap_err();
        assert_eq!(error.drop_reason(), DropReason::Unresolved);
        resolver.known = vec![known];
        resolver.lookup = failing();
        assert_eq!(resolver.resolve(LONG).await.unwrap(), [known]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_is_waited_for_again_and_not_begun_again() {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let mut resolver = resolver("localhost:7400");
        resolver.lookup = Some(tokio::spawn(async { Ok(answered.await.unwrap()) }));
        for _ in 0..2 {
            assert!(resolver.resolve(LONG).await.is_err());
        }
        let late: SocketAddr = "127.0.0.2:7400".parse().unwrap();
        answer.send(vec![late]).unwrap();
        assert_eq!(resolver.resolve(LONG).await.unwrap(), [late]);
        assert!(resolver.lookup.is_none());
    }

    #[test]
    fn without_a_key_only_addresses_of_this_machine_may_be_called() {
        for (address, allowed) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("[fd77::1]:1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(check_reach(None, address).is_ok(), allowed, "{address}");
            let key = ClusterKey::from([1; 32]);
            assert!(check_reach(Some(&key), address).is_ok());
        }
    }
}
