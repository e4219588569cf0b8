//! What a master sends in answer to `SYNC`: a header, then the data set, in either of two forms (pure).
//!
//! `$LENGTH` and so many bytes; or `$EOF:MARK` and bytes up to the same 40 bytes once more, where it sends
//! them without knowing how many there will be. Line feeds before the header show that it lives. Redis
//! source, `replication.c`, `readSyncBulkPayload`.

use thiserror::Error;

use crate::redis::reply::clean;

/// Length of the mark behind a data set whose length was not known.
const MARK_LENGTH: usize = 40;
/// Longest header that is waited for: an error line is the longest.
const HEADER_LENGTH_MAX: usize = 512;
/// What a data set begins with, of Redis and of Valkey from version 9 on.
const MAGICS: [&[u8]; 2] = [b"REDIS", b"VALKEY"];

/// Why what came is no data set that can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in crate::redis) enum TransferError {
    #[error("the instance refuses: {0}")]
    Refused(String),
    #[error("no data set follows: \"{0}\"")]
    Malformed(String),
    #[error("the data set is larger than {limit} bytes (RESCUE_SIZE_MAX)")]
    TooLarge { limit: u64 },
}

/// A data set as it arrives.
#[derive(Debug)]
pub(super) struct Transfer {
    state: State,
    size_max: u64,
    /// How much of it was handed out.
    bytes: u64,
    begins: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// What came of the header.
    Header(Vec<u8>),
    /// So many bytes are left.
    Counted(u64),
    /// Up to the mark; what may be its beginning is kept back.
    Marked {
        mark: [u8; MARK_LENGTH],
        kept: Vec<u8>,
    },
    Complete,
}

impl Transfer {
    pub(super) fn new(size_max: u64) -> Self {
        Self {
            state: State::Header(Vec::new()),
            size_max,
            bytes: 0,
            begins: Vec::new(),
        }
    }

    /// Whether all of it was handed out.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// How long it is, as far as it came.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in bytes, cut anywhere, and appends what of them belongs to the data set to `data`.
    pub(super) fn take(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<(), TransferError> {
        let state = std::mem::replace(&mut self.state, State::Complete);
        self.state = match state {
            State::Header(header) => return self.read_header(header, bytes, data),
            State::Counted(left) => self.count(left, bytes, data)?,
            State::Marked { mark, kept } => self.look_for(mark, kept, bytes, data)?,
            // What replicas would be sent next.
            State::Complete => State::Complete,
        };
        Ok(())
    }

    fn read_header(
        &mut self,
        mut header: Vec<u8>,
        bytes: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<(), TransferError> {
        for (position, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if header.is_empty() => {}
                b'\n' => {
                    self.state = self.state_after(&header)?;
                    return self.take(&bytes[position + 1..], data);
                }
                _ if header.len() == HEADER_LENGTH_MAX => return Err(malformed(&header)),
                byte => header.push(*byte),
            }
        }
        self.state = State::Header(header);
        Ok(())
    }

    fn state_after(&self, header: &[u8]) -> Result<State, TransferError> {
        let line = header.strip_suffix(b"\r").unwrap_or(header);
        if let Some(error) = line.strip_prefix(b"-") {
            let said = clean(&String::from_utf8_lossy(error));
            return Err(TransferError::Refused(said));
        }
        if let Some(mark) = line.strip_prefix(b"$EOF:") {
            let mark = mark.try_into().map_err(|_| malformed(header))?;
            let kept = Vec::with_capacity(2 * MARK_LENGTH);
            return Ok(State::Marked { mark, kept });
        }
        let length = line
            .strip_prefix(b"$")
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<u64>().ok())
            .filter(|length| *length > 0);
        let length = length.ok_or_else(|| malformed(header))?;
        if length > self.size_max {
            return Err(self.too_large());
        }
        Ok(State::Counted(length))
    }

    fn count(
        &mut self,
        left: u64,
        bytes: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<State, TransferError> {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.hand_out(&bytes[..wanted], data)?;
        let left = left - wanted as u64;
        Ok(match left {
            0 => State::Complete,
            left => State::Counted(left),
        })
    }

    /// The mark is the last that comes before this side says anything more, so it is looked for at the
    /// end of what came, as replicas do.
    fn look_for(
        &mut self,
        mark: [u8; MARK_LENGTH],
        mut kept: Vec<u8>,
        bytes: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<State, TransferError> {
        kept.extend_from_slice(bytes);
        if let Some(rest) = kept.strip_suffix(&mark) {
            self.hand_out(rest, data)?;
            return Ok(State::Complete);
        }
        let sure = kept.len().saturating_sub(MARK_LENGTH);
        self.hand_out(&kept[..sure], data)?;
        kept.drain(..sure);
        Ok(State::Marked { mark, kept })
    }

    fn hand_out(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<(), TransferError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.size_max {
            return Err(self.too_large());
        }
        let longest = MAGICS.iter().map(|magic| magic.len()).max().unwrap_or(0);
        let missing = longest.saturating_sub(self.begins.len());
        self.begins.extend(bytes.iter().take(missing));
        let may_be = |magic: &&[u8]| {
            let length = magic.len().min(self.begins.len());
            magic[..length] == self.begins[..length]
        };
        if !MAGICS.iter().any(may_be) {
            let said = "other bytes than a data set begins with".to_owned();
            return Err(TransferError::Malformed(said));
        }
        data.extend_from_slice(bytes);
        Ok(())
    }

    fn too_large(&self) -> TransferError {
        TransferError::TooLarge {
            limit: self.size_max,
        }
    }
}

fn malformed(said: &[u8]) -> TransferError {
    TransferError::Malformed(clean(&String::from_utf8_lossy(said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &[u8; MARK_LENGTH] = b"0123456789abcdef0123456789abcdef01234567";

    /// Takes `sent` in pieces of each length: the outcome does not depend on where it is cut.
    fn receive(sent: &[u8], size_max: u64) -> Result<Option<Vec<u8>>, TransferError> {
        let mut outcomes = Vec::new();
        for length in [1, 2, 7, 39, 40, 41, sent.len()] {
            let mut transfer = Transfer::new(size_max);
            let mut data = Vec::new();
            let mut pieces = sent.chunks(length.max(1));
            let outcome = pieces.try_for_each(|piece| transfer.take(piece, &mut data));
            let is_complete = transfer.is_complete();
            outcomes.push(outcome.map(|()| is_complete.then_some(data)));
        }
        let first = outcomes[0].clone();
        assert!(outcomes.iter().all(|other| *other == first), "{outcomes:?}");
        first
    }

    #[test]
    fn a_data_set_is_taken_whole_in_either_form() {
        let marked = [b"\n\n$EOF:", &MARK[..], b"\r\nREDIS0011 x\r\n\n", MARK].concat();
        assert_eq!(
            receive(&marked, 100),
            Ok(Some(b"REDIS0011 x\r\n\n".to_vec()))
        );
        assert_eq!(
            receive(b"\n$9\r\nVALKEY080", 9),
            Ok(Some(b"VALKEY080".to_vec()))
        );
        let part_of_mark = [b"$EOF:", &MARK[..], b"\r\nREDIS", &MARK[..20], MARK].concat();
        let data = [b"REDIS", &MARK[..20]].concat();
        assert_eq!(receive(&part_of_mark, 100), Ok(Some(data)));
    }

    #[test]
    fn what_is_not_whole_is_not_complete() {
        let marked = [b"$EOF:", &MARK[..], b"\r\nREDIS0011", &MARK[..39]].concat();
        for sent in [&b"\n\n"[..], b"$9\r\nREDIS001", b"$9", &marked] {
            assert_eq!(receive(sent, 100), Ok(None));
        }
    }

    #[test]
    fn what_is_too_large_or_none_is_refused() {
        let large = TransferError::TooLarge { limit: 8 };
        let marked = [b"$EOF:", &MARK[..], b"\r\nREDIS0011", MARK].concat();
        assert_eq!(receive(b"$9\r\nREDIS0011", 8), Err(large.clone()));
        assert_eq!(receive(&marked, 8), Err(large));
        let refused = TransferError::Refused("NOPERM no".to_owned());
        assert_eq!(receive(b"-NOPERM no\r\n", 100), Err(refused));
        for sent in [
            &b"$-1\r\n"[..],
            b"$0\r\n",
            b"$EOF:short\r\n",
            b"+FULLRESYNC x 1\r\n",
            b"$9\r\n<html>...",
            &[b'x'; 600],
        ] {
            let outcome = receive(sent, 100);
            assert!(
                matches!(outcome, Err(TransferError::Malformed(_))),
                "{outcome:?}"
            );
        }
    }
}
