//! From [`Config`] to [`Snapshot`]: the only translator.

use std::sync::Arc;
use std::time::Instant;

use super::certificates::Certificates;
use super::lasting::Numbered;
use super::upstreams::{Upstreams, upstream};
use super::{Capacity, Lasting, Listener, Names, Route, ServerField, Serves, Site, Snapshot, Tcp, Udp, Via};
use crate::codec::h1::HeadLimits;
use crate::config::{self, Action, Config, HostPattern, Matcher, Mode, VrrpVersion};
use crate::diagnostic::{Causes, Diagnostic, Faults, Severity, Spanned};
use crate::handler::error_page::{ErrorPage, ErrorPages};
use crate::handler::fixed::Fixed;
use crate::handler::proxy::Proxy;
use crate::handler::redirect::Redirect;
use crate::handler::rewrite::{PathTemplate, Rewrite};
use crate::handler::{Handler, static_files};
use crate::head::FieldLine;
use crate::limits::{Networks, Rate, SourceLimits};
use crate::message::HeaderRules;
use crate::reading::Reading;
use crate::router::{Router, SiteRoutes};
use crate::upstream::discovery::Addresses;

/// Makes objects of what was written. Files that the config names are read here, by `reading`: certificates,
/// CAs, error pages; the folders of sites are opened. `previous` is what runs: what did not change is taken over.
///
/// # Errors
/// Every fault at once; `previous` runs on.
pub fn compile(
    config: &Config,
    lasting: &Lasting,
    addresses: &Addresses,
    previous: Option<&Snapshot>,
    reading: &Reading,
    now: Instant,
) -> Result<Snapshot, Faults> {
    let mut compiler = Compiler {
        config,
        lasting,
        certificates: Certificates::new(reading, &lasting.known),
        reading,
        faults: Vec::new(),
    };
    let upstreams: Vec<Arc<_>> = config
        .upstreams
        .iter()
        .map(|written| {
            Arc::new(upstream(written, config, lasting, addresses, &mut compiler.certificates, previous, now))
        })
        .collect();
    let by_name = upstreams.iter().map(|upstream| (upstream.name.to_string(), Arc::clone(upstream))).collect();
    let sites: Vec<CompiledSite> = config.sites.iter().map(|site| compiler.site(site, &by_name)).collect();
    let mut listeners: Vec<Listener> = config
        .listeners
        .iter()
        .filter_map(|listener| compiler.listener(listener, &sites, &by_name, previous))
        .collect();
    listeners.sort_unstable_by_key(|listener| listener.id);
    let capacity = compiler.capacity();
    let error_pages = compiler.pages(&config.error_pages);
    let Compiler { certificates, mut faults, .. } = compiler;
    let (certificate_faults, mut warnings) = certificates.into_parts();
    warnings.extend(config.vrrp.iter().filter_map(idle_pass));
    faults.extend(certificate_faults);
    match Faults::new(config.sources.clone(), faults) {
        Some(faults) => Err(faults),
        None => Ok(Snapshot {
            generation: previous.map_or(lasting.generation, |snapshot| snapshot.generation) + 1,
            listeners,
            tells_addresses: upstreams.iter().any(|upstream| upstream.proxy_header.is_some()),
            upstreams,
            warnings,
            error_pages,
            capacity,
        }),
    }
}

/// A password that would be believed to do something.
fn idle_pass(vrrp: &config::Vrrp) -> Option<Diagnostic> {
    let VrrpVersion::V3 { idle_pass: Some(written), .. } = &vrrp.version else { return None };
    let message = "`auth_pass` does nothing with `version = 3`, which has no passwords";
    let warning = Diagnostic { severity: Severity::Warning, ..Diagnostic::error(written.span, message) };
    Some(warning.hint("`auth_hmac` proves a secret in both versions"))
}

struct Compiler<'c> {
    config: &'c Config,
    lasting: &'c Lasting,
    certificates: Certificates<'c>,
    reading: &'c Reading,
    faults: Vec<Diagnostic>,
}

/// A site before it is on any listener.
struct CompiledSite {
    name: Arc<str>,
    hosts: Vec<String>,
    matchers: SiteRoutes,
    routes: Arc<Vec<Route>>,
    error_pages: Arc<ErrorPages>,
}

/// Files for listening, names, logs, pages and certificates.
const RESERVED_FILES: u32 = 256;

/// Flows of all udp listeners have at most one file in so many.
const FILES_PER_FLOW: usize = 4;

impl Compiler<'_> {
    /// How many connections all listeners may have.
    fn connection_limit(&self) -> u32 {
        let udp = self.config.listeners.iter().filter(|listener| listener.mode.value == Mode::Udp);
        let flows: usize = udp.map(|listener| self.flows(listener)).sum();
        let files = self.lasting.files - u32::try_from(flows).unwrap_or(0).min(self.lasting.files);
        match self.config.process.connections {
            0 => ((files - RESERVED_FILES.min(files / 2)) / 2).max(1),
            limit => limit,
        }
    }

    /// What each thread may take on.
    fn capacity(&self) -> Capacity {
        let exchanges = match self.config.process.exchanges {
            0 => self.connection_limit(),
            limit => limit,
        };
        let threads = u32::try_from(self.lasting.threads).unwrap_or(u32::MAX).max(1);
        Capacity { exchanges: exchanges.div_ceil(threads), lag: self.config.process.lag }
    }

    fn listener(
        &mut self,
        written: &config::Listener,
        sites: &[CompiledSite],
        upstreams: &Upstreams,
        previous: Option<&Snapshot>,
    ) -> Option<Listener> {
        let name: Arc<str> = written.name.value.as_str().into();
        let Numbered { id, connections, sources } = self.lasting.listener(&name, written.mode.value);
        let serves = self.serves(written, upstreams)?;
        let tls = match &written.tls {
            None => None,
            Some(tls) => {
                let before = previous.and_then(|snapshot| snapshot.listener(id));
                // Its faults are told; a listener without its TLS must not come about.
                Some(self.certificates.listener(tls, written.protocols.value, &self.lasting.tickets, before)?)
            }
        };
        let (matchers, sites) = self.sites_of(written, sites);
        let router = match Router::new(&matchers, self.lasting.threads) {
            Ok(router) => router,
            Err(fault) => {
                self.faults.push(Diagnostic::error(written.name.span, fault.to_string()));
                return None;
            }
        };
        Some(Listener {
            id,
            binds: written.bind.iter().map(|bind| bind.value).collect(),
            serves,
            access: networks(&written.access),
            source_limits: source_limits(&written.limits.source),
            sources,
            protocols: written.protocols.value,
            tls,
            proxy_protocol: written.proxy_protocol,
            trusted_proxies: written.trusted_proxies.clone(),
            timeouts: written.timeouts,
            head_limits: HeadLimits {
                head: written.limits.head,
                fields: written.limits.headers,
                target: written.limits.uri,
            },
            body_limit: written.limits.body,
            stream_limit: written.limits.streams,
            control_frame_limit: written.limits.control_frames,
            connection_limit: written.limits.connections,
            connections,
            process_limit: self.connection_limit(),
            process_connections: Arc::clone(&self.lasting.connections),
            body_rate: written.limits.body_rate,
            send_rate: written.limits.send_rate,
            handshake_limit: written.limits.handshakes,
            redirect_to_https: written.redirect_to_https.as_ref().map(|port| port.value),
            server_field: match &written.server_header {
                config::ServerHeader::Pass => ServerField::Pass,
                config::ServerHeader::Remove => ServerField::Remove,
                config::ServerHeader::Text(text) => ServerField::Text(FieldLine::new(b"Server", text.value.as_bytes())),
            },
            request_id_field: written.request_id.as_ref().map(|name| name.value.clone().into_bytes()),
            via: match &written.via {
                config::Via::Off => None,
                config::Via::Plain => Some(Via::new("haechi", false)),
                config::Via::Named(name) => Some(Via::new(name, true)),
            },
            router,
            sites,
            cells: self.lasting.cells.listener(&name),
            name,
        })
    }

    /// What a listener serves; a fault of it is told.
    fn serves(&mut self, written: &config::Listener, upstreams: &Upstreams) -> Option<Serves> {
        // The config's own check has told of a name that is missing or not there.
        let named = |name: &Spanned<String>| upstreams.get(&name.value).cloned();
        match written.mode.value {
            Mode::Http => Some(Serves::Http),
            Mode::Tcp => {
                let names: Vec<_> = written
                    .sni
                    .iter()
                    .filter_map(|(host, name)| Some((host_text(&host.value), named(name)?)))
                    .collect();
                Some(Serves::Tcp(Tcp {
                    upstream: written.upstream.as_ref().and_then(named),
                    names: (!names.is_empty()).then(|| Arc::new(Names::new(names))),
                }))
            }
            Mode::Udp => {
                let flows = self.flows(written);
                let sockets = written.bind.len().max(1) * self.lasting.threads.max(1);
                let (flows_of_socket, idle) = (flows.div_ceil(sockets), written.timeouts.idle);
                let upstream = written.upstream.as_ref().and_then(named)?;
                Some(Serves::Udp(Udp { upstream, flows, flows_of_socket, idle }))
            }
        }
    }

    /// How many flows of a udp listener there may be at once. Each has a file: who sends datagrams must not
    /// take those away from connections, whoever it says it is.
    fn flows(&self, written: &config::Listener) -> usize {
        let listeners = self.config.listeners.iter().filter(|listener| listener.mode.value == Mode::Udp).count();
        let most = usize::try_from(self.lasting.files).unwrap_or(usize::MAX) / FILES_PER_FLOW / listeners.max(1);
        written.limits.flows.min(most).max(1)
    }

    fn sites_of(&self, written: &config::Listener, sites: &[CompiledSite]) -> (Vec<SiteRoutes>, Vec<Site>) {
        let on_this = |site: &config::Site| match &site.listeners {
            Some(names) => names.iter().any(|name| name.value == written.name.value),
            None => written.mode.value == Mode::Http && written.redirect_to_https.is_none(),
        };
        let mut matchers = Vec::new();
        let mut found = Vec::new();
        for (_, site) in self.config.sites.iter().zip(sites).filter(|(written, _)| on_this(written)) {
            matchers.push(SiteRoutes { hosts: site.hosts.clone(), ..site.matchers.clone() });
            found.push(Site {
                name: Arc::clone(&site.name),
                routes: Arc::clone(&site.routes),
                error_pages: Arc::clone(&site.error_pages),
                cells: self.lasting.cells.site(&written.name.value, &site.name),
            });
        }
        (matchers, found)
    }

    fn site(&mut self, written: &config::Site, upstreams: &Upstreams) -> CompiledSite {
        let hosts: Vec<String> = written.hosts.iter().map(|host| host_text(&host.value)).collect();
        let mut matchers = SiteRoutes::default();
        let mut routes = Vec::new();
        for route in &written.routes {
            let number = routes.len();
            match &route.matcher {
                Matcher::Exact(path) => matchers.exact.push((path.value.clone(), number)),
                Matcher::Prefix(path) => matchers.prefixes.push((path.value.clone(), number)),
                Matcher::Regex(regex) => matchers.regexes.push((regex.value.clone(), number)),
            }
            let Some(handler) = self.handler(route, upstreams) else { continue };
            routes.push(Route {
                handler,
                body_limit: route.limits.body.unwrap_or(u64::MAX),
                access: networks(&route.access),
                request_rules: self.rules(&route.request_headers, route),
                response_rules: self.rules(&route.response_headers, route),
            });
        }
        CompiledSite {
            name: hosts.first().map_or("", String::as_str).into(),
            hosts,
            matchers,
            routes: Arc::new(routes),
            error_pages: Arc::new(self.pages(&written.error_pages)),
        }
    }

    /// The handler of a route; its faults are told.
    fn handler(&mut self, route: &config::Route, upstreams: &Upstreams) -> Option<Handler> {
        match &route.action {
            Action::Files(files) => {
                let strip_prefix = files.strip_prefix.then(|| match &route.matcher {
                    Matcher::Prefix(path) | Matcher::Exact(path) => path.value.clone().into_bytes(),
                    Matcher::Regex(_) => Vec::new(),
                });
                let opened = static_files::Root::open(files_spec(files, strip_prefix));
                opened.map_err(|fault| self.faults.push(root_fault(&fault, files.root.span))).ok().map(Handler::Files)
            }
            Action::Proxy(proxy) => {
                let rewrite = match &proxy.rewrite {
                    Some(template) => Rewrite::Template(self.told(PathTemplate::new(&template.value), template.span)?),
                    None if proxy.strip_prefix => Rewrite::StripPrefix,
                    None => Rewrite::Keep,
                };
                Some(Handler::Proxy(Proxy {
                    // The config's own check has told of a name that is not there.
                    upstream: Arc::clone(upstreams.get(&proxy.upstream.value)?),
                    rewrite,
                    host: proxy.host.as_ref().map(|host| host.value.clone().into_bytes()),
                    read_ahead: proxy.read_ahead,
                    subject_field: proxy.client_certificate_header.as_ref().map(|name| name.value.clone().into_bytes()),
                }))
            }
            Action::Redirect(redirect) => {
                let made = Redirect::new(&redirect.to.value, redirect.status);
                self.told(made, redirect.to.span).map(Handler::Redirect)
            }
            Action::Respond(respond) => Some(Handler::Respond(Fixed {
                status: respond.status,
                content_type: respond.content_type.value.clone().into_bytes(),
                body: respond.body.clone().into(),
            })),
        }
    }

    fn rules(&mut self, written: &config::HeaderRules, route: &config::Route) -> HeaderRules {
        let pairs = |list: &[(Spanned<String>, String)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect()
        };
        let removed: Vec<String> = written.remove.iter().map(|name| name.value.clone()).collect();
        let made = HeaderRules::new(&pairs(&written.set), &pairs(&written.add), &removed);
        self.told(made, route.span).unwrap_or_default()
    }

    fn pages(&mut self, written: &[(u16, Spanned<std::path::PathBuf>)]) -> ErrorPages {
        let mut pages = ErrorPages::default();
        for (status, path) in written {
            if let Some(page) = self.told(ErrorPage::load(&path.value, self.reading), path.span) {
                pages.push(*status, page);
            }
        }
        pages
    }

    fn told<T, E: std::error::Error>(&mut self, made: Result<T, E>, span: crate::diagnostic::Span) -> Option<T> {
        made.map_err(|fault| self.faults.push(Diagnostic::error(span, Causes(&fault).to_string()))).ok()
    }
}

/// Of the files that a config names only these are opened by whoever serves.
fn root_fault(fault: &static_files::OpenFault, span: crate::diagnostic::Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(span, Causes(fault).to_string());
    match fault {
        static_files::OpenFault::Folder { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            diagnostic.hint(format!(
                "the worker runs as user {user}, who must be able to read the folder and to reach it through those above"
            ))
        }
        _ => diagnostic,
    }
}

fn networks(written: &config::Access) -> Networks {
    Networks::new(&written.allow, &written.deny)
}

fn source_limits(written: &config::SourceLimits) -> SourceLimits {
    let rate = |rate: config::SourceRate| Rate::new(rate.count, rate.period, rate.burst.unwrap_or(rate.count));
    SourceLimits {
        connections: written.connections,
        connection_rate: written.connection_rate.map(rate),
        request_rate: written.request_rate.map(rate),
        prefix_v4: written.prefix,
        prefix_v6: written.prefix_v6,
        sources: written.remembered,
    }
}

fn host_text(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(name) => format!("*.{name}"),
        HostPattern::Any => "*".to_owned(),
    }
}

fn files_spec(files: &config::Files, strip_prefix: Option<Vec<u8>>) -> static_files::Spec {
    use static_files::{Coding, Symlinks};
    static_files::Spec {
        root: files.root.value.clone(),
        strip_prefix,
        index: files.index.clone(),
        precompressed: files
            .precompressed
            .iter()
            .map(|coding| match coding {
                config::Precompressed::Br => Coding::Brotli,
                config::Precompressed::Gzip => Coding::Gzip,
                config::Precompressed::Zstd => Coding::Zstd,
            })
            .collect(),
        cache_control: files.cache_control.as_ref().map(|value| value.value.clone()),
        fallback: files.fallback.as_ref().map(|path| path.value.clone()),
        listing: files.listing,
        hidden: files.hidden,
        symlinks: match files.symlinks {
            config::Symlinks::Inside => Symlinks::Inside,
            config::Symlinks::Follow => Symlinks::Follow,
            config::Symlinks::Deny => Symlinks::Deny,
        },
    }
}
