//! Carries out the tasks of the guard: the user that a master gives its replicas, and what they show.
//!
//! Everything is set at run time only. `CONFIG REWRITE` on a guarded instance would write it down, and
//! a restarted master would know the user.

use std::collections::BTreeMap;
use std::fmt::Write;

use blake2::Blake2sMac256;
use blake2::digest::Mac;
use redis::{Pipeline, Value};
use tracing::debug;
use zeroize::Zeroizing;

use super::credentials::{Credentials, Secret};
use super::names::CommandNames;
use super::pool::{InstancePool, WorkConnection};
use super::reply::{expect_ok, read_error};
use super::work::check_process;
use crate::decision::{CommandFailure, FollowOrder, GuardOrder, GuardTask, Login};
use crate::model::{Epoch, GroupName};

/// The user by which replicas log in to a guarded master.
pub const GUARD_USER: &str = "promoterd-replica";

/// From what the passwords of the guard are made: all voters have it, and nobody else.
pub struct GuardKey(Zeroizing<[u8; 32]>);

impl GuardKey {
    /// Takes key material that serves no other purpose.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The password that replicas of `group` show the master of `epoch`.
    fn password(&self, group: &GroupName, epoch: Epoch) -> Secret {
        let mut mac =
            <Blake2sMac256 as Mac>::new_from_slice(self.0.as_slice()).expect("32 bytes are a key");
        mac.update(&epoch.0.to_le_bytes());
        mac.update(group.as_str().as_bytes());
        let mut text = String::with_capacity(64);
        for byte in mac.finalize().into_bytes() {
            write!(text, "{byte:02x}").expect("a string takes what is written");
        }
        Secret::new(text)
    }
}

impl std::fmt::Debug for GuardKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// The logins that replicas may be given.
#[derive(Debug, Default)]
pub struct Logins {
    /// Without it nothing can be guarded.
    pub key: Option<GuardKey>,
    /// What each group's replicas show their master without a guard; none where they show nothing.
    pub own: BTreeMap<GroupName, Credentials>,
}

/// What a replica shows its master: `masteruser` and `masterauth`.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    user: String,
    password: Secret,
}

impl Logins {
    fn of_epoch(&self, group: &GroupName, epoch: Epoch) -> Result<Shown, CommandFailure> {
        let key = self.key.as_ref().ok_or_else(|| {
            CommandFailure::Refused("there is no cluster key to make its password from".to_owned())
        })?;
        Ok(Shown {
            user: GUARD_USER.to_owned(),
            password: key.password(group, epoch),
        })
    }

    fn own(&self, group: &GroupName) -> Shown {
        let own = self.own.get(group);
        let user = own.and_then(|own| own.username.clone());
        let password = own.and_then(|own| own.password.clone());
        Shown {
            user: user.unwrap_or_default(),
            password: password.unwrap_or_else(|| Secret::new(String::new())),
        }
    }
}

/// Does what the guard wants of one instance, if the process there is the one that is meant.
///
/// # Errors
/// [`CommandFailure`]. After `TimedOut` and `Lost` it may have been done nevertheless.
pub(super) async fn guard(
    pool: &InstancePool,
    order: &GuardOrder,
    logins: &Logins,
) -> Result<(), CommandFailure> {
    let mut connection = pool.get().await?;
    let names = pool.names();
    check_process(&mut connection, names, order.run_id).await?;
    match order.task {
        GuardTask::Admit => {
            let shown = logins.of_epoch(&order.group, order.epoch)?;
            admit(&mut connection, names, &shown).await
        }
        GuardTask::Arm => {
            let shown = logins.of_epoch(&order.group, order.epoch)?;
            arm(&mut connection, names, &shown, &logins.own(&order.group)).await
        }
        GuardTask::Release => release(&mut connection, names, &logins.own(&order.group)).await,
        GuardTask::Close => close(&mut connection, names).await,
    }
}

/// Gives the login that `order` wants before the instance is told whom to follow. That it cannot be
/// given is found and told of by the tasks that follow, and keeps nobody from following.
pub(super) async fn prepare(
    connection: &mut WorkConnection,
    names: &CommandNames,
    order: &FollowOrder,
    logins: &Logins,
) -> Result<(), CommandFailure> {
    let own = logins.own(&order.group);
    let result = match order.login {
        Login::Kept => Ok(()),
        Login::Guard => match logins.of_epoch(&order.group, order.epoch) {
            Ok(shown) => arm(connection, names, &shown, &own).await,
            Err(failure) => Err(failure),
        },
        Login::Own => release(connection, names, &own).await,
    };
    match result {
        Err(failure @ (CommandFailure::Lost(_) | CommandFailure::TimedOut)) => Err(failure),
        Err(failure) => {
            debug!(group = %order.group, instance = %order.endpoint, %failure, "login not changed");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn admit(
    connection: &mut WorkConnection,
    names: &CommandNames,
    shown: &Shown,
) -> Result<(), CommandFailure> {
    let mut command = names.command("ACL");
    command
        .arg("SETUSER")
        .arg(&shown.user)
        .arg("reset")
        .arg("on")
        .arg(format!(">{}", shown.password.expose()))
        .arg(&["+psync", "+replconf", "+ping"]);
    expect_ok(&connection.ask(&command).await?)
}

async fn close(
    connection: &mut WorkConnection,
    names: &CommandNames,
) -> Result<(), CommandFailure> {
    let mut command = names.command("ACL");
    command.arg("DELUSER").arg(GUARD_USER);
    refuse_error(&connection.ask(&command).await?)
}

fn refuse_error(reply: &Value) -> Result<(), CommandFailure> {
    if let Value::ServerError(error) = reply {
        return Err(read_error(error));
    }
    Ok(())
}

async fn arm(
    connection: &mut WorkConnection,
    names: &CommandNames,
    shown: &Shown,
    own: &Shown,
) -> Result<(), CommandFailure> {
    let found = read_shown(connection, names).await?;
    if found == *shown {
        return Ok(());
    }
    // What is not known here could not be put back.
    if found.user != GUARD_USER && found != *own {
        return Err(CommandFailure::Refused(
            "its masteruser or masterauth is not what MASTERUSER and MASTERAUTH_FILE say"
                .to_owned(),
        ));
    }
    show(connection, names, shown).await
}

async fn release(
    connection: &mut WorkConnection,
    names: &CommandNames,
    own: &Shown,
) -> Result<(), CommandFailure> {
    if read_shown(connection, names).await?.user != GUARD_USER {
        return Ok(());
    }
    show(connection, names, own).await
}

async fn read_shown(
    connection: &mut WorkConnection,
    names: &CommandNames,
) -> Result<Shown, CommandFailure> {
    let mut pipeline = Pipeline::with_capacity(2);
    for name in ["masteruser", "masterauth"] {
        pipeline.cmd(names.of("CONFIG")).arg("GET").arg(name);
    }
    let replies = connection.ask_all(&pipeline).await?;
    let [user, password] = replies.as_slice() else {
        return Err(CommandFailure::Malformed("no two replies".to_owned()));
    };
    Ok(Shown {
        user: read_setting(user)?,
        password: Secret::new(read_setting(password)?),
    })
}

/// The value in the reply to `CONFIG GET NAME`; the reply itself may be a secret.
pub(super) fn read_setting(reply: &Value) -> Result<String, CommandFailure> {
    refuse_error(reply)?;
    let unreadable = || CommandFailure::Malformed("CONFIG GET".to_owned());
    let Value::Array(pair) = reply else {
        return Err(unreadable());
    };
    match pair.as_slice() {
        [_, Value::BulkString(value)] => String::from_utf8(value.clone()).map_err(|_| unreadable()),
        [_, Value::Nil] => Ok(String::new()),
        _ => Err(unreadable()),
    }
}

/// Both at once: one without the other lets nobody in.
async fn show(
    connection: &mut WorkConnection,
    names: &CommandNames,
    shown: &Shown,
) -> Result<(), CommandFailure> {
    let mut pipeline = Pipeline::with_capacity(4);
    pipeline.cmd("MULTI");
    for (name, value) in [
        ("masteruser", shown.user.as_str()),
        ("masterauth", shown.password.expose()),
    ] {
        pipeline
            .cmd(names.of("CONFIG"))
            .arg("SET")
            .arg(name)
            .arg(value);
    }
    pipeline.cmd("EXEC");
    let replies = connection.ask_all(&pipeline).await?;
    let queued = &replies[..replies.len().saturating_sub(1)];
    queued.iter().try_for_each(refuse_error)?;
    match replies.last() {
        Some(Value::Array(results)) if results.len() == 2 => results.iter().try_for_each(expect_ok),
        Some(Value::ServerError(error)) => Err(read_error(error)),
        _ => Err(CommandFailure::Malformed("EXEC".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_and_every_group_has_a_password_of_its_own() {
        let key = |byte| GuardKey::new(Zeroizing::new([byte; 32]));
        let password = |byte, group: &str, epoch| {
            key(byte)
                .password(&group.parse().unwrap(), Epoch(epoch))
                .expose()
                .to_owned()
        };
        let first = password(1, "features", 1);
        assert_eq!(first, password(1, "features", 1));
        assert_eq!(first.len(), 64);
        for other in [
            password(1, "features", 2),
            password(1, "feature", 1),
            password(2, "features", 1),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(format!("{:?}", key(7)), "***");
    }

    #[test]
    fn a_setting_is_read_and_an_odd_reply_is_not_quoted() {
        let read = |reply: &str| read_setting(&redis::parse_redis_value(reply.as_bytes()).unwrap());
        let name = "*2\r\n$10\r\nmasteruser\r\n";
        assert_eq!(
            read(&format!("{name}$4\r\nrepl\r\n")),
            Ok("repl".to_owned())
        );
        assert_eq!(read(&format!("{name}$0\r\n\r\n")), Ok(String::new()));
        for reply in ["*0\r\n", "+secret\r\n", "*1\r\n$6\r\nsecret\r\n"] {
            let unreadable = CommandFailure::Malformed("CONFIG GET".to_owned());
            assert_eq!(read(reply), Err(unreadable), "{reply}");
        }
        assert_eq!(
            read("-NOPERM no\r\n"),
            Err(CommandFailure::Denied("NOPERM no".to_owned()))
        );
    }
}
