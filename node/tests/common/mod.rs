//! A small real mesh for one node: a founder that keeps the groups and the call records, and SIPp.

use bytes::Bytes;
use domain::{CallRecord, MemberId, MemberRole, NewLead, RegionId, Secret, status::NodeStatus};
use futures::{SinkExt as _, StreamExt as _};
use ledger::{
    Change, DirectoryCommand, DirectoryReply, MeshId, NewMember, RegionCommand, RegionReply,
    RowOutcome,
};
use member::{
    Member, MemberConfig, RECORDS, RecordsReply, STATUS, decode_records, decode_status, encode,
    save_peers,
};
use mesh::{MemberKey, MeshCa};
use node::NodeConfig;
use parking_lot::Mutex;
use serde_json::{Value, json};
use service::{Shutdown, Tasks, clock};
use simulations::world::WorldConfig;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A port of loopback that is free for UDP and TCP, outside the range from which the system hands
/// out its own: between this look and its use no other socket of the test gets it by chance.
pub(crate) fn free_port() -> u16 {
    WorldConfig::free_address()
        .expect("loopback has a free port")
        .port()
}

/// Asks again until the answer is there.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The founder: first voter of every group, and the coordinator to whom records are shipped.
pub(crate) struct Founder {
    pub(crate) member: Member,
    pub(crate) records: Arc<Mutex<Vec<CallRecord>>>,
    /// What a node said of itself last.
    pub(crate) said: Arc<Mutex<NodeStatus>>,
    ca: MeshCa,
    /// Dropping it ends the founder's tasks.
    _tasks: Tasks,
}

impl Founder {
    pub(crate) async fn start(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let ca = MeshCa::create(dir, clock::wall()).unwrap();
        let key = MemberKey::generate();
        let chain = ca
            .issue(MemberId(1), &key.csr().unwrap(), clock::wall(), DAY)
            .unwrap();
        let tasks = Tasks::new(Shutdown::new());
        let member = Member::start(
            MemberConfig {
                data_dir: dir.to_owned(),
                listen: "127.0.0.1:0".parse().unwrap(),
                keys: storage::DataKeys::ephemeral(),
                identity: key.certified(chain).unwrap(),
                authority: None,
                freshness: Duration::from_secs(30),
                listener: None,
            },
            &tasks,
        )
        .await
        .unwrap();
        let records = Arc::<Mutex<Vec<CallRecord>>>::default();
        let kept = Arc::clone(&records);
        member
            .endpoint()
            .serve(RECORDS, move |_: MemberId, request: Bytes| {
                let kept = Arc::clone(&kept);
                async move {
                    let of = |bytes: &Vec<u8>| -> CallRecord {
                        assert_eq!(bytes[0], domain::RECORD_VERSION);
                        postcard::from_bytes(&bytes[1..]).unwrap()
                    };
                    let new: Vec<CallRecord> = decode_records(&request)?.iter().map(of).collect();
                    let reply = RecordsReply {
                        kept: u32::try_from(new.len()).unwrap(),
                    };
                    kept.lock().extend(new);
                    Ok(encode(&reply))
                }
            });
        let last = Arc::<Mutex<NodeStatus>>::default();
        let said = Arc::clone(&last);
        member
            .endpoint()
            .serve(STATUS, move |_: MemberId, request: Bytes| {
                let said = Arc::clone(&said);
                async move {
                    *said.lock() = decode_status(&request)?;
                    Ok(encode(&()))
                }
            });
        let founder = Self {
            member,
            records,
            said: last,
            ca,
            _tasks: tasks,
        };
        let address = founder.address().to_string();
        let new = NewMember {
            name: "centre".into(),
            mesh_address: address,
            http_address: "http://127.0.0.1:1".into(),
        };
        founder
            .change(Change::Found {
                mesh: MeshId(7),
                member: new,
            })
            .await;
        // As a coordinator says right after founding.
        let (id, version) = (founder.member.id(), domain::MeshVersion::NEWEST);
        founder.change(Change::Understand { id, version }).await;
        founder
    }

    fn address(&self) -> SocketAddr {
        self.member.endpoint().local_address().unwrap()
    }

    /// One change of the directory that must be taken.
    pub(crate) async fn change(&self, change: Change) -> DirectoryReply {
        let command = DirectoryCommand::from(change);
        match self.member.directory().propose(command).await.unwrap() {
            DirectoryReply::Rejected(why) => panic!("the directory refused: {why}"),
            reply => reply,
        }
    }

    /// Lets a node in by a token, as joining does, and leaves its identity in its folder.
    pub(crate) async fn admit(
        &self,
        name: &str,
        region: RegionId,
        listen: u16,
        dir: &Path,
    ) -> MemberId {
        // Each token is another.
        let mut hash = [9; 32];
        hash[..2].copy_from_slice(&listen.to_be_bytes());
        let expires_at = clock::wall() + Duration::from_secs(60);
        self.change(Change::AddJoinToken {
            hash,
            role: MemberRole::Node,
            region: Some(region),
            expires_at,
        })
        .await;
        let member = NewMember {
            name: name.into(),
            mesh_address: format!("127.0.0.1:{listen}"),
            http_address: "http://127.0.0.1:2".into(),
        };
        let DirectoryReply::Joined { member, .. } =
            self.change(Change::Join { hash, member }).await
        else {
            panic!("not joined");
        };
        fs::create_dir_all(dir).unwrap();
        let key = MemberKey::generate();
        let chain = self
            .ca
            .issue(member, &key.csr().unwrap(), clock::wall(), DAY)
            .unwrap();
        key.certified(chain).unwrap().save(dir).unwrap();
        save_peers(dir, &BTreeMap::from([(MemberId(1), self.address())])).unwrap();
        member
    }

    /// Imports leads into their region, once its ledger knows the campaign.
    pub(crate) async fn import(
        &self,
        region: RegionId,
        list: domain::ListId,
        campaign: domain::CampaignId,
        rows: Vec<NewLead>,
    ) {
        until("leads are imported", Duration::from_secs(20), async || {
            let group = self.member.region(region)?;
            let command = RegionCommand::Import {
                list,
                campaign,
                batch: 1,
                rows: rows.clone(),
            };
            match group.propose(command).await {
                Ok(RegionReply::Imported { rows, .. }) => {
                    let all = rows
                        .iter()
                        .all(|row| matches!(row, RowOutcome::Accepted(_)));
                    assert!(all, "{rows:?}");
                    Some(())
                }
                _ => None,
            }
        })
        .await;
    }
}

/// Where a node listens.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) agents: u16,
    pub(crate) trunks: u16,
    pub(crate) monitoring: u16,
}

/// A node's configuration in its folder, with more lines in the section `[sip]` and sections below it.
pub(crate) fn write_config(name: &str, mesh: u16, dir: &Path, sip: &str) -> (PathBuf, Ports) {
    let [http, trunks, agents, monitoring] = [(); 4].map(|()| free_port());
    let (first, last) = WorldConfig::free_row(80).expect("loopback has free ports");
    let path = dir.join("node.toml");
    let text = format!(
        "name = \"{name}\"\ndata_dir = \"{}\"\n[mesh]\nlisten = \"127.0.0.1:{mesh}\"\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\n[monitoring]\nlisten = \"127.0.0.1:{monitoring}\"\n\
         [sip]\ntrunk_listen = \"127.0.0.1:{trunks}\"\nagent_listen = \"127.0.0.1:{agents}\"\n\
         {sip}\n[media]\naddress = \"127.0.0.1\"\nports = \"{first}-{last}\"\n\
         webrtc_listen = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n",
        dir.display()
    );
    fs::write(&path, text).unwrap();
    let ports = Ports {
        http,
        agents,
        trunks,
        monitoring,
    };
    (path, ports)
}

/// The node under test: its own folder, thread and runtime; everything else as in its process.
pub(crate) struct City {
    pub(crate) http: u16,
    pub(crate) agents: u16,
    pub(crate) trunks: u16,
    pub(crate) monitoring: u16,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl City {
    pub(crate) fn start(name: &str, mesh: u16, dir: &Path) -> Self {
        Self::start_with(name, mesh, dir, "")
    }

    /// The same with more lines in the section `[sip]`, and sections below it.
    pub(crate) fn start_with(name: &str, mesh: u16, dir: &Path, sip: &str) -> Self {
        let (path, ports) = write_config(name, mesh, dir, sip);
        let config = NodeConfig::load(&path).unwrap();
        let thread = std::thread::Builder::new()
            .name("city".into())
            .spawn(move || {
                tokio::runtime::Runtime::new()
                    .unwrap()
                    .block_on(node::run(config))
            })
            .unwrap();
        Self {
            http: ports.http,
            agents: ports.agents,
            trunks: ports.trunks,
            monitoring: ports.monitoring,
            thread,
        }
    }

    /// Until its agents' API takes connections.
    pub(crate) async fn ready(&self) {
        until("the node is ready", Duration::from_secs(30), async || {
            assert!(
                !self.thread.is_finished(),
                "the node stopped: its error stands above"
            );
            tokio::net::TcpStream::connect(("127.0.0.1", self.http))
                .await
                .ok()
                .map(drop)
        })
        .await;
    }
}

/// An agent's page: buttons and notices.
pub(crate) struct Screen {
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    heard: Vec<Value>,
    pressed: u64,
}

impl Screen {
    pub(crate) async fn open(http: u16, token: &Secret) -> Self {
        let open = Self::try_open(http, token).await;
        open.expect("the node knows the agent")
    }

    /// None when the node does not know the agent yet.
    pub(crate) async fn try_open(http: u16, token: &Secret) -> Option<Self> {
        let url = format!("ws://127.0.0.1:{http}/agent/v1/socket");
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {}", token.expose()).parse().unwrap();
        request.headers_mut().insert("Authorization", bearer);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.ok()?;
        Some(Self {
            socket,
            heard: Vec::new(),
            pressed: 0,
        })
    }

    async fn next(&mut self) -> Value {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(30), self.socket.next());
            match frame.await.expect("the node says something within 30 s") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(_)) => {}
                other => panic!("the node closed the agent's page: {other:?}"),
            }
        }
    }

    /// Presses a button, which must be taken.
    pub(crate) async fn press(&mut self, button: Value) {
        let word = self.ask(button.clone()).await;
        assert_eq!(word["ok"], json!(true), "{button}: {word}");
    }

    /// Sends a command; the node's reply to it.
    pub(crate) async fn ask(&mut self, mut button: Value) -> Value {
        self.pressed += 1;
        button["id"] = json!(self.pressed);
        self.socket
            .send(Message::Text(button.to_string().into()))
            .await
            .unwrap();
        loop {
            let word = self.next().await;
            if word["reply"] == json!(self.pressed) {
                return word;
            }
            self.heard.push(word);
        }
    }

    /// Stays at the desk for a moment: whoever does not answer the node's pings is gone for it.
    pub(crate) async fn sit(&mut self, span: Duration) {
        let end = tokio::time::Instant::now() + span;
        while let Ok(word) = tokio::time::timeout_at(end, self.next()).await {
            self.heard.push(word);
        }
    }

    /// What the node said and nobody waited for.
    pub(crate) fn heard(&self) -> &[Value] {
        &self.heard
    }

    /// Waits for a notice; those before it are forgotten.
    pub(crate) async fn wait(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.heard.iter().position(&is) {
            return self.heard.drain(..=place).next_back().expect("just found");
        }
        self.heard.clear();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let word = self.next().await;
            if is(&word) {
                return word;
            }
            assert!(Instant::now() < end, "{what}: not within 60 s; last {word}");
        }
    }
}

/// Between a phone made of SIPp and the node: SIPp 3.6 takes a challenge's first offer and knows
/// MD5 only, where RFC 8760 lets the registrar offer SHA-256 first. Here that offer is taken out;
/// everything else passes as it is. Ends with the test's runtime.
pub(crate) async fn without_sha256(node: u16, phone: u16) -> u16 {
    let bind = async || tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (front, back) = (bind().await, bind().await);
    let port = front.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                got = front.recv_from(&mut up) => {
                    let (length, _) = got.unwrap();
                    back.send_to(&up[..length], ("127.0.0.1", node)).await.unwrap();
                }
                got = back.recv_from(&mut down) => {
                    let (length, _) = got.unwrap();
                    let text = String::from_utf8(down[..length].to_vec()).unwrap();
                    let kept = text.split_inclusive("\r\n").filter(|line| {
                        !(line.starts_with("WWW-Authenticate:") && line.contains("algorithm=SHA-256"))
                    });
                    let text: String = kept.collect();
                    front.send_to(text.as_bytes(), ("127.0.0.1", phone)).await.unwrap();
                }
            }
        }
    });
    port
}

/// Runs openssl in a folder; it must succeed.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is there: `cargo xtask setup` installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
}

/// A certificate of loopback that is its own authority, as `node.pem` and `node.key`.
pub(crate) fn certificate(folder: &Path) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1 \
                     -addext subjectAltName=IP:127.0.0.1 -days 2 -keyout node.key -out node.pem";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    openssl(folder, &arguments);
}

/// One SIPp with one scenario of `simulations/sipp`.
pub(crate) struct Sipp {
    name: String,
    child: Option<Child>,
    folder: PathBuf,
}

impl Sipp {
    /// Starts it on a port of loopback; it ends by itself after `calls` calls.
    pub(crate) fn start(
        scenario: &str,
        port: u16,
        calls: u32,
        more: &[&str],
        folder: &Path,
    ) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../simulations/sipp")
            .join(format!("{scenario}.xml"));
        let out = File::create(folder.join(format!("{scenario}.out"))).unwrap();
        let messages = folder.join(format!("{scenario}.messages"));
        let errors = folder.join(format!("{scenario}.errors"));
        // SIPp takes ports for audio and, two above, for video.
        let (media, _) = WorldConfig::free_row(4).expect("loopback has free ports");
        let child = Command::new("sipp")
            .arg("-sf")
            .arg(file)
            .args([
                "-i",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-mi",
                "127.0.0.1",
            ])
            .args(["-mp", &media.to_string(), "-m", &calls.to_string()])
            .args(["-nostdin", "-timeout", "90s", "-timeout_error"])
            .args(["-trace_msg", "-message_file"])
            .arg(messages)
            .args(["-trace_err", "-error_file"])
            .arg(errors)
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("SIPp is there: `cargo xtask setup` installs it (Debian: sip-tester)");
        Self {
            name: scenario.to_owned(),
            child: Some(child),
            folder: folder.to_owned(),
        }
    }

    /// Everything it sent and received.
    pub(crate) fn messages(&self) -> String {
        fs::read_to_string(self.folder.join(format!("{}.messages", self.name))).unwrap_or_default()
    }

    /// Waits for its end; every call must have gone as its scenario says.
    pub(crate) async fn ends_well(&mut self) {
        let mut child = self.child.take().expect("ended once");
        let status = until(
            &format!("SIPp {} ends", self.name),
            Duration::from_secs(60),
            async || child.try_wait().unwrap(),
        )
        .await;
        let errors = fs::read_to_string(self.folder.join(format!("{}.errors", self.name)))
            .unwrap_or_default();
        assert!(
            status.success(),
            "SIPp {}: {status}\n{errors}\n{}",
            self.name,
            self.messages()
        );
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
