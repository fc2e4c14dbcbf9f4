//! A real browser against the real node: Chromium's WebRTC, its microphone a file with a tone.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/apart.rs"]
mod apart;
#[path = "common/chromium.rs"]
mod browser;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[path = "common/floor.rs"]
mod floor;

use apart::apart;
use browser::Chromium;
use domain::{Supervision, SupervisionOrder, SupervisionRefusal};
use floor::{Floor, agents_tone, persons_tones};
use member::{SUPERVISE, decode, encode};
use serde_json::{Value, json};
use simulations::{
    audio::rtp::RtpThread,
    phone::{Phone, PhoneConfig},
};
use std::{path::Path, time::Duration};

/// The page's part in a real browser: a connection as the agent's page makes it.
const CONNECT: &str = r#"(async () => {
    const headers = { authorization: 'Bearer dmag_test' };
    const got = await fetch('/agent/v1/tickets', { method: 'POST', headers });
    const { ticket } = await got.json();
    const socket = new WebSocket(`ws://${location.host}/agent/v1/socket?ticket=${ticket}`);
    await new Promise((done, failed) => { socket.onopen = done; socket.onerror = failed; });
    const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: raw });
    const pc = new RTCPeerConnection({ iceServers: [] });
    const sender = pc.addTransceiver(microphone.getAudioTracks()[0], { direction: 'sendrecv' });
    const codecs = RTCRtpReceiver.getCapabilities('audio').codecs;
    sender.setCodecPreferences(codecs.filter(c => /PCMU|PCMA|telephone-event/i.test(c.mimeType)));
    const stream = new Promise(done => { pc.ontrack = e => done(e.streams[0] || new MediaStream([e.track])); });
    await pc.setLocalDescription(await pc.createOffer());
    const reply = new Promise(done => {
        socket.onmessage = frame => {
            const word = JSON.parse(frame.data);
            if (word.reply === 1) done(word);
        };
    });
    socket.send(JSON.stringify({ id: 1, type: 'audio_offer', sdp: pc.localDescription.sdp }));
    const answer = await reply;
    if (!answer.ok) return JSON.stringify(answer);
    await pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
    const sound = new Audio();
    sound.srcObject = await stream;
    await sound.play();
    for (let n = 0; n < 200 && pc.connectionState !== 'connected'; n++) {
        await new Promise(done => setTimeout(done, 50));
    }
    const ears = new AudioContext();
    await ears.resume();
    const analyser = ears.createAnalyser();
    analyser.fftSize = 8192;
    ears.createMediaStreamSource(sound.srcObject).connect(analyser);
    window.desk = { pc, sender, sound, ears, analyser };
    return pc.connectionState;
})()"#;
/// What it hears and has received.
const LISTEN: &str = r#"(async () => {
    const { pc, ears, analyser } = window.desk;
    const levels = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(levels);
    let most = 1;
    for (let n = 1; n < levels.length; n++) if (levels[n] > levels[most]) most = n;
    const seen = { hertz: most * ears.sampleRate / analyser.fftSize, db: levels[most] };
    for (const [, one] of await pc.getStats()) {
        if (one.type === 'inbound-rtp') {
            seen.received = one.packetsReceived;
            seen.lost = one.packetsLost;
            seen.level = one.audioLevel;
        }
        if (one.type === 'outbound-rtp') seen.sent = one.packetsSent;
    }
    return seen;
})()"#;

/// How loud one frequency is beside the loudest, in decibels.
const BESIDE: &str = r#"(() => {
    const { ears, analyser } = window.desk;
    const levels = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(levels);
    const at = Math.round(HERTZ * analyser.fftSize / ears.sampleRate);
    return Math.max(...levels.slice(at - 1, at + 2)) - Math.max(...levels.slice(1));
})()"#;

/// One second of a tone, 48 kHz, 16 bits: Chromium plays it around and around.
fn microphone(path: &Path, hertz: u32) {
    let samples: Vec<u8> = (0..48_000_u32)
        .flat_map(|n| {
            let turn = f64::from(n * hertz % 48_000) / 48_000.0;
            let sample = (std::f64::consts::TAU * turn).sin() * 8_000.0;
            (sample as i16).to_le_bytes()
        })
        .collect();
    let length = samples.len() as u32;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend([1, 0, 1, 0]);
    wav.extend(48_000_u32.to_le_bytes());
    wav.extend(96_000_u32.to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    wav.extend(samples);
    std::fs::write(path, wav).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_talks_from_chromium() {
    if !apart("an_agent_talks_from_chromium") {
        return;
    }
    let mut floor = Floor::new().await;
    let tones = persons_tones();
    let agent = agents_tone();
    let tone = floor.folder.path().join("microphone.wav");
    microphone(&tone, agent);
    let Some(mut page) = Chromium::start(&tone).await else {
        eprintln!("SKIPPED: there is no Chromium here; `cargo xtask setup` installs it");
        return;
    };
    // Any page of the node: what counts is that its origin may use the microphone.
    let url = format!("http://127.0.0.1:{}/agent/v1/nothing", floor.city.http);
    page.open(&url).await;
    floor.screen.sit(Duration::from_millis(10)).await;
    assert_eq!(page.evaluate(CONNECT).await, "connected");
    floor.screen.press(json!({"type": "log_in"})).await;
    (floor.screen)
        .wait("the browser is the shift's leg", |n| n["phone"] == "up")
        .await;
    floor.screen.press(json!({"type": "ready"})).await;
    floor.dial().await;
    let call = (floor.screen)
        .wait("a person is on the line", |n| n["type"] == "call")
        .await;
    let clear = |seen: &Value| {
        let hertz = seen["hertz"].as_f64().unwrap_or_default();
        let received = seen["received"].as_u64().unwrap_or_default();
        tones.iter().any(|tone| (hertz - tone).abs() < 15.0)
            && seen["level"].as_f64().is_some_and(|level| level > 0.01)
            && received >= 100
            && seen["lost"]
                .as_i64()
                .is_some_and(|lost| lost * 50 < received as i64)
    };
    let mut seen = Value::Null;
    for _ in 0..60 {
        floor.screen.sit(Duration::from_millis(250)).await;
        seen = page.evaluate(LISTEN).await;
        if clear(&seen) {
            break;
        }
    }
    assert!(clear(&seen), "{tones:?} Hz: {seen}");
    let whisper = a_whisper(&mut floor, &mut page, &call).await;
    floor.screen.press(json!({"type": "hang_up"})).await;
    (floor.screen)
        .wait("wrap-up", |n| n["state"] == "wrap_up")
        .await;
    // The page goes: its audio is closed, and the node need not wait to know it.
    page.evaluate("window.desk.pc.close()").await;
    (floor.screen)
        .wait("the agent is told", |n| n["code"] == "DM3022")
        .await;
    let audio = floor.what_the_person_heard().await;
    assert!(audio.heard.contains(&agent), "{agent} Hz: {audio:?}");
    assert!(!audio.heard.contains(&whisper), "{whisper} Hz: {audio:?}");
}

/// The tone of the music that is on hold here, in hertz.
const MUSIC: u32 = 1_250;

/// An element of the page by its test id.
fn element(testid: &str) -> String {
    format!("document.querySelector('[data-testid=\"{testid}\"]')")
}

/// Waits until a script of the page comes to true.
async fn shows(floor: &mut Floor, page: &mut Chromium, script: &str) {
    for _ in 0..300 {
        if page.evaluate(script).await == true {
            return;
        }
        floor.screen.sit(Duration::from_millis(50)).await;
    }
    let seen = page.evaluate("document.body.innerText").await;
    panic!("the page does not show {script}: {seen}");
}

async fn click(floor: &mut Floor, page: &mut Chromium, testid: &str) {
    shows(
        floor,
        page,
        &format!("!!{} && !{0}.disabled", element(testid)),
    )
    .await;
    page.evaluate(&format!("{}.click()", element(testid))).await;
}

/// A key as a person presses it, wherever the focus is.
async fn press(page: &mut Chromium, key: &str) {
    let script = format!(
        "(document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown', {{ key: {key:?}, bubbles: true }}))"
    );
    page.evaluate(&script).await;
}

/// Signs in at the agents' page with the browser's microphone; false where the pages are not built.
async fn sign_in(floor: &mut Floor, page: &mut Chromium) -> bool {
    page.open(&format!("http://127.0.0.1:{}/", floor.city.http))
        .await;
    let text = page.evaluate("document.body.innerText").await;
    if text
        .as_str()
        .is_some_and(|text| text.contains("cargo xtask web"))
    {
        return false;
    }
    click(floor, page, "voice-browser").await;
    let fill = format!(
        "(() => {{ const host = {}; const input = host.matches('input') ? host : host.querySelector('input'); \
         const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set; \
         set.call(input, 'dmag_test'); input.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()",
        element("token")
    );
    page.evaluate(&fill).await;
    click(floor, page, "sign-in").await;
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_presses_keys_and_holds_on_the_page() {
    if !apart("an_agent_presses_keys_and_holds_on_the_page") {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    let music = files.path().join("music.wav");
    let sound: Vec<u8> = media::tones::sine(f64::from(MUSIC), -10.0, 0, 16_000)
        .map(|sample| media::g711::encode(domain::Codec::Pcma, sample))
        .collect();
    std::fs::write(&music, media::wav::write(domain::Codec::Pcma, 1, &sound)).unwrap();
    let prompts = format!("[prompts]\nhold = \"{}\"", music.display());
    let mut floor = Floor::with(&prompts).await;
    let tone = floor.folder.path().join("microphone.wav");
    microphone(&tone, agents_tone());
    let Some(mut page) = Chromium::start(&tone).await else {
        eprintln!("SKIPPED: there is no Chromium here; `cargo xtask setup` installs it");
        return;
    };
    if !sign_in(&mut floor, &mut page).await {
        eprintln!("SKIPPED: the pages are not built; `cargo xtask web` builds them");
        return;
    }
    click(&mut floor, &mut page, "log_in").await;
    (floor.screen)
        .wait("the browser is the shift's leg", |n| n["phone"] == "up")
        .await;
    click(&mut floor, &mut page, "ready").await;
    floor.dial().await;
    (floor.screen)
        .wait("a person is on the line", |n| n["state"] == "on_call")
        .await;
    let open = format!("!!{}", element("call"));
    shows(&mut floor, &mut page, &open).await;
    press(&mut page, "k").await;
    let open = format!("!!{}", element("keypad"));
    shows(&mut floor, &mut page, &open).await;
    for key in ["4", "2", "#"] {
        press(&mut page, key).await;
    }
    click(&mut floor, &mut page, "keypad-0").await;
    let pressed = format!("{}.innerText === '42#0'", element("keypad-pressed"));
    shows(&mut floor, &mut page, &pressed).await;
    floor.screen.sit(Duration::from_millis(1_500)).await;
    press(&mut page, "Escape").await;
    press(&mut page, "o").await;
    let on_hold = format!("!!{}", element("held"));
    shows(&mut floor, &mut page, &on_hold).await;
    floor.screen.sit(Duration::from_secs(2)).await;
    click(&mut floor, &mut page, "resume").await;
    let over = format!("!{}", element("held"));
    shows(&mut floor, &mut page, &over).await;
    press(&mut page, "h").await;
    (floor.screen)
        .wait("wrap-up", |n| n["state"] == "wrap_up")
        .await;
    let audio = floor.what_the_person_heard().await;
    // The page's own echo canceller lets no steady tone through, so of the voice only packets are told.
    assert_eq!(audio.keys, "42#0", "{audio:?}");
    assert!(audio.packets > 50 && audio.lost == 0, "{audio:?}");
    assert_eq!(audio.heard, [MUSIC], "{audio:?}");
}

/// A supervisor at a SIP phone whispers to the agent in the browser: the tone that is heard.
async fn a_whisper(floor: &mut Floor, page: &mut Chromium, call: &Value) -> u32 {
    let (seat, mut screen) = floor.hire("boss", "dmag_boss").await;
    let registrar = ([127, 0, 0, 1], floor.city.agents).into();
    let config = PhoneConfig::new("boss", "secret", registrar);
    let rtp = RtpThread::start("boss").unwrap();
    let phone = Phone::start(config, rtp).await.unwrap();
    let mut status = phone.status();
    status.wait_for(|s| s.registered).await.unwrap();
    screen.press(json!({"type": "log_in"})).await;
    screen.wait("the leg is up", |n| n["phone"] == "up").await;
    let tone = phone.tone();
    let beside = BESIDE.replace("HERTZ", &tone.to_string());
    let before = page.evaluate(&beside).await;
    assert!(before.as_f64() < Some(-25.0), "not yet: {before} dB");
    let order = SupervisionOrder {
        call: call["attempt"].as_str().unwrap().parse().unwrap(),
        seat,
        manner: Some(Supervision::Whisper),
    };
    let endpoint = floor.founder.member.endpoint();
    let answer = endpoint
        .rpc(
            floor.node,
            SUPERVISE,
            encode(&order),
            Duration::from_secs(5),
        )
        .await;
    let taken: Result<(), SupervisionRefusal> = decode(&answer.unwrap()).unwrap();
    assert_eq!(taken, Ok(()));
    let mut heard = Value::Null;
    for _ in 0..40 {
        floor.screen.sit(Duration::from_millis(250)).await;
        heard = page.evaluate(&beside).await;
        if heard.as_f64() > Some(-15.0) {
            break;
        }
    }
    assert!(heard.as_f64() > Some(-15.0), "{tone} Hz: {heard} dB");
    floor.screen.sit(Duration::from_secs(2)).await;
    tone
}
