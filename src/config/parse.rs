//! From texts to a [`Config`]: every fault of every file at once.

mod database;
mod listener;
mod pool;
mod site;
mod upstream;
mod vrrp;

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use toml::de::DeTable;

use super::check;
use super::key::Key;
use super::keys;
use super::model::{AccessLog, AccessLogFormat, AccessLogTarget, Admin, Config, Log, LogLevel, Process};
use super::node::{Leaf, Node, Walk};
use super::value;
use crate::diagnostic::{Diagnostic, Faults, FileId, SourceFile, Sources, Span, Spanned};
pub(super) use crate::reading::LARGEST_FILE;

/// Reads a config from texts; the first is the main file, the others are those that it includes.
pub fn parse(files: Vec<SourceFile>) -> Result<Config, Faults> {
    let (config, faults) = parse_all(files);
    match Faults::new(config.sources.clone(), faults) {
        Some(faults) => Err(faults),
        None => Ok(config),
    }
}

/// The entries of `include` in a main file; empty where the file cannot be read as TOML, which
/// [`parse`] then tells.
pub(super) fn include_patterns(main: &SourceFile) -> Vec<Spanned<String>> {
    let Ok(document) = DeTable::parse(&main.text) else { return Vec::new() };
    // Faults are noted by `parse`, which comes by here again.
    let faults = RefCell::default();
    let walk = Walk { file: FileId(0), folder: &main.folder, faults: &faults };
    let root = Node::new(&walk, String::new(), keys::MAIN, Some(document.get_ref()), Span::default());
    root.list("include", |leaf| leaf.text().map(str::to_owned))
}

pub(super) fn parse_all(files: Vec<SourceFile>) -> (Config, Vec<Diagnostic>) {
    let sources = Sources::new(files);
    let faults = RefCell::new(Vec::new());
    let mut config = empty();
    let mut whole = true;
    for (index, file) in sources.files().iter().enumerate() {
        let Ok(number) = u16::try_from(index) else {
            faults.borrow_mut().push(Diagnostic::anywhere(format!("more than {} files", u16::MAX)));
            break;
        };
        let walk = Walk { file: FileId(number), folder: &file.folder, faults: &faults };
        if file.text.len() > LARGEST_FILE {
            let message = format!("`{}` is larger than {} MiB", file.path.display(), LARGEST_FILE >> 20);
            walk.fault(Diagnostic::anywhere(message));
            continue;
        }
        let (document, errors) = DeTable::parse_recoverable(&file.text);
        if errors.is_empty() {
            let keys = if index == 0 { keys::MAIN } else { keys::INCLUDED };
            read_file(&walk, keys, document.get_ref(), &mut config);
        } else {
            whole = false;
            note_syntax_errors(&walk, &file.text, &errors);
        }
    }
    config.directory = sources.files().first().map(|main| main.folder.clone()).unwrap_or_default();
    config.sources = sources;
    let mut faults = faults.into_inner();
    // What a file that cannot be read defines is unknown; to call it undefined would mislead.
    if whole {
        check::check(&config, &mut faults);
    }
    (config, faults)
}

/// Notes the first error of each line: the others mostly follow from it.
fn note_syntax_errors(walk: &Walk<'_>, text: &str, errors: &[toml::de::Error]) {
    let mut lines = HashSet::new();
    for error in errors {
        let range = error.span().unwrap_or(0..0);
        let line = text.get(..range.start).and_then(|before| before.rfind('\n'));
        if lines.insert(line) {
            let message = error.message().trim_end_matches(", expected nothing").replace('\n', " ");
            walk.fault(Diagnostic::error(walk.span(range), message));
        }
    }
}

/// What holds where no file says anything.
fn empty() -> Config {
    let faults = RefCell::default();
    let walk = Walk { file: FileId(0), folder: "".as_ref(), faults: &faults };
    let root = Node::new(&walk, String::new(), keys::MAIN, None, Span::default());
    Config {
        sources: Sources::default(),
        directory: PathBuf::new(),
        include_folders: Vec::new(),
        process: process(&root.table_or_default("process")),
        admin: admin(&root.table_or_default("admin")),
        log: log(&root.table_or_default("log")),
        listeners: Vec::new(),
        sites: Vec::new(),
        upstreams: Vec::new(),
        vrrp: Vec::new(),
        error_pages: Vec::new(),
    }
}

fn read_file(walk: &Walk<'_>, keys: &'static [Key], document: &DeTable<'_>, config: &mut Config) {
    let root = Node::new(walk, String::new(), keys, Some(document), walk.span(0..0));
    if walk.file == FileId(0) {
        config.include_folders = include_folders(&root);
        config.process = process(&root.table_or_default("process"));
        config.admin = admin(&root.table_or_default("admin"));
        config.log = log(&root.table_or_default("log"));
        config.listeners = root.named("listener").iter().map(|(name, node)| listener::listener(name, node)).collect();
        config.vrrp = root.named("vrrp").iter().filter_map(|(name, node)| vrrp::vrrp(name, node)).collect();
        config.error_pages = error_pages(&root);
    }
    config.sites.extend(root.tables("site").iter().map(site::site));
    config.upstreams.extend(root.named("upstream").iter().map(|(name, node)| upstream::upstream(name, node)));
}

/// The folders that an `include` with `*` or `?` looks into, down to its first such name.
fn include_folders(root: &Node<'_>) -> Vec<PathBuf> {
    let folder = |pattern: Spanned<String>| {
        let (fixed, _) = pattern.value.split_once(['*', '?'])?;
        Some(root.walk.folder.join(fixed.rsplit_once('/').map_or("", |(folder, _)| folder)))
    };
    let patterns = root.list("include", |leaf| leaf.text().map(str::to_owned));
    let mut folders: Vec<PathBuf> = patterns.into_iter().filter_map(folder).collect();
    folders.dedup();
    folders
}

fn process(node: &Node<'_>) -> Process {
    Process {
        workers: node.number("workers"),
        user: node.text("user"),
        connections: node.number("connections"),
        exchanges: node.number("exchanges"),
        lag: node.duration("lag"),
        handover_grace: node.duration("handover_grace"),
        shutdown_grace: node.duration("shutdown_grace"),
        state: node.file("state").map_or_else(PathBuf::new, |folder| folder.value),
    }
}

fn admin(node: &Node<'_>) -> Admin {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Admin { bind: node.parsed("bind", value::socket_address).unwrap_or(Spanned::new(nowhere, node.span)) }
}

fn log(node: &Node<'_>) -> Log {
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    Log { level: node.choice("level", &levels, LogLevel::Info), access: access_log(&node.table_or_default("access")) }
}

fn access_log(node: &Node<'_>) -> AccessLog {
    let formats =
        [("json", AccessLogFormat::Json), ("combined", AccessLogFormat::Combined), ("off", AccessLogFormat::Off)];
    let to = node.read("to", |leaf| match leaf.text()? {
        "stdout" => Some(AccessLogTarget::Stdout),
        _ => Some(AccessLogTarget::File(Spanned::new(leaf.path()?, leaf.span))),
    });
    AccessLog {
        to: to.map_or(AccessLogTarget::Stdout, |to| to.value),
        format: node.choice("format", &formats, AccessLogFormat::Json),
    }
}

/// The pages by status of `error_pages`, in file order.
fn error_pages(node: &Node<'_>) -> Vec<(u16, Spanned<PathBuf>)> {
    let Some(pages) = node.written("error_pages") else { return Vec::new() };
    let page = |(status, leaf): (Spanned<String>, Leaf<'_>)| {
        let Some(number) = status.value.parse().ok().filter(|number| (400..=599).contains(number)) else {
            let message = format!("{} is no status that has an error page: 400 to 599", value::quote(&status.value));
            node.walk.fault(Diagnostic::error(status.span, message));
            return None;
        };
        Some((number, Spanned::new(leaf.path()?, leaf.span)))
    };
    pages.members().into_iter().filter_map(page).collect()
}

/// Notes a name that cannot stand in metrics and logs.
fn check_name(node: &Node<'_>, name: &Spanned<String>) {
    if let Err(message) = value::name(&name.value) {
        node.walk.fault(Diagnostic::error(name.span, message));
    }
}
