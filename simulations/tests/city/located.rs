//! One carrier by name: a real name server (dnsmasq) leads to two hosts of it, each a process of its
//! own behind real sockets; the first is killed in mid-campaign.

use crate::city::{City, caller_id, free_port, trunk};
use domain::{SipTransport, Trunk, TrunkId};
use engine::DirectoryCopy;
use sip_transport::Locator;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::runtime::Runtime;

const NAME: &str = "carrier.test";
const TRUNK: TrunkId = TrunkId(1);

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn name_server(folder: &Path, address: SocketAddr, records: &str) -> Process {
    let file = folder.join("dnsmasq.conf");
    let port = address.port();
    let text = format!(
        "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n\
         local=/test/\nlocal-ttl=60\npid-file\n{records}"
    );
    fs::write(&file, text).unwrap();
    let child = Command::new("dnsmasq")
        .arg("--keep-in-foreground")
        .arg(format!("--conf-file={}", file.display()))
        .args(["--user=", "--group="])
        .stdin(Stdio::null())
        .spawn()
        .expect("dnsmasq is there: `cargo xtask setup` installs it (Debian: dnsmasq-base)");
    let server = Process(child);
    for _ in 0..500 {
        if std::net::TcpStream::connect(address).is_ok() {
            return server;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("dnsmasq does not listen");
}

/// A host whose people answer at once and talk shortly.
fn host(folder: &Path, name: &str, address: SocketAddr) -> Process {
    let config = folder.join(format!("{name}.toml"));
    let text = format!(
        "seed = 1\nmedia = false\nmedia_timeout_ms = 0\n[habits]\nanswer_permille_by_hour = {:?}\n\
         post_dial_mean_ms = 5\nring_mean_ms = 20\ntalk_mean_ms = 40\nwaits_permille = 0\n\
         early_media_permille = 0\n[[trunks]]\nname = \"{name}\"\nlisten = \"{address}\"\n\
         channels = 1000\ncalls_per_second = 1000\n",
        [1000; 24]
    );
    fs::write(&config, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_dialmesh-carrier"))
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
    assert!(ready.is_some(), "the carrier did not start");
    Process(child)
}

#[test]
fn a_dead_host_of_a_carrier_costs_few_calls() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, dns] = [free_port(), free_port(), free_port()];
    let mut hosts =
        [("a", first), ("b", second)].map(|(name, address)| host(folder.path(), name, address));
    let records = format!(
        "naptr-record={NAME},10,10,s,SIP+D2U,,_sip._udp.pbx.{NAME}\n\
         srv-host=_sip._udp.pbx.{NAME},a.{NAME},{},10,0\n\
         srv-host=_sip._udp.pbx.{NAME},b.{NAME},{},20,0\n\
         host-record=a.{NAME},127.0.0.1\nhost-record=b.{NAME},127.0.0.1\n",
        first.port(),
        second.port()
    );
    let _dns = name_server(folder.path(), dns, &records);
    let runtime = Runtime::new().unwrap();
    let found = runtime.block_on(async {
        let locator = Locator::new(&[dns]).unwrap();
        locator.locate(NAME, None, SipTransport::Udp).await.unwrap()
    });
    let addresses: Vec<_> = found.targets.iter().map(|t| t.address).collect();
    assert_eq!(addresses, [first, second]);

    let copy = DirectoryCopy {
        trunks: vec![Trunk {
            address: NAME.to_owned(),
            ..trunk(1, first)
        }],
        caller_ids: vec![caller_id("+12125550101", 1)],
        ..DirectoryCopy::default()
    };
    let numbers = |place| Some(format!("+1212{:07}", 2_000_000 + place).parse().unwrap());
    let mut city = City::start(copy, 40, numbers);
    let seconds = |seconds: u64| Duration::from_secs(seconds);
    city.run(seconds(4));
    // A name that has not led anywhere takes no call.
    assert!(city.dialed.is_empty(), "{:?}", city.dialed);
    let unresolved = domain::status::TrunkTrouble::Unresolved;
    assert!(
        matches!(&city.told[..], [(_, TRUNK, Some(why))] if *why == unresolved),
        "{:?}",
        city.told
    );
    city.locate(TRUNK, "other.test", found.targets.clone());
    city.locate(TRUNK, NAME, found.targets);
    city.run(seconds(10));
    let before = city.dialed.len();
    assert!(before > 60, "{before} calls");
    assert_eq!(city.failed_over, 0);
    hosts[0].kill();
    let killed = city.began.elapsed();
    city.run(seconds(24));
    let all = city.dialed.len() as u64;
    let recent = city.began.elapsed() - seconds(1);
    let young = city.dialed.values().filter(|at| **at > recent).count() as u64;
    let interrupted = (all - young).saturating_sub(city.completed);
    println!(
        "{all} calls, {before} before, {} completed, {interrupted} interrupted, {} failed over; lost {:?}; told {:?}",
        city.completed, city.failed_over, city.lost, city.told
    );
    // The trunk itself was never out, and calls went on by its other host.
    assert_eq!(city.told.last().map(|(_, _, why)| *why), Some(None));
    assert_eq!(city.told.len(), 2, "{:?}", city.told);
    // Whether an INVITE was on its way to the dead host, to be tried at the other, is chance.
    let lost: u64 = city.lost.values().sum();
    assert!(lost + city.failed_over <= 5, "{lost} lost");
    let after = city.dialed.values().filter(|at| **at > killed + seconds(1));
    assert!(after.count() > 100);
    // Calls that were up when the host died are its loss, not those that began later.
    assert!(interrupted <= 5, "{interrupted} interrupted");
}
