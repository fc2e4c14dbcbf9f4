//! The sound files that the configuration names, read when the node starts.

use crate::config::{CallBacksConfig, PromptsConfig};
use anyhow::{Context, Result, ensure};
use domain::{PromptName, limits};
use engine::CallBackConfig;
use media::{Prompt, PromptId, Prompts};
use std::{collections::BTreeMap, path::Path};

/// Every prompt, and which is which.
pub(crate) struct Loaded {
    pub(crate) prompts: Prompts,
    pub(crate) safe_harbour: Option<PromptId>,
    pub(crate) call_backs: CallBackConfig,
    /// For who is on hold.
    pub(crate) hold: PromptId,
    /// Messages for answering machines.
    pub(crate) voice_drops: BTreeMap<PromptName, PromptId>,
}

/// Reads the files.
///
/// # Errors
/// Which setting names a file that cannot be played, and what to give.
pub(crate) fn load(files: &PromptsConfig, call_backs: &CallBacksConfig) -> Result<Loaded> {
    let mut prompts = Prompts::default();
    let mut read = |key: &str, name: &str, path: Option<&Path>| {
        path.map(|path| one(&mut prompts, key, name, path))
            .transpose()
    };
    let safe_harbour = read(
        "prompts.safe_harbour",
        "safe-harbour",
        files.safe_harbour.as_deref(),
    )?;
    let announcement = read("prompts.call_back", "call-back", files.call_back.as_deref())?;
    let music = read("prompts.waiting", "waiting", files.waiting.as_deref())?;
    let hold = read("prompts.hold", "hold", files.hold.as_deref())?;
    let (count, most) = (files.voice_drops.len(), limits::VOICE_DROPS);
    ensure!(
        count <= most,
        "prompts.voice_drops has {count} prompts; give {most} at most"
    );
    let mut voice_drops = BTreeMap::new();
    for (name, path) in &files.voice_drops {
        let key = format!("prompts.voice_drops.{name}");
        let named = PromptName::try_from(name.clone()).with_context(|| key.clone())?;
        // By a name of their own: nothing built in begins so.
        let id = one(&mut prompts, &key, &format!("voice-drop-{name}"), path)?;
        voice_drops.insert(named, id);
    }
    if safe_harbour.is_none() {
        tracing::warn!(
            "prompts.safe_harbour is not set: a person whom no agent takes hears nothing before the call ends"
        );
    }
    if call_backs.enabled && announcement.or(safe_harbour).is_none() {
        tracing::warn!(
            "neither prompts.call_back nor prompts.safe_harbour is set: a person who calls back and whom no agent takes hears a tone and is not told who called"
        );
    }
    Ok(Loaded {
        prompts,
        safe_harbour,
        call_backs: CallBackConfig {
            enabled: call_backs.enabled,
            other_cities: call_backs.other_cities,
            wait: call_backs.wait,
            music,
            announcement,
        },
        hold: hold.unwrap_or(PromptId::HOLD),
        voice_drops,
    })
}

fn one(prompts: &mut Prompts, key: &str, name: &str, path: &Path) -> Result<PromptId> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("{key}: {shown} cannot be read"))?;
    let prompt = Prompt::from_wav(&bytes).with_context(|| {
        format!("{key}: {shown} cannot be played; give an 8 kHz G.711 or 16-bit WAV")
    })?;
    Ok(prompts.insert(name, prompt)?)
}
