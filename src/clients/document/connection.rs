//! Connection strings: an address and options by commas, `host:port,ssl=true,password=…,db=0`.
//!
//! Feast takes each part without `=` for an address, StackExchange.Redis too. One of them may be there.

use std::ops::Range;

use super::ValueProblem;
use super::address::{Rewrite, check_authority, with_port_if};
use crate::model::Endpoint;

/// Accepts a text with a comma in it that is a connection string.
///
/// # Errors
/// [`ValueProblem`] when no part, or more than one, is an address.
pub(super) fn tell(value: &[u8]) -> Result<(), ValueProblem> {
    let address = &value[place(value)?];
    check_authority(address)
        .map(|_| ())
        .map_err(|_| ValueProblem::Unrecognised)
}

/// Puts the master in place of the address; an empty string becomes the address alone.
pub(super) fn rewrite(
    value: &[u8],
    references: &[Range<usize>],
    master: &Endpoint,
) -> Result<Rewrite, ValueProblem> {
    if value.is_empty() {
        let text = master.to_string();
        return Ok(Rewrite { range: 0..0, text });
    }
    let range = place(value)?;
    let is_apart = |reference: &Range<usize>| {
        (reference.end <= range.start || range.end <= reference.start)
            && !value[reference.clone()].contains(&b',')
    };
    if !references.iter().all(is_apart) {
        return Err(ValueProblem::Reference);
    }
    let has_port = check_authority(&value[range.clone()])?;
    let text = with_port_if(has_port, master);
    Ok(Rewrite { range, text })
}

/// Where the only part without `=` is.
fn place(value: &[u8]) -> Result<Range<usize>, ValueProblem> {
    let mut places = Vec::new();
    let mut start = 0;
    for part in value.split(|byte| *byte == b',') {
        if part.contains(&b'=') {
            check_option(part)?;
        } else {
            let blanks = part.len() - part.trim_ascii_start().len();
            let first = start + blanks;
            places.push(first..first + part.trim_ascii().len());
        }
        start += part.len() + 1;
    }
    match places.as_slice() {
        [place] => Ok(place.clone()),
        [] => Err(ValueProblem::Unrecognised),
        _ => Err(ValueProblem::SeveralHosts),
    }
}

/// With a service name the address is that of a Sentinel.
fn check_option(option: &[u8]) -> Result<(), ValueProblem> {
    let name = option
        .split(|byte| *byte == b'=')
        .next()
        .unwrap_or_default();
    if name.trim_ascii().eq_ignore_ascii_case(b"serviceName") {
        return Err(ValueProblem::Sentinel);
    }
    Ok(())
}
