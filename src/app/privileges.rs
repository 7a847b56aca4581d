//! What a worker may not do: it takes the user that it is told, and gives up every privilege.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs, set_thread_gid,
    set_thread_groups, set_thread_uid,
};

/// Whom a worker runs as, by numbers: it cannot ask for names before it is somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)?;
        self.groups.iter().try_for_each(|group| write!(f, ":{group}"))
    }
}

impl FromStr for Identity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([user, group, groups @ ..]) => Ok(Self { user: *user, group: *group, groups: groups.to_vec() }),
            _ => Err("expected the numbers of a user and of its groups, as in 1000:1000"),
        }
    }
}

/// Becomes somebody with no privilege, for good. To be called before there is a second thread: each
/// has privileges of its own.
///
/// # Errors
/// When the system does not let this process become that user.
pub(super) fn give_up(identity: Option<&Identity>) -> io::Result<()> {
    if let Some(Identity { user, group, groups }) = identity {
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        set_thread_groups(&groups)?;
        set_thread_gid(Gid::from_raw(*group))?;
        set_thread_uid(Uid::from_raw(*user))?;
    }
    // Where the kernel has no such set, there is nothing in it.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        for identity in [
            Identity { user: 33, group: 34, groups: vec![] },
            Identity { user: 0, group: 4_294_967_294, groups: vec![4, 27] },
        ] {
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
        for nonsense in ["", "33", "33:", "a:b", "-1:0"] {
            assert!(nonsense.parse::<Identity>().is_err(), "{nonsense}");
        }
    }
}
