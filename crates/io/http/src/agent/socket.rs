//! One agent's screen on a WebSocket.

use super::AgentBackend;
use crate::limits::{AGENT_PING, AGENT_QUEUE, AGENT_SILENCE, AGENT_WRITE};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use call::{AgentCommand, AgentNotice, CommandError};
use domain::AgentId;
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{
    sync::mpsc,
    time::{self, Instant, MissedTickBehavior},
};

/// Why a screen was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The screen went.
    Left,
    /// It was silent for too long.
    Silent,
    /// It did not take what was sent.
    Slow,
    /// The node let it go.
    Dropped,
}

impl End {
    const fn frame(self) -> (u16, &'static str) {
        match self {
            Self::Left => (close_code::NORMAL, "bye"),
            Self::Silent => (close_code::POLICY, "silent for too long"),
            Self::Slow => (close_code::POLICY, "too slow"),
            Self::Dropped => (
                close_code::AWAY,
                "the node let this screen go; attach again",
            ),
        }
    }
}

/// Serves one screen to its end.
pub(super) async fn serve(socket: WebSocket, agent: AgentId, backend: Arc<dyn AgentBackend>) {
    let (mut sink, stream) = socket.split();
    let notices = match backend.attach(agent).await {
        Ok(notices) => notices,
        Err(error) => {
            let text = json!({ "type": "error", "code": error.code, "message": error.message });
            // The screen may be gone already; nothing is left to do for it.
            let sent = write(&mut sink, Message::text(text.to_string())).await;
            tracing::info!(%agent, ?sent, code = %error.code, "a screen was refused");
            close(&mut sink, End::Dropped).await;
            return;
        }
    };
    let (replies, answered) = mpsc::channel(AGENT_QUEUE);
    let reading = read(stream, agent, backend, replies);
    let end = tokio::select! {
        end = reading => end,
        end = forward(&mut sink, notices, answered) => end,
    };
    tracing::debug!(%agent, ?end, "a screen ended");
    close(&mut sink, end).await;
}

type Sink = SplitSink<WebSocket, Message>;

async fn write(sink: &mut Sink, message: Message) -> Result<(), End> {
    in_time(sink.send(message)).await
}

async fn in_time(sending: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
    match time::timeout(AGENT_WRITE, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Left),
        Err(_) => Err(End::Slow),
    }
}

async fn close(sink: &mut Sink, end: End) {
    let (code, reason) = end.frame();
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // The peer may be gone; the socket is dropped either way.
    if let Err(why) = write(sink, Message::Close(Some(frame))).await {
        tracing::trace!(?why, "no farewell");
    }
}

/// Everything towards the screen, one frame after the other; what waits at the same time leaves in
/// one piece.
async fn forward(
    sink: &mut Sink,
    mut notices: mpsc::Receiver<AgentNotice>,
    mut replies: mpsc::Receiver<Value>,
) -> End {
    let mut pings = time::interval(AGENT_PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let first = tokio::select! {
            // A reply before the notice of what it caused.
            biased;
            Some(reply) = replies.recv() => Some(of_reply(&reply)),
            notice = notices.recv() => match notice {
                Some(notice) => of_notice(&notice),
                None => return End::Dropped,
            },
            _ = pings.tick() => Some(Message::Ping(Bytes::new())),
        };
        let all = async {
            let mut next = first;
            while let Some(message) = next {
                sink.feed(message).await?;
                next = match replies.try_recv() {
                    Ok(reply) => Some(of_reply(&reply)),
                    Err(_) => notices.try_recv().ok().and_then(|n| of_notice(&n)),
                };
            }
            sink.flush().await
        };
        if let Err(end) = in_time(all).await {
            return end;
        }
    }
}

fn of_reply(reply: &Value) -> Message {
    Message::text(reply.to_string())
}

fn of_notice(notice: &AgentNotice) -> Option<Message> {
    match serde_json::to_string(notice) {
        Ok(text) => Some(Message::text(text)),
        Err(error) => {
            tracing::error!(%error, "a notice cannot be written as JSON");
            None
        }
    }
}

/// Commands from the screen, one after the other: two buttons never overtake each other.
async fn read(
    mut stream: SplitStream<WebSocket>,
    agent: AgentId,
    backend: Arc<dyn AgentBackend>,
    replies: mpsc::Sender<Value>,
) -> End {
    let mut heard = Instant::now();
    loop {
        let frame = match time::timeout_at(heard + AGENT_SILENCE, stream.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_)) | None) => return End::Left,
            Err(_) => return End::Silent,
        };
        heard = Instant::now();
        let reply = match frame {
            Message::Text(text) => taken(text.as_bytes(), agent, &*backend).await,
            Message::Binary(bytes) => taken(&bytes, agent, &*backend).await,
            Message::Close(_) => return End::Left,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        // A screen that sends without reading its replies fills this and is let go.
        if replies.try_send(reply).is_err() {
            return End::Slow;
        }
    }
}

/// A page's own ping: browsers do not show it the node's.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Alive {
    Ping { id: u64 },
}

/// The reply to a frame. A ping is answered here, whatever the engine does.
async fn taken(frame: &[u8], agent: AgentId, backend: &dyn AgentBackend) -> Value {
    match serde_json::from_slice(frame) {
        Ok(Alive::Ping { id }) => json!({ "reply": id, "ok": true }),
        Err(_) => answer(frame, agent, backend).await,
    }
}

async fn answer(frame: &[u8], agent: AgentId, backend: &dyn AgentBackend) -> Value {
    let (id, asked) = match parse(frame) {
        Ok((id, Ok(asked))) => (id, asked),
        Ok((id, Err(error))) => return refused(id, &error),
        Err(error) => return refused(Value::Null, &error),
    };
    let done = match asked {
        Asked::Command(command) => backend.command(agent, command).await.map(|()| None),
        Asked::Audio(Audio::AudioOffer { sdp }) => backend.audio_offer(agent, sdp).await.map(Some),
        Asked::Audio(Audio::AudioClose {}) => backend.audio_close(agent).await.map(|()| None),
    };
    match done {
        Ok(None) => json!({ "reply": id, "ok": true }),
        Ok(Some(sdp)) => json!({ "reply": id, "ok": true, "sdp": sdp }),
        Err(error) => refused(id, &error),
    }
}

fn refused(id: Value, error: &CommandError) -> Value {
    json!({
        "reply": id,
        "ok": false,
        "error": { "code": error.code, "message": error.message },
    })
}

/// What a frame asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Command(AgentCommand),
    Audio(Audio),
}

/// The commands of a browser's audio. Not the call center's: the node's relay answers them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Audio {
    AudioOffer { sdp: String },
    AudioClose {},
}

type Parsed = (Value, Result<Asked, CommandError>);

/// The frame's id (a number or a short text) and its command.
fn parse(frame: &[u8]) -> Result<Parsed, CommandError> {
    let mut frame: Value = serde_json::from_slice(frame).map_err(AgentCommand::unreadable)?;
    let object = frame
        .as_object_mut()
        .ok_or_else(|| AgentCommand::unreadable("the frame is not a JSON object"))?;
    let id = object.remove("id").unwrap_or_default();
    let known = match &id {
        Value::Number(_) => true,
        Value::String(text) => text.len() <= 64,
        _ => false,
    };
    if !known {
        return Err(AgentCommand::unreadable(
            "the field id is missing; expected a number or a text of at most 64 bytes",
        ));
    }
    let audio = (frame.get("type").and_then(Value::as_str))
        .is_some_and(|kind| matches!(kind, "audio_offer" | "audio_close"));
    let asked = if audio {
        serde_json::from_value(frame).map(Asked::Audio)
    } else {
        serde_json::from_value(frame).map(Asked::Command)
    };
    Ok((id, asked.map_err(AgentCommand::unreadable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_has_commands_of_its_own() {
        let (_, asked) = parse(br#"{"id":7,"type":"audio_offer","sdp":"v=0"}"#).unwrap();
        let sdp = "v=0".to_owned();
        assert_eq!(asked, Ok(Asked::Audio(Audio::AudioOffer { sdp })));
        let (_, asked) = parse(br#"{"id":8,"type":"audio_close"}"#).unwrap();
        assert_eq!(asked, Ok(Asked::Audio(Audio::AudioClose {})));
        for bad in [
            &br#"{"id":7,"type":"audio_offer"}"#[..],
            br#"{"id":7,"type":"audio_offer","sdp":7}"#,
            br#"{"id":7,"type":"audio_offer","sdp":"","more":1}"#,
            br#"{"id":7,"type":"audio_close","sdp":""}"#,
        ] {
            let (id, asked) = parse(bad).unwrap();
            assert_eq!((id, asked.unwrap_err().code.as_str()), (json!(7), "DM3016"));
        }
    }

    #[test]
    fn frames_carry_an_id_and_a_command() {
        let (id, asked) = parse(br#"{"id":7,"type":"ready"}"#).unwrap();
        let ready = Asked::Command(AgentCommand::Ready);
        assert_eq!((id, asked), (json!(7), Ok(ready)));
        let (id, command) = parse(br#"{"id":"a","type":"fly"}"#).unwrap();
        assert_eq!(id, json!("a"));
        assert!(command.unwrap_err().message.contains("fly"));
        for bad in [
            &b"{"[..],
            b"[]",
            br#"{"type":"ready"}"#,
            br#"{"id":[],"type":"ready"}"#,
        ] {
            assert!(parse(bad).is_err());
        }
    }

    #[test]
    fn pings_are_told_from_commands() {
        let read = |text: &str| serde_json::from_str::<Alive>(text);
        assert!(matches!(
            read(r#"{"id":7,"type":"ping"}"#),
            Ok(Alive::Ping { id: 7 })
        ));
        for other in [
            r#"{"id":7,"type":"ready"}"#,
            r#"{"id":7,"type":"ping","more":1}"#,
            r#"{"type":"ping"}"#,
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }
}
