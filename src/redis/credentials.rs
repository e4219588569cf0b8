//! What we show a Redis server so that it lets us in.

use std::fmt;

use redis::{ProtocolVersion, RedisConnectionInfo};
use zeroize::Zeroizing;

use super::names::CommandNames;

/// A password. It is wiped when dropped, and `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a password as it was read.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password itself: for the wire, never for people.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The user and password for the instances of one group, and how to speak to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; none stands for the default one. Of no effect without a password.
    pub username: Option<String>,
    /// The password; without one nothing is sent.
    pub password: Option<Secret>,
    /// What the commands are called there.
    pub names: CommandNames,
}

impl Credentials {
    /// What the handshake of the `redis` crate sends: `AUTH` if there is a password, nothing else.
    pub(super) fn handshake(&self) -> RedisConnectionInfo {
        let info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        let info = match &self.username {
            Some(username) => info.set_username(username),
            None => info,
        };
        match &self.password {
            Some(password) => info.set_password(password.expose()),
            None => info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials {
            username: Some("watcher".to_owned()),
            password: Some(Secret::new("open sesame".to_owned())),
            ..Credentials::default()
        };
        let shown = format!("{credentials:?} {:?}", credentials.handshake());
        assert!(
            shown.contains("watcher") && !shown.contains("sesame"),
            "{shown}"
        );
        assert_eq!(format!("{:?}", credentials.password), "Some(***)");
    }
}
