//! Small durable writes by many callers: three of our members beside three of etcd, on the same disk,
//! one after the other.

use crate::{
    Arguments, cores,
    cpu::{Clock, load},
    debian,
    member::{Order, VALUE_BYTES, histogram},
    trio::{Sum, Trio},
    word,
};
use anyhow::{Context as _, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use simulations::world::{Process, WorldConfig};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinSet};

/// How many times etcd's rate ours shall be.
const BAR: f64 = 3.0;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let program = debian::program("etcd", "etcd-server")?;
    let callers = arguments.callers;
    println!(
        "small durable writes: {callers} callers, values of {VALUE_BYTES} bytes, {} s each; three members as processes on \
         one disk\n  ours: rows of leads to a region's group, TLS 1.3, sealed on disk, callers at the members, two thirds of \
         the writes forwarded\n  etcd: Put by gRPC without TLS, callers in one more process\n  load of the machine \
         {} before, {} cores",
        arguments.seconds,
        load(),
        cores()
    );
    let mut trio = Trio::start().await?;
    trio.ask(1, &Order::Import { leads: 0 }).await?;
    let mut ours = Vec::new();
    for callers in [1, callers] {
        let leader = trio.leader().await?;
        let order = |callers| Order::Write {
            callers,
            seconds: arguments.seconds,
        };
        let orders: Vec<_> = if callers == 1 {
            vec![(leader, order(1))]
        } else {
            (1..=3)
                .map(|id| (id, order(callers / 3 + u64::from(id <= callers % 3))))
                .collect()
        };
        let sum = trio.all(&orders).await?;
        print(&format!("ours, {callers} callers"), &sum, None);
        ours.push(sum);
    }
    drop(trio);

    let servers = Servers::start(&program).await?;
    let mut theirs = Vec::new();
    for callers in [1, callers] {
        let own = Clock::of_self();
        let sum = servers.measure(callers, arguments.seconds).await?;
        print(&format!("etcd, {callers} callers"), &sum, Some(own.spent()));
        theirs.push(sum);
    }
    let ratio = |n: usize| ours[n].rate() / theirs[n].rate();
    let good = ratio(1) >= BAR;
    println!("  one caller: {:.1} times etcd", ratio(0));
    println!(
        "  {callers} callers: {:.1} times etcd; load {} after; bar: >= {BAR}: {}",
        ratio(1),
        load(),
        word(good)
    );
    Ok(good)
}

fn print(what: &str, sum: &Sum, client: Option<Duration>) {
    let at = |quantile| sum.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / sum.done.max(1) as f64;
    let client = client.map_or(String::new(), |cpu| {
        format!(" and {:.0} in the callers", each(cpu))
    });
    println!(
        "  {what:<18} {:>8.0} writes/s, p50 {:.2} ms, p99 {:.2} ms, CPU {:.0} us a write in the members{client}",
        sum.rate(),
        at(0.5),
        at(0.99),
        each(sum.cpu)
    );
}

/// Three of etcd on loopback.
struct Servers {
    processes: Vec<Process>,
    clients: Vec<SocketAddr>,
    // After the processes.
    _folder: tempfile::TempDir,
}

impl Servers {
    async fn start(program: &std::path::Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for etcd")?;
        let mut clients = Vec::new();
        let mut peers = Vec::new();
        for _ in 0..3 {
            clients.push(WorldConfig::free_address()?);
            peers.push(WorldConfig::free_address()?);
        }
        let cluster: Vec<_> = (peers.iter().enumerate())
            .map(|(n, peer)| format!("e{n}=http://{peer}"))
            .collect();
        let cluster = cluster.join(",");
        let mut processes = Vec::new();
        for (n, (client, peer)) in clients.iter().zip(&peers).enumerate() {
            let (name, data) = (format!("e{n}"), folder.path().join(format!("e{n}")));
            let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
            let data = data.to_string_lossy();
            let mut process = Process::new(
                &name,
                program,
                &[
                    "--name",
                    &name,
                    "--data-dir",
                    &data,
                    "--listen-client-urls",
                    &client,
                    "--advertise-client-urls",
                    &client,
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                    "--initial-cluster",
                    &cluster,
                    "--initial-cluster-state",
                    "new",
                ],
                folder.path().join(format!("{name}.log")),
            );
            process.start()?;
            processes.push(process);
        }
        let mut servers = Self {
            processes,
            clients,
            _folder: folder,
        };
        servers.ready().await?;
        Ok(servers)
    }

    /// The first write through each of them goes well.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        for (address, process) in self.clients.iter().zip(&mut self.processes) {
            loop {
                let tried = async {
                    let mut link = connect(*address).await?;
                    put(&mut link, b"ready", b"").await
                };
                match tokio::time::timeout(Duration::from_secs(5), tried).await {
                    Ok(Ok(())) => break,
                    _ if Instant::now() < end && process.is_alive() => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    tried => {
                        anyhow::bail!("etcd: {tried:?}; it said:\n{}", process.tail(20));
                    }
                }
            }
        }
        Ok(())
    }

    async fn measure(&self, callers: u64, seconds: u64) -> anyhow::Result<Sum> {
        let clocks: Vec<_> = (self.processes.iter())
            .filter_map(Process::id)
            .map(Clock::of)
            .collect();
        // A few connections to each, as a client library keeps them.
        let mut links = Vec::new();
        for n in 0..callers.min(12) {
            links.push(connect(self.clients[n as usize % self.clients.len()]).await?);
        }
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        let end = began + Duration::from_secs(seconds);
        for caller in 0..callers {
            let mut link = links[caller as usize % links.len()].clone();
            tasks.spawn(async move {
                let mut seen = histogram();
                let value = [b'x'; VALUE_BYTES];
                for n in 0_u64.. {
                    let begun = Instant::now();
                    if begun >= end {
                        break;
                    }
                    let key = format!("/leads/{caller:04}{n:09}");
                    put(&mut link, key.as_bytes(), &value).await?;
                    seen += begun.elapsed().as_micros() as u64;
                }
                anyhow::Ok(seen)
            });
        }
        let mut latencies = histogram();
        while let Some(task) = tasks.join_next().await {
            latencies.add(task.context("a caller")??)?;
        }
        Ok(Sum {
            done: latencies.len(),
            took: began.elapsed().as_secs_f64(),
            latencies,
            cpu: clocks.iter().map(Clock::spent).sum(),
        })
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (link, connection) = h2::client::Builder::new()
        .initial_max_send_streams(256)
        .handshake(stream)
        .await?;
    tokio::spawn(connection);
    Ok(link)
}

/// `etcdserverpb.KV/Put` by gRPC: a byte "not compressed", four of length, then the message with
/// fields 1 (key) and 2 (value).
async fn put(link: &mut SendRequest<Bytes>, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
    let mut message = BytesMut::with_capacity(16 + key.len() + value.len());
    for (field, bytes) in [(0x0a, key), (0x12, value)] {
        message.put_u8(field);
        let mut length = bytes.len();
        while length >= 0x80 {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(bytes);
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    let request = http::Request::post("http://etcd/etcdserverpb.KV/Put")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let mut ready = link.clone().ready().await?;
    let (response, mut body) = ready.send_request(request, false)?;
    body.send_data(frame.freeze(), true)?;
    let mut answer = response.await?.into_body();
    while let Some(chunk) = answer.data().await {
        let length = chunk?.len();
        answer.flow_control().release_capacity(length)?;
    }
    let trailers = answer.trailers().await?.unwrap_or_default();
    ensure!(
        trailers
            .get("grpc-status")
            .is_some_and(|status| status == "0"),
        "etcd refuses: {trailers:?}"
    );
    Ok(())
}
