//! The task that asks for names on the control thread: clock and resolver, no decisions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::Addresses;
use super::table::{Answer, Output, Table};

/// The names that run, kept resolved by a task of their own. Dropping it ends the task.
#[derive(Debug)]
pub struct Names {
    orders: mpsc::Sender<Order>,
    addresses: watch::Receiver<Arc<Addresses>>,
}

/// Why names cannot be looked up at all.
#[derive(Debug, thiserror::Error)]
#[error("no resolver for names")]
pub struct NamesError(#[source] NetError);

/// Follow these names, and say when a first lookup of each has ended.
struct Order {
    names: Vec<Arc<str>>,
    settled: oneshot::Sender<()>,
}

impl Names {
    /// What [`Self::system`] reads at each [`Self::follow`].
    pub const SYSTEM_FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

    /// Asks as the system is configured: /etc/hosts first, then the name servers and search domains
    /// of /etc/resolv.conf, both as they are at the last [`Self::follow`]. Without a readable
    /// resolv.conf only /etc/hosts answers. What is `known` from before holds until it is answered anew.
    /// To be called on the control thread's runtime.
    ///
    /// # Errors
    ///
    /// Where the resolver cannot be built.
    pub fn system(known: Addresses) -> Result<Self, NamesError> {
        Self::with(system_resolver, known)
    }

    /// Asks the resolver that `build` makes, a new one for each [`Self::follow`].
    ///
    /// # Errors
    ///
    /// Those of the first `build`.
    pub fn with(
        build: impl Fn() -> Result<TokioResolver, NamesError> + Send + 'static,
        known: Addresses,
    ) -> Result<Self, NamesError> {
        let (orders, order_queue) = mpsc::channel(4);
        let (publish, addresses) = watch::channel(Arc::default());
        tokio::spawn(run(build()?, build, known, order_queue, publish));
        Ok(Self { orders, addresses })
    }

    /// Follows these names and no others, each of them asked for anew; returns when a first lookup of
    /// each has ended, well or not, and after `wait` at the latest. Names that were followed before
    /// keep their addresses until their answer comes.
    pub async fn follow(&self, names: impl IntoIterator<Item = Arc<str>>, wait: Duration) {
        let (settled, is_settled) = oneshot::channel();
        let order = Order { names: names.into_iter().collect(), settled };
        let follow = async {
            if self.orders.send(order).await.is_ok() {
                // An error means that a newer order came; it waits for itself.
                let _ = is_settled.await;
            }
        };
        // Too late is as good as settled: what has no answer yet is an unresolved name.
        let _ = timeout(wait, follow).await;
    }

    /// The addresses of now.
    #[must_use]
    pub fn addresses(&self) -> Arc<Addresses> {
        Arc::clone(&self.addresses.borrow())
    }

    /// Tells when any name's addresses changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Addresses>> {
        self.addresses.clone()
    }
}

fn system_resolver() -> Result<TokioResolver, NamesError> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
        tracing::warn!(%error, "resolv.conf cannot be used, names are looked up in /etc/hosts only");
        TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(Vec::new()),
            TokioRuntimeProvider::default(),
        )
    });
    let options = builder.options_mut();
    // IPv6 only where there is no IPv4, so that a server with both counts once.
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // The table keeps the answers.
    options.cache_size = 0;
    builder.build().map_err(NamesError)
}

async fn run(
    mut resolver: TokioResolver,
    build: impl Fn() -> Result<TokioResolver, NamesError>,
    known: Addresses,
    mut orders: mpsc::Receiver<Order>,
    publish: watch::Sender<Arc<Addresses>>,
) {
    let mut table = Table::default();
    table.recall(Instant::now().into_std(), &known);
    let mut lookups = JoinSet::new();
    let mut asked = HashMap::new();
    let mut waiting: Option<oneshot::Sender<()>> = None;
    loop {
        while let Some(output) = table.poll_output() {
            match output {
                Output::Resolve(name) => {
                    let lookup = lookups.spawn(look_up(resolver.clone(), Arc::clone(&name)));
                    asked.insert(lookup.id(), name);
                }
                Output::Changed => {
                    publish.send_replace(Arc::new(table.addresses()));
                }
                said => say(&said),
            }
        }
        if table.is_settled()
            && let Some(settled) = waiting.take()
        {
            // Nobody may wait any more.
            let _ = settled.send(());
        }
        tokio::select! {
            order = orders.recv() => {
                let Some(order) = order else {
                    return;
                };
                match build() {
                    Ok(built) => resolver = built,
                    Err(error) => tracing::warn!(%error, "names are looked up as before"),
                }
                table.follow(Instant::now().into_std(), order.names);
                waiting = Some(order.settled);
                // What is not followed any more goes in silence: no server has that name.
                publish.send_if_modified(|addresses| {
                    *addresses = Arc::new(table.addresses());
                    false
                });
            }
            Some(lookup) = lookups.join_next_with_id() => {
                let (id, answer) = match lookup {
                    Ok(done) => done,
                    Err(error) => (error.id(), Answer::Failed(error.to_string())),
                };
                if let Some(name) = asked.remove(&id) {
                    table.handle(Instant::now().into_std(), &name, answer);
                }
            }
            () = sleep_until(table.poll_timeout().map_or_else(Instant::now, Into::into)),
                if table.poll_timeout().is_some() =>
            {
                table.handle_timeout(Instant::now().into_std());
            }
        }
    }
}

async fn look_up(resolver: TokioResolver, name: Arc<str>) -> Answer {
    // Over all name servers, search domains and repeats.
    const MOST: Duration = Duration::from_secs(10);
    match timeout(MOST, resolver.lookup_ip(&*name)).await {
        Ok(Ok(found)) => Answer::Found {
            addresses: found.iter().collect(),
            ttl: found.valid_until().saturating_duration_since(Instant::now().into_std()),
        },
        Ok(Err(error)) => Answer::Failed(error.to_string()),
        Err(_) => Answer::Failed(format!("timed out after {MOST:?}")),
    }
}

fn say(output: &Output) {
    match output {
        Output::Failing { name, reason, kept: false } => tracing::warn!(%name, %reason, "name does not resolve"),
        Output::Failing { name, reason, kept: true } => {
            tracing::warn!(%name, %reason, "name does not resolve any more, its last addresses are kept");
        }
        Output::Recovered(name) => tracing::info!(%name, "name resolves again"),
        Output::Dropped(name) => tracing::warn!(%name, "name has not resolved for long, its addresses are dropped"),
        Output::Resolve(_) | Output::Changed => {}
    }
}
