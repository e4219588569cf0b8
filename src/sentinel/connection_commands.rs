//! Commands about the connection itself: `HELLO`, `AUTH`, `CLIENT` and the like.

use super::access::WrongPassword;
use super::reply::{Protocol, Replies};
use super::session::{Identity, REDIS_VERSION, Session, Surroundings, shown};
use super::subscriptions::Subscriptions;

/// Longest name of a connection or a library in bytes.
const NAME_LENGTH_MAX: usize = 128;
/// The same error whichever of both is wrong, as Redis has it.
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// `PING`
pub fn ping(session: &Session, arguments: &[&[u8]], replies: &mut Replies<'_>) {
    let is_busy = session.protocol == Protocol::Resp2 && !session.subscriptions.is_empty();
    match arguments {
        [] if is_busy => {
            replies.array(2);
            replies.text("pong");
            replies.text("");
        }
        [message] if is_busy => {
            replies.array(2);
            replies.text("pong");
            replies.bulk(message);
        }
        [] => replies.status("PONG"),
        [message] => replies.bulk(message),
        _ => replies.error("ERR wrong number of arguments for 'ping' command"),
    }
}

/// `AUTH`
pub fn auth(
    session: &mut Session,
    arguments: &[&[u8]],
    around: &Surroundings<'_>,
    replies: &mut Replies<'_>,
) {
    let (username, password) = match arguments {
        [_] if !around.access.needs_password() => {
            return replies.error(
                "ERR AUTH <password> called without any password configured for the default user. Are you \
                 sure your configuration is correct?",
            );
        }
        [password] => (None, *password),
        [username, password] => (Some(*username), *password),
        _ => return replies.error("ERR syntax error"),
    };
    match around.access.check(username, password) {
        Ok(()) => {
            session.stranger_since = None;
            replies.status("OK");
        }
        Err(WrongPassword) => replies.error(WRONG_PASSWORD),
    }
}

/// `HELLO [2|3 [AUTH NAME PASSWORD] [SETNAME NAME]]`
pub fn hello(
    session: &mut Session,
    arguments: &[&[u8]],
    around: &Surroundings<'_>,
    replies: &mut Replies<'_>,
) {
    let (version, mut options) = match arguments.split_first() {
        None => (None, arguments),
        Some((version, options)) => (Some(*version), options),
    };
    let protocol = match version {
        None => session.protocol,
        Some(b"2") => Protocol::Resp2,
        Some(b"3") => Protocol::Resp3,
        Some(other) if other.iter().all(u8::is_ascii_digit) => {
            return replies.error("NOPROTO unsupported protocol version");
        }
        Some(_) => {
            return replies.error("ERR Protocol version is not an integer or out of range");
        }
    };
    let (mut is_authenticated, mut name) = (session.is_authenticated(), None);
    loop {
        options = match options {
            [] => break,
            [word, username, password, rest @ ..] if word.eq_ignore_ascii_case(b"AUTH") => {
                if around.access.check(Some(username), password).is_err() {
                    return replies.error(WRONG_PASSWORD);
                }
                is_authenticated = true;
                rest
            }
            [word, given, rest @ ..] if word.eq_ignore_ascii_case(b"SETNAME") => {
                let Some(given) = printable(given) else {
                    return replies.error(NAME_ERROR);
                };
                name = Some(given);
                rest
            }
            [word, ..] => {
                let word = shown(word);
                return replies.error(format_args!("ERR Syntax error in HELLO option '{word}'"));
            }
        };
    }
    if !is_authenticated {
        return replies.error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
             protocol version at the same time",
        );
    }
    session.stranger_since = None;
    session.protocol = protocol;
    if let Some(name) = name {
        session.identity().name = name;
    }
    replies.switch(protocol);
    replies.map(6);
    replies.pair("server", "redis");
    replies.pair("version", REDIS_VERSION);
    replies.text("proto");
    replies.integer(protocol.number());
    replies.text("id");
    replies.integer(number(session));
    replies.pair("mode", "sentinel");
    replies.text("modules");
    replies.array(0);
}

/// `RESET`. Who never showed the password has no more time for it than before.
pub fn reset(session: &mut Session, around: &Surroundings<'_>, replies: &mut Replies<'_>) {
    session.subscriptions = Subscriptions::default();
    let stranger_since = session.stranger_since.unwrap_or(around.now);
    session.stranger_since = around.access.needs_password().then_some(stranger_since);
    session.protocol = Protocol::Resp2;
    session.identity().name = Box::default();
    replies.status("RESET");
}

/// `ACL`
pub fn acl(arguments: &[&[u8]], around: &Surroundings<'_>, replies: &mut Replies<'_>) {
    match arguments {
        [word] if word.eq_ignore_ascii_case(b"WHOAMI") => replies.text(around.access.username()),
        _ => replies.error(
            "ERR of ACL only WHOAMI is answered: there is one user, by PROMOTERD_SENTINEL__USERNAME and \
             PROMOTERD_SENTINEL__PASSWORD_FILE",
        ),
    }
}

const NAME_ERROR: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// `CLIENT`
pub fn client(session: &mut Session, arguments: &[&[u8]], replies: &mut Replies<'_>) {
    let Some((subcommand, arguments)) = arguments.split_first() else {
        return replies.error("ERR wrong number of arguments for 'client' command");
    };
    let word = subcommand.to_ascii_uppercase();
    match (word.as_slice(), arguments) {
        (b"ID", []) => replies.integer(number(session)),
        (b"SETNAME", [name]) => match printable(name) {
            Some(name) => {
                session.identity().name = name;
                replies.status("OK");
            }
            None => replies.error(NAME_ERROR),
        },
        (b"GETNAME", []) => match &session.identity {
            Some(identity) if !identity.name.is_empty() => replies.text(&identity.name),
            Some(_) | None => replies.null(),
        },
        (b"SETINFO", [field, value]) => set_info(session, field, value, replies),
        (b"INFO", []) | (b"LIST", _) => replies.page(&describe(session)),
        (b"GETREDIR", []) => replies.integer(-1),
        (b"REPLY", [mode]) if mode.eq_ignore_ascii_case(b"ON") => replies.status("OK"),
        // There are no keys, so there is nothing of them to be told.
        (b"TRACKING" | b"CACHING" | b"NO-EVICT" | b"NO-TOUCH", [_, ..]) => replies.status("OK"),
        (b"HELP", []) => help(replies),
        _ => replies.error(format_args!(
            "ERR unknown subcommand '{}'. Try CLIENT HELP.",
            shown(subcommand)
        )),
    }
}

fn set_info(session: &mut Session, field: &[u8], value: &[u8], replies: &mut Replies<'_>) {
    let Some(value) = printable(value) else {
        let field = shown(&field.to_ascii_lowercase());
        return replies.error(format_args!(
            "ERR {field} cannot contain spaces, newlines or special characters."
        ));
    };
    match field.to_ascii_lowercase().as_slice() {
        b"lib-name" => session.identity().library = value,
        b"lib-ver" => session.identity().library_version = value,
        _ => {
            let field = shown(field);
            return replies.error(format_args!("ERR Unrecognized option '{field}'"));
        }
    }
    replies.status("OK");
}

fn help(replies: &mut Replies<'_>) {
    let lines = [
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO | LIST",
        "    Return information about the current connection; those of others are not told.",
        "SETINFO <LIB-NAME|LIB-VER> <value>",
        "    Set the library name or version of the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
    ];
    replies.array(lines.len());
    lines.iter().for_each(|line| replies.status(line));
}

fn describe(session: &Session) -> String {
    let (channels, patterns) = session.subscriptions.count();
    let (number, protocol) = (session.id, session.protocol.number());
    let unnamed = Identity::default();
    let Identity {
        name,
        library,
        library_version,
    } = session.identity.as_deref().unwrap_or(&unnamed);
    format!(
        "id={number} name={name} sub={channels} psub={patterns} resp={protocol} lib-name={library} \
         lib-ver={library_version}\n"
    )
}

fn number(session: &Session) -> i64 {
    i64::try_from(session.id).unwrap_or(i64::MAX)
}

/// A name that can stand in a line of `CLIENT LIST`.
fn printable(name: &[u8]) -> Option<Box<str>> {
    let is_printable = name.iter().all(u8::is_ascii_graphic);
    let is_name = is_printable && name.len() <= NAME_LENGTH_MAX;
    is_name.then(|| String::from_utf8_lossy(name).into())
}
