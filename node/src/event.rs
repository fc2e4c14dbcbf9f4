//! What reaches the engine's thread: one bounded queue for everything.

use crate::overflow::OverflowEvent;
use call::{AgentCommand, AgentNotice, CommandError, PersistToken};
use domain::{
    AgentId, AttemptId, CallRecording, CallerTold, CampaignId, DncBaseId, DncEntry, EscrowGrant,
    Instant, LeasedLead, LiveFloor, RegionId, SessionId, SupervisionOrder, SupervisionRefusal,
    TrunkId, TrunkTarget, status::NodeStatus,
};
use engine::{DirectoryChange, Side};
use media::{BrowserEvent, MediaEvent};
use media_io::Arrival;
use permit::base::BaseLookup;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Events that may wait for the engine's thread.
pub(crate) const QUEUE: usize = 65_536;

/// One event.
#[derive(Debug)]
pub(crate) enum Event {
    /// From a SIP socket.
    Sip {
        side: Side,
        event: sip_transport::TransportEvent,
    },
    /// From the relay.
    Media(MediaEvent),
    /// From the relay, of a browser.
    Browser(BrowserEvent),
    /// An agent's page offered audio, and was answered: this is the session.
    AudioOffer {
        agent: AgentId,
        arrival: Box<Arrival>,
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    AudioClose(AgentId),
    /// The name of a trunk leads there.
    Located {
        trunk: TrunkId,
        name: String,
        targets: Vec<TrunkTarget>,
    },
    /// An entry of the directory was applied here.
    Directory {
        index: u64,
        changes: Vec<DirectoryChange>,
    },
    /// Freshness was confirmed; `index` is applied and in the queue before this.
    Fresh {
        sent_at: Instant,
        index: u64,
    },
    SessionOpened {
        region: RegionId,
        session: SessionId,
        ttl: Duration,
    },
    SessionConfirmed {
        region: RegionId,
        session: SessionId,
        sent_at: Instant,
    },
    SessionEnded {
        region: RegionId,
        session: SessionId,
    },
    Claimed {
        region: RegionId,
        campaign: CampaignId,
        leads: Vec<LeasedLead>,
        rest: Option<Duration>,
    },
    Command {
        agent: AgentId,
        command: AgentCommand,
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    Attach {
        agent: AgentId,
        notices: mpsc::Sender<AgentNotice>,
    },
    Detach(AgentId),
    Persisted {
        index: u64,
        token: Option<PersistToken>,
        owed: Option<Box<crate::journal::Owed>>,
    },
    /// The directory answered an ask for shares of abandonment budgets.
    EscrowAnswered {
        sequence: u64,
        grants: Vec<EscrowGrant>,
    },
    /// The sender is told when the directory has back what it granted.
    SharesSettled(oneshot::Sender<()>),
    Backlog(usize),
    /// What became of a recording.
    Recorded(AttemptId, CallRecording),
    Status(oneshot::Sender<NodeStatus>),
    /// What supervisors may see of live calls.
    Floor(oneshot::Sender<LiveFloor>),
    Supervise {
        order: SupervisionOrder,
        reply: oneshot::Sender<Result<(), SupervisionRefusal>>,
    },
    /// Regions of other cities whose leads are dialed too.
    Helped(Vec<RegionId>),
    /// Of other nodes' persons and agents.
    Overflow(OverflowEvent),
    /// No new attempts; the sender is told when nothing is live any more.
    Drain(oneshot::Sender<()>),
    OptOuts(Vec<DncEntry>),
    /// The directory took opt-outs of this node as its entry `index`.
    OptOutsTaken {
        entries: Vec<DncEntry>,
        index: u64,
    },
    /// When caller IDs were shown in earlier runs.
    Shown(crate::audit::Shown),
    /// A do-not-call base is at this node, whole.
    DncBaseHere(Arc<dyn BaseLookup>),
    /// A do-not-call base is about to be deleted.
    DncBaseGone(DncBaseId),
    /// Where phones were in an earlier run.
    Phones(Vec<engine::PhoneAddress>),
    /// Whom earlier runs called.
    Called(Vec<engine::CalledPerson>),
    /// What the mesh says of a call that rings.
    CallerTold {
        ask: u64,
        told: Box<CallerTold>,
    },
    /// What earlier runs learned.
    Learned(Vec<(engine::LearnedOf, Vec<u8>)>),
    /// A coordinator asks what was learned of a campaign.
    TellLearned {
        campaign: CampaignId,
        reply: oneshot::Sender<Option<Vec<u8>>>,
    },
    /// A coordinator asks what persons think of this node's caller IDs.
    TellStandings(oneshot::Sender<domain::CallerIdStandings>),
    Stop,
}

/// The near end of the queue. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: SyncSender<Event>,
    /// An entry of the directory found the queue full: the engine must read the whole directory.
    pub(crate) directory_missed: Arc<AtomicBool>,
}

impl Events {
    pub(crate) fn channel() -> (Self, Receiver<Event>) {
        let (sender, receiver) = sync_channel(QUEUE);
        (
            Self {
                sender,
                directory_missed: Arc::default(),
            },
            receiver,
        )
    }

    /// Puts an event in without waiting; false when the queue is full.
    pub(crate) fn offer(&self, event: Event) -> bool {
        match self.sender.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                metrics::counter!("dialmesh_engine_queue_full_total").increment(1);
                false
            }
            // The engine's thread is gone: the process is stopping.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }

    /// An entry of the directory: never lost. When the queue is full the engine reads the whole
    /// directory instead, as soon as it can.
    pub(crate) fn directory(&self, index: u64, changes: Vec<DirectoryChange>) {
        if !self.offer(Event::Directory { index, changes }) {
            self.directory_missed.store(true, Ordering::Release);
        }
    }

    /// Puts an event in, waiting for room; for events that must not be lost, from async tasks.
    pub(crate) async fn put(&self, event: Event) {
        let mut event = event;
        loop {
            match self.sender.try_send(event) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => event = back,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The same from a thread that may wait.
    pub(crate) fn put_blocking(&self, event: Event) {
        // Refused only when the engine's thread is gone and the process is stopping.
        drop(self.sender.send(event));
    }
}
