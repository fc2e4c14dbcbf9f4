//! The receiving side: connections from peers, requests on them.

use crate::{
    endpoint::{IDLE, Inner},
    identity::name_of,
    peers::Link,
    wire::{REQUEST_HEAD, RequestHead, ServiceId, Status, TOO_LATE, answer, read_payload},
};
use bytes::Bytes;
use domain::{MemberId, limits::RPC_BYTES};
use futures::future::{BoxFuture, FutureExt};
use quinn::{Connection, RecvStream, SendStream, rustls::pki_types::CertificateDer};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Connections without a certificate at a time: those that want to join.
const STRANGERS: usize = 32;
/// How long a stranger may take for everything.
const STRANGER_TIME: Duration = Duration::from_secs(30);
/// Bytes of a request to join.
const JOIN_BYTES: usize = 64 * 1024;
/// How long a request may take to arrive.
const READ_TIME: Duration = Duration::from_secs(30);
/// How long a superfluous link stays for what was sent on it.
const RETIREMENT: Duration = Duration::from_secs(10);
/// Longest time that a service works on one request, whatever deadline it came with.
const WORK_TIME: Duration = Duration::from_secs(120);

/// A service could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct ServiceError {
    /// The service's own code.
    pub code: u16,
    /// For people: what, why, and what next.
    pub message: String,
}

impl ServiceError {
    /// An error of that code.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// What answers requests of other members. Any `Fn(MemberId, Bytes)` that returns a future of the
/// answer is one. It is dropped half-way when the asker's deadline has passed, so work that must
/// be finished goes into a task of its own.
pub trait Service: Send + Sync + 'static {
    /// Answers one request of `from`, whose certificate was checked.
    fn call(
        &self,
        from: MemberId,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, ServiceError>>;
}

impl<F, Answer> Service for F
where
    F: Fn(MemberId, Bytes) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<Bytes, ServiceError>> + Send + 'static,
{
    fn call(
        &self,
        from: MemberId,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, ServiceError>> {
        self(from, request).boxed()
    }
}

/// Who is at the other end: `None` without a certificate.
pub(crate) fn peer_of(connection: &Connection) -> Option<MemberId> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    // The verifier has read the name before.
    name_of(chain.first()?).ok().map(|(_, member)| member)
}

pub(crate) async fn accept(inner: Arc<Inner>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    while let Some(incoming) = inner.quinn.accept().await {
        let (inner, strangers) = (Arc::clone(&inner), Arc::clone(&strangers));
        tokio::spawn(async move {
            let from = incoming.remote_address();
            let connection = match incoming.await {
                Ok(connection) => connection,
                Err(e) => {
                    tracing::debug!(%from, error = %e, "a connection was refused");
                    return;
                }
            };
            match peer_of(&connection) {
                Some(peer) => inner.welcome(peer, connection, peer).await,
                None => {
                    if let Ok(_permit) = strangers.try_acquire() {
                        serve_stranger(&inner, &connection).await;
                    }
                    connection.close(0u32.into(), b"done");
                }
            }
        });
    }
}

/// One request to join, and nothing else.
async fn serve_stranger(inner: &Arc<Inner>, connection: &Connection) {
    let from = connection.remote_address();
    let exchange = async {
        let (mut send, mut recv) = connection.accept_bi().await.ok()?;
        let head = read_head(&mut recv).await?;
        if head.service != ServiceId::JOIN.number || head.length > JOIN_BYTES {
            answer(&mut send, Status::UnknownService, Bytes::new())
                .await
                .ok()?;
        } else {
            let request = read_payload(&mut recv, head.length).await.ok()?;
            let result = inner.handle_join(request, from).await;
            send_result(&mut send, result).await.ok()?;
        }
        send.finish().ok()?;
        // Until it has read the answer and closed.
        connection.closed().await;
        Some(())
    };
    if !matches!(
        tokio::time::timeout(STRANGER_TIME, exchange).await,
        Ok(Some(()))
    ) {
        tracing::debug!(%from, "a connection without a certificate ended without joining");
    }
}

async fn read_head(recv: &mut RecvStream) -> Option<RequestHead> {
    let mut head = [0; REQUEST_HEAD];
    recv.read_exact(&mut head).await.ok()?;
    RequestHead::decode(head)
}

async fn send_result(
    send: &mut SendStream,
    result: Result<Bytes, ServiceError>,
) -> Result<(), quinn::WriteError> {
    match result {
        Ok(payload) if payload.len() > RPC_BYTES => {
            tracing::error!(
                bytes = payload.len(),
                "an answer exceeds the limit and was not sent"
            );
            answer(send, Status::TooLarge, Bytes::new()).await
        }
        Ok(payload) => answer(send, Status::Ok, payload).await,
        Err(e) => {
            let mut payload = e.code.to_be_bytes().to_vec();
            payload.extend_from_slice(e.message.as_bytes());
            payload.truncate(JOIN_BYTES);
            answer(send, Status::ServiceError, payload.into()).await
        }
    }
}

impl Inner {
    /// Takes a connection of a checked peer into use and serves it until it ends.
    pub(crate) async fn welcome(
        self: &Arc<Self>,
        peer: MemberId,
        connection: Connection,
        dialed_by: MemberId,
    ) {
        // It may have been refused between the handshake and now.
        if let Some(refusal) = self.refusals.of(peer) {
            tracing::debug!(%peer, ?refusal, "a refused member was at the door");
            connection.close(1u32.into(), b"refused");
            return;
        }
        let link = Link {
            connection: connection.clone(),
            dialed_by,
            since: Instant::now(),
            retiring: false,
        };
        if dialed_by == peer {
            self.peers.supersede(peer);
        }
        if let Some((goes, stays)) = self.peers.add(peer, link) {
            let inner = Arc::clone(self);
            tokio::spawn(async move {
                // Were the other one a dead link of a peer that restarted, it would be gone by then.
                tokio::time::sleep(IDLE + Duration::from_secs(1)).await;
                if stays.close_reason().is_none() {
                    inner.peers.retire(peer, &goes);
                    // What runs on it may end.
                    tokio::time::sleep(RETIREMENT).await;
                    goes.close(0u32.into(), b"superfluous");
                }
            });
        }
        tracing::info!(%peer, address = %connection.remote_address(), "link is up");
        let permits = self.peers.with(peer, |p| Arc::clone(&p.permits));
        let (inner, link) = (Arc::clone(self), connection.clone());
        // Ends with the connection.
        tokio::spawn(async move { inner.datagrams.read(peer, &link).await });
        while let Ok((mut send, recv)) = connection.accept_bi().await {
            match Arc::clone(&permits).try_acquire_owned() {
                Ok(permit) => {
                    let inner = Arc::clone(self);
                    tokio::spawn(async move {
                        inner.serve(peer, send, recv).await;
                        drop(permit);
                    });
                }
                Err(_) => {
                    tokio::spawn(async move {
                        // The asker may be gone; nothing is left to do then.
                        if answer(&mut send, Status::Busy, Bytes::new()).await.is_ok() {
                            drop(send.finish());
                        }
                    });
                }
            }
        }
        let why = connection
            .close_reason()
            .map_or_else(String::new, |r| r.to_string());
        tracing::info!(%peer, why, "link is down");
        self.peers.remove(peer, &connection);
    }

    async fn serve(self: &Arc<Self>, peer: MemberId, mut send: SendStream, mut recv: RecvStream) {
        let read = async {
            let head = read_head(&mut recv).await?;
            if head.length > RPC_BYTES {
                return Some((head, None));
            }
            let payload = read_payload(&mut recv, head.length).await.ok()?;
            Some((head, Some(payload)))
        };
        let status = match tokio::time::timeout(READ_TIME, read).await {
            Ok(Some((head, Some(payload)))) => {
                return self.dispatch(peer, head, payload, send).await;
            }
            Ok(Some((_, None))) => Status::TooLarge,
            Ok(None) | Err(_) => Status::BadRequest,
        };
        if answer(&mut send, status, Bytes::new()).await.is_ok() {
            drop(send.finish());
        }
    }

    async fn dispatch(
        self: &Arc<Self>,
        peer: MemberId,
        head: RequestHead,
        payload: Bytes,
        mut send: SendStream,
    ) {
        let work = if head.service == ServiceId::RENEW.number {
            let inner = Arc::clone(self);
            Some(async move { inner.handle_renewal(peer, payload).await }.boxed())
        } else {
            let service = self.services.read().get(&head.service).cloned();
            service.map(|s| s.call(peer, payload))
        };
        let sent = match work {
            None => answer(&mut send, Status::UnknownService, Bytes::new()).await,
            Some(work) => match tokio::time::timeout(head.deadline.min(WORK_TIME), work).await {
                Ok(result) => send_result(&mut send, result).await,
                // Whoever waits a moment longer hears why there is no answer.
                Err(_) => {
                    // Refused only when the stream is gone already.
                    drop(send.reset(TOO_LATE));
                    return;
                }
            },
        };
        if sent.is_ok() {
            drop(send.finish());
        }
    }
}
