//! What the replies to our commands mean (pure).

use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::decision::CommandFailure;
use crate::model::PingReply;

/// The longest text of a server's that is passed on, in characters.
const TEXT_MAX: usize = 200;

/// A foreign text fit for logs and status: short, and without control characters.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .take(TEXT_MAX)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// The classes of error replies that we treat apart.
enum ErrorClass {
    Loading,
    MasterDown,
    Busy,
    Denied,
    Other,
}

fn classify(error: &ServerError) -> ErrorClass {
    match error.code() {
        "LOADING" => ErrorClass::Loading,
        "MASTERDOWN" => ErrorClass::MasterDown,
        "BUSY" => ErrorClass::Busy,
        "NOAUTH" | "NOPERM" | "WRONGPASS" | "DENIED" => ErrorClass::Denied,
        _ => ErrorClass::Other,
    }
}

/// The error line as the server wrote it, without the leading `-`.
fn error_line(error: &ServerError) -> String {
    match error.details() {
        Some(details) => clean(&format!("{} {details}", error.code())),
        None => clean(error.code()),
    }
}

/// What a value is, in a few words, for error texts.
pub(super) fn describe(value: &Value) -> String {
    clean(&format!("{value:?}"))
}

/// What `PING` was answered with.
pub(super) fn read_ping(value: &Value) -> PingReply {
    if let Value::ServerError(error) = value {
        return match classify(error) {
            ErrorClass::Loading => PingReply::Loading,
            ErrorClass::MasterDown => PingReply::MasterDown,
            ErrorClass::Busy => PingReply::Busy,
            ErrorClass::Denied => PingReply::Denied(error_line(error)),
            ErrorClass::Other => PingReply::Error(error_line(error)),
        };
    }
    if matches!(value, Value::SimpleString(text) if text == "PONG") {
        PingReply::Pong
    } else {
        PingReply::Error(format!("unexpected reply: {}", describe(value)))
    }
}

/// What an error reply to a command means for the command.
pub(super) fn read_error(error: &ServerError) -> CommandFailure {
    match classify(error) {
        ErrorClass::Loading => CommandFailure::Loading,
        ErrorClass::Busy => CommandFailure::Busy,
        ErrorClass::Denied => CommandFailure::Denied(error_line(error)),
        ErrorClass::MasterDown | ErrorClass::Other => CommandFailure::Refused(error_line(error)),
    }
}

/// What it means for a command that its connection failed.
pub(super) fn read_fault(error: &RedisError) -> CommandFailure {
    if error.is_timeout() {
        CommandFailure::TimedOut
    } else if error.kind() == ErrorKind::Parse {
        CommandFailure::Malformed(clean(&error.to_string()))
    } else {
        CommandFailure::Lost(clean(&error.to_string()))
    }
}

/// `+OK`, also with a text behind it (`OK Already connected to specified master`).
pub(super) fn expect_ok(value: &Value) -> Result<(), CommandFailure> {
    if let Value::ServerError(error) = value {
        Err(read_error(error))
    } else if is_ok(value) {
        Ok(())
    } else {
        Err(CommandFailure::Malformed(describe(value)))
    }
}

fn is_ok(value: &Value) -> bool {
    matches!(value, Value::Okay)
        || matches!(value, Value::SimpleString(text) if text.starts_with("OK "))
}

/// How many subscribers `PUBSUB NUMSUB` names for the one channel that was asked about.
pub(super) fn read_subscribers(value: &Value) -> Result<u64, CommandFailure> {
    if let Value::ServerError(error) = value {
        return Err(read_error(error));
    }
    let malformed = || CommandFailure::Malformed(describe(value));
    let Value::Array(items) = value else {
        return Err(malformed());
    };
    let [_, Value::Int(count)] = items.as_slice() else {
        return Err(malformed());
    };
    u64::try_from(*count).map_err(|_| malformed())
}

/// `+QUEUED`, inside of a transaction.
pub(super) fn is_queued(value: &Value) -> bool {
    matches!(value, Value::SimpleString(text) if text == "QUEUED")
}

/// The text of a reply to `INFO`.
pub(super) fn expect_text(value: Value) -> Result<Vec<u8>, CommandFailure> {
    if let Value::ServerError(error) = &value {
        Err(read_error(error))
    } else if let Value::BulkString(text) = value {
        Ok(text)
    } else {
        Err(CommandFailure::Malformed(describe(&value)))
    }
}

/// Whether the replies to `REPLICAOF NO ONE` and `ROLE` show a master. A user that may not ask for its role
/// takes nothing back: what was answered with OK was done.
pub(super) fn read_promotion(replies: &[Value]) -> Result<(), CommandFailure> {
    let [promotion, role] = replies else {
        return Err(CommandFailure::Malformed(format!(
            "{} replies instead of 2",
            replies.len()
        )));
    };
    expect_ok(promotion)?;
    if let Value::ServerError(_) = role {
        return Ok(());
    }
    if let Value::Array(parts) = role
        && let Some(Value::BulkString(role)) = parts.first()
    {
        return match role.as_slice() {
            b"master" => Ok(()),
            other => Err(CommandFailure::WrongRole(clean(&String::from_utf8_lossy(
                other,
            )))),
        };
    }
    Err(CommandFailure::Malformed(describe(role)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(reply: &str) -> Value {
        redis::parse_redis_value(reply.as_bytes()).unwrap()
    }

    #[test]
    fn every_reply_to_a_ping_has_its_meaning() {
        for (reply, meaning) in [
            ("+PONG\r\n", PingReply::Pong),
            (
                "-LOADING Redis is loading the dataset in memory\r\n",
                PingReply::Loading,
            ),
            (
                "-MASTERDOWN Link with MASTER is down\r\n",
                PingReply::MasterDown,
            ),
            ("-BUSY Redis is busy running a script.\r\n", PingReply::Busy),
            (
                "-NOAUTH Authentication required.\r\n",
                PingReply::Denied("NOAUTH Authentication required.".into()),
            ),
            (
                "-NOPERM no\x1b[1m way\r\n",
                PingReply::Denied("NOPERM no [1m way".into()),
            ),
            ("-WRONGPASS\r\n", PingReply::Denied("WRONGPASS".into())),
            (
                "-MISCONF Errors writing\r\n",
                PingReply::Error("MISCONF Errors writing".into()),
            ),
            (
                ":1\r\n",
                PingReply::Error("unexpected reply: int(1)".into()),
            ),
        ] {
            assert_eq!(read_ping(&parse(reply)), meaning, "{reply}");
        }
    }

    #[test]
    fn subscribers_are_counted_or_the_refusal_is_told() {
        let channel = "$18\r\n__sentinel__:hello\r\n";
        for (reply, outcome) in [
            (format!("*2\r\n{channel}:3\r\n"), Some(Ok(3))),
            (format!("*2\r\n{channel}:0\r\n"), Some(Ok(0))),
            (
                "-NOPERM x\r\n".to_owned(),
                Some(Err(CommandFailure::Denied("NOPERM x".into()))),
            ),
            (
                "-ERR unknown command\r\n".to_owned(),
                Some(Err(CommandFailure::Refused("ERR unknown command".into()))),
            ),
            (format!("*2\r\n{channel}:-1\r\n"), None),
            (format!("*1\r\n{channel}"), None),
            ("*0\r\n".to_owned(), None),
            (":3\r\n".to_owned(), None),
        ] {
            let read = read_subscribers(&parse(&reply));
            match outcome {
                Some(outcome) => assert_eq!(read, outcome, "{reply}"),
                None => assert!(matches!(read, Err(CommandFailure::Malformed(_))), "{reply}"),
            }
        }
    }

    #[test]
    fn a_promotion_is_done_when_it_was_accepted_and_the_role_does_not_deny_it() {
        let master = "*3\r\n$6\r\nmaster\r\n:50\r\n*0\r\n";
        let replica = "*5\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n$9\r\nconnected\r\n:50\r\n";
        for (first, second, outcome) in [
            ("+OK\r\n", master, Ok(())),
            ("+OK Already a master\r\n", master, Ok(())),
            (
                "+OK\r\n",
                replica,
                Err(CommandFailure::WrongRole("slave".into())),
            ),
            ("-LOADING x\r\n", replica, Err(CommandFailure::Loading)),
            ("-BUSY x\r\n", "-BUSY x\r\n", Err(CommandFailure::Busy)),
            (
                "-NOPERM x\r\n",
                replica,
                Err(CommandFailure::Denied("NOPERM x".into())),
            ),
            (
                "-ERR unknown command 'REPLICAOF'\r\n",
                replica,
                Err(CommandFailure::Refused(
                    "ERR unknown command 'REPLICAOF'".into(),
                )),
            ),
            ("+OK\r\n", "-NOPERM x\r\n", Ok(())),
            (
                "+OKAY\r\n",
                master,
                Err(CommandFailure::Malformed("simple-string(\"OKAY\")".into())),
            ),
            (
                "+OK\r\n",
                "*0\r\n",
                Err(CommandFailure::Malformed("array([])".into())),
            ),
        ] {
            let replies = [parse(first), parse(second)];
            assert_eq!(read_promotion(&replies), outcome, "{first}{second}");
        }
        assert!(read_promotion(&[Value::Okay]).is_err());
    }

    proptest! {
        // The parser is the crate's; what it may be fed with is anybody's.
        #[test]
        fn no_bytes_make_a_panic(
            text in "([-+:$*%~|>!=(,#_](-?[0-9]{1,20}|[a-z ]{0,9}|PONG|master)(\r\n)?){1,40}",
        ) {
            if let Ok(value) = redis::parse_redis_value(text.as_bytes()) {
                read_ping(&value);
                let _ = expect_ok(&value);
                let _ = read_promotion(&[Value::Okay, value.clone()]);
                let _ = expect_text(value);
            }
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(clean(&"é".repeat(1000)).chars().count(), TEXT_MAX);
    }
}
