//! Dialogs: RFC 3261 section 12, with loose and strict routes.

use crate::{
    flow::Flow,
    lexer::{Message, Name},
    message::{Head, NameAddr, Uri, param, split_list},
};
use domain::SipTransport;
use std::{collections::BTreeSet, net::IpAddr};

/// Routes kept of one route set.
const ROUTES: usize = 16;

/// One side of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialog {
    /// The peer's tag; empty with RFC 2543 peers.
    pub(crate) remote_tag: Vec<u8>,
    /// The peer's From or To value with its tag.
    pub(crate) remote: Vec<u8>,
    /// The peer's Contact URI.
    pub(crate) target: Vec<u8>,
    /// Route values in the order we send them.
    pub(crate) routes: Vec<Vec<u8>>,
    /// The peer's last CSeq.
    pub(crate) remote_cseq: Option<u32>,
}

impl Dialog {
    /// The caller's side, from a response with a To-tag (section 12.1.2).
    pub(crate) fn of_caller(message: &Message<'_>, head: &Head<'_>, fallback: &[u8]) -> Self {
        let mut routes = record_route(message);
        routes.reverse();
        Self {
            remote_tag: head.to.tag().unwrap_or_default().to_vec(),
            remote: message.value(Name::To).unwrap_or_default().to_vec(),
            target: contact(message).unwrap_or(fallback).to_vec(),
            routes,
            remote_cseq: None,
        }
    }

    /// The callee's side, from an INVITE (section 12.1.1).
    pub(crate) fn of_callee(message: &Message<'_>, head: &Head<'_>) -> Self {
        Self {
            remote_tag: head.from.tag().unwrap_or_default().to_vec(),
            remote: message.value(Name::From).unwrap_or_default().to_vec(),
            target: contact(message).unwrap_or(head.from.uri).to_vec(),
            routes: record_route(message),
            remote_cseq: Some(head.cseq.number),
        }
    }

    /// A re-INVITE or UPDATE moves the peer (section 12.2.2).
    pub(crate) fn refresh_target(&mut self, message: &Message<'_>) {
        if let Some(contact) = contact(message) {
            self.target = contact.to_vec();
        }
    }

    /// Request-URI and Route values of a request in this dialog (section 12.2.1.1).
    pub(crate) fn route(&self) -> (&[u8], Vec<Vec<u8>>) {
        let first = self.routes.first().and_then(|r| NameAddr::read(r));
        let strict = first.filter(|first| {
            Uri::read(first.uri).is_some_and(|uri| param(uri.params, b"lr").is_none())
        });
        match strict {
            None => (&self.target, self.routes.clone()),
            Some(first) => {
                let mut routes = self.routes[1..].to_vec();
                routes.push([b"<", &self.target[..], b">"].concat());
                (first.uri, routes)
            }
        }
    }

    /// Where requests in this dialog go. An address among the trusted peers is followed; names and
    /// strangers' addresses are not (we resolve nothing, and nobody may aim us at others): those go
    /// the way the call came or went, which is also right through NAT.
    pub(crate) fn next_hop(&self, flow: Flow, peers: &BTreeSet<IpAddr>) -> Flow {
        if flow.transport != SipTransport::Udp {
            return flow;
        }
        let uri = match self.routes.first().and_then(|r| NameAddr::read(r)) {
            Some(route) => Uri::read(route.uri),
            None => Uri::read(&self.target),
        };
        match uri.and_then(|uri| uri.address()) {
            Some(remote) if peers.contains(&remote.ip()) => Flow { remote, ..flow },
            _ => flow,
        }
    }
}

fn record_route(message: &Message<'_>) -> Vec<Vec<u8>> {
    message
        .values(Name::RecordRoute)
        .flat_map(split_list)
        .take(ROUTES)
        .map(<[u8]>::to_vec)
        .collect()
}

fn contact<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let first = split_list(message.value(Name::Contact)?).next()?;
    let address = NameAddr::read(first)?;
    Uri::read(address.uri)?.is_sip().then_some(address.uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(lines: &str) -> Dialog {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:b@c>;tag=2\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n{lines}\r\n"
        );
        let message = Message::read(text.as_bytes()).expect("framed");
        let head = Head::read(&message).expect("complete");
        Dialog::of_caller(&message, &head, b"sip:b@c")
    }

    #[test]
    fn loose_and_strict_routes() {
        let loose = dialog(
            "Contact: <sip:b@192.0.2.3>\r\nRecord-Route: <sip:p2;lr=on>\r\nRecord-Route: <sip:p1:5080;lr>, <sip:p0;lr>\r\n",
        );
        let (uri, routes) = loose.route();
        assert_eq!(uri, b"sip:b@192.0.2.3");
        assert_eq!(
            routes,
            [&b"<sip:p0;lr>"[..], b"<sip:p1:5080;lr>", b"<sip:p2;lr=on>"]
        );
        let strict =
            dialog("Contact: <sip:b@192.0.2.3>\r\nRecord-Route: <sip:p2;lr>, <sip:p1>\r\n");
        let (uri, routes) = strict.route();
        assert_eq!(uri, b"sip:p1");
        assert_eq!(routes, [&b"<sip:p2;lr>"[..], b"<sip:b@192.0.2.3>"]);
        assert_eq!(dialog("").target, b"sip:b@c");
        assert_eq!(dialog("Contact: <mailto:x@y>\r\n").target, b"sip:b@c");
    }

    #[test]
    fn only_trusted_addresses_are_followed() {
        let flow = Flow {
            transport: SipTransport::Udp,
            local: "192.0.2.9:5060".parse().expect("address"),
            remote: "192.0.2.1:5060".parse().expect("address"),
        };
        let peers = BTreeSet::from(["192.0.2.3".parse().expect("address")]);
        let hop = |lines: &str| dialog(lines).next_hop(flow, &peers).remote.to_string();
        assert_eq!(hop("Contact: <sip:b@192.0.2.3:5090>\r\n"), "192.0.2.3:5090");
        assert_eq!(hop("Contact: <sip:b@127.0.0.1:22>\r\n"), "192.0.2.1:5060");
        assert_eq!(
            hop("Contact: <sip:b@carrier.example>\r\n"),
            "192.0.2.1:5060"
        );
        assert_eq!(
            hop("Contact: <sip:b@192.0.2.3>\r\nRecord-Route: <sip:198.51.100.1;lr>\r\n"),
            "192.0.2.1:5060"
        );
    }
}
