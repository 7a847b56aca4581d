//! What the guard may do and may not: it keeps what sockets, VRRP and workers need.

use nix::unistd::{User, getgrouplist};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};

use crate::app::Identity;
use crate::config::Config;
use crate::diagnostic::{Causes, Diagnostic};

/// What is kept of what the process was started with.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SYS_NICE);

/// Gives up every privilege but [`KEPT`], for this process and all that it starts. To be called before
/// there is a second thread.
///
/// # Errors
/// When the system refuses.
pub(super) fn shed() -> std::io::Result<()> {
    let has = capabilities(None)?;
    if has.effective.contains(CapabilitySet::SETPCAP) {
        for dropped in CapabilitySet::all().difference(KEPT).iter() {
            // One that this kernel does not know is in no set.
            let _ = remove_capability_from_bounding_set(dropped);
        }
    }
    let kept = CapabilitySets {
        effective: has.effective & KEPT,
        permitted: has.permitted & KEPT,
        inheritable: has.inheritable & KEPT,
    };
    Ok(set_capabilities(None, kept)?)
}

/// Whom the worker is to run as; `None`: as this process does.
///
/// # Errors
/// Where there is no such user, or this process cannot become another.
pub(super) fn identity(config: &Config) -> Result<Option<Identity>, Diagnostic> {
    let Some(name) = &config.process.user else { return Ok(None) };
    let fault = |message: String| Diagnostic::error(name.span, message);
    let user = match User::from_name(&name.value) {
        Ok(Some(user)) => user,
        Ok(None) => return Err(fault(format!("there is no user `{}`", name.value))),
        Err(error) => return Err(fault(format!("user `{}` cannot be looked up: {error}", name.value))),
    };
    if user.uid.as_raw() == rustix::process::geteuid().as_raw() {
        return Ok(None);
    }
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    let has = capabilities(None).map_err(|error| fault(Causes(&std::io::Error::from(error)).to_string()))?;
    if !has.effective.contains(needed) {
        let message =
            format!("the worker cannot run as `{}`: that needs root, or CAP_SETUID and CAP_SETGID", name.value);
        return Err(fault(message).hint("leave `user` out, and start haechi as that user"));
    }
    let groups = std::ffi::CString::new(name.value.as_str())
        .ok()
        .and_then(|name| getgrouplist(&name, user.gid).ok())
        .unwrap_or_else(|| vec![user.gid]);
    Ok(Some(Identity {
        user: user.uid.as_raw(),
        group: user.gid.as_raw(),
        groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
    }))
}
