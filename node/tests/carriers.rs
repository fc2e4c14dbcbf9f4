//! The real node and a carrier that is given by name: it is looked up at a real name server (dnsmasq),
//! asked whether it lives at its first address, and at the next one when that is silent.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use common::{City, Founder, free_port, until};
use domain::{Codec, NumberFormat, SipTransport, Trunk, TrunkId};
use ledger::{Change, DirectoryReply};
use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::UdpSocket;

/// A host of the carrier: counts OPTIONS, and answers while it is said to.
struct Host {
    asked: Arc<AtomicUsize>,
    answers: Arc<AtomicBool>,
}

impl Host {
    async fn start(port: u16) -> Self {
        let host = Self {
            asked: Arc::default(),
            answers: Arc::new(AtomicBool::new(true)),
        };
        let (asked, answers) = (Arc::clone(&host.asked), Arc::clone(&host.answers));
        let socket = UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(async move {
            let mut bytes = vec![0; 65_536];
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
                assert!(text.starts_with("OPTIONS sip:"), "{text}");
                asked.fetch_add(1, Ordering::Relaxed);
                if !answers.load(Ordering::Relaxed) {
                    continue;
                }
                let kept = ["Via:", "From:", "Call-ID:", "CSeq:"];
                let lines = text
                    .lines()
                    .filter(|l| kept.iter().any(|k| l.starts_with(k)));
                let kept: String = lines.map(|line| format!("{line}\r\n")).collect();
                let to = text.lines().find(|line| line.starts_with("To:")).unwrap();
                let answer =
                    format!("SIP/2.0 200 OK\r\n{kept}{to};tag=1\r\nContent-Length: 0\r\n\r\n");
                socket.send_to(answer.as_bytes(), from).await.unwrap();
            }
        });
        host
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_by_name_is_asked_at_the_next_address_when_the_first_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let [mesh, dns, first, second] = [(); 4].map(|()| free_port());
    let conf = folder.path().join("dnsmasq.conf");
    let records = format!(
        "port={dns}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/test/\n\
         local-ttl=60\npid-file\nsrv-host=_sip._udp.carrier.test,a.carrier.test,{first},10,0\n\
         srv-host=_sip._udp.carrier.test,b.carrier.test,{second},20,0\n\
         host-record=a.carrier.test,127.0.0.1\nhost-record=b.carrier.test,127.0.0.1\n"
    );
    std::fs::write(&conf, records).unwrap();
    let mut server = Command::new("dnsmasq")
        .arg("--keep-in-foreground")
        .arg(format!("--conf-file={}", conf.display()))
        .args(["--user=", "--group="])
        .stdin(Stdio::null())
        .spawn()
        .expect("dnsmasq is there: `cargo xtask setup` installs it (Debian: dnsmasq-base)");
    let hosts = [Host::start(first).await, Host::start(second).await];

    let city_dir = folder.path().join("city");
    let founder = Founder::start(&folder.path().join("centre")).await;
    let name = "east".to_owned();
    let reply = founder.change(Change::SetRegion { id: None, name }).await;
    let DirectoryReply::Region(region) = reply else {
        panic!("{reply:?}")
    };
    let node = founder.admit("city", region, mesh, &city_dir).await;
    let dns = format!("dns = [\"127.0.0.1:{dns}\"]");
    let city = City::start_with("city", mesh, &city_dir, &dns);
    let trunk = Trunk {
        id: TrunkId(0),
        name: "by-name".into(),
        node,
        transport: SipTransport::Udp,
        address: "carrier.test".into(),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 10,
        calls_per_second: 10,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcma],
        options_interval: Duration::from_millis(300),
        enabled: true,
        rank: 0,
    };
    founder.change(Change::SetTrunk { trunk }).await;
    city.ready().await;

    let limit = Duration::from_secs(30);
    until("the first host is asked", limit, async || {
        (hosts[0].asked() > 2).then_some(())
    })
    .await;
    assert_eq!(hosts[1].asked(), 0, "while the first one answers");
    hosts[0].answers.store(false, Ordering::Relaxed);
    until("the second host is asked", limit, async || {
        (hosts[1].asked() > 2).then_some(())
    })
    .await;
    let silent = hosts[0].asked();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(hosts[0].asked() <= silent + 1, "the silent one rests");
    server.kill().unwrap();
    server.wait().unwrap();
}
