//! baresip as an agent's phone: TLS, SRTP, a tone for a voice, and what it heard in a file.

use simulations::audio::{WINDOW, tones_in};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What a phone is told.
pub(crate) struct Settings<'a> {
    pub(crate) login: &'a str,
    /// Where the node listens for phones, by TLS.
    pub(crate) registrar: u16,
    /// Whom to believe, as PEM.
    pub(crate) authority: &'a Path,
    /// `srtp-mand`, `srtp`, or nothing.
    pub(crate) encryption: &'a str,
    /// Its voice, in hertz.
    pub(crate) tone: u32,
}

pub(crate) struct Baresip {
    child: Child,
    folder: PathBuf,
    control: u16,
}

impl Baresip {
    /// Starts it and waits until it has registered; it takes every call.
    pub(crate) fn start(folder: &Path, settings: &Settings<'_>) -> Self {
        let folder = folder.join(format!("baresip-{}", settings.login));
        fs::create_dir_all(&folder).unwrap();
        let control = super::free_port();
        let (heard, trust) = (folder.display(), settings.authority.display());
        let tone = settings.tone;
        let config = format!(
            "module_path /usr/lib/baresip/modules\n\
             net_interface 127.0.0.1\nsip_listen 127.0.0.1:0\nsip_cafile {trust}\n\
             ausrc_srate 48000\nausrc_channels 2\naudio_source ausine,{tone}\n\
             snd_path {heard}\nctrl_tcp_listen 127.0.0.1:{control}\n\
             module g711.so\nmodule ausine.so\nmodule sndfile.so\nmodule srtp.so\n\
             module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n"
        );
        fs::write(folder.join("config"), config).unwrap();
        let encryption = match settings.encryption {
            "" => String::new(),
            named => format!(";mediaenc={named}"),
        };
        let account = format!(
            "<sip:{0}@127.0.0.1:{1};transport=tls>;auth_user={0};auth_pass=secret;answermode=auto\
             ;regint=60;audio_codecs=pcma{encryption}\n",
            settings.login, settings.registrar
        );
        fs::write(folder.join("accounts"), account).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let child = Command::new("baresip")
            .args(["-4", "-v", "-f"])
            .arg(&folder)
            // Without a terminal it would read the end of its input as a wish to stop.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("baresip is there: `cargo xtask setup` installs it (Debian: baresip-core)");
        let phone = Self {
            child,
            folder,
            control,
        };
        phone.wait_for("it registers", "200 OK");
        phone
    }

    /// What it printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap()).into_owned()
    }

    /// Waits until it has printed something.
    pub(crate) fn wait_for(&self, what: &str, words: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(words) {
            assert!(Instant::now() < end, "baresip: {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses a button.
    pub(crate) fn press(&self, command: &str) {
        let wish = format!("{{\"command\":\"{command}\",\"token\":\"t\"}}");
        let mut control = TcpStream::connect(("127.0.0.1", self.control)).unwrap();
        write!(control, "{}:{wish},", wish.len()).unwrap();
        // It is followed where it is read: the connection stays open until then.
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Ends the phone; how many windows of 80 ms it heard each tone in.
    pub(crate) fn stop(mut self) -> BTreeMap<u32, usize> {
        self.press("quit");
        let end = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut heard = BTreeMap::new();
        for entry in fs::read_dir(&self.folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with("-dec.wav") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            // Whatever stands before them, the samples are behind 44 bytes of header: 8 kHz, one channel.
            let samples: Vec<i16> = bytes[44.min(bytes.len())..]
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            for window in samples.chunks_exact(WINDOW) {
                for tone in tones_in(window.try_into().unwrap()) {
                    *heard.entry(tone).or_default() += 1;
                }
            }
        }
        heard
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
