//! Recordings at this node: their thread is started, their folder kept, and coordinators are given
//! what lies there, as it lies there.

use crate::{
    config::NodeConfig,
    event::{Event, Events},
};
use anyhow::{Context, Result};
use bytes::Bytes;
use domain::{CallRecording, MemberId, MemberRole, RecordingEnd, limits};
use engine::RecordingOrder;
use member::{
    Member, NOT_FOR_YOU, NOT_HERE, RECORDING_PIECE, RECORDING_SIZE, RecordingOf, RecordingPiece,
    decode, encode,
};
use mesh::ServiceError;
use recordings::{Folder, Order, Orders, Writer, WriterHandle};
use service::clock;
use std::time::Duration;
use storage::RecordingHead;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(3_600);
/// Error code of a disk that refuses.
const DISK: u16 = 5;

/// What the engine's thread says of recordings.
pub(crate) struct Recordings {
    orders: Orders,
    node: MemberId,
    events: Events,
}

/// The folder and its thread.
pub(crate) struct Started {
    pub(crate) recordings: Recordings,
    pub(crate) folder: Folder,
    pub(crate) tapes: media_io::Tapes,
    pub(crate) writer: WriterHandle,
}

/// Opens the folder and starts the thread.
pub(crate) fn start(config: &NodeConfig, node: MemberId, events: &Events) -> Result<Started> {
    let (path, limits) = config.recordings.limits(&config.data_dir);
    let folder = Folder::open(path.clone(), limits)
        .with_context(|| format!("the recordings' folder {} cannot be made", path.display()))?;
    let (tapes, reader) = media_io::tapes();
    let orders = Orders::default();
    let told = events.clone();
    let tell = move |attempt, recording| {
        // Refused only when the engine's queue is full: the call's record says that nothing was told.
        let _full = !told.offer(Event::Recorded(attempt, recording));
    };
    let writer = Writer::start(folder.clone(), orders.clone(), reader, tell)
        .context("the thread that writes recordings cannot be started")?;
    let recordings = Recordings {
        orders,
        node,
        events: events.clone(),
    };
    Ok(Started {
        recordings,
        folder,
        tapes,
        writer,
    })
}

impl Recordings {
    /// A call is about to be recorded.
    pub(crate) fn order(&self, order: &RecordingOrder) {
        let head = RecordingHead {
            attempt: order.attempt,
            region: order.region,
            node: self.node,
            campaign: order.campaign,
            agent: Some(order.agent),
            // Known once it begins.
            codec: domain::Codec::Pcmu,
            began_at: order.began_at,
            key: order.key.id,
        };
        let key = order.key;
        if !self.orders.put(Order { head, key }) {
            let refused = CallRecording::only(RecordingEnd::Refused);
            let _full = !(self.events).offer(Event::Recorded(order.attempt, refused));
        }
    }
}

/// Deletes what was kept for long enough; runs for as long as the node.
pub(crate) async fn keep(folder: Folder) {
    loop {
        let looked = folder.clone();
        let look = move || looked.look(clock::wall());
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let path = folder.path().display();
                tracing::error!(%error, %path, "the recordings' folder cannot be tidied");
            }
            Err(_) => return,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Hands files to coordinators, who alone can open them.
pub(crate) fn serve(member: &Member, folder: &Folder) {
    let (here, files) = (member.clone(), folder.clone());
    let answer = move |from, request: Bytes| {
        let (here, files) = (here.clone(), files.clone());
        async move {
            admit(&here, from)?;
            let of: RecordingOf = decode(&request)?;
            let size = blocking(move || files.size(of.attempt, of.began_at)).await?;
            size.map(|bytes| encode(&bytes)).ok_or_else(|| gone(of))
        }
    };
    member.endpoint().serve(RECORDING_SIZE, answer);
    let (here, files) = (member.clone(), folder.clone());
    let answer = move |from, request: Bytes| {
        let (here, files) = (here.clone(), files.clone());
        async move {
            admit(&here, from)?;
            let RecordingPiece { of, offset, bytes } = decode(&request)?;
            let bytes = (bytes as usize).min(limits::RECORDING_PIECE_BYTES);
            let read = move || files.piece(of.attempt, of.began_at, (offset, bytes));
            blocking(read).await.map(Bytes::from)
        }
    };
    member.endpoint().serve(RECORDING_PIECE, answer);
}

fn admit(member: &Member, from: MemberId) -> Result<(), ServiceError> {
    let coordinator = (member.directory()).read(|directory| {
        directory
            .member(from)
            .is_some_and(|m| m.role == MemberRole::Coordinator && !m.removed)
    });
    match coordinator {
        true => Ok(()),
        false => Err(ServiceError::new(
            NOT_FOR_YOU,
            "recordings are for coordinators",
        )),
    }
}

fn gone(of: RecordingOf) -> ServiceError {
    let why = format!("there is no recording of {} at this node", of.attempt);
    ServiceError::new(NOT_HERE, why)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ServiceError> {
    let failed = |why: String| ServiceError::new(DISK, format!("the disk refused: {why}"));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
