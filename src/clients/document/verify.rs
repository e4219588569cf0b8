//! What a second reading of an edit may see, and the readings of values that all formats share.
//!
//! Each format reads old and new text once more by other means than the first reading, in its own
//! `verify`; so a mistake of the first one, or a document that loaders themselves read differently,
//! changes nothing.

use thiserror::Error;

use super::{Edit, KeyPath, Splice, ValueKind, address, list};
use crate::model::Endpoint;

/// What the second reading saw. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Discrepancy {
    /// Bytes outside of the values differ.
    #[error("bytes outside of the values would change")]
    Outside,
    /// Lines were added or lost.
    #[error("the number of lines would change from {old} to {new}")]
    Lines {
        /// Before.
        old: usize,
        /// After.
        new: usize,
    },
    /// A line that is none of ours differs.
    #[error("line {line} would change")]
    Line {
        /// The line.
        line: usize,
    },
    /// The new value does not say what it shall, or more than host and port differ.
    #[error("the value in line {line} would not name the master")]
    Value {
        /// The line.
        line: usize,
    },
    /// Some loaders put something else in place of the address.
    #[error("the value in line {line} would name the master only for some loaders: write it out")]
    Substituted {
        /// The line.
        line: usize,
    },
    /// Loaders differ on what is an assignment.
    #[error(
        "{seen} lines assign a value to the keys, {found} of them for every loader: \
         look for quotes or a backslash that carry a value on to the next line"
    )]
    Occurrences {
        /// By lines.
        seen: usize,
        /// By the first reading.
        found: usize,
    },
    /// The value at a path does not say what it shall, or more than host and port differ.
    #[error("the value at {key} would not name the master")]
    ValueAt {
        /// The path.
        key: String,
    },
    /// Something else than the values would read differently.
    #[error("something else than the values of EDIT would read differently")]
    Elsewhere,
    /// The edited text is none of its format.
    #[error("the result could not be read back as {format}")]
    Unreadable {
        /// The format.
        format: &'static str,
    },
}

/// Walks both texts from splice to splice: what lies between has to be the same.
pub(super) fn check_outside(old: &[u8], new: &[u8], splices: &[Splice]) -> Result<(), Discrepancy> {
    let (mut old, mut new, mut passed) = (old, new, 0);
    for splice in splices {
        let gap = splice.range.start.checked_sub(passed);
        let gap = gap.ok_or(Discrepancy::Outside)?;
        if old.get(..gap).ok_or(Discrepancy::Outside)? != new.get(..gap).unwrap_or_default() {
            return Err(Discrepancy::Outside);
        }
        old = old
            .get(gap + splice.range.len()..)
            .ok_or(Discrepancy::Outside)?;
        new = new
            .get(gap + splice.text.len()..)
            .ok_or(Discrepancy::Outside)?;
        passed = splice.range.end;
    }
    if old == new {
        Ok(())
    } else {
        Err(Discrepancy::Outside)
    }
}

/// Whether `new` is `old` with the master in place of what it named before.
pub(super) fn is_renamed(old: &[u8], new: &[u8], edit: Edit<'_>) -> bool {
    if !edit.readers.is_empty() {
        return list::is_listed(old, new, edit);
    }
    if old.windows(3).any(|window| window == b"://") {
        return is_renamed_url(old, new, edit.master);
    }
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return false;
    };
    let is_number = !old.is_empty() && old.bytes().all(|byte| byte.is_ascii_digit());
    let is_endpoint = old.parse::<Endpoint>().is_ok();
    let kind = match edit.value {
        Some(kind) => kind,
        None if old.contains(',') => ValueKind::Connection,
        None if is_number => ValueKind::Port,
        None if is_endpoint => ValueKind::Endpoint,
        None => ValueKind::Host,
    };
    match kind {
        ValueKind::Url => false,
        ValueKind::Connection => is_renamed_connection(old, new, edit.master),
        ValueKind::Endpoint => new.parse().as_ref() == Ok(edit.master),
        ValueKind::Host => new.trim_matches(['[', ']']) == edit.master.host(),
        ValueKind::Port => new.parse() == Ok(edit.master.port()),
    }
}

/// Compares part by part: only the one without `=` may differ, and names the master.
fn is_renamed_connection(old: &str, new: &str, master: &Endpoint) -> bool {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split(',').collect(), new.split(',').collect());
    let names_master = |part: &str| {
        let with_port = format!("{part}:{}", address::DEFAULT_PORT);
        part.parse().as_ref() == Ok(master) || with_port.parse().as_ref() == Ok(master)
    };
    let is_right = |(old, new): (&&str, &&str)| {
        let is_option = old.contains('=');
        if is_option {
            old == new
        } else {
            names_master(new.trim())
        }
    };
    old.len() == new.len() && old.iter().zip(&new).all(is_right)
}

fn is_renamed_url(old: &[u8], new: &[u8], master: &Endpoint) -> bool {
    let (Some(old), Some(new)) = (divide(old), divide(new)) else {
        return false;
    };
    let Ok(named) = std::str::from_utf8(new.address) else {
        return false;
    };
    let with_port = format!("{named}:{}", address::DEFAULT_PORT);
    let names_master =
        named.parse().as_ref() == Ok(master) || with_port.parse().as_ref() == Ok(master);
    names_master && old.before == new.before && old.behind == new.behind
}

pub(super) struct Divided<'a> {
    pub(super) scheme: &'a [u8],
    pub(super) before: &'a [u8],
    pub(super) address: &'a [u8],
    pub(super) behind: &'a [u8],
}

/// Divides a URL around its host and port, from the right: the last `@` ends the password.
pub(super) fn divide(url: &[u8]) -> Option<Divided<'_>> {
    let scheme_end = url.windows(3).position(|window| window == b"://")?;
    let start = url.iter().rposition(|byte| *byte == b'@');
    let start = start.map_or(scheme_end + 3, |position| position + 1);
    let rest = url.get(start..)?;
    let length = rest
        .iter()
        .take_while(|byte| !b"/?#".contains(byte))
        .count();
    Some(Divided {
        scheme: &url[..scheme_end],
        before: &url[..start],
        address: &rest[..length],
        behind: &rest[length..],
    })
}

/// One assignment of a document made of lines: where it stands, and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Assigned {
    /// The names of section and key, or whatever leads to the value.
    pub(super) place: Vec<String>,
    pub(super) value: Vec<u8>,
}

/// Demands that two documents assign the same, in the same order, but for the values of the keys; and
/// that as many of these are wanted as the first reading `found`.
///
/// `is_wanted` tells which assignments a key means, `is_right` whether a value became the wanted one.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(super) fn compare_assigned(
    (old, new): (Vec<Assigned>, Vec<Assigned>),
    found: usize,
    edit: Edit<'_>,
    is_wanted: impl Fn(&Assigned, &KeyPath) -> bool,
    is_right: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<(), Discrepancy> {
    if old.len() != new.len() {
        return Err(Discrepancy::Elsewhere);
    }
    let mut seen = 0;
    for (old, new) in old.iter().zip(&new) {
        let wanted = edit.keys.iter().find(|key| is_wanted(old, key));
        match wanted {
            Some(key) if old.place == new.place => {
                seen += 1;
                if !is_right(&old.value, &new.value) {
                    let key = key.to_string();
                    return Err(Discrepancy::ValueAt { key });
                }
            }
            None if old == new => {}
            Some(_) | None => return Err(Discrepancy::Elsewhere),
        }
    }
    if seen == found {
        Ok(())
    } else {
        Err(Discrepancy::Occurrences { seen, found })
    }
}
