//! Kamailio between the city and its carrier: the city speaks TLS with it, both show certificates, and
//! SIPp behind it is the carrier.

use crate::city::{City, caller_id, free_port, sipp::Sipp, trunk};
use domain::{SipTransport, Trunk};
use engine::DirectoryCopy;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sip_transport::{Tls, TlsFiles};
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// An authority in `ca.pem`, and a certificate with its key for each name.
fn certificates(folder: &Path, names: &[&str]) {
    let params = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut authority = params("ca.example");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for name in names {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name).signed_by(&key, &authority).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// The program as a proxy that stays in the way of its calls.
struct Kamailio(Child);

impl Kamailio {
    fn start(folder: &Path, secure: SocketAddr, carrier: SocketAddr) -> Self {
        let plain = free_port();
        let at = |name: &str| folder.join(name).display().to_string();
        let tls = format!(
            "[server:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n\
             private_key = {}\ncertificate = {}\nca_list = {}\n",
            at("proxy.example.key"),
            at("proxy.example.pem"),
            at("ca.pem")
        );
        fs::write(folder.join("tls.cfg"), tls).unwrap();
        let config = format!(
            r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
enable_tls=yes
listen=tls:{secure}
listen=udp:{plain}
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "tls.so"
modparam("tls", "config", "{}")
modparam("rr", "enable_double_rr", 1)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK") && t_check_trans()) {{ t_relay(); exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    record_route();
    $du = "sip:{carrier}";
    t_relay();
}}
"#,
            at("tls.cfg")
        );
        fs::write(folder.join("kamailio.cfg"), config).unwrap();
        let log = File::create(folder.join("kamailio.log")).unwrap();
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "64", "-M", "8"])
            .arg("-f")
            .arg(folder.join("kamailio.cfg"))
            .arg("-Y")
            .arg(folder)
            .arg("-P")
            .arg(folder.join("kamailio.pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("Kamailio is there: `cargo xtask setup` installs it (Debian: kamailio, kamailio-tls-modules)");
        let mut kamailio = Self(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(secure).is_err() {
            let over = kamailio.0.try_wait().unwrap();
            assert!(
                over.is_none() && Instant::now() < deadline,
                "Kamailio does not serve ({over:?}): {}",
                fs::read_to_string(folder.join("kamailio.log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        kamailio
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // It ends its children itself when it is asked to.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            self.0.kill().ok();
        }
        self.0.wait().ok();
    }
}

#[test]
fn a_call_over_mutual_tls_through_kamailio() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &["city.example", "proxy.example"]);
    let (secure, carrier) = (free_port(), free_port());
    let mut sipp = Sipp::start("carrier-behind-proxy", "carrier", carrier, folder.path());
    let _kamailio = Kamailio::start(folder.path(), secure, carrier);
    let tls = Tls::load(&TlsFiles {
        certificate: folder.path().join("city.example.pem"),
        key: folder.path().join("city.example.key"),
        trust: Some(folder.path().join("ca.pem")),
        client_trust: None,
    });
    let tls = Arc::new(tls.unwrap());
    tls.set_names([(secure, "proxy.example".to_owned())]);
    let copy = DirectoryCopy {
        trunks: vec![Trunk {
            transport: SipTransport::Tls,
            domain: "proxy.example".into(),
            options_interval: Duration::from_secs(5),
            codecs: vec![domain::Codec::Pcmu],
            ..trunk(1, secure)
        }],
        caller_ids: vec![caller_id("+12125550101", 1)],
        ..DirectoryCopy::default()
    };
    let numbers = |place| (place == 0).then(|| "+12125557788".parse().unwrap());
    let mut city = City::start_with(copy, 1, numbers, Some(tls));
    for second in 3..30 {
        city.run(Duration::from_secs(second));
        if city.records.len() == 1 {
            break;
        }
    }
    let log = || fs::read_to_string(folder.path().join("kamailio.log")).unwrap();
    assert_eq!(city.records.len(), 1, "{:?}\n{}", city.told, log());
    let messages = sipp.ended();
    let record = &city.records[0];
    assert!(record.bridged_at.is_some(), "{record:?}");
    assert_eq!(city.completed, 1);
    assert!(
        city.told.is_empty(),
        "its OPTIONS are answered: {:?}",
        city.told
    );
    // Two ways lead through the proxy, one of them by TLS; both ends know it.
    for words in [
        "Via: SIP/2.0/TLS ",
        "transport=tls",
        "Contact: <sip:+12125550101@",
        "INVITE sip:+12125557788@proxy.example",
    ] {
        assert!(messages.contains(words), "{words} in {messages}");
    }
}
