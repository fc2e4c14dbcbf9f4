//! Real sockets on loopback.

mod datagrams;

use super::*;
use bytes::Bytes;
use domain::{Member, MemberId, MemberRole, WallTime};
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const DAY: Duration = Duration::from_secs(86_400);
const WAIT: Duration = Duration::from_secs(10);
const ECHO: ServiceId = ServiceId::new(40, "echo");

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    WallTime::from_millis(since.as_millis() as i64)
}

fn id(number: u64) -> MemberId {
    MemberId(number)
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn identity(ca: &MeshCa, member: u64) -> Identity {
    let key = MemberKey::generate();
    let chain = ca
        .issue(id(member), &key.csr().unwrap(), now(), DAY)
        .unwrap();
    key.certified(chain).unwrap()
}

fn endpoint(identity: Identity, authority: Option<Arc<dyn JoinAuthority>>) -> Endpoint {
    Endpoint::bind(EndpointConfig {
        bind: loopback(),
        identity,
        reset: ResetKey::random(),
        authority,
    })
    .unwrap()
}

/// Members 1..=n with addresses told to each other.
fn members(ca: &MeshCa, n: u64) -> Vec<Endpoint> {
    let all: Vec<Endpoint> = (1..=n).map(|m| endpoint(identity(ca, m), None)).collect();
    let addresses: BTreeMap<MemberId, SocketAddr> = all
        .iter()
        .map(|e| (e.member(), e.local_address().unwrap()))
        .collect();
    for endpoint in &all {
        endpoint.set_addresses(&addresses);
    }
    all
}

fn serve_echo(endpoint: &Endpoint) {
    endpoint.serve(ECHO, |from: MemberId, request: Bytes| async move {
        match &request[..] {
            b"fail" => Err(ServiceError::new(7, "as you wished")),
            b"huge" => Ok(Bytes::from(vec![0; domain::limits::RPC_BYTES + 1])),
            b"hang" => futures::future::pending().await,
            _ => Ok([from.to_string().as_bytes(), b" ", &request]
                .concat()
                .into()),
        }
    });
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, work)
        .await
        .expect("within ten seconds")
}

fn text(bytes: &'static str) -> Bytes {
    Bytes::from_static(bytes.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_both_ways_and_errors_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let [a, b] = &members(&ca, 2)[..] else {
        panic!()
    };
    serve_echo(a);
    serve_echo(b);
    within(a.connected(id(2))).await;
    within(b.connected(id(1))).await;
    assert_eq!(
        a.rpc(id(2), ECHO, text("hi"), WAIT).await.unwrap(),
        "mem_00000001 hi"
    );
    assert_eq!(
        b.rpc(id(1), ECHO, text(""), WAIT).await.unwrap(),
        "mem_00000002 "
    );
    let limit = Bytes::from(vec![1; domain::limits::RPC_BYTES - 13]);
    assert_eq!(
        a.rpc(id(2), ECHO, limit, WAIT).await.unwrap().len(),
        domain::limits::RPC_BYTES
    );
    let error = a.rpc(id(2), ECHO, text("fail"), WAIT).await.unwrap_err();
    assert!(
        matches!(&error, RpcError::Service { code: 7, message, .. } if message == "as you wished")
    );
    let error = a
        .rpc(id(2), ECHO, text("hang"), Duration::from_millis(80))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RpcError::Timeout { .. }) && !error.surely_not_done(),
        "{error:?}"
    );
    let error = a.rpc(id(2), ECHO, text("huge"), WAIT).await.unwrap_err();
    assert!(matches!(error, RpcError::TooLarge { .. }));
    let over = Bytes::from(vec![1; domain::limits::RPC_BYTES + 1]);
    assert!(matches!(
        a.rpc(id(2), ECHO, over, WAIT).await,
        Err(RpcError::TooLarge { .. })
    ));
    let error = a
        .rpc(id(2), ServiceId::new(99, "none"), text(""), WAIT)
        .await
        .unwrap_err();
    assert!(matches!(error, RpcError::UnknownService { .. }) && error.surely_not_done());
    let error = a.rpc(id(9), ECHO, text(""), WAIT).await.unwrap_err();
    assert_eq!(error, RpcError::NotConnected { peer: id(9) });
    assert!(a.rtt(id(2)).unwrap() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_too_many_requests_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let [a, b] = &members(&ca, 2)[..] else {
        panic!()
    };
    serve_echo(b);
    within(a.connected(id(2))).await;
    let hanging: Vec<_> = (0..peers::REQUESTS_PER_PEER)
        .map(|_| {
            let a = a.clone();
            tokio::spawn(async move { a.rpc(id(2), ECHO, text("hang"), WAIT * 6).await })
        })
        .collect();
    // All hanging ones are in work once the first is turned away.
    let busy = within(async {
        loop {
            if let Err(error) = a.rpc(id(2), ECHO, text("one more"), WAIT).await {
                return error;
            }
        }
    });
    assert_eq!(busy.await, RpcError::Busy { peer: id(2) });
    for task in hanging {
        task.abort();
    }
    // Their deadlines are far away, but a link that closes ends them all.
    b.set_cut(&BTreeSet::from([id(1)]));
    b.set_cut(&BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_links_come_back_and_removed_members_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let [a, b, c] = &members(&ca, 3)[..] else {
        panic!()
    };
    for peer in [a, b, c] {
        serve_echo(peer);
    }
    within(a.connected(id(2))).await;
    within(a.connected(id(3))).await;
    let mut connected = a.watch_connected();
    a.set_cut(&BTreeSet::from([id(2)]));
    within(connected.wait_for(|c| !c.contains(&id(2))))
        .await
        .unwrap();
    assert!(matches!(
        a.rpc(id(2), ECHO, text(""), WAIT).await,
        Err(RpcError::NotConnected { .. })
    ));
    assert!(a.rpc(id(3), ECHO, text(""), WAIT).await.is_ok());
    // However often it dials, it is not let in.
    within(async {
        let mut seen = b.watch_connected();
        seen.wait_for(|c| !c.contains(&id(1))).await.unwrap();
    })
    .await;
    assert!(!a.is_connected(id(2)));
    a.set_cut(&BTreeSet::new());
    within(a.connected(id(2))).await;
    within(async { while a.rpc(id(2), ECHO, text(""), WAIT).await.is_err() {} }).await;

    for peer in [a, c] {
        peer.set_removed(&BTreeSet::from([id(2)]));
    }
    within(connected.wait_for(|c| !c.contains(&id(2))))
        .await
        .unwrap();
    assert!(matches!(
        a.rpc(id(2), ECHO, text(""), WAIT).await,
        Err(RpcError::NotConnected { .. })
    ));
    // Lifting a cut does not undo a removal.
    a.set_cut(&BTreeSet::new());
    assert!(!a.is_connected(id(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let mut all = members(&ca, 2);
    within(all[0].connected(id(2))).await;
    let address = all[1].local_address().unwrap();
    all[1].close();
    let mut connected = all[0].watch_connected();
    within(connected.wait_for(|c| c.is_empty())).await.unwrap();
    drop(all.pop());
    let again = within(async {
        loop {
            // The old socket is given back a moment after the close.
            let config = EndpointConfig {
                bind: address,
                identity: identity(&ca, 2),
                reset: ResetKey::random(),
                authority: None,
            };
            match Endpoint::bind(config) {
                Ok(endpoint) => return endpoint,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    serve_echo(&again);
    within(all[0].connected(id(2))).await;
    assert!(
        within(all[0].rpc(id(2), ECHO, text(""), WAIT))
            .await
            .is_ok()
    );
}

/// A way to a member that leads to one process of it at a time, as its address does.
struct Way {
    address: SocketAddr,
    /// Packets go to and come from there.
    process: Arc<Mutex<SocketAddr>>,
    task: tokio::task::AbortHandle,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// To `process`, for one peer.
async fn way(process: SocketAddr) -> Way {
    let (outside, inside) = (
        tokio::net::UdpSocket::bind(loopback()).await.unwrap(),
        tokio::net::UdpSocket::bind(loopback()).await.unwrap(),
    );
    let address = outside.local_addr().unwrap();
    let process = Arc::new(Mutex::new(process));
    let to = Arc::clone(&process);
    let carry = async move {
        let (mut out, mut back) = (vec![0; 65_536], vec![0; 65_536]);
        let mut peer = None;
        loop {
            tokio::select! {
                Ok((n, from)) = outside.recv_from(&mut out) => {
                    peer = Some(from);
                    let process = *to.lock();
                    drop(inside.send_to(&out[..n], process).await);
                }
                Ok((n, from)) = inside.recv_from(&mut back) => {
                    let reaches = from == *to.lock();
                    if let Some(peer) = peer.filter(|_| reaches) {
                        drop(outside.send_to(&back[..n], peer).await);
                    }
                }
            }
        }
    };
    Way {
        address,
        process,
        task: tokio::spawn(carry).abort_handle(),
    }
}

/// Asks what is never answered.
fn ask_in_vain(asker: &Endpoint) -> tokio::task::JoinHandle<Result<Bytes, RpcError>> {
    let asker = asker.clone();
    tokio::spawn(async move { asker.rpc(id(2), ECHO, text("hang"), WAIT * 3).await })
}

#[tokio::test]
async fn who_asked_a_process_that_is_gone_hears_it_from_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let asker = endpoint(identity(&ca, 1), None);
    let known = BTreeMap::from([(id(1), asker.local_address().unwrap())]);
    let first = endpoint(identity(&ca, 2), None);
    serve_echo(&first);
    first.set_addresses(&known);
    within(asker.connected(id(2))).await;
    asker.rpc(id(2), ECHO, text("a"), WAIT).await.unwrap();
    let hangs = ask_in_vain(&asker);
    // The first one says nothing at its end, as a process that was killed: it lives on here.
    let second = endpoint(identity(&ca, 2), None);
    serve_echo(&second);
    second.set_addresses(&known);
    let answer = within(hangs).await.unwrap();
    assert!(matches!(answer, Err(RpcError::Broken { .. })), "{answer:?}");
    within(async {
        while asker.rpc(id(2), ECHO, text("b"), WAIT).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_next_process_ends_the_links_that_led_to_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let key = ResetKey::load_or_create(dir.path()).unwrap();
    let process = |reset: &ResetKey| {
        let started = Endpoint::bind(EndpointConfig {
            bind: loopback(),
            // Each time with another certificate: they are renewed.
            identity: identity(&ca, 2),
            reset: reset.clone(),
            authority: None,
        });
        let started = started.unwrap();
        serve_echo(&started);
        started
    };
    let asker = endpoint(identity(&ca, 1), None);
    let first = process(&key);
    let way = way(first.local_address().unwrap()).await;
    asker.set_address(id(2), way.address);
    within(asker.connected(id(2))).await;
    asker.rpc(id(2), ECHO, text("a"), WAIT).await.unwrap();
    let hangs = ask_in_vain(&asker);
    // Nobody tells the second one where the asker is: only packets of the old link come.
    let second = process(&ResetKey::load_or_create(dir.path()).unwrap());
    *way.process.lock() = second.local_address().unwrap();
    // It says so, before its silence would be noticed.
    match within(hangs).await.unwrap() {
        Err(RpcError::Broken { why, .. }) => assert_eq!(why, "reset by peer"),
        other => panic!("{other:?}"),
    }
    within(async {
        while asker.rpc(id(2), ECHO, text("b"), WAIT).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_other_meshes_and_impostors_are_refused() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let other = MeshCa::create(other_dir.path(), now()).unwrap();
    let a = endpoint(identity(&ca, 1), None);
    let stranger = endpoint(identity(&other, 2), None);
    let impostor = endpoint(identity(&ca, 3), None);
    let failures = Arc::new(AtomicUsize::new(0));
    // Member 2 is dialed where somebody else answers.
    for wrong in [&stranger, &impostor] {
        a.set_address(id(2), wrong.local_address().unwrap());
        stranger.set_address(id(1), a.local_address().unwrap());
        let refused = tokio::time::timeout(Duration::from_millis(700), a.connected(id(2))).await;
        assert!(refused.is_err());
        failures.fetch_add(1, Ordering::Relaxed);
    }
    assert!(!a.is_connected(id(2)));
    assert!(stranger.rpc(id(1), ECHO, text(""), WAIT).await.is_err());
}

struct Authority {
    ca: MeshCa,
    token_hash: [u8; 32],
    asked: AtomicUsize,
    seen: Mutex<Option<JoinRequest>>,
}

impl Authority {
    fn grant(&self, request: &JoinRequest) -> Result<JoinGrant, JoinRefused> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !secret_matches(&request.secret, &self.token_hash) {
            return Err(JoinRefused {
                why: "the token is not valid; make a new one".into(),
            });
        }
        let member = Member {
            id: id(5),
            name: request.info.name.clone(),
            role: request.info.role,
            region: None,
            mesh_address: request.info.mesh_address.clone(),
            http_address: request.info.http_address.clone(),
            joined_at: now(),
            removed: false,
        };
        let chain = self.ca.issue(id(5), &request.csr, now(), DAY);
        let chain = chain.map_err(|e| JoinRefused { why: e.to_string() })?;
        *self.seen.lock() = Some(request.clone());
        Ok(JoinGrant {
            member: id(5),
            chain,
            members: vec![member],
        })
    }
}

impl JoinAuthority for Authority {
    fn join(
        &self,
        request: JoinRequest,
        _: SocketAddr,
    ) -> BoxFuture<'static, Result<JoinGrant, JoinRefused>> {
        let result = self.grant(&request);
        async move { result }.boxed()
    }

    fn renew(
        &self,
        member: MemberId,
        csr: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<Vec<u8>>, JoinRefused>> {
        let chain = self.ca.issue(member, &csr, now(), DAY * 2);
        async move { chain.map_err(|e| JoinRefused { why: e.to_string() }) }.boxed()
    }
}

fn info() -> JoinInfo {
    JoinInfo {
        name: "shenzhen".into(),
        role: MemberRole::Node,
        region: Some("south-china".into()),
        mesh_address: "127.0.0.1:1".into(),
        http_address: "http://127.0.0.1:2".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_pins_the_ca_before_the_secret_is_sent() {
    let (dir, other_dir, node_dir) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let token = JoinToken::generate(ca.key_hash());
    let coordinator_identity = identity(&ca, 1);
    let authority = Arc::new(Authority {
        ca,
        token_hash: token.secret_hash(),
        asked: AtomicUsize::new(0),
        seen: Mutex::default(),
    });
    let coordinator = endpoint(coordinator_identity, Some(authority.clone()));
    serve_echo(&coordinator);
    let address = coordinator.local_address().unwrap();

    // A token of another mesh: the coordinator never hears of it.
    let other = MeshCa::create(other_dir.path(), now()).unwrap();
    let foreign = JoinToken::generate(other.key_hash());
    let error = within(join(&foreign, address, info(), node_dir.path()))
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::WrongMesh { .. }), "{error}");
    assert_eq!(authority.asked.load(Ordering::Relaxed), 0);

    // A wrong secret: refused, in the coordinator's words.
    let wrong = JoinToken::generate(*token.ca_key_hash());
    let error = within(join(&wrong, address, info(), node_dir.path()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the token is not valid"),
        "{error}"
    );
    assert!(Identity::load(node_dir.path()).unwrap().is_none());
    let first_csr_key = std::fs::read(node_dir.path().join("joining.key")).unwrap();

    let joined = within(join(&token, address, info(), node_dir.path()))
        .await
        .unwrap();
    assert_eq!((joined.identity.member, joined.coordinator), (id(5), id(1)));
    assert_eq!(joined.members[0].name, "shenzhen");
    assert!(!first_csr_key.is_empty() && !node_dir.path().join("joining.key").exists());
    assert_eq!(authority.seen.lock().as_ref().unwrap().info, info());

    // With the identity from the disk it is a member, and renews its certificate.
    let identity = Identity::load(node_dir.path()).unwrap().unwrap();
    let node = endpoint(identity.clone(), None);
    node.set_address(id(1), address);
    within(node.connected(id(1))).await;
    assert_eq!(
        node.rpc(id(1), ECHO, text("hi"), WAIT).await.unwrap(),
        "mem_00000005 hi"
    );
    let renewed = within(node.renew(id(1), node_dir.path(), WAIT))
        .await
        .unwrap();
    assert!(renewed.valid.1 > identity.valid.1);
    assert_eq!(
        Identity::load(node_dir.path()).unwrap().unwrap().valid,
        renewed.valid
    );
    // New links use it.
    node.set_cut(&BTreeSet::from([id(1)]));
    node.set_cut(&BTreeSet::new());
    within(node.connected(id(1))).await;
    within(async { while node.rpc(id(1), ECHO, text(""), WAIT).await.is_err() {} }).await;
    // Who has no CA lets nobody in.
    let error = within(join(
        &token,
        node.local_address().unwrap(),
        info(),
        other_dir.path(),
    ))
    .await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("use the address of the coordinator")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_can_only_ask_to_join() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let a = endpoint(identity(&ca, 1), None);
    serve_echo(&a);
    let tls = tls::join_config(ca.key_hash()).unwrap();
    let quic = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let client = quinn::Endpoint::client(loopback()).unwrap();
    let connection = client
        .connect_with(
            quinn::ClientConfig::new(Arc::new(quic)),
            a.local_address().unwrap(),
            "m1.dialmesh",
        )
        .unwrap();
    let connection = within(connection).await.unwrap();
    let answer = within(wire::call(
        &connection,
        id(1),
        ECHO,
        text("hi"),
        WAIT,
        Priority::Normal,
    ))
    .await;
    assert!(
        matches!(answer, Err(RpcError::UnknownService { .. })),
        "{answer:?}"
    );
}
