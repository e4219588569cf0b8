//! The formats of documents by name, and which module knows each.

use serde::{Deserialize, Serialize};

use super::tree::Tree;
use super::verify::{Discrepancy, check_outside};
use super::{Edit, EditError, KeyPath, Slot, Splice};
use super::{env, haproxy, hosts, ini, json, jsonc, properties, toml, twemproxy, yaml};

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of `KEY=value`: `.env`, systemd's `EnvironmentFile=`, docker's `--env-file`, or a file
    /// that a shell reads.
    Env,
    /// JSON without comments, as RFC 8259 has it.
    Json,
    /// TOML 1.0.
    Toml,
    /// JSON with comments, and commas behind a last item.
    Jsonc,
    /// Sections in brackets, and lines of `key = value` or `key: value` in them.
    Ini,
    /// Java's `.properties`, also with several documents as Spring has them.
    Properties,
    /// YAML 1.1 and 1.2, also with several documents.
    Yaml,
    /// A configuration of HAProxy: its `server` lines.
    Haproxy,
    /// The pools of twemproxy (nutcracker).
    Twemproxy,
    /// Addresses and their names, as in `/etc/hosts`.
    Hosts,
}

impl Format {
    /// Every format, for tests and messages.
    pub const ALL: [Self; 10] = [
        Self::Env,
        Self::Json,
        Self::Toml,
        Self::Jsonc,
        Self::Ini,
        Self::Properties,
        Self::Yaml,
        Self::Haproxy,
        Self::Twemproxy,
        Self::Hosts,
    ];

    /// Its name, as in the settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Json => "json",
            Self::Toml => "toml",
            Self::Jsonc => "jsonc",
            Self::Ini => "ini",
            Self::Properties => "properties",
            Self::Yaml => "yaml",
            Self::Haproxy => "haproxy",
            Self::Twemproxy => "twemproxy",
            Self::Hosts => "hosts",
        }
    }

    /// The format of a file with such an extension, in lower case.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension {
            "env" => Some(Self::Env),
            "json" => Some(Self::Json),
            "jsonc" => Some(Self::Jsonc),
            "toml" => Some(Self::Toml),
            "ini" => Some(Self::Ini),
            "properties" => Some(Self::Properties),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// What a path has to look like, and an example; none where it does.
    #[must_use]
    pub fn misplaced(self, path: &KeyPath) -> Option<(&'static str, &'static str)> {
        let count = path.segments().len();
        match self {
            Self::Ini if count > 2 => Some((
                "SECTION.KEY, with double quotes around a part with a dot in it",
                "Session.\"session.save_path\"",
            )),
            Self::Haproxy if count != 2 => Some((
                "SECTION.SERVER, with double quotes around a part with a dot in it",
                "redis_write.master",
            )),
            Self::Twemproxy if count != 2 => Some((
                "POOL.NAME, with double quotes around a part with a dot in it",
                "alpha.master",
            )),
            Self::Env
            | Self::Json
            | Self::Jsonc
            | Self::Toml
            | Self::Ini
            | Self::Properties
            | Self::Yaml
            | Self::Haproxy
            | Self::Twemproxy
            | Self::Hosts => None,
        }
    }

    /// Where the values are.
    pub(super) fn locate<'a>(
        self,
        text: &[u8],
        keys: &'a [KeyPath],
    ) -> Result<Vec<Slot<'a>>, EditError> {
        match self {
            Self::Env => env::locate(text, keys),
            Self::Json => json::locate(text, keys),
            Self::Jsonc => jsonc::locate(text, keys),
            Self::Toml => toml::locate(text, keys),
            Self::Ini => ini::locate(text, keys),
            Self::Properties => properties::locate(text, keys),
            Self::Yaml => yaml::locate(text, keys),
            Self::Haproxy => haproxy::locate(text, keys),
            Self::Twemproxy => twemproxy::locate(text, keys),
            Self::Hosts => hosts::locate(text, keys),
        }
    }

    /// Whether a value may be a list of addresses.
    #[must_use]
    pub fn has_lists(self) -> bool {
        match self {
            Self::Env
            | Self::Json
            | Self::Toml
            | Self::Jsonc
            | Self::Ini
            | Self::Properties
            | Self::Yaml => true,
            Self::Haproxy | Self::Twemproxy | Self::Hosts => false,
        }
    }

    /// Old and new text, read by every other means that there is; nothing where a format has no lists of
    /// its own.
    pub(super) fn readings(self, old: &[u8], new: &[u8]) -> Result<Vec<(Tree, Tree)>, Discrepancy> {
        let one = |read: fn(&[u8]) -> Result<Tree, Discrepancy>| Ok(vec![(read(old)?, read(new)?)]);
        match self {
            Self::Json => one(json::reading),
            Self::Jsonc => one(jsonc::reading),
            Self::Toml => toml::readings(old, new),
            Self::Yaml => one(|text| yaml::documents(text).map(Tree::Documents)),
            Self::Env
            | Self::Ini
            | Self::Properties
            | Self::Haproxy
            | Self::Twemproxy
            | Self::Hosts => Err(Discrepancy::Unreadable {
                format: self.name(),
            }),
        }
    }

    /// Reads old and new once more: they differ in the values only, and these name the master.
    pub(super) fn check(
        self,
        old: &[u8],
        new: &[u8],
        splices: &[Splice],
        edit: Edit<'_>,
    ) -> Result<(), Discrepancy> {
        check_outside(old, new, splices)?;
        let found = splices.len();
        match self {
            Self::Env => env::check(old, new, found, edit),
            Self::Json => json::check(old, new, edit),
            Self::Jsonc => jsonc::check(old, new, edit),
            Self::Toml => toml::check(old, new, edit),
            Self::Ini => ini::check(old, new, found, edit),
            Self::Properties => properties::check(old, new, found, edit),
            Self::Yaml => yaml::check(old, new, edit),
            Self::Haproxy => haproxy::check(old, new, found, edit),
            Self::Twemproxy => twemproxy::check(old, new, edit),
            Self::Hosts => hosts::check(old, new, found, edit),
        }
    }
}
