//! Carries out the orders that follow a promotion: repoint a replica, demote a master.

use redis::{Pipeline, Value};
use tracing::warn;

use super::info;
use super::names::CommandNames;
use super::pool::{InstancePool, WorkConnection};
use super::reply::{expect_ok, expect_text, is_queued, read_error};
use crate::decision::{CommandFailure, FollowOrder};
use crate::model::{Endpoint, RunId};

/// Makes the instance of `pool` follow, if the process there is the one that is meant.
///
/// # Errors
/// [`CommandFailure`]. After `TimedOut` and `Lost` it may have been done nevertheless.
pub(super) async fn follow(pool: &InstancePool, order: &FollowOrder) -> Result<(), CommandFailure> {
    let mut connection = pool.get().await?;
    let names = pool.names();
    check_process(&mut connection, names, order.run_id).await?;
    if order.demotes {
        demote(&mut connection, names, order).await
    } else {
        repoint(&mut connection, names, &order.master).await
    }
}

async fn check_process(
    connection: &mut WorkConnection,
    names: &CommandNames,
    expected: RunId,
) -> Result<(), CommandFailure> {
    let mut command = names.command("INFO");
    command.arg("server");
    let text = expect_text(connection.ask(&command).await?)?;
    match info::parse_run_id(&text) {
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

async fn repoint(
    connection: &mut WorkConnection,
    names: &CommandNames,
    master: &Endpoint,
) -> Result<(), CommandFailure> {
    let mut pipeline = Pipeline::with_capacity(1);
    add_replicaof(&mut pipeline, names, master);
    expect_ok(last(&connection.ask_all(&pipeline).await?)?)
}

async fn demote(
    connection: &mut WorkConnection,
    names: &CommandNames,
    order: &FollowOrder,
) -> Result<(), CommandFailure> {
    let replies = connection.ask_all(&demotion(names, &order.master)).await?;
    match read_demotion(&replies)? {
        Demotion::Complete => Ok(()),
        Demotion::ClientsRemain(reason) => {
            warn_of_clients(order, &reason);
            Ok(())
        }
        Demotion::Aborted(reason) => {
            demote_alone(connection, names, &order.master).await?;
            warn_of_clients(order, &reason);
            Ok(())
        }
    }
}

fn warn_of_clients(order: &FollowOrder, reason: &str) {
    warn!(
        group = %order.group, epoch = %order.epoch, instance = %order.endpoint, reason,
        "demoted, but its clients were not disconnected: allow +client|kill to our user"
    );
}

fn demotion(names: &CommandNames, master: &Endpoint) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(5);
    pipeline.cmd("MULTI");
    add_replicaof(&mut pipeline, names, master);
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
    expect_ok(last(&connection.ask_all(&pipeline).await?)?)
}

fn last(replies: &[Value]) -> Result<&Value, CommandFailure> {
    replies
        .last()
        .ok_or_else(|| CommandFailure::Malformed("no reply".to_owned()))
}

/// How far the transaction came.
#[derive(Debug, PartialEq)]
enum Demotion {
    Complete,
    /// Demoted; the clients were not disconnected.
    ClientsRemain(String),
    /// Nothing was done, for a reason other than the demotion itself.
    Aborted(String),
}

fn read_demotion(replies: &[Value]) -> Result<Demotion, CommandFailure> {
    let [multi, replicaof, kill_normal, kill_pubsub, exec] = replies else {
        return Err(CommandFailure::Malformed(format!(
            "{} replies instead of 5",
            replies.len()
        )));
    };
    if !is_queued(replicaof) {
        // Refused, or carried out at once because MULTI was refused.
        expect_ok(replicaof)?;
        return Ok(first_error([multi, kill_normal, kill_pubsub])
            .map_or(Demotion::Complete, Demotion::ClientsRemain));
    }
    let Value::Array(results) = exec else {
        let reason = first_error([kill_normal, kill_pubsub, exec]);
        return Ok(Demotion::Aborted(
            reason.unwrap_or_else(|| format!("{exec:?}")),
        ));
    };
    let [replicaof, kill_normal, kill_pubsub] = results.as_slice() else {
        return Err(CommandFailure::Malformed(format!(
            "{} results instead of 3",
            results.len()
        )));
    };
    expect_ok(replicaof)?;
    Ok(first_error([kill_normal, kill_pubsub]).map_or(Demotion::Complete, Demotion::ClientsRemain))
}

fn first_error<const COUNT: usize>(values: [&Value; COUNT]) -> Option<String> {
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
                Ok(Demotion::ClientsRemain(denied())),
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
                Ok(Demotion::ClientsRemain(denied())),
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
                Err(CommandFailure::Malformed(
                    "0 results instead of 3".to_owned(),
                )),
            ),
        ] {
            assert_eq!(read(replies), outcome, "{replies:?}");
        }
    }
}
