//! Agents whose phone is a browser: its audio is one session of the relay, up before the shift or within
//! it; each call is bridged onto the shift's one leg, as onto a SIP phone's.

use crate::{
    Engine, Output, Rejected, TimerName,
    legs::{Leg, Line, Owner, Progress},
};
use call::{Failure, LegEvent, LocalCause};
use domain::{AgentId, LegId, Now, limits::BROWSER_BACK};
use media::{BROWSER_EVENT, BrowserCommand, BrowserEnd, BrowserEvent, BrowserId, MediaCommand};
use std::collections::BTreeMap;

/// One agent's browser.
#[derive(Clone, Copy, Debug)]
struct Audio {
    browser: BrowserId,
    up: bool,
}

/// All browsers of the node's agents: at most one an agent, so no more than there are agents.
#[derive(Debug, Default)]
pub(crate) struct Browsers {
    audio: BTreeMap<AgentId, Audio>,
    agents: BTreeMap<BrowserId, AgentId>,
    /// Shifts' legs by browser; also while the browser is gone.
    legs: BTreeMap<AgentId, LegId>,
}

impl Browsers {
    /// Puts a browser in an agent's place; the one that was there.
    fn put(&mut self, agent: AgentId, browser: BrowserId) -> Option<Audio> {
        let before = self.audio.insert(agent, Audio { browser, up: false });
        if let Some(before) = before {
            self.agents.remove(&before.browser);
        }
        self.agents.insert(browser, agent);
        before
    }

    fn take(&mut self, agent: AgentId) -> Option<Audio> {
        let audio = self.audio.remove(&agent)?;
        self.agents.remove(&audio.browser);
        Some(audio)
    }
}

impl Engine {
    /// Whether an agent's phone is a browser now.
    pub(crate) fn has_browser(&self, agent: AgentId) -> bool {
        self.browsers.audio.contains_key(&agent)
    }

    /// An agent's page offered audio, which the relay took as `browser`.
    pub(crate) fn browser_offered(
        &mut self,
        now: Now,
        agent: AgentId,
        browser: BrowserId,
    ) -> Result<(), Rejected> {
        if !self.may_have_browser(agent) {
            return Err(call::Rejected::UnknownAgent(agent).into());
        }
        if let Some(before) = self.browsers.put(agent, browser) {
            self.end_browser(before.browser);
            // The page was loaded anew: the leg waits for the new one.
            self.audio_gone(now, agent);
        }
        Ok(())
    }

    /// An agent's page closed its audio, as one hangs up a phone; or the agent is nobody's any more.
    pub(crate) fn browser_closed(&mut self, now: Now, agent: AgentId) {
        if let Some(audio) = self.browsers.take(agent) {
            self.end_browser(audio.browser);
            self.browser_leg_over(now, agent, LegEvent::HungUp { by_peer: true });
        }
    }

    /// The relay said something of a browser. Of one that was replaced or closed nobody wants to hear.
    pub(crate) fn browser_event(&mut self, now: Now, event: BrowserEvent) {
        match event {
            BrowserEvent::Up { browser } => {
                let Some(agent) = self.browsers.agents.get(&browser).copied() else {
                    return;
                };
                if let Some(audio) = self.browsers.audio.get_mut(&agent) {
                    audio.up = true;
                }
                self.audio_here(now, agent, browser);
            }
            BrowserEvent::Down { browser, why } => {
                let Some(agent) = self.browsers.agents.get(&browser).copied() else {
                    return;
                };
                self.browsers.take(agent);
                let leg = self.browsers.legs.get(&agent).copied();
                let answered = leg.and_then(|leg| self.legs.get(leg)).map(|l| l.answered);
                match answered {
                    Some(true) => self.audio_gone(now, agent),
                    Some(false) => {
                        let local = match why {
                            BrowserEnd::Unreached => LocalCause::TimedOut,
                            _ => LocalCause::Unreachable,
                        };
                        let failure = Failure {
                            local: Some(local),
                            ..Failure::default()
                        };
                        self.browser_leg_over(now, agent, LegEvent::Failed(failure));
                    }
                    None => {}
                }
            }
        }
    }

    /// Begins the shift's leg on the agent's browser: answered as soon as its audio is up.
    pub(crate) fn dial_browser(&mut self, now: Now, leg: LegId, agent: AgentId) {
        let Some(audio) = self.browsers.audio.get(&agent).copied() else {
            return;
        };
        let Some(port) = self.ports.take(now.monotonic) else {
            let failure = Failure {
                local: Some(LocalCause::Unreachable),
                ..Failure::default()
            };
            return self.tell_leg(now, leg, LegEvent::Failed(failure));
        };
        let telephone_event = Some(BROWSER_EVENT);
        self.media(MediaCommand::Open {
            leg,
            port,
            telephone_event,
        });
        self.legs.insert(
            leg,
            Leg {
                owner: Owner::Agent(agent),
                line: Line::Browser,
                listened: false,
                heard: true,
                answered: false,
                ended: false,
                closing: false,
                message: None,
                progress: Progress::default(),
            },
        );
        self.browsers.legs.insert(agent, leg);
        if audio.up {
            self.audio_here(now, agent, audio.browser);
        } else {
            self.tell_leg(now, leg, LegEvent::Ringing);
        }
    }

    /// The agent's browser can be heard: its leg begins, or goes on.
    fn audio_here(&mut self, now: Now, agent: AgentId, browser: BrowserId) {
        let Some(leg) = self.browsers.legs.get(&agent).copied() else {
            return;
        };
        self.timers.disarm(&TimerName::AudioBack(agent));
        self.output(Output::Browser(BrowserCommand::Attach { leg, browser }));
        let Some(found) = self.legs.get_mut(leg) else {
            return;
        };
        let event = match std::mem::replace(&mut found.answered, true) {
            false => LegEvent::Answered,
            true => LegEvent::Restored,
        };
        self.tell_leg(now, leg, event);
    }

    /// The browser of a shift's leg is gone: another may come in its place for a while.
    fn audio_gone(&mut self, now: Now, agent: AgentId) {
        let Some(leg) = self.browsers.legs.get(&agent).copied() else {
            return;
        };
        // Before the leg was answered, the call center's own limit for an answer holds.
        if self.legs.get(leg).is_some_and(|l| l.answered) {
            let until = now.monotonic + BROWSER_BACK;
            // An earlier one stays: three offers that come to nothing are not three times as long.
            if self.timers.deadline(&TimerName::AudioBack(agent)).is_none() {
                self.timers.arm(TimerName::AudioBack(agent), until);
            }
            self.tell_leg(now, leg, LegEvent::Interrupted);
        }
    }

    /// No other browser came in time, or nothing was heard from the one that is there: the phone hung up.
    pub(crate) fn audio_stayed_away(&mut self, now: Now, agent: AgentId) {
        if let Some(audio) = self.browsers.take(agent) {
            self.end_browser(audio.browser);
        }
        self.browser_leg_over(now, agent, LegEvent::HungUp { by_peer: true });
    }

    fn browser_leg_over(&mut self, now: Now, agent: AgentId, event: LegEvent) {
        if let Some(leg) = self.browsers.legs.get(&agent).copied() {
            self.end_browser_leg(agent, leg);
            // The call center first, which may part a bridge; then the relay closes the leg.
            self.tell_leg(now, leg, event);
            self.close_leg(leg);
        }
    }

    /// The shift is over; the browser's audio stays for the next one.
    pub(crate) fn end_browser_leg(&mut self, agent: AgentId, leg: LegId) {
        self.timers.disarm(&TimerName::AudioBack(agent));
        self.browsers.legs.remove(&agent);
        self.legs.end(leg);
        self.forget_browser(agent);
    }

    /// Ends the audio of an agent who has no shift and may begin none.
    pub(crate) fn forget_browser(&mut self, agent: AgentId) {
        if !self.may_have_browser(agent)
            && !self.browsers.legs.contains_key(&agent)
            && let Some(audio) = self.browsers.take(agent)
        {
            self.end_browser(audio.browser);
        }
    }

    fn may_have_browser(&self, agent: AgentId) -> bool {
        let account = self.facts.agents.get(&agent);
        account.is_some_and(|a| a.enabled && a.node == self.config.member)
    }

    fn end_browser(&mut self, browser: BrowserId) {
        self.output(Output::Browser(BrowserCommand::End { browser }));
    }
}
