//! SIPp as a carrier.

use simulations::world::WorldConfig;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Waits until a program listens for datagrams there; `why` says what it printed, if it ended instead.
pub(crate) fn listens(child: &mut Child, address: SocketAddr, why: impl Fn() -> String) {
    let place = format!(":{:04X} ", address.port());
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fs::read_to_string("/proc/net/udp")
        .unwrap()
        .contains(&place)
    {
        let over = child.try_wait().unwrap();
        assert!(
            over.is_none() && Instant::now() < deadline,
            "nothing listens at {address} ({over:?}): {}",
            why()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One call by the scenario of that name.
pub(crate) struct Sipp {
    child: Child,
    messages: PathBuf,
}

impl Sipp {
    pub(crate) fn start(scenario: &str, name: &str, address: SocketAddr, folder: &Path) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sipp/{scenario}.xml"));
        let messages = folder.join(format!("{name}.messages"));
        let printed = folder.join(format!("{name}.out"));
        let out = File::create(&printed).unwrap();
        let port = address.port().to_string();
        // SIPp takes ports for audio and, two above, for video.
        let (media, _) = WorldConfig::free_row(4).unwrap();
        let media = media.to_string();
        let mut child = Command::new("sipp")
            .arg("-sf")
            .arg(file)
            .args([
                "-i",
                "127.0.0.1",
                "-p",
                &port,
                "-mi",
                "127.0.0.1",
                "-mp",
                &media,
            ])
            .args(["-m", "1", "-nostdin", "-timeout", "60s", "-timeout_error"])
            .args(["-trace_msg", "-message_file"])
            .arg(&messages)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("SIPp is there: `cargo xtask setup` installs it (Debian: sip-tester)");
        listens(&mut child, address, || {
            fs::read_to_string(&printed).unwrap_or_default()
        });
        Self { child, messages }
    }

    /// Everything it sent and received; its call went as the scenario says.
    pub(crate) fn ended(&mut self) -> String {
        let ended = (0..1_000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.child.try_wait().unwrap()
        });
        let messages = fs::read_to_string(&self.messages).unwrap_or_default();
        assert!(
            ended.is_some_and(|status| status.success()),
            "{ended:?}\n{messages}"
        );
        messages
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
