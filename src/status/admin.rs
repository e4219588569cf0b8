//! Who may change anything: root, the daemon's own user, and the members of the admin group.
//!
//! The kernel says who is at the other end of the socket; who is in a group is asked of the system's
//! databases at each request, so that a change counts at once.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use thiserror::Error;
use tokio::net::unix::UCred;
use tokio::time::timeout;

/// How long the databases of users and groups may take.
const LOOKUP_WAIT_MAX: Duration = Duration::from_secs(2);

/// Who is at the other end, by the kernel's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    uid: Uid,
    gid: Gid,
}

impl From<UCred> for Caller {
    fn from(credentials: UCred) -> Self {
        Self {
            uid: Uid::from_raw(credentials.uid()),
            gid: Gid::from_raw(credentials.gid()),
        }
    }
}

/// A caller who may change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The number of the user.
    pub uid: u32,
    /// The name, where the user has one.
    pub user: Option<String>,
}

/// Why a caller may not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAdmitted {
    /// Neither root nor in the group.
    #[error(
        "{caller} may not change anything: use sudo, or have root run `usermod -aG {group} NAME`"
    )]
    NotInGroup {
        /// Who.
        caller: String,
        /// The admin group.
        group: String,
    },
    /// There is no such group on this host.
    #[error(
        "{caller} may not change anything: use sudo, or have root run `groupadd --system {group}` and \
         `usermod -aG {group} NAME` (the group is PROMOTERD_ADMIN_GROUP)"
    )]
    NoGroup {
        /// Who.
        caller: String,
        /// The admin group.
        group: String,
    },
    /// The databases do not answer.
    #[error("cannot tell whether uid {uid} is in the group {group} ({why}): use sudo")]
    Unknown {
        /// Who.
        uid: u32,
        /// The admin group.
        group: String,
        /// What the system said.
        why: String,
    },
}

/// Admits callers. Cloned freely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gatekeeper {
    group: String,
    own: Uid,
}

impl Gatekeeper {
    /// One that admits the members of `group`, root, and this process's user.
    #[must_use]
    pub fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            own: Uid::effective(),
        }
    }

    /// Tells who a caller is, if he may change anything.
    ///
    /// # Errors
    /// `NotAdmitted`, with what to do about it.
    pub async fn admit(&self, caller: Caller) -> Result<Admin, NotAdmitted> {
        let gatekeeper = self.clone();
        let unknown = |why: String| NotAdmitted::Unknown {
            uid: caller.uid.as_raw(),
            group: self.group.clone(),
            why,
        };
        // A directory service may take its time.
        let looked_up = tokio::task::spawn_blocking(move || gatekeeper.look_up(caller));
        match timeout(LOOKUP_WAIT_MAX, looked_up).await {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(error)) => Err(unknown(error.to_string())),
            Err(_) => Err(unknown("no answer in time".to_owned())),
        }
    }

    fn look_up(&self, caller: Caller) -> Result<Admin, NotAdmitted> {
        let Caller { uid, gid } = caller;
        let user = User::from_uid(uid);
        let name = user.as_ref().ok().and_then(Option::as_ref);
        let name = name.map(|user| user.name.clone());
        let admin = Admin {
            uid: uid.as_raw(),
            user: name.clone(),
        };
        if uid.is_root() || uid == self.own {
            return Ok(admin);
        }
        let unknown = |error: Errno| NotAdmitted::Unknown {
            uid: uid.as_raw(),
            group: self.group.clone(),
            why: io::Error::from(error).to_string(),
        };
        let caller = match &name {
            Some(name) => format!("{name} (uid {uid})"),
            None => format!("uid {uid}"),
        };
        let group = self.group.clone();
        let Some(wanted) = Group::from_name(&group).map_err(unknown)? else {
            return Err(NotAdmitted::NoGroup { caller, group });
        };
        let is_member = gid == wanted.gid
            || match user.map_err(unknown)? {
                Some(user) => groups_of(&user).map_err(unknown)?.contains(&wanted.gid),
                None => false,
            };
        if is_member {
            Ok(admin)
        } else {
            Err(NotAdmitted::NotInGroup { caller, group })
        }
    }
}

fn groups_of(user: &User) -> Result<Vec<Gid>, Errno> {
    let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
    getgrouplist(&name, user.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that no user and no group of a machine has.
    const NOBODY_AT_ALL: u32 = 3_999_999_999;

    fn caller(uid: u32, gid: u32) -> Caller {
        Caller {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
        }
    }

    #[tokio::test]
    async fn root_and_the_own_user_and_the_group_are_admitted_and_nobody_else() {
        let mut gatekeeper = Gatekeeper::new("daemon");
        let daemon = Group::from_name("daemon").unwrap().unwrap().gid.as_raw();
        let own = Uid::from_raw(NOBODY_AT_ALL - 1);
        gatekeeper.own = own;
        for (uid, gid, is_admitted) in [
            (0, 0, true),
            (own.as_raw(), NOBODY_AT_ALL, true),
            (NOBODY_AT_ALL, daemon, true),
            (NOBODY_AT_ALL, NOBODY_AT_ALL, false),
            (NOBODY_AT_ALL, 0, false),
        ] {
            let admitted = gatekeeper.admit(caller(uid, gid)).await;
            assert_eq!(admitted.is_ok(), is_admitted, "{uid} {gid}: {admitted:?}");
        }
        let root = gatekeeper.admit(caller(0, 0)).await.unwrap();
        assert_eq!((root.uid, root.user.as_deref()), (0, Some("root")));
    }

    #[tokio::test]
    async fn a_member_by_the_database_is_admitted_whatever_group_the_process_has() {
        // Of the users of this machine: each is a member of its own first group.
        let user = User::from_name("daemon").unwrap().unwrap();
        let group = Group::from_gid(user.gid).unwrap().unwrap();
        let mut gatekeeper = Gatekeeper::new(&group.name);
        gatekeeper.own = Uid::from_raw(NOBODY_AT_ALL);
        let caller = caller(user.uid.as_raw(), NOBODY_AT_ALL);
        let admin = gatekeeper.admit(caller).await.unwrap();
        assert_eq!(admin.user.as_deref(), Some("daemon"));
    }

    #[tokio::test]
    async fn whoever_is_refused_is_told_what_to_do() {
        let refused = async |group: &str| {
            let mut gatekeeper = Gatekeeper::new(group);
            gatekeeper.own = Uid::from_raw(NOBODY_AT_ALL - 1);
            let caller = caller(NOBODY_AT_ALL, NOBODY_AT_ALL);
            gatekeeper.admit(caller).await.unwrap_err().to_string()
        };
        assert_eq!(
            refused("daemon").await,
            "uid 3999999999 may not change anything: use sudo, or have root run `usermod -aG daemon \
             NAME`"
        );
        let missing = refused("no-such-group-here").await;
        assert!(
            missing.contains("`groupadd --system no-such-group-here`"),
            "{missing}"
        );
    }
}
