//! The members' configuration files.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

/// Times of the mesh protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protocol {
    pub(super) session_ttl: Duration,
    pub(super) freshness: Duration,
}

/// The addresses of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) mesh: SocketAddr,
    pub(super) advertised: Option<SocketAddr>,
    pub(super) http: SocketAddr,
    pub(super) monitoring: SocketAddr,
}

fn common(name: &str, at: &Addresses, protocol: Protocol, level: &str) -> String {
    let mut text = String::new();
    let advertise = at
        .advertised
        .map_or(String::new(), |a| format!("advertise = \"{a}\"\n"));
    let seconds = |d: Duration| format!("{}s", d.as_secs().max(1));
    write!(
        text,
        "[mesh]\nlisten = \"{}\"\n{advertise}\n\
         [http]\nlisten = \"{}\"\n\n\
         [monitoring]\nlisten = \"{}\"\n\n\
         [protocol]\nsession_ttl = \"{}\"\nfreshness = \"{}\"\n\n\
         [log]\nlevel = \"{level}\"\nformat = \"text\"\n",
        at.mesh,
        at.http,
        at.monitoring,
        seconds(protocol.session_ttl),
        seconds(protocol.freshness),
    )
    .expect("a text takes text");
    format!("name = \"{name}\"\ndata_dir = \"data/{name}\"\n{text}")
}

/// A coordinator's file.
pub(super) fn coordinator(name: &str, at: &Addresses, protocol: Protocol, level: &str) -> String {
    common(name, at, protocol, level)
}

/// A node's file.
pub(super) fn node(
    name: &str,
    at: &Addresses,
    protocol: Protocol,
    level: &str,
    (trunk, agent): (SocketAddr, SocketAddr),
    (first, last): (u16, u16),
) -> String {
    format!(
        "drain = \"2s\"\n{}\n[sip]\ntrunk_listen = \"{trunk}\"\nagent_listen = \"{agent}\"\n\n\
         [media]\naddress = \"127.0.0.1\"\nports = \"{first}-{last}\"\n\
         webrtc_listen = \"127.0.0.1:0\"\n\n\
         [prompts]\nsafe_harbour = \"safe-harbour.wav\"\n\n\
         [prompts.voice_drops]\ntone = \"voice-drop.wav\"\n",
        common(name, at, protocol, level)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_toml() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let at = Addresses {
            mesh: address(1),
            advertised: Some(address(2)),
            http: address(3),
            monitoring: address(4),
        };
        let protocol = Protocol {
            session_ttl: Duration::from_secs(10),
            freshness: Duration::from_secs(12),
        };
        let text = node(
            "beijing",
            &at,
            protocol,
            "info",
            (address(5), address(6)),
            (20_000, 20_099),
        );
        let value: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(value["name"].as_str(), Some("beijing"));
        assert_eq!(value["mesh"]["advertise"].as_str(), Some("127.0.0.1:2"));
        assert_eq!(value["protocol"]["freshness"].as_str(), Some("12s"));
        assert_eq!(value["media"]["ports"].as_str(), Some("20000-20099"));
        let text = coordinator(
            "c",
            &Addresses {
                advertised: None,
                ..at
            },
            protocol,
            "info",
        );
        let value: toml::Table = toml::from_str(&text).unwrap();
        assert!(value["mesh"].get("advertise").is_none());
    }
}
