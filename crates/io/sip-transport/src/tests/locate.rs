//! Names looked up at a real name server: dnsmasq, which shares no code with the resolver.

use crate::{LocateError, Locator};
use domain::{SipTransport, TrunkTarget};
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::runtime::Runtime;

/// dnsmasq on a port of loopback; it ends with the test.
struct NameServer {
    child: Child,
    address: SocketAddr,
}

impl NameServer {
    fn start(folder: &Path, records: &str) -> Self {
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        Self::start_at(folder, records, free.expect("a free port"))
    }

    fn start_at(folder: &Path, records: &str, address: SocketAddr) -> Self {
        let file = folder.join("dnsmasq.conf");
        let port = address.port();
        let text = format!(
            "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n\
             local=/test/\nlocal-ttl=7\npid-file\n{records}"
        );
        fs::write(&file, text).expect("written");
        let child = Command::new("dnsmasq")
            .arg("--keep-in-foreground")
            .arg(format!("--conf-file={}", file.display()))
            .args(["--user=", "--group="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("dnsmasq is there: `cargo xtask setup` installs it (Debian: dnsmasq-base)");
        let server = Self { child, address };
        for _ in 0..500 {
            if std::net::TcpStream::connect(address).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("dnsmasq does not listen");
    }

    fn locator(&self) -> Locator {
        Locator::new(&[self.address]).expect("set up")
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const RECORDS: &str = "\
host-record=a.carrier.test,192.0.2.1\n\
host-record=b.carrier.test,192.0.2.2\n\
host-record=c.carrier.test,192.0.2.3,2001:db8::3\n\
naptr-record=carrier.test,20,10,s,SIP+D2T,,_sip._tcp.carrier.test\n\
naptr-record=carrier.test,10,20,s,SIP+D2U,,_sip._udp.second.carrier.test\n\
naptr-record=carrier.test,10,10,s,SIP+D2U,,_sip._udp.first.carrier.test\n\
srv-host=_sip._udp.first.carrier.test,b.carrier.test,5070,20,0\n\
srv-host=_sip._udp.first.carrier.test,a.carrier.test,5060,10,30\n\
srv-host=_sip._udp.first.carrier.test,c.carrier.test,5080,10,90\n\
srv-host=_sip._udp.second.carrier.test,b.carrier.test,5999,1,1\n\
srv-host=_sip._tcp.carrier.test,b.carrier.test,5060,5,5\n\
srv-host=_sips._tcp.srv.carrier.test,a.carrier.test,5061,1,1\n\
srv-host=_sips._tcp.srv.carrier.test,gone.carrier.test,5061,2,1\n\
srv-host=_sip._udp.never.carrier.test\n\
host-record=never.carrier.test,192.0.2.9\n";

fn target(priority: u16, weight: u16, address: &str) -> TrunkTarget {
    TrunkTarget {
        priority,
        weight,
        address: address.parse().expect("an address"),
    }
}

#[test]
fn names_lead_where_naptr_srv_and_addresses_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NameServer::start(folder.path(), RECORDS);
    let runtime = Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let locator = server.locator();
    let locate =
        |host: &str, port, transport| runtime.block_on(locator.locate(host, port, transport));
    let all = |host: &str, port, transport| {
        let found = locate(host, port, transport).expect(host);
        let span = Duration::from_secs(5)..=Duration::from_secs(7);
        assert!(span.contains(&found.ttl), "{host}: {:?}", found.ttl);
        found.targets
    };
    use SipTransport::{Tcp, Tls, Udp};
    // By the first NAPTR record of the transport, then by priority and weight.
    assert_eq!(
        all("carrier.test", None, Udp),
        [
            target(10, 90, "192.0.2.3:5080"),
            target(10, 90, "[2001:db8::3]:5080"),
            target(10, 30, "192.0.2.1:5060"),
            target(20, 0, "192.0.2.2:5070"),
        ]
    );
    assert_eq!(
        all("carrier.test", None, Tcp),
        [target(5, 5, "192.0.2.2:5060")]
    );
    // No NAPTR record: SRV. One of its hosts has no address.
    assert_eq!(
        all("SRV.carrier.test", None, Tls),
        [target(1, 1, "192.0.2.1:5061")]
    );
    // No SRV record, or a port: addresses alone.
    let plain = |port| {
        let four = format!("192.0.2.3:{port}");
        [
            target(0, 0, &four),
            target(0, 0, &format!("[2001:db8::3]:{port}")),
        ]
    };
    assert_eq!(all("c.carrier.test", None, Udp), plain(5060));
    assert_eq!(all("c.carrier.test", None, Tls), plain(5061));
    assert_eq!(all("c.carrier.test", Some(5099), Udp), plain(5099));
    let never = locate("never.carrier.test", None, Udp);
    assert!(
        matches!(never, Err(LocateError::NotOffered(_))),
        "{never:?}"
    );
    let nowhere = locate("nobody.test", None, Udp);
    assert!(
        matches!(nowhere, Err(LocateError::Nowhere(_))),
        "{nowhere:?}"
    );
    drop(server);
    let silent = locate("other.test", None, Udp);
    assert!(
        matches!(silent, Err(LocateError::Failed { .. })),
        "{silent:?}"
    );
}

#[test]
fn a_changed_record_is_seen_once_the_old_one_is_too_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = |ip| format!("host-record=moves.test,{ip}\n");
    let server = NameServer::start(folder.path(), &record("192.0.2.1"));
    let runtime = Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let (locator, address) = (server.locator(), server.address);
    let found = || {
        let found = locator.locate("moves.test", None, SipTransport::Udp);
        let found = runtime.block_on(found).expect("an address");
        (found.targets, found.ttl)
    };
    let (before, ttl) = found();
    assert_eq!(before, [target(0, 0, "192.0.2.1:5060")]);
    drop(server);
    let _server = NameServer::start_at(folder.path(), &record("192.0.2.2"), address);
    assert_eq!(found().0, before, "the answer may still be believed");
    std::thread::sleep(ttl + Duration::from_secs(1));
    assert_eq!(found().0, [target(0, 0, "192.0.2.2:5060")]);
}

#[test]
fn more_addresses_than_are_used_are_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let records: String = (1..=40)
        .map(|n| format!("host-record=many.test,192.0.2.{n}\n"))
        .collect();
    let server = NameServer::start(folder.path(), &records);
    let runtime = Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let locator = server.locator();
    let found = runtime.block_on(locator.locate("many.test", None, SipTransport::Udp));
    let targets = found.expect("addresses").targets;
    assert_eq!(targets.len(), domain::limits::TRUNK_TARGETS);
}
