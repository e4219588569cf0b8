//! Pools of connections for the work that follows a promotion: one pool an instance, by bb8.

use std::sync::Arc;
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection, Pool, PooledConnection, RunError};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use thiserror::Error;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::connection::{Connection, connect};
use super::credentials::Credentials;
use super::names::CommandNames;
use super::reply::read_fault;
use super::stream::Meter;
use crate::decision::{CommandFailure, ConnectFailure};
use crate::model::Endpoint;

const CONNECTIONS_MAX: u32 = 2;
const GET_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const REAP_INTERVAL: Duration = Duration::from_secs(15);

/// A connection that answered so recently is valid without another `PING`.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// The time for that `PING`; it leaves enough of [`GET_TIMEOUT`] to connect anew.
const CHECK_TIMEOUT: Duration = Duration::from_millis(300);

/// The connections to one instance. The first is made when it is first needed.
#[derive(Debug, Clone)]
pub(super) struct InstancePool {
    pool: Pool<Manager>,
    credentials: Arc<Credentials>,
    failures: broadcast::Sender<ConnectFailure>,
}

impl InstancePool {
    pub(super) fn new(endpoint: Endpoint, credentials: Arc<Credentials>) -> Self {
        let (failures, _) = broadcast::channel(1);
        let pool = Pool::builder()
            .max_size(CONNECTIONS_MAX)
            .min_idle(0)
            .max_lifetime(None)
            .idle_timeout(IDLE_TIMEOUT)
            .reaper_rate(REAP_INTERVAL)
            .connection_timeout(GET_TIMEOUT)
            .test_on_check_out(true)
            .retry_connection(false)
            .error_sink(Box::new(FailureSink(failures.clone())))
            .build_unchecked(Manager {
                endpoint,
                credentials: Arc::clone(&credentials),
            });
        Self {
            pool,
            credentials,
            failures,
        }
    }

    /// What the commands are called there.
    pub(super) fn names(&self) -> &CommandNames {
        &self.credentials.names
    }

    /// A connection that works.
    ///
    /// # Errors
    /// [`CommandFailure::Lost`], `Denied` or `TimedOut` when none can be had within a second.
    pub(super) async fn get(&self) -> Result<PooledConnection<'_, Manager>, CommandFailure> {
        // bb8 tells the sink, and not whoever waits, that it could not connect.
        let mut failures = self.failures.subscribe();
        tokio::select! {
            biased;
            got = self.pool.get() => got.map_err(|error| match error {
                RunError::User(ManageError::Connect(failure)) => read_failure(failure),
                RunError::User(ManageError::Invalid) => CommandFailure::Lost("it went stale".to_owned()),
                RunError::TimedOut => CommandFailure::TimedOut,
            }),
            Ok(failure) = failures.recv() => Err(read_failure(failure)),
        }
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> u32 {
        self.pool.state().connections
    }
}

fn read_failure(failure: ConnectFailure) -> CommandFailure {
    match failure {
        ConnectFailure::Denied(text) => CommandFailure::Denied(text),
        ConnectFailure::TimedOut => CommandFailure::TimedOut,
        ConnectFailure::Refused | ConnectFailure::Unreachable(_) | ConnectFailure::Protocol(_) => {
            CommandFailure::Lost(failure.to_string())
        }
    }
}

/// Why the manager has no connection to offer.
#[derive(Debug, Error)]
pub(super) enum ManageError {
    #[error(transparent)]
    Connect(ConnectFailure),
    #[error("the connection no longer answers")]
    Invalid,
}

#[derive(Debug, Clone)]
struct FailureSink(broadcast::Sender<ConnectFailure>);

impl ErrorSink<ManageError> for FailureSink {
    fn sink(&self, error: ManageError) {
        match error {
            ManageError::Connect(failure) => drop(self.0.send(failure)),
            // The pool makes another one.
            ManageError::Invalid => {}
        }
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<ManageError>> {
        Box::new(self.clone())
    }
}

/// Makes connections to one instance, and tells which of them are no good any more.
#[derive(Debug)]
pub(super) struct Manager {
    endpoint: Endpoint,
    credentials: Arc<Credentials>,
}

impl ManageConnection for Manager {
    type Connection = WorkConnection;
    type Error = ManageError;

    async fn connect(&self) -> Result<WorkConnection, ManageError> {
        connect(&self.endpoint, &self.credentials, Some(RESPONSE_TIMEOUT))
            .await
            .map(WorkConnection::new)
            .map_err(ManageError::Connect)
    }

    async fn is_valid(&self, connection: &mut WorkConnection) -> Result<(), ManageError> {
        if connection.has_ended() {
            return Err(ManageError::Invalid);
        }
        if connection.last_reply.elapsed() < FRESH {
            return Ok(());
        }
        // Any reply will do, -LOADING and -BUSY too.
        let ping = self.credentials.names.command("PING");
        match timeout(CHECK_TIMEOUT, connection.ask(&ping)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ManageError::Invalid),
        }
    }

    fn has_broken(&self, connection: &mut WorkConnection) -> bool {
        connection.has_ended()
    }
}

/// A connection of a pool, used for one piece of work at a time.
#[derive(Debug)]
pub(super) struct WorkConnection {
    commands: MultiplexedConnection,
    driver: AbortHandle,
    meter: Arc<Meter>,
    last_reply: Instant,
    /// Set while a reply is owed, so also when somebody gave up waiting for it.
    owes_reply: bool,
}

impl WorkConnection {
    fn new(connection: Connection) -> Self {
        Self {
            commands: connection.commands,
            driver: tokio::spawn(connection.driver).abort_handle(),
            meter: connection.meter,
            last_reply: Instant::now(),
            owes_reply: false,
        }
    }

    /// Sends one command and waits for the reply, which may be an error reply.
    ///
    /// # Errors
    /// When the connection failed; it is broken then.
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, CommandFailure> {
        self.owes_reply = true;
        let result = self.commands.send_packed_command(command).await;
        self.note(result)
    }

    /// Sends all commands in one write and waits for their replies.
    ///
    /// # Errors
    /// When the connection failed; it is broken then.
    pub(super) async fn ask_all(
        &mut self,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, CommandFailure> {
        self.owes_reply = true;
        let count = pipeline.len();
        let result = self.commands.send_packed_commands(pipeline, 0, count).await;
        self.note(result)
    }

    fn note<T>(&mut self, result: RedisResult<T>) -> Result<T, CommandFailure> {
        match result {
            Ok(value) => {
                self.owes_reply = false;
                self.meter.reply_completed();
                self.last_reply = Instant::now();
                Ok(value)
            }
            Err(error) => Err(match self.meter.end() {
                Some(reason) => CommandFailure::Lost(reason),
                None => read_fault(&error),
            }),
        }
    }

    fn has_ended(&self) -> bool {
        self.owes_reply || self.driver.is_finished()
    }
}

impl Drop for WorkConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
