//! The agents' API in front of the engine's thread.

use crate::event::{Event, Events};
use async_trait::async_trait;
use call::{AgentCommand, AgentError, AgentNotice, CommandError};
use dialmesh_http::{agent::AgentBackend, limits::AGENT_QUEUE};
use domain::AgentId;
use media_io::BrowserGate;
use member::Member;
use service::spawn::Tasks;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a button may take: a disposition waits for the disk.
const ANSWER: Duration = Duration::from_secs(10);

/// This node's agents.
pub(crate) struct Desk {
    pub(crate) member: Member,
    pub(crate) events: Events,
    pub(crate) tasks: Tasks,
    /// Where browsers' offers are answered; none where the node takes none.
    pub(crate) browsers: Option<BrowserGate>,
}

#[async_trait]
impl AgentBackend for Desk {
    async fn authenticate(&self, token_hash: &str) -> Option<AgentId> {
        self.member.directory().read(|directory| {
            let ours = directory
                .agents()
                .filter(|a| a.node == self.member.id() && a.enabled);
            ours.into_iter()
                .find(|agent| agent.token_hash == token_hash)
                .map(|agent| agent.id)
        })
    }

    async fn attach(&self, agent: AgentId) -> Result<mpsc::Receiver<AgentNotice>, CommandError> {
        let (sender, receiver) = mpsc::channel(AGENT_QUEUE);
        let (closed, events) = (sender.clone(), self.events.clone());
        self.tasks.spawn("screen", async move {
            closed.closed().await;
            events.put(Event::Detach(agent)).await;
        });
        self.events
            .put(Event::Attach {
                agent,
                notices: sender,
            })
            .await;
        Ok(receiver)
    }

    async fn command(&self, agent: AgentId, command: AgentCommand) -> Result<(), CommandError> {
        let (reply, answer) = oneshot::channel();
        self.events
            .put(Event::Command {
                agent,
                command,
                reply,
            })
            .await;
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(result)) => result,
            // The engine's thread is gone, or the disk is stuck: the button may have been taken.
            Ok(Err(_)) | Err(_) => Err(AgentError::Slow.plain()),
        }
    }

    async fn audio_offer(&self, agent: AgentId, sdp: String) -> Result<String, CommandError> {
        let gate = (self.browsers.as_ref()).ok_or_else(|| AgentError::NoBrowserAudio.plain())?;
        let (arrival, answer) = gate.answer(&sdp).map_err(|why| {
            tracing::info!(%agent, %why, "a browser's offer of audio was refused");
            AgentError::AudioOffer.with(format_args!("The given one: {why}"))
        })?;
        let (reply, taken) = oneshot::channel();
        self.events
            .put(Event::AudioOffer {
                agent,
                arrival: Box::new(arrival),
                reply,
            })
            .await;
        match tokio::time::timeout(ANSWER, taken).await {
            Ok(Ok(result)) => result.map(|()| answer),
            Ok(Err(_)) | Err(_) => Err(AgentError::Slow.plain()),
        }
    }

    async fn audio_close(&self, agent: AgentId) -> Result<(), CommandError> {
        self.events.put(Event::AudioClose(agent)).await;
        Ok(())
    }
}
