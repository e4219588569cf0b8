//! The cluster key: whoever holds it may speak to a daemon as a peer.

use std::fmt;

use blake2::Blake2sMac256;
use blake2::digest::Mac;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The 32 bytes that all nodes of a cluster share; as text 64 hexadecimal digits.
///
/// Wiped from memory when dropped; `Debug` shows `***`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClusterKey([u8; Self::LENGTH]);

/// Why a text is no [`ClusterKey`]. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidClusterKey {
    /// Too short or too long.
    #[error("a key is 64 hexadecimal digits, not {0} characters: make one with `promoterd keygen`")]
    Length(usize),
    /// It holds something else than digits and the letters a to f.
    #[error(
        "a key is 64 hexadecimal digits, and this has another character: make one with `promoterd keygen`"
    )]
    Digit,
    /// One byte over and over: a placeholder, which anybody can guess.
    #[error("this key is a placeholder: make one with `promoterd keygen`")]
    Placeholder,
}

/// The system gave no random bytes.
#[derive(Debug, Error)]
#[error("cannot make a key: the system gave no random bytes")]
pub struct NoRandomness(#[source] getrandom::Error);

impl ClusterKey {
    /// Length of a key in bytes.
    pub const LENGTH: usize = 32;

    /// Draws a new key.
    ///
    /// # Errors
    /// [`NoRandomness`] where the system has none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut key = Self([0; Self::LENGTH]);
        getrandom::fill(&mut key.0).map_err(NoRandomness)?;
        Ok(key)
    }

    /// What takes the key's place where there is none.
    ///
    /// Everybody can compute it, so it protects nothing: the links use it on loopback addresses only.
    #[must_use]
    pub fn well_known() -> Self {
        Self(Sha256::digest(b"promoterd peer link without a key, loopback only").into())
    }

    /// Reads the text form, with blanks around it allowed.
    ///
    /// # Errors
    /// [`InvalidClusterKey`] for anything but 64 hexadecimal digits, and for one byte over and over.
    pub fn parse(text: &str) -> Result<Self, InvalidClusterKey> {
        let digits = text.trim();
        if digits.chars().count() != 2 * Self::LENGTH {
            return Err(InvalidClusterKey::Length(digits.chars().count()));
        }
        let mut key = Self([0; Self::LENGTH]);
        let mut values = digits.chars().map(|digit| digit.to_digit(16));
        for byte in &mut key.0 {
            let (Some(Some(high)), Some(Some(low))) = (values.next(), values.next()) else {
                return Err(InvalidClusterKey::Digit);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| InvalidClusterKey::Digit)?;
        }
        if key.0.iter().all(|byte| *byte == key.0[0]) {
            return Err(InvalidClusterKey::Placeholder);
        }
        Ok(key)
    }

    /// The text form: for the key file, never for a log.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::LENGTH));
        for byte in self.0 {
            for half in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(half), 16));
            }
        }
        text
    }

    /// Another key, for one purpose only, from which this one cannot be told.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; Self::LENGTH]> {
        let mut mac = <Blake2sMac256 as Mac>::new_from_slice(&self.0).expect("32 bytes are a key");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// The key of the observers: it opens their port on the voters, and nothing else.
    #[must_use]
    pub fn for_observers(&self) -> Self {
        Self(*self.derive("observers"))
    }

    /// The key itself: for the handshake.
    pub(super) fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<[u8; Self::LENGTH]> for ClusterKey {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let key = ClusterKey::generate().unwrap();
        let text = key.to_text();
        assert_eq!(text.len(), 64);
        assert_eq!(ClusterKey::parse(&text).unwrap().bytes(), key.bytes());
        let upper = format!(" {}\n", text.to_uppercase());
        assert_eq!(ClusterKey::parse(&upper).unwrap().bytes(), key.bytes());
    }

    #[test]
    fn the_first_digit_is_the_high_half_of_the_first_byte() {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (0x1f, 0xa0);
        let text = format!("1f{}a0", "0".repeat(60));
        assert_eq!(*ClusterKey::from(bytes).to_text(), text);
        assert_eq!(ClusterKey::parse(&text).unwrap().bytes(), &bytes);
    }

    #[test]
    fn two_drawn_keys_differ() {
        let draw = || ClusterKey::generate().unwrap();
        assert_ne!(draw().bytes(), draw().bytes());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        let good = "0123456789abcdef".repeat(4);
        for (text, expected) in [
            (String::new(), InvalidClusterKey::Length(0)),
            (good[1..].to_owned(), InvalidClusterKey::Length(63)),
            (format!("{good}0"), InvalidClusterKey::Length(65)),
            (format!("{}g", &good[1..]), InvalidClusterKey::Digit),
            (format!("{}é", &good[1..]), InvalidClusterKey::Digit),
            ("ab".repeat(32), InvalidClusterKey::Placeholder),
        ] {
            let error = ClusterKey::parse(&text).unwrap_err();
            assert_eq!(error, expected);
            assert!(text.is_empty() || !error.to_string().contains(&text));
        }
    }

    #[test]
    fn a_key_does_not_show_itself_in_debug_output() {
        assert_eq!(format!("{:?}", ClusterKey::from([7; 32])), "***");
    }
}
