//! Telling the directory where this member is.

use crate::member::Member;
use ledger::{Change, DirectoryCommand, DirectoryReply, Place};
use std::time::Duration;

/// How long the directory may take to agree, before it is told again.
const TOLD: Duration = Duration::from_secs(10);

impl Member {
    /// Tells the directory where this member is, where it knows otherwise, until it does. Ends
    /// too when the directory refuses: an operator must act.
    pub async fn tell_place(self, place: Place) {
        let mut applied = self.directory().watch_applied();
        loop {
            let (known, same) = self.directory().read(|directory| {
                let there = directory.place(self.id()).cloned().unwrap_or_default();
                (directory.member(self.id()).is_some(), there == place)
            });
            match (known, same) {
                // The directory is not here yet, or this member is new to it.
                (false, _) => {
                    if applied.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                (true, true) => return,
                (true, false) => {}
            }
            let change = Change::PlaceMember {
                id: self.id(),
                place: place.clone(),
            };
            let command = DirectoryCommand::from(change);
            match self.directory().propose_within(&command, TOLD).await {
                Ok(committed) => match committed.reply {
                    DirectoryReply::Rejected(why) => {
                        tracing::error!(%why, ?place, "the directory refuses what the configuration says of this member's place");
                        return;
                    }
                    _ => {
                        return tracing::info!(
                            ?place,
                            "the directory was told where this member is"
                        );
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "the directory was not told where this member is; told again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}
