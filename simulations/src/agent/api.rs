//! The node's agent API as JSON: the only file that knows its names.
//!
//! Client messages are the node's agent commands with an `id` beside them; server messages are its
//! notices (tagged `type`), and replies: `{"reply": id, "ok": true}`, or `"ok": false` with an `error`. What
//! is not understood is ignored: a screen lives longer than one release.

use serde_json::{Map, Value, json};

/// A button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Button {
    /// Begin the shift.
    LogIn,
    /// End the shift.
    LogOut,
    /// Take calls.
    Ready,
    /// Take no calls.
    Pause(String),
    /// End the call.
    HangUp,
    /// Set the disposition.
    Dispose {
        /// One of the card's names.
        disposition: String,
        /// For the record.
        note: String,
        /// Milliseconds since the Unix epoch.
        callback_at: Option<i64>,
    },
}

impl Button {
    /// The client message.
    pub fn to_json(&self, id: u64) -> Value {
        match self {
            Self::LogIn => json!({"id": id, "type": "log_in"}),
            Self::LogOut => json!({"id": id, "type": "log_out"}),
            Self::Ready => json!({"id": id, "type": "ready"}),
            Self::Pause(code) => json!({"id": id, "type": "pause", "code": code}),
            Self::HangUp => json!({"id": id, "type": "hang_up"}),
            Self::Dispose {
                disposition,
                note,
                callback_at,
            } => {
                let mut message = json!({
                    "id": id, "type": "dispose", "disposition": disposition, "note": note,
                });
                if let Some(at) = callback_at {
                    message["callback_at"] = json!(at);
                }
                message
            }
        }
    }
}

/// The agent's state, as far as the person at the desk cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Desk {
    /// No shift.
    #[default]
    LoggedOut,
    /// No calls wanted.
    Paused,
    /// Waiting, or a line is being dialed for the agent.
    Ready,
    /// Speaking.
    OnCall,
    /// After the call.
    WrapUp,
}

/// One choice of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The name to send back.
    pub name: String,
    /// Whether it forbids further calls.
    pub do_not_call: bool,
}

/// The lead's card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The attempt's id.
    pub attempt: String,
    /// What may be chosen.
    pub choices: Vec<Choice>,
    /// Set already.
    pub disposition: Option<String>,
    /// The audio is over.
    pub ended: bool,
}

/// What the node said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A change of state; whether the shift's leg is up.
    State(Desk, bool),
    /// Everything at once, after connecting.
    Snapshot(Desk, bool, Option<Card>),
    /// A call.
    Call(Card),
    /// The audio ended.
    CallEnded(String),
    /// Durable: the attempt, the disposition.
    Disposed(String, String),
    /// A command was taken (`None`) or refused (why).
    Reply(u64, Option<String>),
    /// Something went wrong.
    Error(String),
    /// Not for us.
    Other,
}

impl Notice {
    /// Reads one text frame.
    pub fn from_json(text: &str) -> Self {
        let Ok(message) = serde_json::from_str::<Map<String, Value>>(text) else {
            return Self::Error(format!(
                "not a JSON object: {}",
                &text.chars().take(80).collect::<String>()
            ));
        };
        let get = |name: &str| {
            message
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        match get("type") {
            "state" => Self::State(desk(&message), phone_up(&message)),
            "snapshot" => {
                let call = message.get("call").and_then(Value::as_object).map(card);
                Self::Snapshot(desk(&message), phone_up(&message), call)
            }
            "call" => Self::Call(card(&message)),
            "call_ended" => Self::CallEnded(get("attempt").to_owned()),
            "disposed" => Self::Disposed(get("attempt").to_owned(), get("disposition").to_owned()),
            kind => match (
                message.get("reply").and_then(Value::as_u64),
                message.get("ok"),
            ) {
                (Some(id), Some(Value::Bool(true))) => Self::Reply(id, None),
                (Some(id), _) => Self::Reply(id, Some(complaint(&message))),
                // A reply to what could not even be read has no number.
                (None, Some(Value::Bool(false))) => Self::Error(complaint(&message)),
                (None, _) if kind == "error" => Self::Error(complaint(&message)),
                (None, _) => Self::Other,
            },
        }
    }
}

fn complaint(message: &Map<String, Value>) -> String {
    let from = |m: &Map<String, Value>| {
        let get = |name: &str| {
            m.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        format!("{} {}{}", get("code"), get("message"), get("detail"))
    };
    match message.get("error") {
        Some(Value::Object(inner)) => from(inner),
        Some(Value::String(text)) => text.clone(),
        _ => from(message),
    }
}

fn desk(message: &Map<String, Value>) -> Desk {
    match message.get("state").and_then(Value::as_str) {
        Some("paused") => Desk::Paused,
        Some("ready" | "reserved") => Desk::Ready,
        Some("on_call") => Desk::OnCall,
        Some("wrap_up") => Desk::WrapUp,
        _ => Desk::LoggedOut,
    }
}

fn phone_up(message: &Map<String, Value>) -> bool {
    message.get("phone").and_then(Value::as_str) == Some("up")
}

fn card(message: &Map<String, Value>) -> Card {
    let choice = |value: &Value| {
        Some(Choice {
            name: value.get("name")?.as_str()?.to_owned(),
            do_not_call: value.get("do_not_call") == Some(&Value::Bool(true)),
        })
    };
    Card {
        attempt: message
            .get("attempt")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        choices: message
            .get("dispositions")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(choice).collect())
            .unwrap_or_default(),
        disposition: message
            .get("disposition")
            .and_then(Value::as_str)
            .map(str::to_owned),
        ended: message.get("ended").is_some_and(|v| !v.is_null()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_read() {
        let state = r#"{"type":"state","state":"paused","code":"","since":1,"deadline":null,"phone":"up","next":null}"#;
        assert_eq!(Notice::from_json(state), Notice::State(Desk::Paused, true));
        let call = r#"{"type":"call","attempt":"att_1","number":"+8613*****00","dispositions":[
            {"name":"sale","success":true},{"name":"dnc","do_not_call":true}],"ended":null,"disposition":null}"#;
        let card = Card {
            attempt: "att_1".into(),
            choices: vec![
                Choice {
                    name: "sale".into(),
                    do_not_call: false,
                },
                Choice {
                    name: "dnc".into(),
                    do_not_call: true,
                },
            ],
            disposition: None,
            ended: false,
        };
        assert_eq!(Notice::from_json(call), Notice::Call(card.clone()));
        let snapshot =
            format!(r#"{{"type":"snapshot","state":"wrap_up","phone":"up","call":{call}}}"#);
        assert_eq!(
            Notice::from_json(&snapshot),
            Notice::Snapshot(Desk::WrapUp, true, Some(card))
        );
        assert_eq!(
            Notice::from_json(r#"{"type":"disposed","attempt":"att_1","disposition":"sale"}"#),
            Notice::Disposed("att_1".into(), "sale".into())
        );
        assert_eq!(
            Notice::from_json(r#"{"reply":4,"ok":true}"#),
            Notice::Reply(4, None)
        );
        let refused =
            Notice::from_json(r#"{"reply":4,"ok":false,"error":{"code":"DM3001","message":"no"}}"#);
        assert_eq!(refused, Notice::Reply(4, Some("DM3001 no".into())));
        assert_eq!(Notice::from_json(r#"{"type":"later"}"#), Notice::Other);
        assert!(matches!(Notice::from_json("x"), Notice::Error(_)));
    }

    #[test]
    fn buttons_are_written() {
        let dispose = Button::Dispose {
            disposition: "sale".into(),
            note: "ok".into(),
            callback_at: None,
        };
        assert_eq!(
            dispose.to_json(3),
            json!({"id": 3, "type": "dispose", "disposition": "sale", "note": "ok"})
        );
    }
}
