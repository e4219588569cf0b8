//! Bytes of the journal: length, CRC-32, and a batch of entries that was made durable as one.

use super::Entry;

/// The first bytes of a journal. A new layout gets a new number.
pub(super) const MAGIC: &[u8] = b"promoterd clients journal 2\n";

/// Most entries in one record.
pub(super) const ENTRIES_MAX: usize = 64;

/// Most bytes of one entry: two names, an address, an epoch, a digest and a mark, with their lengths.
const ENTRY_LENGTH_MAX: usize = 512;

const PAYLOAD_LENGTH_MAX: usize = ENTRIES_MAX * ENTRY_LENGTH_MAX;
const HEADER_LENGTH: usize = 8;

/// What could be read, and how many bytes of it are good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) entries: Vec<Entry>,
    pub(super) length: usize,
}

/// Makes one record of a batch.
pub(super) fn encode(batch: &[&Entry]) -> Vec<u8> {
    let payload = postcard::to_allocvec(batch).expect("plain values can be encoded");
    assert!(
        batch.len() <= ENTRIES_MAX && payload.len() <= PAYLOAD_LENGTH_MAX,
        "names and addresses are bounded"
    );
    let length = u32::try_from(payload.len()).expect("a batch is small");
    let mut record = Vec::with_capacity(HEADER_LENGTH + payload.len());
    record.extend(length.to_le_bytes());
    record.extend(checksum(length, &payload).to_le_bytes());
    record.extend(payload);
    record
}

/// Reads all records up to the end or a torn tail.
///
/// # Errors
/// Where the first unreadable record begins, when it cannot be the torn last one: because it is
/// longer than any record, or because a good one follows.
pub(super) fn read_all(bytes: &[u8]) -> Result<Read, usize> {
    let mut entries = Vec::new();
    let mut length = 0;
    while let Some((batch, size)) = decode(&bytes[length..]) {
        entries.extend(batch);
        length += size;
    }
    let tail = &bytes[length..];
    let is_longer = tail.len() > HEADER_LENGTH + PAYLOAD_LENGTH_MAX;
    if is_longer || (1..tail.len()).any(|offset| decode(&tail[offset..]).is_some()) {
        return Err(length);
    }
    Ok(Read { entries, length })
}

/// The record that `bytes` begin with, and its length.
fn decode(bytes: &[u8]) -> Option<(Vec<Entry>, usize)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_LENGTH>()?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let payload_length = usize::try_from(length).ok()?;
    if payload_length == 0 || payload_length > PAYLOAD_LENGTH_MAX {
        return None;
    }
    let payload = rest.get(..payload_length)?;
    if checksum(length, payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return None;
    }
    let (batch, unread) = postcard::take_from_bytes::<Vec<Entry>>(payload).ok()?;
    (unread.is_empty() && batch.len() <= ENTRIES_MAX)
        .then_some((batch, HEADER_LENGTH + payload_length))
}

/// Covers the length too, so that a wrong one is never followed.
fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
