//! Words: switches, names and the filter of the log.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use super::{InvalidValue, quote};
use crate::decision::Fencing;
use crate::model::NodeRole;
use crate::redis::RENAMABLE;

/// `true` or `on`, `false` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::settings) struct Switch(pub(in crate::settings) bool);

impl FromStr for Switch {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_lowercase().as_str() {
            "true" | "on" => Ok(Self(true)),
            "false" | "off" => Ok(Self(false)),
            _ => Err(InvalidValue::Switch(quote(text))),
        }
    }
}

/// A level of fencing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::settings) struct Level(pub(in crate::settings) Fencing);

impl FromStr for Level {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "off" => Ok(Self(Fencing::Off)),
            "fast" => Ok(Self(Fencing::Fast)),
            "strict" => Ok(Self(Fencing::Strict)),
            _ => Err(InvalidValue::Word {
                given: quote(text),
                known: "off, fast and strict",
            }),
        }
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::settings) struct RoleWord(pub(in crate::settings) NodeRole);

impl FromStr for RoleWord {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "voter" => Ok(Self(NodeRole::Voter)),
            "witness" => Ok(Self(NodeRole::Witness)),
            "observer" => Ok(Self(NodeRole::Observer)),
            _ => Err(InvalidValue::Word {
                given: quote(text),
                known: "voter, witness and observer",
            }),
        }
    }
}

/// How events are written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
    /// Entries of the journal of systemd, with fields.
    Journald,
}

impl FromStr for LogFormat {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "journald" => Ok(Self::Journald),
            _ => Err(InvalidValue::Word {
                given: quote(text),
                known: "text, json and journald",
            }),
        }
    }
}

/// A filter that `tracing-subscriber` accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct LogFilter(pub(in crate::settings) String);

impl FromStr for LogFilter {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        let text = text.trim();
        // A bare word that is no level would be taken for a target: `inof` would silence all others.
        let is_bare = |part: &&str| !part.contains(['=', '[', ']', '{', '}']);
        let is_level = |part: &str| LEVELS.contains(&part.trim().to_lowercase().as_str());
        let wrong = text.split(',').filter(is_bare).find(|part| !is_level(part));
        match wrong {
            Some(part) => Err(InvalidValue::Filter(quote(part))),
            None => EnvFilter::try_new(text)
                .map(|_| Self(text.to_owned()))
                .map_err(|_| InvalidValue::Filter(quote(text))),
        }
    }
}

/// A user of Redis, taken as it is: `007` stays `007`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct Username(pub(in crate::settings) String);

impl FromStr for Username {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let blank = |letter: char| letter.is_whitespace() || letter.is_control();
        if text.is_empty() || text.len() > 128 || text.chars().any(blank) {
            return Err(InvalidValue::Username);
        }
        Ok(Self(text.to_owned()))
    }
}

/// `COMMAND=NAME`: what one of the commands that we send is called on the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct Renamed {
    pub(in crate::settings) command: String,
    pub(in crate::settings) name: String,
}

impl FromStr for Renamed {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NAME_MAX: usize = 128;
        let refused = || InvalidValue::Renamed {
            given: quote(text),
            known: RENAMABLE.join(", "),
        };
        let (command, name) = text.split_once('=').ok_or_else(refused)?;
        let (command, name) = (command.trim().to_uppercase(), name.trim());
        let is_name = !name.is_empty()
            && name.len() <= NAME_MAX
            && name.chars().all(|letter| letter.is_ascii_graphic());
        if !is_name || !RENAMABLE.contains(&command.as_str()) {
            return Err(refused());
        }
        let name = name.to_owned();
        Ok(Self { command, name })
    }
}

/// A group of this system's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct SystemGroup(pub(in crate::settings) String);

impl FromStr for SystemGroup {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let is_option = text.starts_with('-');
        if text.is_empty() || text.len() > 32 || is_option || !text.chars().all(allowed) {
            return Err(InvalidValue::SystemGroup(quote(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_one_of_four_words_in_any_case() {
        for (text, on) in [
            ("true", Some(true)),
            ("On", Some(true)),
            ("FALSE", Some(false)),
            (" off", Some(false)),
            ("1", None),
            ("yes", None),
            ("", None),
        ] {
            let switch = text.parse().ok().map(|Switch(on)| on);
            assert_eq!(switch, on, "{text}");
        }
    }

    #[test]
    fn a_filter_with_a_misspelt_level_is_refused() {
        for (text, is_right) in [
            ("info", true),
            ("WARN", true),
            ("off", true),
            ("info,promoterd::consensus=debug", true),
            ("promoterd[failover{group=f}]=trace", true),
            ("inof", false),
            ("info,promoterd", false),
            ("promoterd=loud", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<LogFilter>().is_ok(), is_right, "{text}");
        }
    }

    #[test]
    fn a_renamed_command_is_one_that_is_sent() {
        for (text, read) in [
            ("REPLICAOF=x7", Some(("REPLICAOF", "x7"))),
            (" config = k=9 ", Some(("CONFIG", "k=9"))),
            ("FLUSHALL=x", None),
            ("CONFIG=", None),
            ("CONFIG=a b", None),
            ("CONFIG", None),
            ("", None),
        ] {
            let renamed = text.parse::<Renamed>().ok();
            let renamed = renamed
                .as_ref()
                .map(|it| (it.command.as_str(), it.name.as_str()));
            assert_eq!(renamed, read, "{text}");
        }
    }
}
