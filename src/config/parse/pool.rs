//! `[upstream.NAME.hooks]`

use super::vrrp::command;
use crate::config::model::{PoolHook, PoolHooks};
use crate::config::node::Node;
use crate::config::value;
use crate::diagnostic::Diagnostic;

pub(super) fn hooks(node: &Node<'_>) -> PoolHooks {
    let one = |key| node.table(key).and_then(|table| hook(&table));
    PoolHooks { lost: one("on_primary_lost"), changed: one("on_primary_changed") }
}

fn hook(node: &Node<'_>) -> Option<PoolHook> {
    if !node.has("command") && !node.has("post") {
        let message = format!("`{}` does not say what is run", node.name);
        let hint = "`command = [\"/usr/local/bin/promote\"]` or `post = \"http://..\"`";
        node.walk.fault(Diagnostic::error(node.span, message).hint(hint));
        return None;
    }
    if node.has("user") && !node.has("command") {
        node.fault_at("user", "`user` needs `command`");
    }
    Some(PoolHook {
        command: command(node),
        post: node.parsed("post", value::http_url),
        timeout: node.duration("timeout"),
    })
}
