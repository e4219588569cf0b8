//! The limits of writing of an instance, by `CONFIG GET` and `CONFIG SET`: how a fence is set and lifted.

use redis::{Cmd, Pipeline, Value};

use super::names::CommandNames;
use super::reply::{describe, expect_ok, read_error};
use crate::decision::CommandFailure;
use crate::model::WriteLimits;

const REPLICAS_MIN: &str = "min-replicas-to-write";
const LAG_MAX: &str = "min-replicas-max-lag";
/// Both at once: Redis 6 takes one pattern only.
const BOTH: &str = "min-replicas-*";

/// `CONFIG GET` of both.
pub(super) fn get(names: &CommandNames) -> Cmd {
    let mut command = names.command("CONFIG");
    command.arg("GET").arg(BOTH);
    command
}

/// `CONFIG SET` of both, one after the other: Redis 6 takes one at a time. The fence is up after the
/// first one, or the second where lags were not looked at before.
pub(super) fn add_set(pipeline: &mut Pipeline, names: &CommandNames, limits: WriteLimits) {
    for (name, value) in [
        (REPLICAS_MIN, limits.replicas_min),
        (LAG_MAX, limits.lag_max_s),
    ] {
        pipeline
            .cmd(names.of("CONFIG"))
            .arg("SET")
            .arg(name)
            .arg(value);
    }
}

/// What [`get`] was answered with.
pub(super) fn read(reply: &Value) -> Result<WriteLimits, CommandFailure> {
    if let Value::ServerError(error) = reply {
        return Err(read_error(error));
    }
    let malformed = || CommandFailure::Malformed(format!("CONFIG GET {BOTH}: {}", describe(reply)));
    let Value::Array(items) = reply else {
        return Err(malformed());
    };
    let value = |name: &str| {
        items
            .chunks_exact(2)
            .find(|pair| matches!(&pair[0], Value::BulkString(text) if text == name.as_bytes()))
            .and_then(|pair| number(&pair[1]))
    };
    Ok(WriteLimits {
        replicas_min: value(REPLICAS_MIN).ok_or_else(malformed)?,
        lag_max_s: value(LAG_MAX).ok_or_else(malformed)?,
    })
}

fn number(value: &Value) -> Option<u32> {
    let Value::BulkString(text) = value else {
        return None;
    };
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What was there before, if the replies to `CONFIG GET` and both of [`add_set`] say that it was done.
pub(super) fn read_set(replies: &[Value]) -> Result<WriteLimits, CommandFailure> {
    let [before, replicas_min, lag_max] = replies else {
        let count = replies.len();
        let why = format!("{count} replies instead of 3");
        return Err(CommandFailure::Malformed(why));
    };
    expect_ok(replicas_min)?;
    expect_ok(lag_max)?;
    read(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOT: &str = "*4\r\n$20\r\nmin-replicas-max-lag\r\n$2\r\n10\r\n\
                       $21\r\nmin-replicas-to-write\r\n$1\r\n2\r\n";

    fn parse(reply: &str) -> Value {
        redis::parse_redis_value(reply.as_bytes()).unwrap()
    }

    #[test]
    fn limits_are_read_by_name_and_anything_else_is_a_failure() {
        let limits = WriteLimits {
            replicas_min: 2,
            lag_max_s: 10,
        };
        assert_eq!(read(&parse(GOT)), Ok(limits));
        let denied = CommandFailure::Denied("NOPERM no".to_owned());
        assert_eq!(read(&parse("-NOPERM no\r\n")), Err(denied));
        for wrong in [
            "*0\r\n",
            "+OK\r\n",
            "*2\r\n$21\r\nmin-replicas-to-write\r\n$1\r\n2\r\n",
            "*4\r\n$20\r\nmin-replicas-max-lag\r\n$2\r\n-1\r\n$21\r\nmin-replicas-to-write\r\n$1\r\n2\r\n",
        ] {
            let failure = read(&parse(wrong)).unwrap_err();
            assert!(matches!(failure, CommandFailure::Malformed(_)), "{wrong}");
        }
    }

    #[test]
    fn a_fence_counts_only_when_both_settings_were_accepted() {
        let (ok, no) = ("+OK\r\n", "-NOPERM no\r\n");
        for (replies, is_set) in [
            ([GOT, ok, ok], true),
            ([GOT, no, ok], false),
            ([GOT, ok, no], false),
            ([no, ok, ok], false),
        ] {
            let replies = replies.map(parse);
            assert_eq!(read_set(&replies).is_ok(), is_set, "{replies:?}");
        }
        assert!(read_set(&[Value::Okay]).is_err());
    }
}
