//! Carries out the orders that follow a promotion: repoint a replica, demote a master.

use redis::{Pipeline, Value};
use tracing::warn;

use super::guard::{self, Logins};
use super::info;
use super::limits;
use super::names::CommandNames;
use super::pool::{InstancePool, WorkConnection};
use super::reply::{expect_ok, expect_text, is_queued, read_error};
use crate::decision::{CommandFailure, FollowOrder};
use crate::model::{Endpoint, ReplicationHistory, RunId, WriteLimits};

/// Makes the instance of `pool` follow, if the process there is the one that is meant; what a master that
/// is demoted has right before, to its last write, where it says so.
///
/// # Errors
/// [`CommandFailure`]. After `TimedOut` and `Lost` it may have been done nevertheless.
pub(super) async fn follow(
    pool: &InstancePool,
    order: &FollowOrder,
    logins: &Logins,
) -> Result<Option<ReplicationHistory>, CommandFailure> {
    let mut connection = pool.get().await?;
    let names = pool.names();
    let is_fenced = look(&mut connection, names, order).await?;
    let restores = order.restores.filter(|_| is_fenced);
    guard::prepare(&mut connection, names, order, logins).await?;
    if order.demotes {
        demote(&mut connection, names, order, restores).await
    } else {
        repoint(&mut connection, names, &order.master, restores).await?;
        Ok(None)
    }
}

/// Makes sure that the process is the one that is meant; true when it is fenced and that is to end.
async fn look(
    connection: &mut WorkConnection,
    names: &CommandNames,
    order: &FollowOrder,
) -> Result<bool, CommandFailure> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd(names.of("INFO")).arg("server");
    if order.restores.is_some() {
        pipeline.add_command(limits::get(names));
    }
    let mut replies = connection.ask_all(&pipeline).await?.into_iter();
    let no_reply = || CommandFailure::Malformed("no reply".to_owned());
    expect_process(replies.next().ok_or_else(no_reply)?, order.run_id)?;
    // Where they cannot be read, there can be no fence of ours either.
    let limits = replies.next().and_then(|reply| limits::read(&reply).ok());
    Ok(limits.is_some_and(WriteLimits::is_fence))
}

/// Makes sure that the process is the one that is meant.
pub(super) async fn check_process(
    connection: &mut WorkConnection,
    names: &CommandNames,
    expected: RunId,
) -> Result<(), CommandFailure> {
    let mut command = names.command("INFO");
    command.arg("server");
    expect_process(connection.ask(&command).await?, expected)
}

pub(super) fn expect_process(reply: Value, expected: RunId) -> Result<(), CommandFailure> {
    match info::parse_run_id(&expect_text(reply)?) {
        Ok(run_id) if run_id == expected => Ok(()),
        Ok(run_id) => Err(CommandFailure::OtherProcess(run_id)),
        Err(error) => Err(CommandFailure::Malformed(format!("INFO: {error}"))),
    }
}

fn add_replicaof(pipeline: &mut Pipeline, names: &CommandNames, master: &Endpoint) {
    pipeline
        .cmd(names.of("REPLICAOF"))
        .arg(master.host())
        .arg(master.port());
}

/// What it has: nothing comes between this and the command behind it.
fn add_look(pipeline: &mut Pipeline, names: &CommandNames) {
    pipeline.cmd(names.of("INFO")).arg("replication");
}

fn read_look(reply: &Value) -> Option<ReplicationHistory> {
    info::parse_history(&expect_text(reply.clone()).ok()?).ok()
}

/// A fence that cannot be lifted in this step is found again, and lifted on its own.
async fn repoint(
    connection: &mut WorkConnection,
    names: &CommandNames,
    master: &Endpoint,
    restores: Option<WriteLimits>,
) -> Result<(), CommandFailure> {
    let mut pipeline = Pipeline::with_capacity(3);
    add_replicaof(&mut pipeline, names, master);
    if let Some(limits) = restores {
        limits::add_set(&mut pipeline, names, limits);
    }
    expect_ok(first(&connection.ask_all(&pipeline).await?)?)
}

async fn demote(
    connection: &mut WorkConnection,
    names: &CommandNames,
    order: &FollowOrder,
    restores: Option<WriteLimits>,
) -> Result<Option<ReplicationHistory>, CommandFailure> {
    let replies = connection
        .ask_all(&demotion(names, &order.master, restores))
        .await?;
    match read_demotion(&replies)? {
        Demotion::Complete(had) => Ok(had),
        Demotion::Alone(had, reason) => {
            warn_of_company(order, &reason);
            Ok(had)
        }
        Demotion::Aborted(reason) => {
            let had = demote_alone(connection, names, &order.master).await?;
            warn_of_company(order, &reason);
            Ok(had)
        }
    }
}

fn warn_of_company(order: &FollowOrder, reason: &str) {
    warn!(
        group = %order.group, epoch = %order.epoch, instance = %order.endpoint, reason,
        "demoted, but its clients were not disconnected, or it is still fenced: allow +client|kill, \
         +config|get and +config|set to our user"
    );
}

fn demotion(names: &CommandNames, master: &Endpoint, restores: Option<WriteLimits>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(8);
    pipeline.cmd("MULTI");
    add_look(&mut pipeline, names);
    add_replicaof(&mut pipeline, names, master);
    if let Some(limits) = restores {
        limits::add_set(&mut pipeline, names, limits);
    }
    for kind in ["normal", "pubsub"] {
        pipeline
            .cmd(names.of("CLIENT"))
            .arg("KILL")
            .arg("TYPE")
            .arg(kind);
    }
    pipeline.cmd("EXEC");
    pipeline
}

/// The demotion without its company. A transaction that could not even be ended is dropped first.
async fn demote_alone(
    connection: &mut WorkConnection,
    names: &CommandNames,
    master: &Endpoint,
) -> Result<Option<ReplicationHistory>, CommandFailure> {
    let mut pipeline = Pipeline::with_capacity(3);
    pipeline.cmd("DISCARD");
    add_look(&mut pipeline, names);
    add_replicaof(&mut pipeline, names, master);
    let replies = connection.ask_all(&pipeline).await?;
    expect_ok(first(replies.get(2..).unwrap_or_default())?)?;
    Ok(replies.get(1).and_then(read_look))
}

fn first(replies: &[Value]) -> Result<&Value, CommandFailure> {
    let no_reply = || CommandFailure::Malformed("no reply".to_owned());
    replies.first().ok_or_else(no_reply)
}

/// How far the transaction came.
#[derive(Debug, PartialEq)]
pub(super) enum Demotion {
    /// With what it had.
    Complete(Option<ReplicationHistory>),
    /// Demoted; what was to go with it was not done.
    Alone(Option<ReplicationHistory>, String),
    /// Nothing was done, for a reason other than the demotion itself.
    Aborted(String),
}

impl Demotion {
    fn told(had: Option<ReplicationHistory>, refused: Option<String>) -> Self {
        match refused {
            None => Self::Complete(had),
            Some(reason) => Self::Alone(had, reason),
        }
    }
}

pub(super) fn read_demotion(replies: &[Value]) -> Result<Demotion, CommandFailure> {
    let [multi, look, replicaof, company @ .., exec] = replies else {
        let why = format!("{} replies to a transaction", replies.len());
        return Err(CommandFailure::Malformed(why));
    };
    if !is_queued(replicaof) {
        // Refused, or carried out at once because MULTI was refused.
        expect_ok(replicaof)?;
        let refused = first_error([multi].into_iter().chain(company));
        return Ok(Demotion::told(read_look(look), refused));
    }
    let Value::Array(results) = exec else {
        let reason = first_error([look].into_iter().chain(company).chain([exec]));
        return Ok(Demotion::Aborted(
            reason.unwrap_or_else(|| format!("{exec:?}")),
        ));
    };
    let [look, replicaof, company_results @ ..] = results.as_slice() else {
        return Err(CommandFailure::Malformed("an empty transaction".to_owned()));
    };
    if company_results.len() != company.len() {
        let (count, wanted) = (results.len(), company.len() + 2);
        let why = format!("{count} results instead of {wanted}");
        return Err(CommandFailure::Malformed(why));
    }
    expect_ok(replicaof)?;
    let refused = first_error(company_results);
    Ok(Demotion::told(read_look(look), refused))
}

fn first_error<'a>(values: impl IntoIterator<Item = &'a Value>) -> Option<String> {
    values.into_iter().find_map(|value| {
        if let Value::ServerError(error) = value {
            Some(read_error(error).to_string())
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReplicationId, ReplicationOffset};

    const KILLED: &str = ":1\r\n";
    const QUEUED: &str = "+QUEUED\r\n";
    const NO: &str = "-NOPERM no\r\n";

    fn read(replies: [&str; 6]) -> Result<Demotion, CommandFailure> {
        let replies = replies.map(|reply| redis::parse_redis_value(reply.as_bytes()).unwrap());
        read_demotion(&replies)
    }

    /// A reply to `INFO`, and what it says.
    fn look() -> (String, ReplicationHistory) {
        let id = ReplicationId::from_bytes([0xab; 20]);
        let none = ReplicationId::from_bytes([0; 20]);
        let text = format!(
            "# Replication\r\nrole:master\r\nmaster_replid:{id}\r\nmaster_replid2:{none}\r\n\
             master_repl_offset:4711\r\nsecond_repl_offset:-1\r\n"
        );
        let history = ReplicationHistory {
            id,
            offset: ReplicationOffset(4711),
            continues: None,
        };
        (format!("${}\r\n{text}\r\n", text.len()), history)
    }

    #[test]
    fn a_demotion_is_told_by_its_own_reply_whatever_became_of_the_clients() {
        let denied = || "access denied: NOPERM no".to_owned();
        let (look, had) = look();
        let executed = |rest: &str| format!("*4\r\n{look}{rest}");
        for (second, third, fourth, exec, outcome) in [
            (
                QUEUED,
                QUEUED,
                QUEUED,
                executed("+OK\r\n:1\r\n:0\r\n"),
                Ok(Demotion::Complete(Some(had))),
            ),
            (
                QUEUED,
                QUEUED,
                QUEUED,
                "*4\r\n$1\r\n?\r\n+OK\r\n:1\r\n:0\r\n".to_owned(),
                Ok(Demotion::Complete(None)),
            ),
            (
                QUEUED,
                QUEUED,
                QUEUED,
                executed("+OK Already connected\r\n-NOPERM no\r\n:0\r\n"),
                Ok(Demotion::Alone(Some(had), denied())),
            ),
            (
                QUEUED,
                QUEUED,
                NO,
                "-EXECABORT x\r\n".to_owned(),
                Ok(Demotion::Aborted(denied())),
            ),
            (
                QUEUED,
                NO,
                QUEUED,
                "-EXECABORT x\r\n".to_owned(),
                Err(CommandFailure::Denied("NOPERM no".to_owned())),
            ),
            (
                QUEUED,
                "-LOADING x\r\n",
                QUEUED,
                "-EXECABORT x\r\n".to_owned(),
                Err(CommandFailure::Loading),
            ),
            (
                QUEUED,
                QUEUED,
                QUEUED,
                executed("-ERR bad\r\n:1\r\n:0\r\n"),
                Err(CommandFailure::Refused("ERR bad".to_owned())),
            ),
            (
                QUEUED,
                QUEUED,
                QUEUED,
                "*0\r\n".to_owned(),
                Err(CommandFailure::Malformed("an empty transaction".to_owned())),
            ),
        ] {
            let replies = ["+OK\r\n", second, third, fourth, fourth, &exec];
            assert_eq!(read(replies), outcome, "{replies:?}");
        }
        // MULTI was refused, so each was carried out at once.
        let replies = [NO, &look, "+OK\r\n", KILLED, KILLED, "-ERR x\r\n"];
        assert_eq!(read(replies), Ok(Demotion::Alone(Some(had), denied())));
    }
}
