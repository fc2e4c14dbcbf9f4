//! Telling the directory what this member understands, and everybody what the mesh is at.

use crate::member::Member;
use domain::MeshVersion;
use ledger::{Change, DirectoryCommand, DirectoryEvent, DirectoryReply, Fact};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// How long the directory may take to agree, before it is told again.
const TOLD: Duration = Duration::from_secs(10);

impl Member {
    /// Tells the directory up to which version this member understands what others write, where it
    /// knows otherwise, and then shows what the mesh is at for as long as the directory runs.
    ///
    /// `version` is [`MeshVersion::NEWEST`], or a lower one while an operator keeps the way back to an
    /// earlier release open.
    pub async fn tell_version(self, version: MeshVersion) {
        metrics::describe_gauge!(
            "dialmesh_mesh_version",
            "The version that every member of the mesh understands"
        );
        let mut events = self.directory().events();
        let mut applied = self.directory().watch_applied();
        let mut owed = true;
        loop {
            let (known, said, mesh) = self.directory().read(|directory| {
                (
                    directory.member(self.id()).is_some(),
                    directory.understands(self.id()),
                    directory.mesh_version(),
                )
            });
            metrics::gauge!("dialmesh_mesh_version").set(f64::from(mesh.0));
            if !known {
                // The directory is not here yet, or this member is new to it.
                if applied.changed().await.is_err() {
                    return;
                }
                continue;
            }
            if owed && said != version {
                owed = self.say(version).await;
                continue;
            }
            owed = false;
            loop {
                match events.recv().await {
                    Ok(applied) if applied.events.iter().any(is_about_versions) => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }

    /// Whether it must be said once more.
    async fn say(&self, version: MeshVersion) -> bool {
        let id = self.id();
        let command = DirectoryCommand::from(Change::Understand { id, version });
        match self.directory().propose_within(&command, TOLD).await {
            Ok(committed) => {
                if let DirectoryReply::Rejected(why) = committed.reply {
                    tracing::error!(%why, understands = %version, "the directory refuses what this member says that it understands: take `mesh.hold_version` away, or run a later release");
                } else {
                    tracing::info!(%version, "the directory was told what this member understands");
                }
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the directory was not told what this member understands; told again");
                tokio::time::sleep(Duration::from_secs(1)).await;
                true
            }
        }
    }
}

fn is_about_versions(event: &DirectoryEvent) -> bool {
    match event {
        DirectoryEvent::Reset(_) => true,
        DirectoryEvent::Changed { facts, .. } => {
            (facts.iter()).any(|fact| matches!(fact, Fact::MeshVersion(_)))
        }
        DirectoryEvent::Dnc { .. } => false,
    }
}
