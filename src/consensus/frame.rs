//! Frames: the length of a body, a CRC-32 of length and body, and the body.

use serde::Serialize;

use super::log::RecoverError;
use crate::breaks::{Break, is_broken};

/// Length and CRC before each body.
pub(super) const FRAME_HEAD: usize = 8;

/// Most bytes to look at for a whole frame behind a damaged one; whoever needs more is refused.
const SEARCH_MAX: usize = 1 << 30;

pub(super) fn push_frame(bytes: &mut Vec<u8>, body: &impl Serialize) {
    let start = bytes.len();
    let mut framed = std::mem::take(bytes);
    framed.extend([0; FRAME_HEAD]);
    *bytes = postcard::to_extend(body, framed).expect("our own types are always encodable");
    let length = bytes.len() - start - FRAME_HEAD;
    let length = u32::try_from(length).expect("a batch is far below 4 GiB");
    let length = length.to_le_bytes();
    let checksum = checksum(length, &bytes[start + FRAME_HEAD..]);
    bytes[start..start + 4].copy_from_slice(&length);
    bytes[start + 4..start + FRAME_HEAD].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

/// The body of the frame at `offset` and where it ends; none unless it is whole.
pub(super) fn whole_frame(bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let (length, body) = frame_body(bytes, offset)?;
    let stored = bytes.get(offset + 4..offset + FRAME_HEAD)?;
    let is_whole =
        stored == checksum(length, body).to_le_bytes() || is_broken(Break::TornFrameTaken);
    is_whole.then_some((body, offset + FRAME_HEAD + body.len()))
}

/// What the frame at `offset` claims to be its body.
fn frame_body(bytes: &[u8], offset: usize) -> Option<([u8; 4], &[u8])> {
    let length: [u8; 4] = bytes.get(offset..offset + 4)?.try_into().ok()?;
    let body_length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    if body_length == 0 {
        return None;
    }
    let start = offset + FRAME_HEAD;
    let body = bytes.get(start..start.checked_add(body_length)?)?;
    Some((length, body))
}

/// How long the remains of an interrupted write are that follow `offset`.
pub(super) fn torn_length(bytes: &[u8], offset: usize) -> Result<usize, RecoverError> {
    let length = without_zeros(&bytes[offset..]).len();
    let mut searched = 0;
    for next in offset + 1..offset + length {
        let Some((_, body)) = frame_body(bytes, next) else {
            continue;
        };
        searched += body.len();
        if searched > SEARCH_MAX || whole_frame(bytes, next).is_some() {
            return Err(RecoverError::Damaged { offset, next });
        }
    }
    Ok(length)
}

pub(super) fn without_zeros(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    &bytes[..last.map_or(0, |last| last + 1)]
}
