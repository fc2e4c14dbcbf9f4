//! The agents' API over real sockets.

use async_trait::async_trait;
use call::{AgentCommand, AgentError, AgentNotice, CommandError};
use dialmesh_http::{
    agent::{self, AgentBackend},
    auth::hash_token,
    limits,
};
use domain::AgentId;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

#[derive(Default)]
struct Node {
    commands: Mutex<Vec<(AgentId, AgentCommand)>>,
    screens: Mutex<Vec<mpsc::Sender<AgentNotice>>>,
}

fn notice(text: &str) -> AgentNotice {
    AgentNotice::Error {
        code: "DM3007".to_owned(),
        message: text.to_owned(),
    }
}

#[async_trait]
impl AgentBackend for Node {
    async fn authenticate(&self, hash: &str) -> Option<AgentId> {
        (hash == hash_token("dmag_good")).then_some(AgentId(7))
    }

    async fn attach(&self, _: AgentId) -> Result<mpsc::Receiver<AgentNotice>, CommandError> {
        let (sender, receiver) = mpsc::channel(limits::AGENT_QUEUE);
        sender.try_send(notice("snapshot")).unwrap();
        self.screens.lock().unwrap().push(sender);
        Ok(receiver)
    }

    async fn command(&self, agent: AgentId, command: AgentCommand) -> Result<(), CommandError> {
        if command == AgentCommand::HangUp {
            return Err(AgentError::NoCall.plain());
        }
        self.commands.lock().unwrap().push((agent, command));
        Ok(())
    }

    async fn audio_offer(&self, agent: AgentId, sdp: String) -> Result<String, CommandError> {
        match sdp.strip_prefix("v=0") {
            Some(rest) => Ok(format!("v=0 for {agent}, {} bytes", rest.len())),
            None => Err(AgentError::AudioOffer.with("It is not SDP")),
        }
    }

    async fn audio_close(&self, _: AgentId) -> Result<(), CommandError> {
        Ok(())
    }
}

async fn serve() -> (SocketAddr, Arc<Node>) {
    let node = Arc::new(Node::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = agent::router(node.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, node)
}

type Screen = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn attach(address: SocketAddr) -> Screen {
    let mut request = format!("ws://{address}/agent/v1/socket")
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert("authorization", "Bearer dmag_good".parse().unwrap());
    let (mut screen, _) = connect_async(request).await.unwrap();
    assert_eq!(read(&mut screen).await["message"], "snapshot");
    screen
}

/// The next frame of text.
async fn read(screen: &mut Screen) -> Value {
    loop {
        match screen.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// One HTTP request over its own connection: status and JSON.
async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn audio_is_offered_answered_and_closed_over_the_socket() {
    let (address, node) = serve().await;
    let mut screen = attach(address).await;
    let longest =
        format!("v=0{}\r\n", "a".repeat(59)) + &format!("{}\r\n", "b".repeat(62)).repeat(191);
    assert_eq!(longest.len(), domain::limits::BROWSER_SDP_BYTES);
    for (id, sdp) in [
        (1, "v=0\r\n".to_owned()),
        // The longest that is read: its line ends are two bytes more each in JSON, and it fits a frame.
        (2, longest),
        (3, "hello".to_owned()),
    ] {
        let frame = json!({ "id": id, "type": "audio_offer", "sdp": sdp });
        screen.send(Message::text(frame.to_string())).await.unwrap();
        let reply = read(&mut screen).await;
        assert_eq!(reply["reply"], id, "{reply}");
        if id < 3 {
            let answer = format!("v=0 for {}, {} bytes", AgentId(7), sdp.len() - 3);
            assert_eq!(
                (&reply["ok"], &reply["sdp"]),
                (&json!(true), &json!(answer))
            );
        } else {
            assert_eq!(reply["error"]["code"], "DM3020", "{reply}");
        }
    }
    let close = json!({ "id": 4, "type": "audio_close" });
    screen.send(Message::text(close.to_string())).await.unwrap();
    assert_eq!(read(&mut screen).await, json!({ "reply": 4, "ok": true }));
    assert!(node.commands.lock().unwrap().is_empty());
    // Only there: who posts a command has no connection that the audio could end with.
    let offer = r#"{"type":"audio_offer","sdp":"v=0"}"#;
    let (status, _) = http(address, "POST", "/agent/v1/commands", "dmag_good", offer).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn buttons_are_answered_in_order_and_notices_come_between() {
    let (address, node) = serve().await;
    let mut screen = attach(address).await;
    for frame in [
        json!({ "id": 1, "type": "log_in" }),
        json!({ "id": "two", "type": "pause", "code": "lunch" }),
        json!({ "id": 3, "type": "hang_up" }),
        json!({ "id": 4, "type": "fly" }),
        json!({ "type": "ready" }),
    ] {
        screen.send(Message::text(frame.to_string())).await.unwrap();
    }
    assert_eq!(read(&mut screen).await, json!({ "reply": 1, "ok": true }));
    assert_eq!(
        read(&mut screen).await,
        json!({ "reply": "two", "ok": true })
    );
    let refused = read(&mut screen).await;
    assert_eq!(
        (&refused["reply"], &refused["ok"]),
        (&json!(3), &json!(false))
    );
    assert_eq!(refused["error"]["code"], "DM3008");
    let unknown = read(&mut screen).await;
    assert_eq!(
        (&unknown["reply"], &unknown["error"]["code"]),
        (&json!(4), &json!("DM3016"))
    );
    let nameless = read(&mut screen).await;
    assert_eq!(nameless["reply"], Value::Null);
    assert!(
        nameless["error"]["message"]
            .as_str()
            .unwrap()
            .contains("field id")
    );
    let sender = node.screens.lock().unwrap()[0].clone();
    sender.send(notice("phone lost")).await.unwrap();
    let told = read(&mut screen).await;
    assert_eq!(
        (&told["type"], &told["message"]),
        (&json!("error"), &json!("phone lost"))
    );
    assert_eq!(
        node.commands.lock().unwrap()[0],
        (AgentId(7), AgentCommand::LogIn)
    );
    screen.close(None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), sender.closed())
        .await
        .expect("the node learns that the screen is gone");
}

#[tokio::test]
async fn strangers_are_refused_before_the_upgrade() {
    let (address, _) = serve().await;
    let url = format!("ws://{address}/agent/v1/socket");
    for (target, token) in [
        (url.clone(), None),
        (url.clone(), Some("Bearer dmag_bad")),
        (
            format!("{url}?ticket=dmtk_unknown"),
            Some("Bearer dmag_good"),
        ),
    ] {
        let mut request = target.into_client_request().unwrap();
        if let Some(token) = token {
            let headers = request.headers_mut();
            headers.insert("authorization", token.parse().unwrap());
        }
        match connect_async(request).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 401),
            other => panic!("{other:?}"),
        }
    }
    let (status, problem) = http(address, "GET", "/agent/v1/socket", "dmag_good", "").await;
    assert_eq!(
        (status, &problem["code"]),
        (415, &json!("DM2003")),
        "no upgrade"
    );
    assert_eq!(
        http(address, "GET", "/agent/v1/nothing", "dmag_good", "")
            .await
            .0,
        404
    );
    assert_eq!(
        http(address, "GET", "/agent/v1/tickets", "dmag_good", "")
            .await
            .0,
        405
    );
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let (address, _) = serve().await;
    assert_eq!(
        http(address, "POST", "/agent/v1/tickets", "dmag_bad", "")
            .await
            .0,
        401
    );
    let (status, ticket) = http(address, "POST", "/agent/v1/tickets", "dmag_good", "").await;
    assert_eq!(status, 200);
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    let url = format!("ws://{address}/agent/v1/socket?ticket={ticket}");
    let (mut screen, _) = connect_async(&url).await.unwrap();
    assert_eq!(read(&mut screen).await["message"], "snapshot");
    assert!(connect_async(&url).await.is_err(), "a ticket is good once");
}

#[tokio::test]
async fn scripts_send_commands_by_post() {
    let (address, node) = serve().await;
    let path = "/agent/v1/commands";
    let ready = r#"{"type":"ready"}"#;
    let (status, reply) = http(address, "POST", path, "dmag_good", ready).await;
    assert_eq!((status, reply), (200, json!({ "ok": true })));
    assert_eq!(node.commands.lock().unwrap()[0].1, AgentCommand::Ready);
    let (status, problem) = http(address, "POST", path, "dmag_good", r#"{"type":"hang_up"}"#).await;
    assert_eq!((status, &problem["code"]), (409, &json!("DM3008")));
    assert_eq!(
        http(address, "POST", path, "dmag_good", r#"{"type":"fly"}"#)
            .await
            .0,
        422
    );
    assert_eq!(http(address, "POST", path, "dmag_bad", ready).await.0, 401);
    let padded = format!(
        "{ready}{}",
        " ".repeat(limits::AGENT_FRAME_BYTES - ready.len())
    );
    assert_eq!(
        http(address, "POST", path, "dmag_good", &padded).await.0,
        200
    );
    assert_eq!(
        http(address, "POST", path, "dmag_good", &format!("{padded} "))
            .await
            .0,
        413
    );
}

#[tokio::test]
async fn a_screen_that_is_let_go_is_told_so() {
    let (address, node) = serve().await;
    let mut screen = attach(address).await;
    node.screens.lock().unwrap().clear();
    loop {
        match screen.next().await.unwrap().unwrap() {
            Message::Close(Some(frame)) => {
                assert!(frame.reason.contains("attach again"));
                break;
            }
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn frames_have_a_bound() {
    let (address, _) = serve().await;
    let mut screen = attach(address).await;
    let frame = json!({ "id": 1, "type": "ready" }).to_string();
    let padding = " ".repeat(limits::AGENT_FRAME_BYTES - frame.len());
    screen
        .send(Message::text(format!("{frame}{padding}")))
        .await
        .unwrap();
    assert_eq!(read(&mut screen).await["ok"], true);
    screen
        .send(Message::text(format!("{frame}{padding} ")))
        .await
        .unwrap();
    let ended = async { while let Some(Ok(_)) = screen.next().await {} };
    tokio::time::timeout(Duration::from_secs(5), ended)
        .await
        .expect("closed");
}
