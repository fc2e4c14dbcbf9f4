use super::*;
use crate::{
    audio::rtp::RtpThread,
    phone::{Phone, PhoneConfig},
    wire::Message,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, UdpSocket};
use tokio_tungstenite::accept_hdr_async;

/// A registrar that says yes to everything.
async fn registrar() -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 65_536];
        while let Ok((len, from)) = socket.recv_from(&mut datagram).await {
            let request = Message::parse(&datagram[..len]).unwrap();
            let response = Message::response(&request, 200, "r", from);
            socket.send_to(&response.to_bytes(), from).await.unwrap();
        }
    });
    addr
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
        if let tungstenite::Message::Text(text) = frame.expect("a button").unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, value: Value) {
    let text = value.to_string();
    socket
        .send(tungstenite::Message::Text(text.into()))
        .await
        .unwrap();
}

// The callback's error type is the library's.
#[allow(clippy::result_large_err)]
async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    accept_hdr_async(
        stream,
        |request: &tungstenite::handshake::server::Request, response| {
            assert_eq!(request.headers()["authorization"], "Bearer t0k");
            assert_eq!(request.uri().path(), "/agent/v1/socket");
            Ok(response)
        },
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_shift_with_a_call_and_a_lost_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/agent/v1/socket", listener.local_addr().unwrap());
    let rtp = RtpThread::start("agent-test").unwrap();
    let phone = Phone::start(PhoneConfig::new("anna", "p", registrar().await), rtp)
        .await
        .unwrap();
    phone.status().wait_for(|s| s.registered).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agents.jsonl");
    let config = AgentConfig {
        wrap_up_ms: (1, 5),
        talk_ms: (1, 5),
        pause_permille: 0,
        weights: BTreeMap::from([("no".to_owned(), 0)]),
        ..AgentConfig::new("anna", "t0k", &url)
    };
    let agent = Agent::start(config, phone, AgentLog::open(&path).unwrap());

    let mut socket = accept(&listener).await;
    let status = |state: &str, phone: &str| json!({"type": "state", "state": state, "since": 0, "phone": phone});
    say(
        &mut socket,
        json!({"type": "snapshot", "state": "logged_out", "phone": "down", "call": null}),
    )
    .await;
    assert_eq!(next(&mut socket).await["type"], "log_in");
    say(&mut socket, status("paused", "up")).await;
    assert_eq!(next(&mut socket).await["type"], "ready");
    say(&mut socket, status("ready", "up")).await;
    let card = json!({"type": "call", "attempt": "att_1", "dispositions": [{"name": "no"}, {"name": "sale"}]});
    say(&mut socket, card.clone()).await;
    say(&mut socket, status("on_call", "up")).await;
    assert_eq!(next(&mut socket).await["type"], "hang_up");
    say(
        &mut socket,
        json!({"type": "call_ended", "attempt": "att_1", "by": "caller"}),
    )
    .await;
    say(&mut socket, status("wrap_up", "up")).await;
    let dispose = next(&mut socket).await;
    assert_eq!(
        (&dispose["type"], &dispose["disposition"]),
        (&json!("dispose"), &json!("sale"))
    );

    // The connection is lost before the acknowledgement: it is asked again, with the same choice.
    drop(socket);
    let mut socket = accept(&listener).await;
    say(
        &mut socket,
        json!({"type": "snapshot", "state": "wrap_up", "phone": "up", "call": card}),
    )
    .await;
    assert_eq!(next(&mut socket).await["disposition"], "sale");
    say(
        &mut socket,
        json!({"type": "disposed", "attempt": "att_1", "disposition": "sale"}),
    )
    .await;
    say(&mut socket, status("ready", "up")).await;
    agent
        .status()
        .wait_for(|s| s.disposed == 1 && s.desk == Desk::Ready)
        .await
        .unwrap();
    let stopping = tokio::spawn(agent.stop());
    assert_eq!(next(&mut socket).await["type"], "log_out");
    drop(socket);
    stopping.await.unwrap();

    let log = AgentLog::read(&path).unwrap();
    let acknowledged: Vec<_> = log
        .iter()
        .filter(|e| matches!(&e.event, AgentEvent::Disposed { attempt, .. } if attempt == "att_1"))
        .collect();
    assert_eq!(acknowledged.len(), 1);
    assert!(
        log.iter()
            .any(|e| matches!(&e.event, AgentEvent::Heard { .. }))
    );
}
