//! Secrets: the password of a group, and the key of the cluster. Neither can be printed by accident.

use std::fmt;

use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A password. It is wiped when dropped, and `Debug` shows `***`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

/// The key that makes a node one of the cluster: 32 bytes, as text 64 hexadecimal digits.
///
/// It is wiped when dropped, and `Debug` shows `***`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PeerKey([u8; Self::LENGTH]);

/// Why a text is no [`PeerKey`]. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidPeerKey {
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

impl Secret {
    /// Takes a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: for the wire, never for people.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PeerKey {
    /// Length of a key in bytes.
    pub const LENGTH: usize = 32;

    /// Reads the text form, with blanks around it allowed.
    ///
    /// # Errors
    /// [`InvalidPeerKey`] for anything but 64 hexadecimal digits, and for one byte over and over.
    pub fn parse(text: &str) -> Result<Self, InvalidPeerKey> {
        let digits = text.trim();
        if digits.chars().count() != 2 * Self::LENGTH {
            return Err(InvalidPeerKey::Length(digits.chars().count()));
        }
        let mut key = Self([0; Self::LENGTH]);
        let mut values = digits.chars().map(|digit| digit.to_digit(16));
        for byte in &mut key.0 {
            let (Some(Some(high)), Some(Some(low))) = (values.next(), values.next()) else {
                return Err(InvalidPeerKey::Digit);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| InvalidPeerKey::Digit)?;
        }
        if key.0.iter().all(|byte| *byte == key.0[0]) {
            return Err(InvalidPeerKey::Placeholder);
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

    /// Draws a new key.
    ///
    /// # Errors
    /// [`NoRandomness`] where the system has none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut key = Self([0; Self::LENGTH]);
        getrandom::fill(&mut key.0).map_err(NoRandomness)?;
        Ok(key)
    }

    /// The key itself: for the handshake.
    #[must_use]
    pub fn expose(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let key = PeerKey::generate().unwrap();
        let text = key.to_text();
        assert_eq!(text.len(), 64);
        assert_eq!(PeerKey::parse(&text).unwrap().expose(), key.expose());
        let upper = format!(" {}\n", text.to_uppercase());
        assert_eq!(PeerKey::parse(&upper).unwrap().expose(), key.expose());
    }

    #[test]
    fn two_drawn_keys_differ() {
        let (one, other) = (PeerKey::generate().unwrap(), PeerKey::generate().unwrap());
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        let good = "0123456789abcdef".repeat(4);
        for (text, expected) in [
            (String::new(), InvalidPeerKey::Length(0)),
            (good[1..].to_owned(), InvalidPeerKey::Length(63)),
            (format!("{good}0"), InvalidPeerKey::Length(65)),
            (format!("{}g", &good[1..]), InvalidPeerKey::Digit),
            (format!("{}é", &good[1..]), InvalidPeerKey::Digit),
            ("ab".repeat(32), InvalidPeerKey::Placeholder),
        ] {
            let error = PeerKey::parse(&text).unwrap_err();
            assert_eq!(error, expected);
            assert!(text.is_empty() || !error.to_string().contains(&text));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = PeerKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "***");
        assert_eq!(
            format!("{:?}", Some(Secret::new("hunter2".into()))),
            "Some(***)"
        );
    }
}
