//! Agents' accounts, phones and persons.

use super::{PATIENCE, World};
use crate::{
    agent::{Agent, AgentConfig, AgentHandle, AgentStatus, api::Desk as State},
    phone::{Phone, PhoneConfig, PhoneHandle},
};
use anyhow::Context as _;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

/// What a new agent is given.
#[derive(Clone)]
pub struct Account {
    /// Signs in with this.
    pub login: String,
    /// The phone's password.
    pub sip_password: String,
    /// Opens the agents' API.
    pub token: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.login)
    }
}

/// One place of work.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) city: usize,
    login: String,
    phone: PhoneHandle,
    agent: AgentHandle,
}

impl World {
    /// Makes every agent's account and lets the agents sit down; returns when all of them are
    /// ready for calls.
    ///
    /// # Errors
    /// The API refuses an account, or an agent does not get ready; with the agent's trouble.
    pub async fn seat_agents(&mut self) -> anyhow::Result<()> {
        for city in 0..self.nodes.len() {
            for number in 1..=self.config.agents_per_city {
                let desk = self.seat(city, number).await?;
                self.desks.push(desk);
            }
        }
        let seated = self
            .until("agents ready", PATIENCE, async |w| {
                w.agents_at_work() == w.desks.len()
            })
            .await;
        seated.map(drop).with_context(|| self.agents_trouble())
    }

    /// Makes the account of a city's agent.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn open_account(&self, city: usize, number: usize) -> anyhow::Result<Account> {
        let node = &self.nodes[city];
        let login = format!("{}-{number:02}", node.city.name);
        let name = format!("Agent {number} of {}", node.city.name);
        let account = json!({"login": login, "name": name, "node": node.id});
        let made = self
            .api
            .insist(Method::POST, "/agents", &account, PATIENCE)
            .await?;
        let secret = |key: &str| -> anyhow::Result<String> {
            let text = made[key].as_str().map(str::to_owned);
            text.with_context(|| format!("the new agent {login} has no {key}"))
        };
        let (sip_password, token) = (secret("sip_password")?, secret("token")?);
        Ok(Account {
            login,
            sip_password,
            token,
        })
    }

    /// Makes the account of one more agent of a city, whom no program plays, and gives it a phone that
    /// answers by itself: a person may work with it on the agents' page.
    ///
    /// # Errors
    /// The API refuses the account, or the phone cannot be opened.
    pub async fn spare_seat(&mut self, city: usize) -> anyhow::Result<Account> {
        let number = self.config.agents_per_city + 1;
        let account = self.open_account(city, number).await?;
        let sip = self.nodes[city].agent_sip;
        let phone = PhoneConfig::new(&account.login, &account.sip_password, sip);
        let phone = Phone::start(phone, self.rtp.clone()).await?;
        self.spare_phones.push(phone);
        Ok(account)
    }

    async fn seat(&self, city: usize, number: usize) -> anyhow::Result<Desk> {
        let node = &self.nodes[city];
        let account = self.open_account(city, number).await?;
        let login = account.login;
        let phone = PhoneConfig::new(&login, &account.sip_password, node.agent_sip);
        let phone = Phone::start(phone, self.rtp.clone()).await?;
        let url = format!("ws://{}/agent/v1/socket", node.http);
        let config = AgentConfig {
            seed: self.config.seed,
            talk_ms: self.config.talk_ms,
            wrap_up_ms: self.config.wrap_up_ms,
            pause_permille: self.config.pause_permille,
            ..AgentConfig::new(&login, &account.token, &url)
        };
        let agent = Agent::start(config, phone.clone(), self.agent_log.clone());
        Ok(Desk {
            city,
            login,
            phone,
            agent,
        })
    }

    /// Agents who take calls, are on one, or write one up.
    pub fn agents_at_work(&self) -> usize {
        let working = |desk: &&Desk| {
            let status = desk.agent.status();
            let status = status.borrow();
            status.connected && matches!(status.desk, State::Ready | State::OnCall | State::WrapUp)
        };
        self.desks.iter().filter(working).count()
    }

    /// What the agents of a city did so far, summed up.
    pub fn agents_of(&self, city: &str) -> AgentStatus {
        let mut sum = AgentStatus::default();
        let place = self.nodes.iter().position(|n| n.name() == city);
        for desk in self.desks.iter().filter(|d| Some(d.city) == place) {
            let status = desk.agent.status();
            let status = status.borrow();
            sum.connected |= status.connected;
            sum.calls += status.calls;
            sum.disposed += status.disposed;
            sum.heard += status.heard;
        }
        sum
    }

    /// Who is not at work, and why as far as it is known.
    fn agents_trouble(&self) -> String {
        let mut lines = Vec::new();
        for desk in &self.desks {
            let (agent, phone) = (desk.agent.status(), desk.phone.status());
            let (agent, phone) = (agent.borrow(), phone.borrow());
            if agent.connected && matches!(agent.desk, State::Ready) {
                continue;
            }
            lines.push(format!(
                "{}: connected {}, {:?}, phone registered {} (refused {:?}), leg {}; {}",
                desk.login,
                agent.connected,
                agent.desk,
                phone.registered,
                phone.refused,
                phone.in_leg,
                agent.trouble
            ));
        }
        lines.truncate(6);
        lines.join("\n")
    }

    /// Agents log out and phones go off.
    pub(super) async fn dismiss_agents(&mut self) {
        let desks = std::mem::take(&mut self.desks);
        let spare = std::mem::take(&mut self.spare_phones);
        let leaving = desks.into_iter().map(|desk| async move {
            desk.agent.stop().await;
            desk.phone.stop().await;
        });
        let spare = spare
            .into_iter()
            .map(|phone| async move { phone.stop().await });
        let all = futures::future::join(
            futures::future::join_all(leaving),
            futures::future::join_all(spare),
        );
        // A node that is gone answers nobody's goodbye.
        tokio::time::timeout(Duration::from_secs(5), all).await.ok();
    }
}
