//! `[[site]]` and its routes

use crate::config::model::{
    Action, Files, HeaderRules, Matcher, Precompressed, Proxy, Redirect, Respond, Route, RouteLimits, Site, Symlinks,
};
use crate::config::node::{Leaf, Node};
use crate::config::value;
use crate::diagnostic::{Diagnostic, Spanned, names};

pub(super) fn site(node: &Node<'_>) -> Site {
    node.not_empty("hosts");
    node.not_empty("listeners");
    node.not_empty("route");
    let listeners = node.has("listeners").then(|| node.list("listeners", |leaf| leaf.text().map(str::to_owned)));
    Site {
        span: node.span,
        hosts: node.list("hosts", |leaf| leaf.parsed(value::host_pattern)),
        listeners,
        routes: node.tables("route").iter().filter_map(route).collect(),
        error_pages: super::error_pages(node),
    }
}

fn route(node: &Node<'_>) -> Option<Route> {
    let action = action(node);
    let matcher = matcher(node);
    let is_proxy = node.has("proxy");
    let route = Route {
        span: node.span,
        limits: RouteLimits { body: node.table_or_default("limits").optional_number("body") },
        access: super::listener::access(node),
        request_headers: header_rules(&node.table_or_default("request_headers"), is_proxy),
        response_headers: header_rules(&node.table_or_default("response_headers"), false),
        matcher: matcher?,
        action: action?,
    };
    if !is_proxy && route.request_headers != HeaderRules::default() {
        node.fault_at("request_headers", "`request_headers` needs `proxy`: nothing else sends the request on");
    }
    check_paths(node, &route);
    Some(route)
}

/// The one key of these that is written; none and several are faults.
fn only<'a>(node: &Node<'a>, keys: &[&'static str]) -> Option<Leaf<'a>> {
    let written = node.which(keys);
    match *written {
        [one] => Some(one),
        [] => {
            let message = format!("`{}` has none of {}", node.name, names(keys.iter().copied()));
            node.walk.fault(Diagnostic::error(node.span, message));
            None
        }
        [first, second, ..] => {
            let message = format!("`{}` has both `{}` and `{}`", node.name, first.key, second.key);
            let hint = format!("a route has one of {}", names(keys.iter().copied()));
            node.walk.fault(Diagnostic::error(second.span, message).hint(hint));
            None
        }
    }
}

fn matcher(node: &Node<'_>) -> Option<Matcher> {
    match only(node, &["path", "path_exact", "path_regex"])?.key {
        "path" => node.parsed("path", value::path).map(Matcher::Prefix),
        "path_exact" => node.parsed("path_exact", value::path).map(Matcher::Exact),
        _ => node.parsed("path_regex", value::regex).map(Matcher::Regex),
    }
}

fn action(node: &Node<'_>) -> Option<Action> {
    let key = only(node, &["files", "proxy", "redirect", "respond"])?.key;
    let table = node.table(key)?;
    match key {
        "files" => files(&table).map(Action::Files),
        "proxy" => proxy(&table).map(Action::Proxy),
        "redirect" => redirect(&table).map(Action::Redirect),
        _ => Some(Action::Respond(respond(&table))),
    }
}

fn files(node: &Node<'_>) -> Option<Files> {
    let codings = [("br", Precompressed::Br), ("gzip", Precompressed::Gzip), ("zstd", Precompressed::Zstd)];
    let symlinks = [("inside", Symlinks::Inside), ("follow", Symlinks::Follow), ("deny", Symlinks::Deny)];
    let plain = |list: Vec<Spanned<Precompressed>>| list.into_iter().map(|coding| coding.value).collect();
    let index = node.list("index", |leaf| leaf.parsed(file_name));
    Some(Files {
        strip_prefix: node.flag("strip_prefix"),
        index: index.into_iter().map(|name| name.value).collect(),
        precompressed: plain(node.list("precompressed", |leaf| leaf.choice(&codings))),
        cache_control: node.parsed("cache_control", value::header_value),
        fallback: node.parsed("fallback", value::path),
        listing: node.flag("listing"),
        hidden: node.flag("hidden"),
        symlinks: node.choice("symlinks", &symlinks, Symlinks::Inside),
        root: node.file("root")?,
    })
}

fn file_name(text: &str) -> Result<String, String> {
    if matches!(text, "" | "." | "..") || text.contains(['/', '\0']) {
        return Err(format!("{} is no file name", value::quote(text)));
    }
    Ok(text.to_owned())
}

fn proxy(node: &Node<'_>) -> Option<Proxy> {
    let strip_prefix = node.flag("strip_prefix");
    if strip_prefix && node.has("rewrite") {
        node.fault_at("rewrite", "`rewrite` says the whole path; `strip_prefix` does not go with it");
    }
    Some(Proxy {
        strip_prefix,
        rewrite: node.parsed("rewrite", value::path_template),
        host: node.parsed("host", value::host_header),
        read_ahead: node.number("read_ahead"),
        client_certificate_header: node.parsed("client_certificate_header", value::rule_header_name),
        upstream: node.text("upstream")?,
    })
}

fn redirect(node: &Node<'_>) -> Option<Redirect> {
    Some(Redirect { status: node.number("status"), to: node.parsed("to", location)? })
}

/// A `Location` (RFC 9110 §10.2.2), with `${path}` and `${query}`.
fn location(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{} is no place to redirect to: a URL or a path, without blanks", value::quote(text)));
    }
    match value::placeholders(text)?.into_iter().find(|name| !matches!(*name, "path" | "query")) {
        Some(name) => {
            Err(format!("unknown placeholder `${{{}}}`; there are `${{path}}` and `${{query}}`", value::shown(name)))
        }
        None => Ok(text.to_owned()),
    }
}

fn respond(node: &Node<'_>) -> Respond {
    let status = node.number("status");
    let body = node.text("body").map(|body| body.value).unwrap_or_default();
    // RFC 9110 §15.3.5, §15.3.6 and §15.4.5: these have no content.
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        node.fault_at("body", format!("an answer of status {status} has no body"));
    }
    let content_type = node.parsed("content_type", value::header_value);
    Respond { status, body, content_type: content_type.unwrap_or(Spanned::new(String::new(), node.span)) }
}

fn header_rules(node: &Node<'_>, host_is_proxys: bool) -> HeaderRules {
    let name = |name: &str| {
        let name = value::rule_header_name(name)?;
        if host_is_proxys && name.eq_ignore_ascii_case("host") {
            return Err("the `Host` that is sent is set by `proxy.host`".to_owned());
        }
        Ok(name)
    };
    let rule = |(field, leaf): (Spanned<String>, Leaf<'_>)| {
        let value = leaf.parsed(value::header_value);
        match name(&field.value) {
            Ok(name) => Some((Spanned::new(name, field.span), value?)),
            Err(message) => {
                node.walk.fault(Diagnostic::error(field.span, message));
                None
            }
        }
    };
    let rules = |key| {
        let members = node.written(key).map(Leaf::members).unwrap_or_default();
        let rules: Vec<(Spanned<String>, String)> = members.into_iter().filter_map(rule).collect();
        for (index, (field, _)) in rules.iter().enumerate() {
            if rules[..index].iter().any(|(earlier, _)| earlier.value.eq_ignore_ascii_case(&field.value)) {
                let message = format!("`{}` stands twice in `{}.{key}`", field.value, node.name);
                node.walk.fault(
                    Diagnostic::error(field.span, message).hint("the case of letters means nothing in a header name"),
                );
            }
        }
        rules
    };
    HeaderRules { set: rules("set"), add: rules("add"), remove: node.list("remove", |leaf| leaf.parsed(name)) }
}

/// What is said about paths must fit what the route matches.
fn check_paths(node: &Node<'_>, route: &Route) {
    let is_prefix = matches!(route.matcher, Matcher::Prefix(_));
    let strips = match &route.action {
        Action::Files(files) => files.strip_prefix,
        Action::Proxy(proxy) => proxy.strip_prefix,
        Action::Redirect(_) | Action::Respond(_) => false,
    };
    if strips && !is_prefix {
        let span = node.which(&["files", "proxy"]).first().map_or(node.span, |action| action.span);
        node.walk.fault(Diagnostic::error(span, "`strip_prefix` needs `path`: nothing else has a prefix"));
    }
    let Action::Proxy(Proxy { rewrite: Some(rewrite), .. }) = &route.action else { return };
    let groups = if let Matcher::Regex(pattern) = &route.matcher { value::groups(&pattern.value) } else { 0 };
    for name in value::placeholders(&rewrite.value).unwrap_or_default() {
        let message = match name.parse::<usize>() {
            Ok(number) if number <= groups => continue,
            Ok(number) => format!("`${{{number}}}` has no such group in a `path_regex` of this route"),
            Err(_) if name == "path" || (name == "path_rest" && is_prefix) => continue,
            Err(_) if name == "path_rest" => "`${path_rest}` needs `path`: nothing else has a prefix".to_owned(),
            Err(_) => format!(
                "unknown placeholder `${{{}}}`; there are `${{path}}`, `${{path_rest}}`, `${{1}}`",
                value::shown(name)
            ),
        };
        node.walk.fault(Diagnostic::error(rewrite.span, message));
    }
}
