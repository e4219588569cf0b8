//! What the daemon and the fencer say to each other: short frames, hostile until parsed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_util::codec::LengthDelimitedCodec;

use super::clock::BootMoment;
use crate::model::{Endpoint, GroupName};

/// Longest frame, in bytes, without its length.
pub const FRAME_LENGTH_MAX: usize = 2048;
/// The first byte of each frame. Raised whenever a frame changes its meaning.
const VERSION: u8 = 1;
/// Longest text in an answer, in bytes.
const REASON_LENGTH_MAX: usize = 1500;

/// What a daemon says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// First, and once.
    Hello(Hello),
    /// What to do about one process.
    Order(Order),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// When the daemon began: of two daemons the later one is right.
    pub life: Life,
    /// The daemon's clock as it says this.
    pub now: BootMoment,
}

/// A daemon from its start to its end, by the moment of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Life(pub BootMoment);

/// What to do about one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Greater than that of any order that this life of the daemon gave before.
    pub number: u64,
    /// The group, for the log.
    pub group: GroupName,
    /// The instance, for the log.
    pub instance: Endpoint,
    /// The process.
    pub process_id: u32,
    /// What.
    pub task: Task,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Say whether it may be ended, and would start fenced.
    Check,
    /// End it then, unless another moment is named before.
    Until(BootMoment),
    /// Let it live.
    Release,
}

/// What the fencer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// What came of an order.
    Done {
        /// Its number.
        number: u64,
        /// Why not, in words.
        result: Result<(), String>,
    },
    /// It talks no more on this connection, and why.
    Farewell(String),
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidFrame {
    /// Another program, or another version of this one.
    #[error("a frame of version {0}, not {VERSION}: restart promoterd-fencer and promoterd")]
    Version(u8),
    /// Too long, too short, or what no version says.
    #[error("a frame of {length} bytes that cannot be read")]
    Malformed {
        /// Its length.
        length: usize,
    },
}

/// The codec of both sides.
pub(super) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .length_field_length(2)
        .max_frame_length(FRAME_LENGTH_MAX)
        .new_codec()
}

/// The bytes of a frame.
pub(super) fn encode<T: Serialize>(message: &T) -> bytes::Bytes {
    let frame = vec![VERSION];
    let frame = postcard::to_extend(message, frame);
    frame
        .expect("a message holds nothing that cannot be encoded")
        .into()
}

/// Reads a frame: a [`Request`] or an [`Answer`].
///
/// # Errors
/// [`InvalidFrame`] when the bytes are no such thing, to the last one.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, InvalidFrame> {
    let length = frame.len();
    let malformed = InvalidFrame::Malformed { length };
    let (version, body) = frame.split_first().ok_or(malformed)?;
    if length > FRAME_LENGTH_MAX {
        return Err(malformed);
    }
    if *version != VERSION {
        return Err(InvalidFrame::Version(*version));
    }
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, _)) | Err(_) => Err(malformed),
    }
}

/// A reason that fits into an answer.
pub(super) fn shortened(mut reason: String) -> String {
    let ends = (0..=REASON_LENGTH_MAX).rev();
    let end = ends.into_iter().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or_default());
    reason
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn order(task: Task) -> Request {
        Request::Order(Order {
            number: u64::MAX,
            group: "g".repeat(64).parse().unwrap(),
            instance: Endpoint::new(&"h".repeat(253), 65_535).unwrap(),
            process_id: u32::MAX,
            task,
        })
    }

    fn requests() -> Vec<Request> {
        let moment = BootMoment(u64::MAX);
        let life = Life(moment);
        vec![
            Request::Hello(Hello { life, now: moment }),
            order(Task::Check),
            order(Task::Until(moment)),
            order(Task::Release),
        ]
    }

    #[test]
    fn the_longest_of_each_fits_into_a_frame_and_comes_out_as_it_was() {
        for request in requests() {
            assert_eq!(decode(&encode(&request)), Ok(request));
        }
        let reason = shortened("ä".repeat(4000));
        assert_eq!(reason.len(), REASON_LENGTH_MAX);
        let result = Err(reason.clone());
        let number = u64::MAX;
        for answer in [Answer::Done { number, result }, Answer::Farewell(reason)] {
            assert_eq!(decode(&encode(&answer)), Ok(answer));
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_or_is_of_another_version_is_no_frame() {
        for request in requests() {
            let frame = encode(&request);
            for length in 0..frame.len() {
                assert!(decode::<Request>(&frame[..length]).is_err(), "{length}");
            }
            let mut longer = frame.to_vec();
            longer.push(0);
            assert!(decode::<Request>(&longer).is_err());
            longer.pop();
            longer[0] = VERSION + 1;
            let other = Err(InvalidFrame::Version(VERSION + 1));
            assert_eq!(decode::<Request>(&longer), other);
        }
        assert!(decode::<Request>(&[VERSION; FRAME_LENGTH_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_frame_or_an_error(mut bytes in vec(any::<u8>(), 0..400)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(request) = decode::<Request>(&bytes) {
                prop_assert_eq!(decode(&encode(&request)), Ok(request));
            }
            drop(decode::<Answer>(&bytes));
        }
    }
}
