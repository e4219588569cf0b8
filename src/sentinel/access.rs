//! Who may use the endpoint: anybody, or whoever shows the password.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// The name of the user where none is given, as in Redis.
pub const DEFAULT_USER: &str = "default";

/// What a client has to show.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    username: String,
    /// The digest of the password, if one is needed: the password itself is not kept.
    password: Option<[u8; 32]>,
}

/// A client showed something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("wrong user name or password")]
pub struct WrongPassword;

impl Access {
    /// The only user, and what it has to show, if anything.
    #[must_use]
    pub fn new(username: Option<String>, password: Option<&Zeroizing<String>>) -> Self {
        Self {
            username: username.unwrap_or_else(|| DEFAULT_USER.to_owned()),
            password: password.map(|password| digest(password.as_bytes())),
        }
    }

    /// The user.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Whether a client has to show a password.
    #[must_use]
    pub fn needs_password(&self) -> bool {
        self.password.is_some()
    }

    /// Looks at what a client shows; without a name the password alone counts.
    ///
    /// # Errors
    /// [`WrongPassword`], whichever of both is wrong.
    pub fn check(&self, username: Option<&[u8]>, password: &[u8]) -> Result<(), WrongPassword> {
        let is_user = username.is_none_or(|name| name == self.username.as_bytes());
        // Digests are compared, so how long that takes tells nothing of the password.
        let is_right = self.password.is_none_or(|right| right == digest(password));
        (is_user && is_right).then_some(()).ok_or(WrongPassword)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.map(|_| "***");
        formatter
            .debug_struct("Access")
            .field("username", &self.username)
            .field("password", &password)
            .finish()
    }
}

fn digest(password: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix(b"promoterd sentinel password\n");
    hasher.update(password);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_shows_the_password_alone_or_with_the_right_name() {
        let password = Zeroizing::new("open sesame".to_owned());
        let access = Access::new(Some("app".to_owned()), Some(&password));
        for (username, shown, is_right) in [
            (None, "open sesame", true),
            (Some("app"), "open sesame", true),
            (Some("default"), "open sesame", false),
            (Some("app"), "open", false),
            (None, "", false),
        ] {
            let checked = access.check(username.map(str::as_bytes), shown.as_bytes());
            assert_eq!(checked.is_ok(), is_right, "{username:?} {shown}");
        }
        assert!(!format!("{access:?}").contains("sesame"));
    }
}
