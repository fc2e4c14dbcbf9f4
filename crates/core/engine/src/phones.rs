//! Where agents' phones are, across a restart.

use crate::{Engine, Output, PhoneAddress};
use domain::{Now, limits::NODE_AGENTS};
use std::time::Duration;

impl Engine {
    /// Takes what an earlier run knew: each phone is back as soon as the directory names its agent.
    pub(crate) fn remember_phones(&mut self, now: Now, phones: Vec<PhoneAddress>) {
        for phone in phones.into_iter().take(NODE_AGENTS) {
            let login = phone.login.clone();
            self.phones.insert(login.clone(), phone);
            self.restore_phone(now, &login);
        }
    }

    /// Gives a known agent back the phone of the earlier run, if it had one.
    pub(crate) fn restore_phone(&mut self, now: Now, login: &str) {
        if !self.facts.logins.contains_key(login) {
            return;
        }
        let Some(phone) = self.phones.remove(login) else {
            return;
        };
        let left = phone.expires.since(now.wall);
        self.agent_ua
            .restore_binding(now, login, phone.flow, &phone.contact, left);
    }

    pub(crate) fn phone_registered(
        &mut self,
        now: Now,
        login: String,
        flow: sip::Flow,
        expires: Duration,
    ) {
        let Some(binding) = self.agent_ua.binding(&login) else {
            return;
        };
        let phone = PhoneAddress {
            login: login.clone(),
            flow,
            contact: binding.contact.clone(),
            expires: now.wall + expires,
        };
        self.output(Output::Phone {
            login,
            phone: Some(phone),
        });
    }
}
