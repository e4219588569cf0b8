//! HAProxy: the address of a `server` line in a `backend` or `listen` section. Path: `SECTION.SERVER`.

use std::ops::Range;

use super::address::Rewrite;
use super::{Edit, EditError, KeyPath, Letters, Slot, ValueKind, ValueProblem};
use super::{check_lines, mark_length, references};
use crate::model::Endpoint;

mod verify;

pub(super) use verify::check;

/// What begins a section: a `server` line counts only in two of them.
const SECTIONS: [&[u8]; 20] = [
    b"acme",
    b"backend",
    b"cache",
    b"crt-store",
    b"defaults",
    b"dynamic-update",
    b"fcgi-app",
    b"frontend",
    b"global",
    b"http-errors",
    b"listen",
    b"log-forward",
    b"log-profile",
    b"mailers",
    b"peers",
    b"program",
    b"resolvers",
    b"ring",
    b"traces",
    b"userlist",
];

/// Finds the address of every server in `keys`.
///
/// # Errors
/// [`EditError`] when a server is not there or is there twice, or its line cannot be changed safely.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    check_lines(text)?;
    let servers = servers(text);
    let slot = |key| slot(text, &servers, key);
    keys.iter().map(slot).collect()
}

struct Server {
    line: usize,
    section: Vec<u8>,
    name: Vec<u8>,
    /// Where its address is written, with quotes.
    address: Option<Range<usize>>,
    whole: Range<usize>,
    /// Whether it stands between `.if` and `.endif`.
    is_conditional: bool,
}

fn servers(text: &[u8]) -> Vec<Server> {
    let mut servers = Vec::new();
    // The backend that the lines belong to.
    let mut section: Option<Vec<u8>> = None;
    let mut conditions = 0_usize;
    let mut start = mark_length(text);
    for (index, raw) in text[start..].split(|byte| *byte == b'\n').enumerate() {
        let line = raw.strip_suffix(b"\r").unwrap_or(raw);
        let words = words(line);
        let word = |at: usize| words.get(at).map(|range| &line[range.clone()]);
        match (word(0), &section) {
            (Some(b".if"), _) => conditions += 1,
            (Some(b".endif"), _) => conditions = conditions.saturating_sub(1),
            (Some(b"server"), Some(section)) => servers.push(Server {
                line: index + 1,
                section: unquoted(section),
                name: word(1).map(unquoted).unwrap_or_default(),
                address: words
                    .get(2)
                    .map(|word| start + word.start..start + word.end),
                whole: start..start + line.len(),
                is_conditional: conditions > 0,
            }),
            (Some(first), _) if SECTIONS.contains(&first) => {
                let is_backend = matches!(first, b"backend" | b"listen");
                section = word(1).filter(|_| is_backend).map(<[u8]>::to_vec);
            }
            (Some(_) | None, _) => {}
        }
        start += raw.len() + 1;
    }
    servers
}

/// The words of a line up to its comment, with their quotes and escapes.
fn words(line: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut begun = None;
    let mut quote = None;
    let mut position = 0;
    while let Some(byte) = line.get(position) {
        let length = if *byte == b'\\' && quote != Some(b'\'') {
            2
        } else {
            1
        };
        match (byte, quote) {
            (b'#', None) => break,
            (b' ' | b'\t', None) => words.extend(begun.take().map(|start| start..position)),
            (byte @ (b'"' | b'\''), None) => {
                quote = Some(*byte);
                begun = begun.or(Some(position));
            }
            (byte, open) => {
                quote = open.filter(|open| open != byte);
                begun = begun.or(Some(position));
            }
        }
        position += length;
    }
    let end = position.min(line.len());
    words.extend(begun.map(|start| start..end));
    words
}

/// Without quotes around it.
fn unquoted(word: &[u8]) -> Vec<u8> {
    match word {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner.to_vec(),
        word => word.to_vec(),
    }
}

fn slot<'k>(text: &[u8], servers: &[Server], key: &'k KeyPath) -> Result<Slot<'k>, EditError> {
    let missing = |missing: String| EditError::PathMissing {
        key: key.to_string(),
        missing,
    };
    let [section, name] = key.segments() else {
        return Err(missing("server of a section by this path".to_owned()));
    };
    let is_meant =
        |server: &&Server| server.section == section.as_bytes() && server.name == name.as_bytes();
    let mut meant = servers.iter().filter(is_meant);
    let server = meant.next();
    let server = server.ok_or_else(|| missing(format!("server {name} in a backend {section}")))?;
    if let Some(second) = meant.next() {
        return Err(EditError::GivenTwice {
            key: key.to_string(),
            line: second.line,
            part: format!("server {name}"),
        });
    }
    let range = address(text, server).map_err(|problem| EditError::Value {
        key: key.to_string(),
        line: server.line,
        problem,
    })?;
    Ok(Slot {
        key,
        line: server.line,
        range,
        references: Vec::new(),
        letters: Letters::AsWritten,
        rewriting: rewrite,
    })
}

/// Where the address is, without quotes around it.
fn address(text: &[u8], server: &Server) -> Result<Range<usize>, ValueProblem> {
    let whole = &text[server.whole.clone()];
    if server.is_conditional {
        return Err(ValueProblem::Conditional);
    }
    if references::is_template(whole) {
        return Err(ValueProblem::Template);
    }
    if whole.ends_with(b"\\") {
        return Err(ValueProblem::Continuation);
    }
    let range = server.address.clone().ok_or(ValueProblem::Empty)?;
    let written = &text[range.clone()];
    let inner = match written {
        [b'"', .., b'"'] | [b'\'', .., b'\''] if written.len() > 1 => {
            range.start + 1..range.end - 1
        }
        _ => range,
    };
    let value = &text[inner.clone()];
    if value.iter().any(|byte| b"$`".contains(byte)) {
        return Err(ValueProblem::Reference);
    }
    if value.iter().any(|byte| b"\"'\\".contains(byte)) {
        return Err(ValueProblem::Unrecognised);
    }
    Ok(inner)
}

/// Replaces `[FAMILY@]host:port`. A family that the master is not of becomes the other one.
fn rewrite(value: &[u8], _: &[Range<usize>], edit: Edit<'_>) -> Result<Rewrite, ValueProblem> {
    if edit.value.is_some_and(|kind| kind != ValueKind::Endpoint) {
        return Err(ValueProblem::OtherKind);
    }
    let text = std::str::from_utf8(value).map_err(|_| ValueProblem::Unrecognised)?;
    if text.starts_with('/') {
        return Err(ValueProblem::Socket);
    }
    let (family, address) = match text.split_once('@') {
        None => (None, text),
        Some((family @ ("ipv4" | "ipv6" | "tcp4" | "tcp6" | "tcp"), address)) => {
            (Some(family), address)
        }
        Some(("unix" | "abns" | "abnsz" | "uxst" | "fd" | "sockpair", _)) => {
            return Err(ValueProblem::Socket);
        }
        Some(_) => return Err(ValueProblem::Unrecognised),
    };
    let (host, port) = address.rsplit_once(':').ok_or(ValueProblem::NoPort)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    // With a sign it is an offset to the port that the client asked for.
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit());
    let host = bare.unwrap_or(host);
    let is_address = is_plain
        && port
            .parse()
            .is_ok_and(|port| Endpoint::new(host, port).is_ok());
    if !is_address {
        return Err(ValueProblem::Unrecognised);
    }
    let is_new = edit.master.address().map(|address| address.is_ipv6());
    let family = match (family, is_new) {
        (Some("ipv4" | "ipv6"), Some(is_new)) => Some(if is_new { "ipv6" } else { "ipv4" }),
        (Some("tcp4" | "tcp6"), Some(is_new)) => Some(if is_new { "tcp6" } else { "tcp4" }),
        (family, _) => family,
    };
    let prefix = family
        .map(|family| format!("{family}@"))
        .unwrap_or_default();
    Ok(Rewrite {
        range: 0..value.len(),
        text: format!("{prefix}{}", edit.master),
    })
}
