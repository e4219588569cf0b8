//! Opens one connection to one instance: resolve, connect, authenticate; bounded in time and bytes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::credentials::Credentials;
use super::reply::clean;
use super::stream::{BoundedStream, Meter};
use crate::decision::ConnectFailure;
use crate::model::Endpoint;

/// The time for all of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// An attempt that was not answered for so long may be lost.
const ANOTHER_ATTEMPT_AFTER: Duration = Duration::from_millis(250);

/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// What moves a connection's bytes; it ends when the connection does.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection on which `AUTH` has passed, where one was needed.
pub(super) struct Connection {
    pub(super) commands: MultiplexedConnection,
    pub(super) driver: Driver,
    pub(super) meter: Arc<Meter>,
    /// Whether the other end is on this host.
    pub(super) same_host: bool,
}

/// Connects to `endpoint`. Each command then has `response_timeout` for its reply, if given.
///
/// # Errors
/// [`ConnectFailure`]; the connection is gone then.
pub(super) async fn connect(
    endpoint: &Endpoint,
    credentials: &Credentials,
    response_timeout: Option<Duration>,
) -> Result<Connection, ConnectFailure> {
    let connecting = async {
        let stream = reach(endpoint).await?;
        authenticate(stream, credentials, response_timeout).await
    };
    timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or(Err(ConnectFailure::TimedOut))
}

/// Why a connection that was up has ended.
pub(super) fn closing_reason(meter: &Meter) -> String {
    meter
        .end()
        .unwrap_or_else(|| format!("no reply of Redis: \"{}\"", meter.quote()))
}

pub(super) async fn reach(endpoint: &Endpoint) -> Result<TcpStream, ConnectFailure> {
    let addresses = resolve(endpoint).await?;
    let share = CONNECT_TIMEOUT / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut failures = Vec::with_capacity(addresses.len());
    for address in addresses {
        match timeout(share, reach_address(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failures.push(read_connect_error(&error)),
            Err(_) => failures.push(ConnectFailure::TimedOut),
        }
    }
    Err(summarize(failures, endpoint))
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ConnectFailure> {
    if let Some(address) = endpoint.address() {
        return Ok(vec![SocketAddr::new(address, endpoint.port())]);
    }
    match lookup_host((endpoint.host(), endpoint.port())).await {
        Ok(addresses) => Ok(addresses.take(ADDRESSES_MAX).collect()),
        Err(error) => Err(ConnectFailure::Unreachable(format!(
            "cannot resolve {}: {}",
            endpoint.host(),
            clean(&error.to_string())
        ))),
    }
}

async fn reach_address(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = connect_eagerly(address).await?;
    // Where nobody listens on a port of the ephemeral range, the kernel may connect us to ourselves.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The kernel repeats an unanswered attempt only after a second: a network that works again would not be
/// noticed before. So another attempt is made beside it, and the first one that succeeds counts.
async fn connect_eagerly(address: SocketAddr) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::from_iter([TcpStream::connect(address)]);
    loop {
        tokio::select! {
            biased;
            Some(ended) = attempts.next() => match ended {
                Err(_) if !attempts.is_empty() => {}
                ended => return ended,
            },
            () = sleep(ANOTHER_ATTEMPT_AFTER) => attempts.push(TcpStream::connect(address)),
        }
    }
}

fn read_connect_error(error: &io::Error) -> ConnectFailure {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        ConnectFailure::Refused
    } else if error.kind() == io::ErrorKind::TimedOut {
        ConnectFailure::TimedOut
    } else {
        ConnectFailure::Unreachable(clean(&error.to_string()))
    }
}

/// Refused counts as evidence, so it is claimed only when every address that could be reached at
/// all refused.
fn summarize(failures: Vec<ConnectFailure>, endpoint: &Endpoint) -> ConnectFailure {
    if failures.contains(&ConnectFailure::TimedOut) {
        return ConnectFailure::TimedOut;
    }
    if failures.contains(&ConnectFailure::Refused) {
        return ConnectFailure::Refused;
    }
    failures.into_iter().next().unwrap_or_else(|| {
        ConnectFailure::Unreachable(format!("{} has no address", endpoint.host()))
    })
}

async fn authenticate(
    stream: TcpStream,
    credentials: &Credentials,
    response_timeout: Option<Duration>,
) -> Result<Connection, ConnectFailure> {
    let same_host = is_same_host(&stream);
    let meter = Arc::new(Meter::default());
    let stream = BoundedStream::new(stream, Arc::clone(&meter));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(response_timeout);
    let handshake = credentials.handshake();
    match MultiplexedConnection::new_with_config(&handshake, stream, config).await {
        Ok((commands, driver)) => {
            meter.reply_completed();
            Ok(Connection {
                commands,
                driver: Box::pin(driver),
                meter,
                same_host,
            })
        }
        Err(error) => Err(read_handshake_error(&error, &meter)),
    }
}

fn read_handshake_error(error: &RedisError, meter: &Meter) -> ConnectFailure {
    if error.kind() == ErrorKind::AuthenticationFailed {
        // The crate drops what the server said.
        let said = meter.unclaimed_error();
        return ConnectFailure::Denied(said.unwrap_or_else(|| clean(&error.to_string())));
    }
    match meter.end() {
        Some(reason) if !meter.is_mad() => {
            ConnectFailure::Unreachable(format!("in the handshake: {reason}"))
        }
        Some(_) | None => ConnectFailure::Protocol(closing_reason(meter)),
    }
}

/// Also a host reached by an address of its own other than loopback is this one.
fn is_same_host(stream: &TcpStream) -> bool {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
        return false;
    };
    let peer = peer.ip().to_canonical();
    peer.is_loopback() || peer == local.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_only_when_no_address_of_it_is_in_doubt() {
        let unreachable = || ConnectFailure::Unreachable("no route".to_owned());
        let endpoint: Endpoint = "redis-a:6379".parse().unwrap();
        for (failures, summary) in [
            (
                vec![ConnectFailure::Refused, ConnectFailure::Refused],
                ConnectFailure::Refused,
            ),
            (
                vec![unreachable(), ConnectFailure::Refused],
                ConnectFailure::Refused,
            ),
            (
                vec![ConnectFailure::Refused, ConnectFailure::TimedOut],
                ConnectFailure::TimedOut,
            ),
            (vec![unreachable()], unreachable()),
            (
                vec![],
                ConnectFailure::Unreachable("redis-a has no address".to_owned()),
            ),
        ] {
            assert_eq!(summarize(failures, &endpoint), summary);
        }
    }
}
