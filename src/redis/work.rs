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
use crate::model::{Endpoint, RunId, WriteLimits};

/// Makes the instance of `pool` follow, if the process there is the one that is meant.
///
/// # Errors
/// [`CommandFailure`]. After `TimedOut` and `Lost` it may have been done nevertheless.
pub(super) async fn follow(
    pool: &InstancePool,
    order: &FollowOrder,
    logins: &Logins,
) -> Result<(), CommandFailure> {
    let mut connection = pool.get().await?;
    let names = pool.names();
    let is_fenced = look(&mut connection, names, order).await?;
    let restores = order.restores.filter(|_| is_fenced);
    guard::prepare(&mut connection, names, order, logins).await?;
    if order.demotes {
        demote(&mut connection, names, order, restores).await
    } else {
        repoint(&mut connection, names, &order.master, restores).await
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
) -> Result<(), CommandFailure> {
    let replies = connection
        .ask_all(&demotion(names, &order.master, restores))
        .await?;
    match read_demotion(&replies)? {
        Demotion::Complete => Ok(()),
        Demotion::Alone(reason) => {
            warn_of_company(order, &reason);
            Ok(())
        }
        Demotion::Aborted(reason) => {
            demote_alone(connection, names, &order.master).await?;
            warn_of_company(order, &reason);
            Ok(())
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
    let mut pipeline = Pipeline::with_capacity(7);
    pipeline.cmd("MULTI");
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
) -> Result<(), CommandFailure> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("DISCARD");
    add_replicaof(&mut pipeline, names, master);
    let replies = connection.ask_all(&pipeline).await?;
    expect_ok(first(replies.get(1..).unwrap_or_default())?)
}

fn first(replies: &[Value]) -> Result<&Value, CommandFailure> {
    let no_reply = || CommandFailure::Malformed("no reply".to_owned());
    replies.first().ok_or_else(no_reply)
}

/// How far the transaction came.
#[derive(Debug, PartialEq)]
pub(super) enum Demotion {
    Complete,
    /// Demoted; what was to go with it was not done.
    Alone(String),
    /// Nothing was done, for a reason other than the demotion itself.
    Aborted(String),
}

pub(super) fn read_demotion(replies: &[Value]) -> Result<Demotion, CommandFailure> {
    let [multi, replicaof, company @ .., exec] = replies else {
        let why = format!("{} replies to a transaction", replies.len());
        return Err(CommandFailure::Malformed(why));
    };
    if !is_queued(replicaof) {
        // Refused, or carried out at once because MULTI was refused.
        expect_ok(replicaof)?;
        let refused = first_error([multi].into_iter().chain(company));
        return Ok(refused.map_or(Demotion::Complete, Demotion::Alone));
    }
    let Value::Array(results) = exec else {
        let reason = first_error(company.iter().chain([exec]));
        return Ok(Demotion::Aborted(
            reason.unwrap_or_else(|| format!("{exec:?}")),
        ));
    };
    let [replicaof, company_results @ ..] = results.as_slice() else {
        return Err(CommandFailure::Malformed("an empty transaction".to_owned()));
    };
    if company_results.len() != company.len() {
        let (count, wanted) = (results.len(), company.len() + 1);
        let why = format!("{count} results instead of {wanted}");
        return Err(CommandFailure::Malformed(why));
    }
    expect_ok(replicaof)?;
    Ok(first_error(company_results).map_or(Demotion::Complete, Demotion::Alone))
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

    const KILLED: &str = ":1\r\n";
    const QUEUED: &str = "+QUEUED\r\n";
    const NO: &str = "-NOPERM no\r\n";

    fn read(replies: [&str; 5]) -> Result<Demotion, CommandFailure> {
        let replies = replies.map(|reply| redis::parse_redis_value(reply.as_bytes()).unwrap());
        read_demotion(&replies)
    }

    #[test]
    fn a_demotion_is_told_by_its_own_reply_whatever_became_of_the_clients() {
        let denied = || "access denied: NOPERM no".to_owned();
        for (replies, outcome) in [
            (
                [
                    "+OK\r\n",
                    QUEUED,
                    QUEUED,
                    QUEUED,
                    "*3\r\n+OK\r\n:1\r\n:0\r\n",
                ],
                Ok(Demotion::Complete),
            ),
            (
                [
                    "+OK\r\n",
                    QUEUED,
                    QUEUED,
                    QUEUED,
                    "*3\r\n+OK Already connected\r\n-NOPERM no\r\n:0\r\n",
                ],
                Ok(Demotion::Alone(denied())),
            ),
            (
                ["+OK\r\n", QUEUED, NO, NO, "-EXECABORT x\r\n"],
                Ok(Demotion::Aborted(denied())),
            ),
            (
                ["+OK\r\n", NO, QUEUED, QUEUED, "-EXECABORT x\r\n"],
                Err(CommandFailure::Denied("NOPERM no".to_owned())),
            ),
            (
                [
                    "+OK\r\n",
                    "-LOADING x\r\n",
                    QUEUED,
                    QUEUED,
                    "-EXECABORT x\r\n",
                ],
                Err(CommandFailure::Loading),
            ),
            (
                [NO, "+OK\r\n", KILLED, KILLED, "-ERR EXEC without MULTI\r\n"],
                Ok(Demotion::Alone(denied())),
            ),
            (
                [
                    "+OK\r\n",
                    QUEUED,
                    QUEUED,
                    QUEUED,
                    "*3\r\n-ERR bad\r\n:1\r\n:0\r\n",
                ],
                Err(CommandFailure::Refused("ERR bad".to_owned())),
            ),
            (
                ["+OK\r\n", QUEUED, QUEUED, QUEUED, "*0\r\n"],
                Err(CommandFailure::Malformed("an empty transaction".to_owned())),
            ),
        ] {
            assert_eq!(read(replies), outcome, "{replies:?}");
        }
    }
}
