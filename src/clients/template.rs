//! Files that are made whole from a template: Jinja syntax, strict, bounded in time and size.
//!
//! A template sees `client`, `group`, `epoch`, `master` and the lists `replicas` and `readers`; the latter
//! three hold `host`, `port`, `endpoint` (`host:port`, IPv6 in brackets) and `url` (`redis://host:port`),
//! replicas also `health` and `lag_bytes`. It can open no file and call nothing outside; what it names and
//! nobody gave it is an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use rustix::fs::{Mode, OFlags};
use thiserror::Error;

use super::Publication;
use super::transaction::LENGTH_MAX;
use crate::model::{ClientName, Endpoint, Replica};

/// Largest template that is read, in bytes.
const SOURCE_LENGTH_MAX: u64 = 256 * 1024;

/// Most steps that a template may take: some hundredths of a second.
const STEPS_MAX: u64 = 1_000_000;

/// Most calls of macros within each other.
const DEPTH_MAX: usize = 50;

/// Why a template gave no file. The file stays as it is.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("cannot read template {path}: let the service user read it, or correct TEMPLATE")]
    Read {
        /// The template.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no text of a reasonable length.
    #[error(
        "template {path} is no regular file of UTF-8 text with at most {SOURCE_LENGTH_MAX} bytes"
    )]
    NoText {
        /// The template.
        path: PathBuf,
    },
    /// It is written wrongly, or uses what is not there.
    #[error("template {path}, line {line}: {reason}")]
    Wrong {
        /// The template.
        path: PathBuf,
        /// Counted from 1; 0 where unknown.
        line: usize,
        /// What the engine says.
        reason: String,
    },
    /// It runs without an end in sight.
    #[error(
        "template {path}, line {line}: it takes more than {STEPS_MAX} steps: look for a loop over too much"
    )]
    Endless {
        /// The template.
        path: PathBuf,
        /// Counted from 1; 0 where unknown.
        line: usize,
    },
    /// It writes without an end in sight.
    #[error("template {path} writes more than {LENGTH_MAX} bytes: look for a loop over too much")]
    TooLong {
        /// The template.
        path: PathBuf,
    },
}

/// The source of a template.
pub(super) struct Source {
    path: PathBuf,
    text: String,
    mode: u32,
}

impl Source {
    /// Reads it whole.
    pub(super) fn read(path: &Path) -> Result<Self, TemplateError> {
        let fails = |source| TemplateError::Read {
            path: path.to_owned(),
            source,
        };
        // NONBLOCK, for a pipe would have us wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let file: File = opened.map_err(|source| fails(source.into()))?.into();
        let metadata = file.metadata().map_err(fails)?;
        let no_text = || TemplateError::NoText {
            path: path.to_owned(),
        };
        if !metadata.is_file() || metadata.size() > SOURCE_LENGTH_MAX {
            return Err(no_text());
        }
        let mut bytes = Vec::new();
        let mut limited = file.take(SOURCE_LENGTH_MAX);
        limited.read_to_end(&mut bytes).map_err(fails)?;
        Ok(Self {
            path: path.to_owned(),
            text: String::from_utf8(bytes).map_err(|_| no_text())?,
            mode: metadata.mode() & 0o777,
        })
    }

    /// The permissions of the template, which a new file takes over.
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }

    /// What the file shall say.
    pub(super) fn render(
        &self,
        client: &ClientName,
        publication: &Publication,
    ) -> Result<Vec<u8>, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_recursion_limit(DEPTH_MAX);
        environment.set_fuel(Some(STEPS_MAX));
        environment.set_syntax(syntax());
        let wrong = |error: &minijinja::Error| self.explain(error);
        let template = environment
            .template_from_str(&self.text)
            .map_err(|error| wrong(&error))?;
        let mut page = Page::default();
        let rendered = template.render_captured_to(context(client, publication), &mut page);
        let failed = rendered.err().map(|error| wrong(&error));
        match failed {
            _ if page.is_full => Err(TemplateError::TooLong {
                path: self.path.clone(),
            }),
            Some(error) => Err(error),
            None => Ok(page.bytes),
        }
    }

    fn explain(&self, error: &minijinja::Error) -> TemplateError {
        let path = self.path.clone();
        let line = error.line().unwrap_or(0);
        if error.kind() == ErrorKind::OutOfFuel {
            return TemplateError::Endless { path, line };
        }
        let reason = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        TemplateError::Wrong { path, line, reason }
    }
}

/// Lines that hold nothing but a block leave no trace, and the file ends as the template does.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("the usual delimiters are distinct")
}

fn context(client: &ClientName, publication: &Publication) -> Value {
    let replicas: Vec<Value> = publication.replicas.iter().map(replica).collect();
    let readers = Replica::readers(&publication.replicas, &publication.master);
    let readers: Vec<Value> = readers.iter().map(address).collect();
    Value::from(BTreeMap::from([
        ("client", Value::from(client.as_str())),
        ("group", Value::from(publication.group.as_str())),
        ("epoch", Value::from(publication.epoch.0)),
        ("master", address(&publication.master)),
        ("replicas", Value::from(replicas)),
        ("readers", Value::from(readers)),
    ]))
}

fn replica(replica: &Replica) -> Value {
    let mut fields = fields(&replica.endpoint);
    fields.insert("health", Value::from(replica.health.as_str()));
    fields.insert("lag_bytes", Value::from(replica.lag_bytes));
    Value::from(fields)
}

fn address(endpoint: &Endpoint) -> Value {
    Value::from(fields(endpoint))
}

fn fields(endpoint: &Endpoint) -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("host", Value::from(endpoint.host())),
        ("port", Value::from(endpoint.port())),
        ("endpoint", Value::from(endpoint.to_string())),
        ("url", Value::from(format!("redis://{endpoint}"))),
    ])
}

/// What was written so far, within its bound.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > LENGTH_MAX {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, ReplicaHealth};

    fn publication() -> Publication {
        Publication {
            group: "features".parse().unwrap(),
            epoch: Epoch(7),
            master: "10.0.0.2:6379".parse().unwrap(),
            replicas: vec![
                Replica {
                    endpoint: "[fd77::1]:6380".parse().unwrap(),
                    health: ReplicaHealth::Behind,
                    lag_bytes: Some(7000),
                },
                Replica::unknown("c:6379".parse().unwrap()),
            ],
        }
    }

    fn rendered(text: &str) -> Result<String, String> {
        let source = Source {
            path: "/t.j2".into(),
            text: text.to_owned(),
            mode: 0o644,
        };
        let rendered = source.render(&"api".parse().unwrap(), &publication());
        let rendered = rendered.map_err(|error| error.to_string());
        rendered.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_template_sees_the_group_and_its_instances() {
        for (text, expected) in [
            ("{{ client }} {{ group }} {{ epoch }}\n", "api features 7\n"),
            ("{{ master.host }}:{{ master.port }}", "10.0.0.2:6379"),
            (
                "{{ master.endpoint }} {{ master.url }}",
                "10.0.0.2:6379 redis://10.0.0.2:6379",
            ),
            (
                "{% for replica in replicas %}{{ loop.index }}={{ replica.endpoint }} {{ replica.host }};{% endfor %}",
                "1=[fd77::1]:6380 fd77::1;2=c:6379 c;",
            ),
            (
                "{% for replica in replicas %}{{ replica.health }} {{ replica.lag_bytes }};{% endfor %}",
                "behind 7000;unknown None;",
            ),
            (
                "{% for reader in readers %}{{ reader.url }};{% endfor %}",
                "redis://c:6379;",
            ),
            ("{{ '<&>' }}", "<&>"),
            ("{% if replicas|length > 1 %}many{% endif %}", "many"),
        ] {
            assert_eq!(rendered(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_template_names_its_line_and_gives_nothing() {
        for (text, message) in [
            (
                "\n{{ mastre.host }}",
                "template /t.j2, line 2: undefined value",
            ),
            (
                "{{ master.hots }}",
                "template /t.j2, line 1: undefined value",
            ),
            ("{% for x in %}", "template /t.j2, line 1: syntax error"),
            (
                "\n\n{{ nothing() }}",
                "template /t.j2, line 3: unknown function",
            ),
            ("{% include '/etc/passwd' %}", "template /t.j2, line 1: "),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
                "template /t.j2, line 1: it takes more than 1000000 steps",
            ),
            (
                "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}",
                "template /t.j2 writes more than 1048576 bytes",
            ),
            (
                "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                "template /t.j2, line 1: ",
            ),
        ] {
            let error = rendered(text).unwrap_err();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let beside = |name: &str| directory.path().join(name);
        std::fs::write(beside("latin"), b"caf\xe9").unwrap();
        std::fs::write(beside("long"), vec![b'x'; SOURCE_LENGTH_MAX as usize + 1]).unwrap();
        for (name, message) in [
            (
                "missing",
                "let the service user read it, or correct TEMPLATE",
            ),
            (
                "latin",
                "is no regular file of UTF-8 text with at most 262144 bytes",
            ),
            (
                "long",
                "is no regular file of UTF-8 text with at most 262144 bytes",
            ),
            (
                ".",
                "is no regular file of UTF-8 text with at most 262144 bytes",
            ),
        ] {
            let error = Source::read(&beside(name)).err().unwrap().to_string();
            assert!(error.ends_with(message), "{name}: {error}");
        }
    }
}
