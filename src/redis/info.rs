//! Parses `INFO server replication persistence keyspace` of Redis and Valkey (pure).

use thiserror::Error;

use super::reply::clean;
use crate::model::{
    AnnouncedReplica, Endpoint, InstanceInfo, Loading, MasterLink, ReplicaAck, ReplicationHistory,
    ReplicationId, ReplicationOffset, Role, RunId,
};

/// The longest text that is parsed, in bytes.
const TEXT_MAX: usize = 256 * 1024;

/// The most replicas that one master may name.
const REPLICAS_MAX: usize = 1024;

/// The longest version that is kept, in bytes.
const VERSION_MAX: usize = 64;

/// `slave_priority` of an instance that does not tell it, which masters do not.
const PRIORITY_DEFAULT: u32 = 100;

/// Redis 6 counts the seconds since a link went down from 1970 when it never was up.
const NEVER_UP_SECONDS: u64 = 1_000_000_000;

/// Why a text is no answer to `INFO` that decisions can rest on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InfoError {
    /// Longer than any instance has reason to send.
    #[error("it is {0} bytes long, {TEXT_MAX} are allowed")]
    TooLong(usize),
    /// A field, or the header of a section, is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field cannot be read.
    #[error("{field} cannot be \"{value}\"")]
    Invalid {
        /// Its name.
        field: &'static str,
        /// The beginning of its value.
        value: String,
    },
    /// A field is there twice. Someone may have smuggled a line into an announced address.
    #[error("{0} is there twice")]
    Repeated(&'static str),
    /// More replicas than are allowed.
    #[error("it names more than {REPLICAS_MAX} replicas")]
    TooManyReplicas,
}

/// Parses the whole answer.
///
/// Replicas at addresses that are none (a tool that copies the data announces port 0) are left out.
///
/// # Errors
/// [`InfoError`] names the first field that is missing, wrong or there twice.
pub fn parse(text: &[u8]) -> Result<InstanceInfo, InfoError> {
    let fields = Fields::scan(text)?;
    let role = fields.role()?;
    Ok(InstanceInfo {
        run_id: fields.run_id.parse()?,
        process_id: fields.process_id.parse()?,
        version: fields.version()?,
        history: fields.history()?,
        loading: fields.loading()?,
        priority: fields.priority.parse_or(PRIORITY_DEFAULT)?,
        has_keys: fields.has_keys()?,
        connected_replicas: fields.connected_replicas.parse()?,
        role,
    })
}

/// Reads `run_id` alone.
///
/// # Errors
/// [`InfoError`] when it is missing, wrong or there twice.
pub fn parse_run_id(text: &[u8]) -> Result<RunId, InfoError> {
    Fields::scan(text)?.run_id.parse()
}

/// Reads the replication history alone.
///
/// # Errors
/// [`InfoError`] names the first of its fields that is missing, wrong or there twice.
pub fn parse_history(text: &[u8]) -> Result<ReplicationHistory, InfoError> {
    Fields::scan(text)?.history()
}

/// A field by name, and its value once seen.
struct Field<'a> {
    name: &'static str,
    value: Option<&'a str>,
}

impl<'a> Field<'a> {
    fn set(&mut self, value: &'a str) -> Result<(), InfoError> {
        match self.value.replace(value) {
            Some(_) => Err(InfoError::Repeated(self.name)),
            None => Ok(()),
        }
    }

    fn text(&self) -> Result<&'a str, InfoError> {
        self.value.ok_or(InfoError::Missing(self.name))
    }

    fn parse<T: std::str::FromStr>(&self) -> Result<T, InfoError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.invalid(text))
    }

    fn parse_or<T: std::str::FromStr>(&self, absent: T) -> Result<T, InfoError> {
        match self.value {
            Some(_) => self.parse(),
            None => Ok(absent),
        }
    }

    /// `0` or `1`.
    fn flag(&self) -> Result<bool, InfoError> {
        match self.text()? {
            "0" => Ok(false),
            "1" => Ok(true),
            other => Err(self.invalid(other)),
        }
    }

    fn flag_or_false(&self) -> Result<bool, InfoError> {
        self.value.map_or(Ok(false), |_| self.flag())
    }

    /// A number, or none where Redis writes -1.
    fn number_unless_minus_one(&self) -> Result<Option<u64>, InfoError> {
        match self.text()? {
            "-1" => Ok(None),
            _ => self.parse().map(Some),
        }
    }

    fn invalid(&self, value: &str) -> InfoError {
        InfoError::Invalid {
            field: self.name,
            value: clean(value),
        }
    }
}

macro_rules! fields {
    ($($field:ident = $name:literal,)*) => {
        /// The fields that we read, each at most once, in whatever order they come.
        struct Fields<'a> {
            $($field: Field<'a>,)*
            has_keyspace: bool,
            databases: Vec<&'a str>,
            replicas: Vec<&'a str>,
        }

        impl<'a> Fields<'a> {
            fn none() -> Self {
                Self {
                    $($field: Field { name: $name, value: None },)*
                    has_keyspace: false,
                    databases: Vec::new(),
                    replicas: Vec::new(),
                }
            }

            fn take(&mut self, name: &str, value: &'a str) -> Result<(), InfoError> {
                match name {
                    $($name => self.$field.set(value),)*
                    _ => self.take_numbered(name, value),
                }
            }
        }
    };
}

fields! {
    run_id = "run_id",
    server_time = "server_time_usec",
    process_id = "process_id",
    redis_version = "redis_version",
    valkey_version = "valkey_version",
    role = "role",
    master_host = "master_host",
    master_port = "master_port",
    link_status = "master_link_status",
    sync_in_progress = "master_sync_in_progress",
    link_down_seconds = "master_link_down_since_seconds",
    priority = "slave_priority",
    connected_replicas = "connected_slaves",
    replication_id = "master_replid",
    replication_offset = "master_repl_offset",
    second_replication_id = "master_replid2",
    second_offset = "second_repl_offset",
    loading = "loading",
    async_loading = "async_loading",
}

impl<'a> Fields<'a> {
    fn scan(text: &'a [u8]) -> Result<Self, InfoError> {
        if text.len() > TEXT_MAX {
            return Err(InfoError::TooLong(text.len()));
        }
        let mut fields = Self::none();
        for line in text.split(|byte| *byte == b'\n') {
            // File names in other fields may hold any bytes; what we read never does.
            let Ok(line) = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) else {
                continue;
            };
            match line.split_once(':') {
                Some((name, value)) => fields.take(name, value)?,
                None => fields.has_keyspace |= line == "# Keyspace",
            }
        }
        Ok(fields)
    }

    /// `slave0`, `db0` and so on.
    fn take_numbered(&mut self, name: &str, value: &'a str) -> Result<(), InfoError> {
        if is_numbered(name, "slave") {
            if self.replicas.len() == REPLICAS_MAX {
                return Err(InfoError::TooManyReplicas);
            }
            self.replicas.push(value);
        } else if is_numbered(name, "db") {
            self.databases.push(value);
        }
        Ok(())
    }

    fn version(&self) -> Result<String, InfoError> {
        let (server, field) = match self.valkey_version.value {
            Some(_) => ("valkey", &self.valkey_version),
            None => ("redis", &self.redis_version),
        };
        let version = field.text()?;
        let is_plain = version.bytes().all(|byte| byte.is_ascii_graphic());
        if version.is_empty() || version.len() > VERSION_MAX || !is_plain {
            return Err(field.invalid(version));
        }
        Ok(format!("{server} {version}"))
    }

    fn role(&self) -> Result<Role, InfoError> {
        // It only makes what lags say more exact.
        let time_us = self.server_time.value.and_then(|time| time.parse().ok());
        match self.role.text()? {
            "master" => Ok(Role::Master {
                replicas: self
                    .replicas
                    .iter()
                    .filter_map(|line| parse_replica(line, time_us))
                    .collect(),
            }),
            "slave" => Ok(Role::Replica {
                master: self.master()?,
                link: self.link()?,
            }),
            other => Err(self.role.invalid(other)),
        }
    }

    fn master(&self) -> Result<Endpoint, InfoError> {
        let host = self.master_host.text()?;
        let port = self.master_port.parse()?;
        Endpoint::new(host, port).map_err(|_| self.master_host.invalid(host))
    }

    fn link(&self) -> Result<MasterLink, InfoError> {
        match self.link_status.text()? {
            "up" => Ok(MasterLink::Up),
            "down" if self.sync_in_progress.flag_or_false()? => Ok(MasterLink::Syncing),
            "down" => Ok(MasterLink::Down {
                seconds: self
                    .link_down_seconds
                    .number_unless_minus_one()?
                    .filter(|seconds| *seconds < NEVER_UP_SECONDS),
            }),
            other => Err(self.link_status.invalid(other)),
        }
    }

    fn history(&self) -> Result<ReplicationHistory, InfoError> {
        let id: ReplicationId = self.replication_id.parse()?;
        if id.is_zero() {
            return Err(self.replication_id.invalid(self.replication_id.text()?));
        }
        let second: ReplicationId = self.second_replication_id.parse()?;
        let continues = self
            .second_offset
            .number_unless_minus_one()?
            .filter(|_| !second.is_zero())
            .map(|offset| (second, ReplicationOffset(offset)));
        Ok(ReplicationHistory {
            id,
            offset: ReplicationOffset(self.replication_offset.parse()?),
            continues,
        })
    }

    fn loading(&self) -> Result<Loading, InfoError> {
        Ok(
            match (self.loading.flag()?, self.async_loading.flag_or_false()?) {
                (_, true) => Loading::InBackground,
                (true, false) => Loading::Blocking,
                (false, false) => Loading::No,
            },
        )
    }

    /// An empty instance has the section without a line in it; no section means that we do not know.
    fn has_keys(&self) -> Result<bool, InfoError> {
        const SECTION: &str = "section Keyspace";
        if !self.has_keyspace {
            return Err(InfoError::Missing(SECTION));
        }
        for line in &self.databases {
            let field = Field {
                name: SECTION,
                value: part(line, "keys"),
            };
            if field.parse::<u64>()? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The value of `name` in `name=value,name=value`.
fn part<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// A replica's address is its own choice, so one that makes no sense must not hide the others.
fn parse_replica(line: &str, time_us: Option<u64>) -> Option<AnnouncedReplica> {
    // The second connection of a replica that Redis 8 is copying to; its first one is listed too.
    if part(line, "type") == Some("rdb-channel") {
        return None;
    }
    let endpoint = Endpoint::new(part(line, "ip")?, part(line, "port")?.parse().ok()?).ok()?;
    Some(AnnouncedReplica {
        endpoint,
        online: part(line, "state")? == "online",
        offset: ReplicationOffset(part(line, "offset")?.parse().ok()?),
        ack: ReplicaAck::read(
            part(line, "lag")
                .and_then(|lag| lag.parse().ok())
                .unwrap_or(0),
            time_us,
        ),
    })
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
