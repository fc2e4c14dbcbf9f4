//! The wire between cities: a UDP proxy in front of each member's mesh endpoint, with faults.
//!
//! Members are known to each other by the proxy's addresses. A datagram's sender is told by its
//! source address, since each member's mesh endpoint sends from the port it is bound to. For each
//! pair (sender, target) the proxy has a socket of its own towards the target, so that replies to
//! it find their way back; to the sender they come from the target's advertised address, as QUIC
//! wants it.

use anyhow::Context as _;
use sansio::{Seed, Stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

/// Datagrams in flight on one direction of one pair; beyond it they are lost, as on a full link.
const IN_FLIGHT: usize = 8_192;

/// One member and its two addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkMember {
    /// Its name.
    pub name: String,
    /// Where others reach it: the proxy's address. Port 0 lets the system choose.
    pub advertised: SocketAddr,
    /// Where its mesh endpoint is really bound.
    pub target: SocketAddr,
}

/// What a proxy is told; JSON tagged `cmd` on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Nothing goes to or from a member.
    Cut {
        /// Its name.
        member: String,
    },
    /// Nothing goes between two members.
    CutPair {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// Nothing goes from one member to another; the way back is open.
    CutOneWay {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Undoes every cut that names the member; none: all cuts, delay and loss.
    Heal {
        /// Its name.
        #[serde(default)]
        member: Option<String>,
    },
    /// Every datagram takes this long, each way.
    Delay {
        /// Milliseconds.
        ms: u32,
    },
    /// Of 1000 datagrams so many are lost.
    Loss {
        /// Of 1000.
        permille: u32,
    },
    /// The counters and addresses.
    Stats,
}

/// What the proxy carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStats {
    /// Datagrams passed on.
    pub passed: u64,
    /// Datagrams dropped by a cut.
    pub cut: u64,
    /// Datagrams dropped by loss or a full link.
    pub lost: u64,
    /// Datagrams from nobody known (a member that is joining sends from elsewhere); passed on.
    pub strangers: u64,
}

#[derive(Debug)]
struct Weather {
    /// Directed: (from, to), by place in the list of members.
    cuts: BTreeSet<(usize, usize)>,
    delay: Duration,
    loss_permille: u32,
    random: Stream,
    stats: LinkStats,
}

#[derive(Debug)]
struct Shared {
    members: Vec<LinkMember>,
    weather: Mutex<Weather>,
}

impl Shared {
    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// The fate of one datagram: when to pass it on, or not at all. A stranger is subject to the
    /// faults of its target alone: cut(member) holds for it too.
    fn fate(&self, from: Option<usize>, to: Option<usize>) -> Option<Instant> {
        let mut weather = self.weather();
        let cut = match (from, to) {
            (Some(from), Some(to)) => weather.cuts.contains(&(from, to)),
            (None, Some(member)) | (Some(member), None) => {
                let others = (0..self.members.len()).filter(|other| *other != member);
                let mut others = others.peekable();
                others.peek().is_some()
                    && others.all(|other| weather.cuts.contains(&(other, member)))
            }
            (None, None) => false,
        };
        if cut {
            weather.stats.cut += 1;
            return None;
        }
        let permille = weather.loss_permille;
        if permille > 0 && weather.random.permille(permille) {
            weather.stats.lost += 1;
            return None;
        }
        weather.stats.passed += 1;
        Some(Instant::now() + weather.delay)
    }
}

/// Starts proxies.
#[derive(Debug)]
pub struct LinkProxy;

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct LinkHandle {
    shared: Arc<Shared>,
    addresses: Vec<(String, SocketAddr)>,
    control: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

impl LinkProxy {
    /// Binds every advertised address, and the control socket where one is asked for.
    pub async fn start(
        mut members: Vec<LinkMember>,
        seed: u64,
        control: Option<SocketAddr>,
    ) -> anyhow::Result<LinkHandle> {
        let mut sockets = Vec::new();
        for member in &mut members {
            let socket = UdpSocket::bind(member.advertised)
                .await
                .with_context(|| format!("binding {} for {}", member.advertised, member.name))?;
            member.advertised = socket.local_addr()?;
            sockets.push(Arc::new(socket));
        }
        let addresses = members
            .iter()
            .map(|m| (m.name.clone(), m.advertised))
            .collect();
        let shared = Arc::new(Shared {
            members,
            weather: Mutex::new(Weather {
                cuts: BTreeSet::new(),
                delay: Duration::ZERO,
                loss_permille: 0,
                random: Seed::from_u64(seed).stream("link"),
                stats: LinkStats::default(),
            }),
        });
        let mut tasks = JoinSet::new();
        for (target, socket) in sockets.into_iter().enumerate() {
            tasks.spawn(listen(Arc::clone(&shared), socket, target));
        }
        let control = match control {
            None => None,
            Some(address) => {
                let (local, mut requests) = crate::control::serve(address)
                    .await
                    .with_context(|| format!("binding the control socket {address}"))?;
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    while let Some(request) = requests.recv().await {
                        let answer = match serde_json::from_value(request.command) {
                            Ok(fault) => obey(&shared, &fault),
                            Err(e) => crate::control::refused(&e.to_string()),
                        };
                        request.reply.send(answer).ok();
                    }
                });
                Some(local)
            }
        };
        Ok(LinkHandle {
            shared,
            addresses,
            control,
            tasks,
        })
    }
}

impl LinkHandle {
    /// Where others reach a member.
    pub fn addr(&self, member: &str) -> Option<SocketAddr> {
        self.addresses
            .iter()
            .find(|(name, _)| name == member)
            .map(|(_, a)| *a)
    }

    /// Every member's name and advertised address.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// The control socket, where one was asked for.
    pub fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    /// The counters now.
    pub fn stats(&self) -> LinkStats {
        self.shared.weather().stats.clone()
    }

    /// Makes or heals a fault, at once.
    pub fn apply(&self, fault: &Fault) -> anyhow::Result<()> {
        let answer = obey(&self.shared, fault);
        anyhow::ensure!(answer["ok"] == true, "refused: {}", answer["error"]);
        Ok(())
    }

    /// Cuts a member off.
    pub fn cut(&self, member: &str) -> anyhow::Result<()> {
        self.apply(&Fault::Cut {
            member: member.into(),
        })
    }

    /// Cuts two members from each other.
    pub fn cut_pair(&self, a: &str, b: &str) -> anyhow::Result<()> {
        self.apply(&Fault::CutPair {
            a: a.into(),
            b: b.into(),
        })
    }

    /// Undoes every cut of a member; none: everything.
    pub fn heal(&self, member: Option<&str>) -> anyhow::Result<()> {
        self.apply(&Fault::Heal {
            member: member.map(str::to_owned),
        })
    }

    /// Stops at once; the ports are free when it returns.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

fn obey(shared: &Shared, fault: &Fault) -> Value {
    let find = |name: &String| shared.members.iter().position(|m| m.name == *name);
    let unknown = |name: &String| {
        let names: Vec<_> = shared.members.iter().map(|m| m.name.as_str()).collect();
        crate::control::refused(&format!(
            "no member {name:?}; there are {}",
            names.join(", ")
        ))
    };
    let all = 0..shared.members.len();
    match fault {
        Fault::Cut { member } => {
            let Some(m) = find(member) else {
                return unknown(member);
            };
            let cuts = all.filter(|o| *o != m).flat_map(|o| [(m, o), (o, m)]);
            shared.weather().cuts.extend(cuts);
        }
        Fault::CutPair { a, b } => {
            let Some(x) = find(a) else { return unknown(a) };
            let Some(y) = find(b) else { return unknown(b) };
            shared.weather().cuts.extend([(x, y), (y, x)]);
        }
        Fault::CutOneWay { from, to } => {
            let Some(x) = find(from) else {
                return unknown(from);
            };
            let Some(y) = find(to) else {
                return unknown(to);
            };
            shared.weather().cuts.insert((x, y));
        }
        Fault::Heal { member: None } => {
            let mut weather = shared.weather();
            weather.cuts.clear();
            weather.delay = Duration::ZERO;
            weather.loss_permille = 0;
        }
        Fault::Heal {
            member: Some(member),
        } => {
            let Some(m) = find(member) else {
                return unknown(member);
            };
            shared.weather().cuts.retain(|(x, y)| *x != m && *y != m);
        }
        Fault::Delay { ms } => shared.weather().delay = Duration::from_millis(u64::from(*ms)),
        Fault::Loss { permille } => shared.weather().loss_permille = (*permille).min(1_000),
        Fault::Stats => {
            let addresses: BTreeMap<_, _> = shared
                .members
                .iter()
                .map(|m| (&m.name, m.advertised.to_string()))
                .collect();
            return json!({"ok": true, "stats": shared.weather().stats, "addresses": addresses});
        }
    }
    json!({"ok": true})
}

/// One direction of one pair: datagrams leave in order, each when it is due.
fn pipe(out: Arc<UdpSocket>, to: SocketAddr, tasks: &mut JoinSet<()>) -> Pipe {
    let (sender, mut inbox) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    tasks.spawn(async move {
        while let Some((due, datagram)) = inbox.recv().await {
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
            out.send_to(&datagram, to).await.ok();
        }
    });
    Pipe(sender)
}

struct Pipe(mpsc::Sender<(Instant, Vec<u8>)>);

impl Pipe {
    fn send(&self, shared: &Shared, due: Instant, datagram: &[u8]) {
        if self.0.try_send((due, datagram.to_vec())).is_err() {
            shared.weather().stats.lost += 1;
        }
    }
}

/// What a sender has towards one target.
struct Path {
    forward: Pipe,
    used: Instant,
    replies: AbortHandle,
}

/// Serves one member's advertised address.
async fn listen(shared: Arc<Shared>, socket: Arc<UdpSocket>, target: usize) {
    let real = shared.members[target].target;
    let mut paths: HashMap<SocketAddr, Path> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut datagram = vec![0; 65_536];
    loop {
        // An ICMP refusal of an earlier send shows as an error: the member is down, not the proxy.
        let Ok((len, source)) = socket.recv_from(&mut datagram).await else {
            continue;
        };
        let sender = shared.members.iter().position(|m| m.target == source);
        if !paths.contains_key(&source) {
            if sender.is_none() {
                shared.weather().stats.strangers += 1;
            }
            // Strangers come and go: forget those that have been quiet.
            paths.retain(|_, path| {
                let keep = path.used.elapsed() < Duration::from_secs(120);
                if !keep {
                    path.replies.abort();
                }
                keep
            });
            let Ok(towards) = UdpSocket::bind((socket_ip(&real), 0)).await else {
                continue;
            };
            let towards = Arc::new(towards);
            let forward = pipe(Arc::clone(&towards), real, &mut tasks);
            let back = pipe(Arc::clone(&socket), source, &mut tasks);
            let replies = tasks.spawn(answer(Arc::clone(&shared), towards, back, target, source));
            paths.insert(
                source,
                Path {
                    forward,
                    used: Instant::now(),
                    replies,
                },
            );
        }
        let path = paths.get_mut(&source).expect("made above");
        path.used = Instant::now();
        if let Some(due) = shared.fate(sender, Some(target)) {
            path.forward.send(&shared, due, &datagram[..len]);
        }
    }
}

/// Carries a target's replies back to one sender.
async fn answer(
    shared: Arc<Shared>,
    towards: Arc<UdpSocket>,
    back: Pipe,
    target: usize,
    source: SocketAddr,
) {
    let real = shared.members[target].target;
    let receiver = shared.members.iter().position(|m| m.target == source);
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok((len, from)) = towards.recv_from(&mut datagram).await else {
            continue;
        };
        if from == real
            && let Some(due) = shared.fate(Some(target), receiver)
        {
            back.send(&shared, due, &datagram[..len]);
        }
    }
}

fn socket_ip(target: &SocketAddr) -> std::net::IpAddr {
    // From loopback to loopback, else from wherever the route leads.
    match target.ip() {
        ip if ip.is_loopback() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn endpoint() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    }

    async fn world() -> (Vec<UdpSocket>, LinkHandle) {
        let (mut sockets, mut members) = (Vec::new(), Vec::new());
        for name in ["a", "b", "c"] {
            let (socket, target) = endpoint().await;
            let advertised = ([127, 0, 0, 1], 0).into();
            sockets.push(socket);
            members.push(LinkMember {
                name: name.into(),
                advertised,
                target,
            });
        }
        let control = Some(([127, 0, 0, 1], 0).into());
        (
            sockets,
            LinkProxy::start(members, 1, control).await.unwrap(),
        )
    }

    async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut datagram = [0; 2_048];
        let got = tokio::time::timeout(Duration::from_secs(20), socket.recv_from(&mut datagram));
        let (len, from) = got.await.expect("a datagram within 20 s").unwrap();
        (datagram[..len].to_vec(), from)
    }

    #[tokio::test]
    async fn replies_come_from_the_advertised_address() {
        let (sockets, link) = world().await;
        let b = link.addr("b").unwrap();
        sockets[0].send_to(b"hello", b).await.unwrap();
        let (datagram, from) = receive(&sockets[1]).await;
        assert_eq!(datagram, b"hello");
        sockets[1].send_to(b"hi", from).await.unwrap();
        assert_eq!(receive(&sockets[0]).await, (b"hi".to_vec(), b));
        // Another sender has another way, so that the two are told apart.
        sockets[2].send_to(b"me too", b).await.unwrap();
        assert_ne!(receive(&sockets[1]).await.1, from);
        let (stranger, _) = endpoint().await;
        stranger.send_to(b"new", b).await.unwrap();
        assert_eq!(receive(&sockets[1]).await.0, b"new");
        assert_eq!(link.stats().strangers, 1);
        link.stop().await;
    }

    #[tokio::test]
    async fn cuts_hold_for_both_ends_of_every_way() {
        let (sockets, link) = world().await;
        let b = link.addr("b").unwrap();
        sockets[0].send_to(b"1", b).await.unwrap();
        let (_, back) = receive(&sockets[1]).await;
        link.cut_pair("a", "b").unwrap();
        sockets[0].send_to(b"cut", b).await.unwrap();
        sockets[1].send_to(b"cut", back).await.unwrap();
        sockets[2].send_to(b"c goes on", b).await.unwrap();
        assert_eq!(receive(&sockets[1]).await.0, b"c goes on");
        while link.stats().cut < 2 {
            tokio::task::yield_now().await;
        }
        link.heal(Some("a")).unwrap();
        link.apply(&Fault::CutOneWay {
            from: "a".into(),
            to: "b".into(),
        })
        .unwrap();
        sockets[1].send_to(b"one way", back).await.unwrap();
        assert_eq!(receive(&sockets[0]).await.0, b"one way");
        link.cut("b").unwrap();
        let (stranger, _) = endpoint().await;
        stranger.send_to(b"no", b).await.unwrap();
        while link.stats().cut < 3 {
            tokio::task::yield_now().await;
        }
        link.heal(None).unwrap();
        sockets[0].send_to(b"healed", b).await.unwrap();
        assert_eq!(receive(&sockets[1]).await.0, b"healed");
        assert!(
            link.cut("nobody")
                .unwrap_err()
                .to_string()
                .contains("a, b, c")
        );
    }

    #[tokio::test]
    async fn delay_keeps_order_and_loss_is_a_share() {
        let (sockets, link) = world().await;
        let b = link.addr("b").unwrap();
        link.apply(&Fault::Delay { ms: 60 }).unwrap();
        let start = Instant::now();
        for i in 0..50u8 {
            sockets[0].send_to(&[i], b).await.unwrap();
        }
        for i in 0..50u8 {
            assert_eq!(receive(&sockets[1]).await.0, [i]);
        }
        assert!(start.elapsed() >= Duration::from_millis(60));
        let control = link.control().unwrap();
        crate::control::ask(control, &json!({"cmd": "heal"}))
            .await
            .unwrap();
        crate::control::ask(control, &json!({"cmd": "loss", "permille": 500}))
            .await
            .unwrap();
        for _ in 0..400 {
            sockets[0].send_to(b"x", b).await.unwrap();
        }
        while link.stats().passed + link.stats().lost < 450 {
            tokio::task::yield_now().await;
        }
        let lost = link.stats().lost;
        assert!((140..260).contains(&lost), "{lost} of 400");
    }
}
