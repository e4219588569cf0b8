//! A client of the status socket: one request a connection, bounded in time and size.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an answer may take; the daemon itself gives up sooner.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Largest answer in bytes.
pub const ANSWER_LENGTH_MAX: usize = 8 * 1024 * 1024;
/// Longest line of an event stream in bytes.
pub const LINE_LENGTH_MAX: usize = 1024 * 1024;

/// Why the daemon could not be asked, or what it said instead.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "cannot reach promoterd at {path}: is it running? (set PROMOTERD_STATUS_SOCKET when its \
         socket is elsewhere)"
    )]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// We may not ask.
    #[error("this user may not use {path}: join the group that owns it, or use sudo")]
    Denied {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error(
        "promoterd at {path} did not answer within {} s: look at its log (journalctl -u promoterd)",
        ANSWER_WAIT_MAX.as_secs()
    )]
    TimedOut {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the connection to promoterd at {path} broke: try again")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The answer, or a line of it, is too long, or broke off.
    #[error("what promoterd at {path} sends is cut off or longer than {max} bytes")]
    Unbounded {
        /// The socket.
        path: PathBuf,
        /// How long it may be.
        max: usize,
    },
    /// It said no.
    #[error("promoterd at {path} refuses ({status}): {reason}")]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Status code.
        status: u16,
        /// In its words.
        reason: String,
    },
    /// It is no JSON, or not of the form that we know.
    #[error(
        "the answer at {path} is not understood: are the daemon and this command of one version?"
    )]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Asks for `path`, as in `/v1/status`, at `socket`.
///
/// # Errors
/// [`ClientError`], when there is no answer, or it is not 200, or not a `T`.
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    let body = timeout(
        ANSWER_WAIT_MAX,
        ask(socket, Method::GET, path, Bytes::new()),
    )
    .await
    .map_err(|_| ClientError::TimedOut {
        path: socket.to_owned(),
    })??;
    serde_json::from_slice(&body).map_err(|source| ClientError::NotUnderstood {
        path: socket.to_owned(),
        source,
    })
}

/// Asks for a change by `POST` to `path` at `socket`.
///
/// # Errors
/// [`ClientError`], when there is no answer, or it is neither 200 nor 202, or not a `T`.
pub async fn post<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    order: &impl Serialize,
) -> Result<T, ClientError> {
    let not_understood = |source| ClientError::NotUnderstood {
        path: socket.to_owned(),
        source,
    };
    let order = serde_json::to_vec(order).map_err(not_understood)?;
    let asked = ask(socket, Method::POST, path, order.into());
    let body = timeout(ANSWER_WAIT_MAX, asked)
        .await
        .map_err(|_| ClientError::TimedOut {
            path: socket.to_owned(),
        })??;
    serde_json::from_slice(&body).map_err(not_understood)
}

async fn ask(socket: &Path, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
    let (response, _connection) = request(socket, method, path, body).await?;
    let status = response.status();
    let body = read_whole(socket, response).await?;
    match status {
        StatusCode::OK | StatusCode::ACCEPTED => Ok(body),
        status => Err(refused(socket, status, &body)),
    }
}

async fn read_whole(socket: &Path, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), ANSWER_LENGTH_MAX);
    let collected = body.collect().await.map_err(|_| ClientError::Unbounded {
        path: socket.to_owned(),
        max: ANSWER_LENGTH_MAX,
    })?;
    Ok(collected.to_bytes())
}

fn refused(socket: &Path, status: StatusCode, body: &[u8]) -> ClientError {
    #[derive(Deserialize)]
    struct Reason {
        error: String,
    }
    let reason = match serde_json::from_slice::<Reason>(body) {
        Ok(reason) => reason.error,
        Err(_) => String::from_utf8_lossy(body).chars().take(200).collect(),
    };
    ClientError::Refused {
        path: socket.to_owned(),
        status: status.as_u16(),
        reason,
    }
}

/// The task that drives a connection; it ends with its owner.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn request(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(Response<Incoming>, Connection), ClientError> {
    let broken = |source| ClientError::Broken {
        path: socket.to_owned(),
        source,
    };
    let stream = connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // What breaks the connection is told to the request too.
    let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // What is no path is asked for as "/", and the daemon says which paths there are.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let host = header::HeaderValue::from_static("promoterd");
    request.headers_mut().insert(header::HOST, host);
    let response = sender.send_request(request).await.map_err(broken)?;
    Ok((response, connection))
}

async fn connect(socket: &Path) -> Result<UnixStream, ClientError> {
    UnixStream::connect(socket).await.map_err(|source| {
        let path = socket.to_owned();
        if source.kind() == io::ErrorKind::PermissionDenied {
            ClientError::Denied { path, source }
        } else {
            ClientError::Unreachable { path, source }
        }
    })
}

/// The event stream of a daemon.
#[derive(Debug)]
pub struct Events {
    socket: PathBuf,
    body: Incoming,
    unread: Vec<u8>,
    _connection: Connection,
}

/// Opens `/v1/events` at `socket`; the first line is the daemon's hello.
///
/// # Errors
/// [`ClientError`], when the daemon cannot be reached or refuses.
pub async fn events(socket: &Path) -> Result<Events, ClientError> {
    timeout(ANSWER_WAIT_MAX, open_events(socket))
        .await
        .map_err(|_| ClientError::TimedOut {
            path: socket.to_owned(),
        })?
}

async fn open_events(socket: &Path) -> Result<Events, ClientError> {
    let (response, connection) = request(socket, Method::GET, "/v1/events", Bytes::new()).await?;
    let status = response.status();
    if status != StatusCode::OK {
        let body = read_whole(socket, response).await?;
        return Err(refused(socket, status, &body));
    }
    Ok(Events {
        socket: socket.to_owned(),
        body: response.into_body(),
        unread: Vec::new(),
        _connection: connection,
    })
}

impl Events {
    /// The next line without its end; nothing when the daemon has stopped. Waits for as long as it
    /// takes, and nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// [`ClientError`], when the connection breaks or a line is too long.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.unread.drain(..=end).collect();
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.unread.len() > LINE_LENGTH_MAX {
                return Err(ClientError::Unbounded {
                    path: self.socket.clone(),
                    max: LINE_LENGTH_MAX,
                });
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|source| ClientError::Broken {
                path: self.socket.clone(),
                source,
            })?;
            if let Some(bytes) = frame.data_ref() {
                self.unread.extend_from_slice(bytes);
            }
        }
    }
}
