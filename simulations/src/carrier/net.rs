//! The carrier's sockets: UDP and TCP on each address, all bytes into one inbox.

use crate::wire::{frame, keepalive_len};
use anyhow::Context as _;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    task::JoinSet,
};

/// Where bytes came from and answers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Which of our addresses.
    pub(super) listener: usize,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// The connection, for TCP.
    pub(super) connection: Option<u64>,
}

/// A message, and when it was read: it may wait its turn for longer than the rules that the log is
/// judged by allow for.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) flow: Flow,
    pub(super) at: Instant,
    pub(super) bytes: Vec<u8>,
}

type Connections = Arc<Mutex<HashMap<u64, mpsc::Sender<Vec<u8>>>>>;

/// Bound sockets.
#[derive(Debug)]
pub(super) struct Net {
    udp: Vec<Arc<UdpSocket>>,
    connections: Connections,
    tasks: JoinSet<()>,
}

impl Net {
    /// Binds every address for both transports.
    pub(super) async fn bind(
        addresses: &[SocketAddr],
        inbox: &mpsc::Sender<Arrived>,
    ) -> anyhow::Result<(Self, Vec<SocketAddr>)> {
        let mut net = Self {
            udp: Vec::new(),
            connections: Connections::default(),
            tasks: JoinSet::new(),
        };
        let mut bound = Vec::new();
        let serial = Arc::new(std::sync::atomic::AtomicU64::new(1));
        for (listener, address) in addresses.iter().enumerate() {
            let (udp, tcp) = bind_both(*address)
                .await
                .with_context(|| format!("binding UDP and TCP on {address}"))?;
            bound.push(udp.local_addr()?);
            let udp = Arc::new(udp);
            net.udp.push(Arc::clone(&udp));
            net.tasks.spawn(read_udp(udp, listener, inbox.clone()));
            let (connections, inbox, serial) = (
                Arc::clone(&net.connections),
                inbox.clone(),
                Arc::clone(&serial),
            );
            net.tasks.spawn(async move {
                loop {
                    if let Ok((stream, peer)) = tcp.accept().await {
                        let flow = Flow {
                            listener,
                            peer,
                            connection: Some(
                                serial.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                            ),
                        };
                        tokio::spawn(serve_tcp(
                            stream,
                            flow,
                            Arc::clone(&connections),
                            inbox.clone(),
                        ));
                    }
                }
            });
        }
        Ok((net, bound))
    }

    /// Sends; what cannot be sent is lost, as on a network.
    pub(super) async fn send(&self, flow: Flow, bytes: Vec<u8>) {
        match flow.connection {
            None => {
                let socket = &self.udp[flow.listener];
                if socket.try_send_to(&bytes, flow.peer).is_err() {
                    drop(socket.send_to(&bytes, flow.peer).await);
                }
            }
            Some(connection) => {
                let writer = self
                    .connections
                    .lock()
                    .unwrap_or_else(|p| p.into_inner())
                    .get(&connection)
                    .cloned();
                if let Some(writer) = writer {
                    drop(writer.try_send(bytes));
                }
            }
        }
    }
}

async fn bind_both(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    // With port 0 the port that UDP was given may be taken for TCP: try others.
    for _ in 0..16 {
        let udp = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            None,
        )?;
        udp.set_recv_buffer_size(8 << 20)?;
        udp.set_send_buffer_size(4 << 20)?;
        udp.set_nonblocking(true)?;
        udp.bind(&address.into())?;
        let udp = UdpSocket::from_std(udp.into())?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(e) if address.port() == 0 => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(last.expect("the loop ran"))
}

async fn read_udp(socket: Arc<UdpSocket>, listener: usize, inbox: mpsc::Sender<Arrived>) {
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok((len, peer)) = socket.recv_from(&mut datagram).await else {
            continue;
        };
        let at = Instant::now();
        let flow = Flow {
            listener,
            peer,
            connection: None,
        };
        if keepalive_len(&datagram[..len]) == len {
            continue;
        }
        let arrived = Arrived {
            flow,
            at,
            bytes: datagram[..len].to_vec(),
        };
        match inbox.try_send(arrived) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

async fn serve_tcp(
    mut stream: TcpStream,
    flow: Flow,
    connections: Connections,
    inbox: mpsc::Sender<Arrived>,
) {
    let id = flow.connection.expect("given at accept");
    let (writer, mut outgoing) = mpsc::channel::<Vec<u8>>(4_096);
    let lock = || connections.lock().unwrap_or_else(|p| p.into_inner());
    lock().insert(id, writer);
    drop(stream.set_nodelay(true));
    let (mut read, mut write) = stream.split();
    let mut buffer = Vec::new();
    let mut chunk = [0; 16_384];
    'open: loop {
        tokio::select! {
            got = read.read(&mut chunk) => {
                let Ok(len @ 1..) = got else { break };
                let at = Instant::now();
                buffer.extend_from_slice(&chunk[..len]);
                loop {
                    let skip = keepalive_len(&buffer);
                    // RFC 5626 section 4.4.1: a double line end asks for a single one.
                    if skip >= 4 && write.write_all(b"\r\n").await.is_err() {
                        break 'open;
                    }
                    buffer.drain(..skip);
                    match frame(&buffer) {
                        Ok(Some(len)) => {
                            let bytes = buffer.drain(..len).collect();
                            if inbox.send(Arrived { flow, at, bytes }).await.is_err() {
                                break 'open;
                            }
                        }
                        Ok(None) => break,
                        Err(_) => break 'open,
                    }
                }
            }
            Some(bytes) = outgoing.recv() => {
                if write.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        }
    }
    lock().remove(&id);
}
