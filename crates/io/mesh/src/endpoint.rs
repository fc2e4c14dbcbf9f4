//! A member's end of all its links.

use crate::{
    datagrams::{Datagrams, Unsent},
    identity::{Identity, IdentityError},
    join::JoinAuthority,
    peers::Peers,
    reset::ResetKey,
    server::{self, Service, peer_of},
    tls::{Certified, Refusal, Refusals, client_config, server_config, server_name},
    wire::{Priority, RpcError, ServiceId, call},
};
use bytes::Bytes;
use domain::{MemberId, limits};
use parking_lot::{Mutex, RwLock};
use quinn::{
    IdleTimeout, TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, io,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::AbortHandle};

/// Requests on one connection at a time; more wait at the sender.
const STREAMS: u32 = 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(1);
pub(crate) const IDLE: Duration = Duration::from_secs(4);
const HANDSHAKE: Duration = Duration::from_secs(3);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// A city that is whole again shall not wait long for its links; one packet a second is cheap.
const BACKOFF_LAST: Duration = Duration::from_secs(1);
/// What a round trip is taken for before it is known: a lost first packet is sent again after three
/// of these. Between cities of one country it is less.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// The older member dials a little later, so that two rarely dial each other at once.
const POLITENESS: Duration = Duration::from_millis(300);

/// The endpoint cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The UDP socket cannot be bound.
    #[error("mesh address {address} (UDP) cannot be bound; is another process there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS of the mesh cannot be set up: {0}")]
    Tls(String),
    /// Identity files.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The renewal's request failed.
    #[error("the certificate was not renewed")]
    Rpc(#[from] RpcError),
    /// The CA certified somebody else.
    #[error("the new certificate names {found}, not this member")]
    WrongIdentity {
        /// Whom.
        found: MemberId,
    },
}

/// How an endpoint is opened.
pub struct EndpointConfig {
    /// Where to listen (UDP); port 0 picks one.
    pub bind: SocketAddr,
    /// Who this is.
    pub identity: Identity,
    /// Ends the links of this member's last process.
    pub reset: ResetKey,
    /// Lets others join; only the holder of the CA has one.
    pub authority: Option<Arc<dyn JoinAuthority>>,
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("bind", &self.bind)
            .field("identity", &self.identity)
            .field("authority", &self.authority.is_some())
            .finish()
    }
}

pub(crate) struct Inner {
    pub(crate) quinn: quinn::Endpoint,
    pub(crate) me: MemberId,
    pub(crate) mesh_id: String,
    pub(crate) peers: Peers,
    pub(crate) services: RwLock<HashMap<u16, Arc<dyn Service>>>,
    pub(crate) datagrams: Datagrams,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) certified: Arc<Certified>,
    pub(crate) authority: Option<Arc<dyn JoinAuthority>>,
    client: quinn::ClientConfig,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// Closes everything when the last handle goes.
struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A member's end of all its links. Clones share it; the links close when the last one goes.
#[derive(Clone)]
pub struct Endpoint {
    handle: Arc<Handle>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("member", &self.inner().me)
            .finish_non_exhaustive()
    }
}

pub(crate) fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE).expect("seconds fit")))
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(limits::MESH_DATAGRAM_QUEUE))
        .datagram_send_buffer_size(limits::MESH_DATAGRAM_QUEUE)
        .stream_receive_window(VarInt::from_u32(4 << 20))
        .receive_window(VarInt::from_u32(32 << 20))
        .send_window(32 << 20);
    Arc::new(transport)
}

impl Endpoint {
    /// Binds the socket and begins to listen. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`MeshError::Bind`], [`MeshError::Tls`], [`MeshError::Identity`].
    pub fn bind(config: EndpointConfig) -> Result<Self, MeshError> {
        let EndpointConfig {
            bind,
            identity,
            reset,
            authority,
        } = config;
        let tls = |e: &dyn fmt::Display| MeshError::Tls(e.to_string());
        let refusals = Arc::new(Refusals::default());
        let certified = Arc::new(Certified::new(&identity)?);
        let server = server_config(&identity, &certified, &refusals).map_err(|e| tls(&e))?;
        let server = QuicServerConfig::try_from(server).map_err(|e| tls(&e))?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(transport());
        let client = client_config(&identity, &certified, &refusals).map_err(|e| tls(&e))?;
        let client = QuicClientConfig::try_from(client).map_err(|e| tls(&e))?;
        let mut client = quinn::ClientConfig::new(Arc::new(client));
        client.transport_config(transport());
        let failed = |source| MeshError::Bind {
            address: bind,
            source,
        };
        let socket = UdpSocket::bind(bind).map_err(failed)?;
        let reset = reset.endpoint_config();
        let quinn = quinn::Endpoint::new(reset, Some(server), socket, Arc::new(TokioRuntime))
            .map_err(failed)?;
        let inner = Arc::new(Inner {
            quinn,
            me: identity.member,
            mesh_id: identity.mesh_id,
            peers: Peers::new(),
            services: RwLock::default(),
            datagrams: Datagrams::default(),
            refusals,
            certified,
            authority,
            client,
            tasks: Mutex::default(),
        });
        inner.spawn(server::accept(Arc::clone(&inner)));
        Ok(Self {
            handle: Arc::new(Handle(inner)),
        })
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.handle.0
    }

    /// This member.
    pub fn member(&self) -> MemberId {
        self.inner().me
    }

    /// The mesh it belongs to.
    pub fn mesh_id(&self) -> &str {
        &self.inner().mesh_id
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.inner().quinn.local_addr()
    }

    /// Answers requests for `service` with `handler`, in place of any earlier one.
    pub fn serve(&self, service: ServiceId, handler: impl Service) {
        self.inner()
            .services
            .write()
            .insert(service.number, Arc::new(handler));
    }

    /// Hands datagrams of peers to `taker`, in place of any earlier one. It is called for each, in the
    /// order of their coming on one link, and must not wait.
    pub fn take_datagrams(&self, taker: impl Fn(MemberId, Bytes) + Send + Sync + 'static) {
        self.inner().datagrams.set_taker(Arc::new(taker));
    }

    /// Sends a datagram to `peer`: at most once, in any order, and without waiting. Where a link does not
    /// keep up, the oldest that wait are dropped.
    ///
    /// # Errors
    /// [`Unsent`]; it did not leave.
    pub fn send_datagram(&self, peer: MemberId, datagram: Bytes) -> Result<(), Unsent> {
        let link = self.inner().peers.live(peer);
        let sent = match link {
            _ if datagram.len() > limits::MESH_DATAGRAM_BYTES => Err(Unsent::TooLarge),
            None => Err(Unsent::NotConnected),
            Some(link) => link.send_datagram(datagram).map_err(Unsent::from),
        };
        self.inner().datagrams.count(sent)
    }

    /// Where peers are dialed, in place of all that was said before. Peers that are not named are
    /// not dialed any more; links that are up stay. This member itself is left out.
    pub fn set_addresses(&self, addresses: &BTreeMap<MemberId, SocketAddr>) {
        let inner = self.inner();
        for known in inner.peers.known() {
            if !addresses.contains_key(&known) {
                inner.set_address(known, None);
            }
        }
        for (peer, address) in addresses {
            inner.set_address(*peer, Some(*address));
        }
    }

    /// Where one peer is dialed.
    pub fn set_address(&self, peer: MemberId, address: SocketAddr) {
        self.inner().set_address(peer, Some(address));
    }

    /// The members taken out of the mesh, all of them: their certificates are refused from now
    /// on and their links closed.
    pub fn set_removed(&self, members: &BTreeSet<MemberId>) {
        self.inner().refuse(Refusal::Removed, members);
    }

    /// Cuts the links to these members, and only these, until called again: a partition made on
    /// purpose.
    pub fn set_cut(&self, members: &BTreeSet<MemberId>) {
        self.inner().refuse(Refusal::Cut, members);
    }

    /// Asks `peer`'s `service` and waits up to `deadline` for its answer.
    ///
    /// # Errors
    /// [`RpcError`]; [`RpcError::surely_not_done`] tells whether it may be sent again.
    pub async fn rpc(
        &self,
        peer: MemberId,
        service: ServiceId,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, RpcError> {
        self.inner()
            .rpc(peer, service, payload, deadline, Priority::Normal)
            .await
    }

    /// [`Endpoint::rpc`] with a priority among the link's requests.
    ///
    /// # Errors
    /// As [`Endpoint::rpc`].
    pub async fn rpc_with(
        &self,
        peer: MemberId,
        service: ServiceId,
        payload: Bytes,
        deadline: Duration,
        priority: Priority,
    ) -> Result<Bytes, RpcError> {
        self.inner()
            .rpc(peer, service, payload, deadline, priority)
            .await
    }

    /// Whether there is a link to `peer` now. A cut is noticed within 4 s.
    pub fn is_connected(&self, peer: MemberId) -> bool {
        self.inner().peers.live(peer).is_some()
    }

    /// All peers that there is a link to, as it changes.
    pub fn watch_connected(&self) -> watch::Receiver<BTreeSet<MemberId>> {
        self.inner().peers.watch()
    }

    /// Waits until there is a link to `peer`.
    pub async fn connected(&self, peer: MemberId) {
        let mut connected = self.inner().peers.watch();
        // The sender lives as long as this endpoint.
        drop(connected.wait_for(|peers| peers.contains(&peer)).await);
    }

    /// The link's round-trip time as QUIC measures it; `None` without a link.
    pub fn rtt(&self, peer: MemberId) -> Option<Duration> {
        self.inner().peers.live(peer).map(|c| c.rtt())
    }

    /// Where the peer's packets come from; `None` without a link.
    pub fn peer_address(&self, peer: MemberId) -> Option<SocketAddr> {
        self.inner().peers.live(peer).map(|c| c.remote_address())
    }

    /// Gets a certificate for a new key from `authority` (the coordinator; may be this member),
    /// saves both in `dir` and uses them for new connections. Links that are up stay.
    ///
    /// # Errors
    /// [`MeshError`]; the old certificate stays in use.
    pub async fn renew(
        &self,
        authority: MemberId,
        dir: &Path,
        deadline: Duration,
    ) -> Result<Identity, MeshError> {
        self.inner().renew(authority, dir, deadline).await
    }

    /// Closes all links and stops listening, as if the process had ended.
    pub fn close(&self) {
        self.inner().close();
    }
}

impl Inner {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task).abort_handle();
        let mut tasks = self.tasks.lock();
        tasks.retain(|t| !t.is_finished());
        tasks.push(handle);
    }

    fn close(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        // Services may hold this endpoint: without them nothing keeps it alive.
        self.services.write().clear();
        self.datagrams.forget_taker();
        self.quinn.close(0u32.into(), b"closed");
    }

    fn refuse(&self, kind: Refusal, members: &BTreeSet<MemberId>) {
        self.refusals
            .replace(kind, members.iter().copied().filter(|m| *m != self.me));
        for peer in self.peers.known() {
            if self.refusals.of(peer).is_some() {
                self.peers.close_links(peer, b"refused");
            }
            self.peers.wake(peer);
        }
    }

    fn set_address(self: &Arc<Self>, peer: MemberId, address: Option<SocketAddr>) {
        if peer == self.me {
            return;
        }
        let begin = self.peers.with(peer, |p| {
            let changed = p.address != address;
            p.address = address;
            if changed {
                p.changed.notify_waiters();
            }
            let begin = !p.dialing && address.is_some();
            p.dialing |= begin;
            begin
        });
        if begin {
            self.spawn(dial(Arc::clone(self), peer));
        }
    }

    pub(crate) async fn rpc(
        &self,
        peer: MemberId,
        service: ServiceId,
        payload: Bytes,
        deadline: Duration,
        priority: Priority,
    ) -> Result<Bytes, RpcError> {
        let Some(connection) = self.peers.live(peer) else {
            return Err(RpcError::NotConnected { peer });
        };
        let started = Instant::now();
        let result = call(&connection, peer, service, payload, deadline, priority).await;
        let kind = match &result {
            Ok(_) => "ok",
            Err(RpcError::Busy { .. }) => "busy",
            Err(RpcError::Timeout { .. }) => "timeout",
            Err(RpcError::Service { .. }) => "service_error",
            Err(_) => "failed",
        };
        metrics::histogram!("dialmesh_mesh_rpc_seconds", "service" => service.name, "result" => kind)
            .record(started.elapsed().as_secs_f64());
        result
    }
}

/// Keeps a link to one peer up for as long as its address is known.
async fn dial(inner: Arc<Inner>, peer: MemberId) {
    let changed = inner.peers.with(peer, |p| Arc::clone(&p.changed));
    let mut backoff = BACKOFF_FIRST;
    if inner.me < peer {
        tokio::time::sleep(POLITENESS).await;
    }
    loop {
        // Enabled before looking, so that no change is missed in between.
        let mut woken = std::pin::pin!(changed.notified());
        woken.as_mut().enable();
        let address = inner.peers.with(peer, |p| p.address);
        let wanted = inner.refusals.of(peer).is_none() && inner.peers.live(peer).is_none();
        let (Some(address), true) = (address, wanted) else {
            woken.await;
            backoff = BACKOFF_FIRST;
            continue;
        };
        match connect(&inner, peer, address).await {
            Ok(connection) => {
                backoff = BACKOFF_FIRST;
                let inner = Arc::clone(&inner);
                let me = inner.me;
                tokio::spawn(async move { inner.welcome(peer, connection, me).await });
                // Until the link is registered; `welcome` wakes us.
                drop(tokio::time::timeout(BACKOFF_FIRST, woken).await);
            }
            Err(why) => {
                tracing::debug!(%peer, %address, why, "peer cannot be reached");
                metrics::counter!("dialmesh_mesh_dial_failures_total").increment(1);
                // A woken dialer tries at once, but never more often than the first back-off.
                tokio::time::sleep(BACKOFF_FIRST).await;
                drop(tokio::time::timeout(backoff, woken).await);
                backoff = (backoff * 2).min(BACKOFF_LAST);
            }
        }
    }
}

async fn connect(
    inner: &Inner,
    peer: MemberId,
    address: SocketAddr,
) -> Result<quinn::Connection, String> {
    let connecting = inner
        .quinn
        .connect_with(inner.client.clone(), address, &server_name(peer))
        .map_err(|e| e.to_string())?;
    match tokio::time::timeout(HANDSHAKE, connecting).await {
        Err(_) => Err("no answer".into()),
        Ok(Err(e)) => Err(e.to_string()),
        Ok(Ok(connection)) if peer_of(&connection) == Some(peer) => Ok(connection),
        Ok(Ok(_)) => Err("another member answers there".into()),
    }
}
