//! TLS, against rustls on plain blocking sockets and against the program `openssl`.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// An authority of its own, and what it signed: `ours.pem`, `ours.key`, `carrier.pem`,
/// `carrier.key`, `ca.pem`, and another authority, `other.pem`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
    };
    let (ca, other) = (authority("ca.example"), authority("other.example"));
    for (name, names) in [
        ("ours", &["node.example", "127.0.0.1"][..]),
        ("carrier", &["carrier.example"]),
    ] {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        (params.distinguished_name).push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &ca).expect("signed");
        write(&folder, &format!("{name}.pem"), &certificate.pem());
        write(&folder, &format!("{name}.key"), &key.serialize_pem());
    }
    write(&folder, "ca.pem", &ca.pem());
    write(&folder, "other.pem", &other.pem());
    folder
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).expect("written");
}

fn tls(folder: &Path, change: impl FnOnce(&mut TlsFiles)) -> Arc<Tls> {
    let mut files = TlsFiles {
        certificate: folder.join("ours.pem"),
        key: folder.join("ours.key"),
        trust: Some(folder.join("ca.pem")),
        client_trust: None,
    };
    change(&mut files);
    Arc::new(Tls::load(&files).expect("sound files"))
}

fn secure(tls: Arc<Tls>, limits: Limits) -> (SipSockets, mpsc::Receiver<TransportEvent>) {
    let (sink, events) = channel(1024);
    let sockets = SipSockets::bind_with(&[listener(SipTransport::Tls)], limits, Some(tls), sink);
    (sockets.expect("loopback can be bound"), events)
}

fn chain(folder: &Path, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_file(folder.join(format!("{name}.pem")));
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")));
    (vec![certificate.expect("PEM")], key.expect("PEM"))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A phone or carrier that connects to us; with a certificate where asked.
fn dial_in(
    folder: &Path,
    to: SocketAddr,
    certificate: Option<&str>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(folder.join("ca.pem")).expect("PEM");
    roots.add(ca).expect("a root");
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("known")
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(name) => {
            let (chain, key) = chain(folder, name);
            config.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    let name = ServerName::try_from("node.example").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a configuration");
    let stream = TcpStream::connect(to).expect("accepted");
    stream.set_nodelay(true).expect("set");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    StreamOwned::new(connection, stream)
}

/// Sockets with TLS, and who connects to them.
pub(super) struct Secured {
    folder: tempfile::TempDir,
    sockets: SipSockets,
    pub(super) events: mpsc::Receiver<TransportEvent>,
}

impl Secured {
    pub(super) fn new(limits: Limits) -> Self {
        let folder = certificates();
        let (sockets, events) = secure(tls(folder.path(), |_| {}), limits);
        Self {
            folder,
            sockets,
            events,
        }
    }

    pub(super) fn dial_in(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let local = address(&self.sockets, SipTransport::Tls);
        let mut stream = dial_in(self.folder.path(), local, None);
        let shaken = stream.conn.complete_io(&mut stream.sock);
        shaken.expect("hands are shaken");
        stream
    }
}

/// A carrier that is dialed out to, with a certificate for `carrier.example`.
struct Carrier {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Carrier {
    fn new(folder: &Path) -> Self {
        let (chain, key) = chain(folder, "carrier");
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("known")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        Self {
            listener: TcpListener::bind("127.0.0.1:0").expect("loopback"),
            config: Arc::new(config),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    fn accept(&self) -> StreamOwned<ServerConnection, TcpStream> {
        let (stream, _) = self.listener.accept().expect("somebody comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let connection = ServerConnection::new(self.config.clone()).expect("a configuration");
        StreamOwned::new(connection, stream)
    }
}

fn to(sockets: &SipSockets, remote: SocketAddr) -> Flow {
    Flow {
        transport: SipTransport::Tls,
        local: address(sockets, SipTransport::Tls),
        remote,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn messages_inside_tls_are_framed_when_split_at_any_byte() {
    let folder = certificates();
    let (sockets, events) = secure(tls(folder.path(), |_| {}), Limits::default());
    let local = address(&sockets, SipTransport::Tls);
    let mut peer = dial_in(folder.path(), local, None);
    let two = [message("first"), message("second")];
    let stream = two.concat();
    for split in 0..=stream.len() {
        peer.write_all(&stream[..split]).expect("written");
        peer.flush().expect("flushed");
        peer.write_all(&stream[split..]).expect("written");
        for expected in &two {
            assert_eq!(&received(&events).1[..], &expected[..], "split at {split}");
        }
    }
    // One record that holds many messages: all of them come without another byte from the network.
    let many = stream.repeat(40);
    peer.write_all(&many).expect("written");
    for n in 0..80 {
        assert_eq!(&received(&events).1[..], &two[n % 2][..], "message {n}");
    }
    peer.write_all(&two[0]).expect("written");
    let (flow, _) = received(&events);
    assert_eq!((flow.transport, flow.local), (SipTransport::Tls, local));
    sockets.send(flow, &two[1]).expect("sent");
    let mut answer = vec![0; two[1].len()];
    peer.read_exact(&mut answer).expect("comes back");
    assert_eq!(answer, two[1]);
    drop(peer);
    assert_eq!(
        events.recv_timeout(PATIENCE),
        Ok(TransportEvent::Closed { flow })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_carrier_is_known_by_its_name() {
    let folder = certificates();
    let tls = tls(folder.path(), |_| {});
    let (sockets, events) = secure(tls.clone(), Limits::default());
    let carrier = Carrier::new(folder.path());
    let flow = to(&sockets, carrier.address());
    let refused = |why: &str| {
        sockets.send(flow, &message(why)).expect("taken");
        let mut stream = carrier.accept();
        let mut byte = [0];
        assert!(stream.read(&mut byte).is_err(), "{why}: it shook hands");
        match events.recv_timeout(PATIENCE).expect("an event") {
            TransportEvent::Unsent { flow: lost, bytes } => {
                assert_eq!((lost, &bytes[..]), (flow, &message(why)[..]));
            }
            other => panic!("{why}: {other:?}"),
        }
        assert_eq!(sockets.connections(), 0);
    };
    refused("its address is not in its certificate");
    tls.set_names([(carrier.address(), "elsewhere.example".to_owned())]);
    refused("another name");

    tls.set_names([(carrier.address(), "carrier.example".to_owned())]);
    sockets.send(flow, &message("first")).expect("taken");
    sockets.send(flow, &message("second")).expect("taken");
    let mut stream = carrier.accept();
    let expected = [message("first"), message("second")].concat();
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).expect("in order");
    assert_eq!(got, expected);
    stream.write_all(&message("back")).expect("written");
    let (from, bytes) = received(&events);
    assert_eq!((from, &bytes[..]), (flow, &message("back")[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_connects_shows_a_certificate_where_one_is_asked_for() {
    let folder = certificates();
    let ca = folder.path().join("ca.pem");
    let tls = tls(folder.path(), |files| files.client_trust = Some(ca));
    let (sockets, events) = secure(tls, Limits::default());
    let local = address(&sockets, SipTransport::Tls);
    let mut stranger = dial_in(folder.path(), local, None);
    // TLS 1.3: a client learns of the refusal when it reads.
    _ = stranger.write_all(&message("let me in"));
    assert!(stranger.read(&mut [0]).is_err(), "it was let in");
    let mut known = dial_in(folder.path(), local, Some("carrier"));
    known.write_all(&message("hello")).expect("written");
    assert_eq!(&received(&events).1[..], &message("hello")[..]);
    assert_eq!(sockets.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_handshake_has_an_end() {
    let folder = certificates();
    let limits = Limits {
        connect: Duration::from_millis(300),
        connections_per_source: 2,
        ..Limits::default()
    };
    let (sockets, _events) = secure(tls(folder.path(), |_| {}), limits);
    let local = address(&sockets, SipTransport::Tls);
    // At the bound two wait in their handshake; the third is closed at once.
    let mut waiting: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(local).expect("accepted"))
        .collect();
    let mut third = TcpStream::connect(local).expect("the system accepts it");
    third.set_read_timeout(Some(PATIENCE)).expect("set");
    assert_eq!(third.read(&mut [0]).unwrap_or(0), 0, "closed");
    // They never say a word: closed as well.
    for stream in &mut waiting {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "closed");
    }
    let mut late = dial_in(folder.path(), local, None);
    late.write_all(&message("on time")).expect("written");

    // And one that speaks something else.
    let mut plain = TcpStream::connect(local).expect("accepted");
    plain.set_read_timeout(Some(PATIENCE)).expect("set");
    plain.write_all(&message("plain")).expect("written");
    let mut rest = Vec::new();
    _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"SIP"), "an alert at most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_invite_never_waits_behind_unsent_bytes() {
    let folder = certificates();
    let tls = tls(folder.path(), |_| {});
    let (sockets, _events) = secure(tls.clone(), Limits::default());
    let carrier = Carrier::new(folder.path());
    tls.set_names([(carrier.address(), "carrier.example".to_owned())]);
    let flow = to(&sockets, carrier.address());
    sockets.send(flow, &message("first")).expect("taken");
    let mut stream = carrier.accept();
    let mut got = vec![0; message("first").len()];
    stream.read_exact(&mut got).expect("it is open");
    // The carrier reads no more: at some time its window is full.
    let big = message(&"x".repeat(60_000));
    let congested = (0..1_000).find(|_| {
        // Whatever else waits, the queue's bound holds.
        _ = sockets.send(flow, &big);
        let invite = sockets.send(flow, b"INVITE sip:a SIP/2.0\r\nl: 0\r\n\r\n");
        invite.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    });
    assert!(congested.is_some(), "every INVITE was taken");
}

/// The program `openssl`; without it the test says so.
fn openssl() -> Option<Command> {
    let there = Command::new("openssl").arg("version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: the program openssl is not installed; apt-get install openssl");
    }
    there.then(|| Command::new("openssl"))
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be over already.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn openssl_understands_us_as_client_and_as_server() {
    let Some(mut program) = openssl() else { return };
    let folder = certificates();
    let path = |name: &str| folder.path().join(name);
    let tls = tls(folder.path(), |_| {});
    let (sockets, events) = secure(tls.clone(), Limits::default());
    let local = address(&sockets, SipTransport::Tls);
    let client = (program.args(["s_client", "-quiet", "-verify_return_error"]))
        .args(["-verify_hostname", "node.example", "-connect"])
        .arg(local.to_string())
        .arg("-CAfile")
        .arg(path("ca.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut client = Killed(client.expect("it starts"));
    let mut input = client.0.stdin.take().expect("piped");
    input.write_all(&message("from openssl")).expect("written");
    input.flush().expect("flushed");
    let (flow, bytes) = received(&events);
    assert_eq!(&bytes[..], &message("from openssl")[..]);
    sockets
        .send(flow, b"SIP/2.0 200 OK\r\nl: 0\r\n\r\n")
        .expect("sent");
    let mut line = String::new();
    let mut output = BufReader::new(client.0.stdout.take().expect("piped"));
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "SIP/2.0 200 OK\r\n");

    // As its client, over TLS 1.2 and with a certificate of ours, which it asks for.
    let server = (openssl().expect("it was there"))
        .args([
            "s_server",
            "-tls1_2",
            "-Verify",
            "2",
            "-verify_return_error",
        ])
        .args(["-accept", "127.0.0.1:0"])
        .arg("-cert")
        .arg(path("carrier.pem"))
        .arg("-key")
        .arg(path("carrier.key"))
        .arg("-CAfile")
        .arg(path("ca.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut server = Killed(server.expect("it starts"));
    let mut lines = BufReader::new(server.0.stdout.take().expect("piped")).lines();
    let mut line_with = |start: &str| {
        let found = lines.find_map(|line| line.ok()?.strip_prefix(start).map(str::to_owned));
        found.unwrap_or_else(|| panic!("openssl printed no line that begins with {start}"))
    };
    let port: SocketAddr = line_with("ACCEPT ").parse().expect("where it listens");
    tls.set_names([(port, "carrier.example".to_owned())]);
    let flow = to(&sockets, port);
    sockets.send(flow, &message("to openssl")).expect("taken");
    assert_eq!(line_with("OPTIONS "), "sip:a@127.0.0.1 SIP/2.0");
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let folder = certificates();
    let path = |name: &str| folder.path().join(name);
    let load = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = TlsFiles {
            certificate: path("ours.pem"),
            key: path("ours.key"),
            trust: Some(path("ca.pem")),
            client_trust: None,
        };
        change(&mut files);
        Tls::load(&files).expect_err("it must not load").to_string()
    };
    let missing = load(&|files| files.certificate = path("none.pem"));
    assert!(missing.contains("none.pem cannot be read"), "{missing}");
    let no_key = load(&|files| files.key = path("ours.pem"));
    assert!(
        no_key.contains("ours.pem is not PEM with a private key"),
        "{no_key}"
    );
    let no_certificate = load(&|files| files.certificate = path("ours.key"));
    assert!(
        no_certificate.contains("there is none in it"),
        "{no_certificate}"
    );
    let strangers = load(&|files| files.key = path("carrier.key"));
    assert!(strangers.contains("certificate and key"), "{strangers}");
    write(
        &folder,
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    let broken = load(&|files| files.trust = Some(path("broken.pem")));
    assert!(broken.contains("broken.pem is not PEM"), "{broken}");
}
