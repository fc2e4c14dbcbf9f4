//! sngrep reads what a city exports: a whole call, as it went over the wire.

use crate::city::{
    City, caller_id, free_port,
    sipp::{Sipp, listens},
    trunk,
};
use domain::Trunk;
use engine::DirectoryCopy;
use sip_transport::Exporter;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

/// The program without its screen, writing what it understood to a file.
struct Sngrep {
    child: Child,
    capture: PathBuf,
}

impl Sngrep {
    fn start(folder: &Path, listen: SocketAddr) -> Self {
        let capture = folder.join("calls.pcap");
        let log = File::create(folder.join("sngrep.log")).unwrap();
        let child = Command::new("sngrep")
            .args(["-F", "-N", "-q", "-L", &format!("udp:{listen}"), "-O"])
            .arg(&capture)
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("sngrep is there: `cargo xtask setup` installs it (Debian: sngrep)");
        let mut sngrep = Self { child, capture };
        listens(&mut sngrep.child, listen, || {
            fs::read_to_string(folder.join("sngrep.log")).unwrap()
        });
        sngrep
    }

    /// What it has written so far, as far as it is text.
    fn captured(&self) -> String {
        let bytes = fs::read(&self.capture).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it, and what it had written then.
    fn ended(&mut self) -> String {
        let asked = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        assert!(asked.unwrap().success());
        self.child.wait().unwrap();
        self.captured()
    }
}

impl Drop for Sngrep {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn sngrep_reads_our_calls() {
    let folder = tempfile::tempdir().unwrap();
    let (carrier, collector) = (free_port(), free_port());
    let mut sngrep = Sngrep::start(folder.path(), collector);
    let _sipp = Sipp::start("carrier-answers", "carrier", carrier, folder.path());
    let copy = DirectoryCopy {
        trunks: vec![Trunk {
            codecs: vec![domain::Codec::Pcmu],
            ..trunk(1, carrier)
        }],
        caller_ids: vec![caller_id("+12125550101", 1)],
        ..DirectoryCopy::default()
    };
    let numbers = |place| (place == 0).then(|| "+12125557788".parse().unwrap());
    let mut city = City::start(copy, 1, numbers);
    city.export_to(Arc::new(Exporter::new(collector, 9).unwrap()));
    for second in 3..30 {
        city.run(Duration::from_secs(second));
        if city.records.len() == 1 {
            break;
        }
    }
    assert_eq!(city.completed, 1, "{:?} {:?}", city.lost, city.told);
    let captured = sngrep.ended();
    // Both ways, from the first message to the last.
    for words in [
        "INVITE sip:+12125557788@",
        "SIP/2.0 200 ",
        "ACK sip:",
        "BYE sip:",
    ] {
        assert!(captured.contains(words), "{words} in {captured}");
    }
}
