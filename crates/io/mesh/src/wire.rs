//! One request and one answer on one QUIC stream.
//!
//! Request: version (1 byte), service (2), deadline in milliseconds (4), length (4), payload.
//! Answer: version (1), status (1), length (4), payload. All numbers big-endian.

use bytes::Bytes;
use domain::{MemberId, limits::RPC_BYTES};
use quinn::{Connection, ReadError, ReadExactError, RecvStream, SendStream, VarInt};
use std::time::Duration;

/// Version of the framing. A member reads its own and the one before.
pub(crate) const WIRE_VERSION: u8 = 1;
pub(crate) const REQUEST_HEAD: usize = 11;
pub(crate) const ANSWER_HEAD: usize = 6;

/// A service that members offer each other: its number on the wire and its name in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceId {
    /// On the wire. 0 to 15 belong to this crate, 16 to consensus; take others from 32 on.
    pub number: u16,
    /// In metrics and logs: a short word.
    pub name: &'static str,
}

impl ServiceId {
    /// Joining: the only one open to those without a certificate.
    pub(crate) const JOIN: Self = Self {
        number: 0,
        name: "join",
    };
    /// Renewal of a member's certificate.
    pub(crate) const RENEW: Self = Self {
        number: 1,
        name: "renew",
    };

    /// A service of a higher crate.
    pub const fn new(number: u16, name: &'static str) -> Self {
        Self { number, name }
    }
}

/// Who goes first when a link is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Snapshots, record shipping.
    Bulk = -1,
    /// Everything else.
    Normal = 0,
    /// Heartbeats, keep-alives, votes.
    Urgent = 1,
}

/// A request got no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// There is no link to the peer now. Nothing was sent.
    #[error(
        "{peer} is not connected; it is dialed again and again, see its address and the network"
    )]
    NotConnected {
        /// To whom.
        peer: MemberId,
    },
    /// The peer has too many requests in work. It did not begin with this one.
    #[error("{peer} is busy; try again later")]
    Busy {
        /// Who.
        peer: MemberId,
    },
    /// The peer's release does not know the service. It did nothing.
    #[error("{peer} does not offer the service {service}; it may run an older release")]
    UnknownService {
        /// Who.
        peer: MemberId,
        /// What.
        service: &'static str,
    },
    /// The payload or the answer exceeds the limit. Nothing was sent, or the answer was dropped.
    #[error("a message of {bytes} bytes exceeds the limit of {RPC_BYTES}; split it")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The service answered with an error.
    #[error("{peer} answered: {message} (code {code})")]
    Service {
        /// Who.
        peer: MemberId,
        /// The service's own code.
        code: u16,
        /// For people.
        message: String,
    },
    /// No answer within the deadline. The peer may have done it.
    #[error("{peer} did not answer within {after:?}")]
    Timeout {
        /// Who.
        peer: MemberId,
        /// The deadline.
        after: Duration,
    },
    /// The link broke or the answer was malformed. The peer may have done it.
    #[error("the link to {peer} broke: {why}")]
    Broken {
        /// Who.
        peer: MemberId,
        /// What happened.
        why: String,
    },
}

impl RpcError {
    /// Whether the peer's service certainly did not see the request, so that it may be sent again
    /// or elsewhere.
    pub fn surely_not_done(&self) -> bool {
        matches!(
            self,
            Self::NotConnected { .. } | Self::Busy { .. } | Self::UnknownService { .. }
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok = 0,
    Busy = 1,
    UnknownService = 2,
    ServiceError = 3,
    BadRequest = 4,
    TooLarge = 5,
}

impl Status {
    fn read(byte: u8) -> Option<Self> {
        let all = [
            Self::Ok,
            Self::Busy,
            Self::UnknownService,
            Self::ServiceError,
            Self::BadRequest,
            Self::TooLarge,
        ];
        all.into_iter().find(|s| *s as u8 == byte)
    }
}

pub(crate) struct RequestHead {
    pub(crate) service: u16,
    pub(crate) deadline: Duration,
    pub(crate) length: usize,
}

impl RequestHead {
    pub(crate) fn encode(
        service: ServiceId,
        deadline: Duration,
        length: usize,
    ) -> [u8; REQUEST_HEAD] {
        let mut head = [0; REQUEST_HEAD];
        head[0] = WIRE_VERSION;
        head[1..3].copy_from_slice(&service.number.to_be_bytes());
        let millis = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        head[3..7].copy_from_slice(&millis.to_be_bytes());
        // RPC_BYTES fits in 32 bits.
        head[7..11].copy_from_slice(&(length as u32).to_be_bytes());
        head
    }

    /// `None` for a version this release cannot read.
    pub(crate) fn decode(head: [u8; REQUEST_HEAD]) -> Option<Self> {
        let [version, s0, s1, d0, d1, d2, d3, l0, l1, l2, l3] = head;
        (version == WIRE_VERSION).then(|| Self {
            service: u16::from_be_bytes([s0, s1]),
            deadline: Duration::from_millis(u32::from_be_bytes([d0, d1, d2, d3]).into()),
            length: u32::from_be_bytes([l0, l1, l2, l3]) as usize,
        })
    }
}

pub(crate) async fn answer(
    send: &mut SendStream,
    status: Status,
    payload: Bytes,
) -> Result<(), quinn::WriteError> {
    let mut head = [0; ANSWER_HEAD];
    head[0] = WIRE_VERSION;
    head[1] = status as u8;
    head[2..6].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    send.write_all_chunks(&mut [Bytes::copy_from_slice(&head), payload])
        .await
}

pub(crate) async fn read_payload(recv: &mut RecvStream, length: usize) -> Result<Bytes, String> {
    let mut payload = vec![0; length];
    recv.read_exact(&mut payload)
        .await
        .map_err(|e| e.to_string())?;
    Ok(payload.into())
}

/// Why an answer's stream is reset: the request's deadline passed at the peer, which may be a moment
/// before it passes here.
pub(crate) const TOO_LATE: VarInt = VarInt::from_u32(1);

/// Sends one request on `connection` and waits for its answer.
pub(crate) async fn call(
    connection: &Connection,
    peer: MemberId,
    service: ServiceId,
    payload: Bytes,
    deadline: Duration,
    priority: Priority,
) -> Result<Bytes, RpcError> {
    if payload.len() > RPC_BYTES {
        return Err(RpcError::TooLarge {
            bytes: payload.len(),
        });
    }
    let exchange = exchange(connection, peer, service, payload, deadline, priority);
    match tokio::time::timeout(deadline, exchange).await {
        Ok(result) => result,
        Err(_) => Err(RpcError::Timeout {
            peer,
            after: deadline,
        }),
    }
}

async fn exchange(
    connection: &Connection,
    peer: MemberId,
    service: ServiceId,
    payload: Bytes,
    deadline: Duration,
    priority: Priority,
) -> Result<Bytes, RpcError> {
    let broken = |why: String| RpcError::Broken { peer, why };
    let (mut send, mut recv) = connection
        .open_bi()
        .await
        .map_err(|_| RpcError::NotConnected { peer })?;
    // Only fails when the stream is gone, which the write will tell.
    drop(send.set_priority(priority as i32));
    let head = RequestHead::encode(service, deadline, payload.len());
    let mut chunks = [Bytes::copy_from_slice(&head), payload];
    let written = send.write_all_chunks(&mut chunks).await;
    if written.is_ok() {
        drop(send.finish());
    }
    // A peer that refuses early stops the stream; its answer says why.
    let mut head = [0; ANSWER_HEAD];
    if let Err(e) = recv.read_exact(&mut head).await {
        if let ReadExactError::ReadError(ReadError::Reset(TOO_LATE)) = e {
            return Err(RpcError::Timeout {
                peer,
                after: deadline,
            });
        }
        // What ended the whole link says more than what that did to this request.
        let ended = connection.close_reason().map(|reason| reason.to_string());
        let unsent = written.err().map(|unsent| unsent.to_string());
        return Err(broken(ended.or(unsent).unwrap_or_else(|| e.to_string())));
    }
    let [version, status, l0, l1, l2, l3] = head;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if version != WIRE_VERSION {
        return Err(broken(format!("its answer has version {version}")));
    }
    if length > RPC_BYTES {
        return Err(RpcError::TooLarge { bytes: length });
    }
    let payload = read_payload(&mut recv, length).await.map_err(broken)?;
    match Status::read(status) {
        Some(Status::Ok) => Ok(payload),
        Some(Status::Busy) => Err(RpcError::Busy { peer }),
        Some(Status::UnknownService) => Err(RpcError::UnknownService {
            peer,
            service: service.name,
        }),
        Some(Status::ServiceError) => {
            let (code, message) = payload
                .split_first_chunk()
                .map_or((0, &[][..]), |(c, m)| (u16::from_be_bytes(*c), m));
            let message = String::from_utf8_lossy(message).into_owned();
            Err(RpcError::Service {
                peer,
                code,
                message,
            })
        }
        Some(Status::TooLarge) => Err(RpcError::TooLarge { bytes: length }),
        Some(Status::BadRequest) => Err(broken("it could not read the request".into())),
        None => Err(broken(format!("its answer has status {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_the_bytes_they_always_had() {
        let service = ServiceId::new(0x0102, "x");
        let head = RequestHead::encode(service, Duration::from_millis(3000), 5);
        assert_eq!(head, [1, 1, 2, 0, 0, 0x0b, 0xb8, 0, 0, 0, 5]);
        let read = RequestHead::decode(head).unwrap();
        assert_eq!((read.service, read.length), (0x0102, 5));
        assert_eq!(read.deadline, Duration::from_secs(3));
        let mut newer = head;
        newer[0] = 9;
        assert!(RequestHead::decode(newer).is_none());
    }
}
