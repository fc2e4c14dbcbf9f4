use super::*;
use crate::wire::digest::Algorithm;

/// A registrar and caller as small as the test needs: everything by hand, in order.
struct Node {
    socket: UdpSocket,
    addr: SocketAddr,
}

impl Node {
    async fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        Self { socket, addr }
    }

    async fn next(&self, wanted: &str) -> (Message, SocketAddr) {
        let mut datagram = [0; 65_536];
        loop {
            let got = tokio::time::timeout(
                Duration::from_secs(20),
                self.socket.recv_from(&mut datagram),
            );
            let (len, from) = got
                .await
                .unwrap_or_else(|_| panic!("no {wanted} came"))
                .unwrap();
            let message = Message::parse(&datagram[..len]).unwrap();
            let what = message
                .method()
                .map_or_else(|| message.status().unwrap().to_string(), str::to_owned);
            if what == wanted {
                return (message, from);
            }
        }
    }

    async fn send(&self, to: SocketAddr, message: &Message) {
        self.socket.send_to(&message.to_bytes(), to).await.unwrap();
    }

    fn request(&self, method: &str, call: &str, cseq: &str, to_tag: &str) -> Message {
        let tag = if to_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        Message::request(method, "sip:anna@127.0.0.1")
            .with(
                "Via",
                format!(
                    "SIP/2.0/UDP {};branch=z9hG4bK{call}{method}{cseq};rport",
                    self.addr
                ),
            )
            .with("From", "<sip:node@127.0.0.1>;tag=n1")
            .with("To", format!("<sip:anna@127.0.0.1>{tag}"))
            .with("Call-ID", call)
            .with("CSeq", format!("{cseq} {method}"))
            .with("Contact", format!("<sip:node@{}>", self.addr))
    }
}

fn offer(stream: &RtpStream) -> String {
    Sdp {
        audio: stream.local(),
        laws: vec![Law::Mu],
        events: Some(101),
        direction: "sendrecv".into(),
    }
    .to_text(1, 1)
}

#[tokio::test]
async fn registers_answers_speaks_and_listens() {
    let node = Node::bind().await;
    let rtp = RtpThread::start("phone-test").unwrap();
    let phone = Phone::start(PhoneConfig::new("anna", "secret", node.addr), rtp.clone())
        .await
        .unwrap();

    // A challenge with a hash nobody knows first, then SHA-256.
    let (register, from) = node.next("REGISTER").await;
    let response = Message::response(&register, 401, "r", from)
        .with(
            "WWW-Authenticate",
            r#"Digest realm="r", nonce="0", algorithm=SHA-512-256"#,
        )
        .with(
            "WWW-Authenticate",
            digest::challenge("r", "n", Algorithm::Sha256, false),
        );
    node.send(from, &response).await;
    let (register, from) = node.next("REGISTER").await;
    let sent = digest::params(register.header("Authorization").unwrap()).unwrap();
    assert!(digest::verify(&sent, "secret", "REGISTER"));
    let contact = register.header("Contact").unwrap().to_owned();
    let response = Message::response(&register, 200, "r", from)
        .with("Contact", format!("{contact};expires=60"));
    node.send(from, &response).await;
    phone.status().wait_for(|s| s.registered).await.unwrap();

    // The shift's call, its retransmission, and audio both ways.
    let number = "8613800138000";
    let stream = rtp
        .open(
            node.addr.ip(),
            None,
            vec![(Sound::Tone(tone_hertz(number)), 0)],
        )
        .unwrap();
    let invite = node
        .request("INVITE", "shift", "1", "")
        .with_sdp(&offer(&stream));
    let start = Instant::now();
    node.send(phone.addr(), &invite).await;
    let (answer, _) = node.next("200").await;
    node.send(phone.addr(), &invite).await;
    let (again, _) = node.next("200").await;
    assert_eq!(answer.to_tag(), again.to_tag());
    stream.set_peer(answer.sdp().unwrap().audio, Law::Mu);
    node.send(
        phone.addr(),
        &node.request("ACK", "shift", "1", answer.to_tag()),
    )
    .await;
    while phone.heard_between(start, Instant::now()) != [tone_hertz(number)]
        || stream.heard_between(start, Instant::now()) != [tone_hertz("anna")]
    {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "no audio both ways"
        );
        tokio::task::yield_now().await;
    }

    // Hold and resume by re-INVITE, then the far end hangs up.
    let reinvite = node
        .request("INVITE", "shift", "2", answer.to_tag())
        .with_sdp(&offer(&stream));
    node.send(phone.addr(), &reinvite).await;
    let (accepted, _) = node.next("200").await;
    assert_eq!(accepted.cseq(), (2, "INVITE"));
    node.send(
        phone.addr(),
        &node.request("BYE", "shift", "3", answer.to_tag()),
    )
    .await;
    node.next("200").await;
    phone
        .status()
        .wait_for(|s| !s.in_leg && s.legs == 1)
        .await
        .unwrap();
    node.send(
        phone.addr(),
        &node.request("BYE", "shift", "4", answer.to_tag()),
    )
    .await;
    node.next("481").await;
}

#[tokio::test]
async fn a_new_call_replaces_the_old_leg_and_stop_says_goodbye() {
    let node = Node::bind().await;
    let rtp = RtpThread::start("phone-test").unwrap();
    let phone = Phone::start(PhoneConfig::new("anna", "secret", node.addr), rtp.clone())
        .await
        .unwrap();
    let (register, from) = node.next("REGISTER").await;
    node.send(from, &Message::response(&register, 200, "r", from))
        .await;
    let stream = rtp.open(node.addr.ip(), None, Vec::new()).unwrap();
    for call in ["one", "two"] {
        let invite = node
            .request("INVITE", call, "1", "")
            .with_sdp(&offer(&stream));
        node.send(phone.addr(), &invite).await;
        if call == "two" {
            let (bye, from) = node.next("BYE").await;
            assert_eq!(bye.call_id(), "one");
            node.send(from, &Message::response(&bye, 200, "", from))
                .await;
        }
        let (answer, _) = node.next("200").await;
        assert_eq!(answer.call_id(), call);
        node.send(
            phone.addr(),
            &node.request("ACK", call, "1", answer.to_tag()),
        )
        .await;
    }
    let stopping = tokio::spawn({
        let phone = phone.clone();
        async move { phone.stop().await }
    });
    let (bye, from) = node.next("BYE").await;
    assert_eq!(bye.call_id(), "two");
    node.send(from, &Message::response(&bye, 200, "", from))
        .await;
    let (gone, from) = node.next("REGISTER").await;
    assert_eq!(gone.header("Expires"), Some("0"));
    node.send(from, &Message::response(&gone, 200, "r", from))
        .await;
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_told_and_tried_again_later() {
    let node = Node::bind().await;
    let rtp = RtpThread::start("phone-test").unwrap();
    let phone = Phone::start(PhoneConfig::new("anna", "wrong", node.addr), rtp)
        .await
        .unwrap();
    for _ in 0..2 {
        let (register, from) = node.next("REGISTER").await;
        let response = Message::response(&register, 401, "r", from).with(
            "WWW-Authenticate",
            digest::challenge("r", "n", Algorithm::Md5, false),
        );
        node.send(from, &response).await;
    }
    phone
        .status()
        .wait_for(|s| s.refused == Some(401))
        .await
        .unwrap();
    node.next("REGISTER").await;
}
