//! What a bench asks of its city.

use crate::city::LOOPBACK;
use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::net::SocketAddr;

/// The first of the node's RTP ports: most lie below those that the system gives to anybody.
const RTP_PORT: u16 = 10_000;
/// Open files beside those of RTP.
const OTHER_FILES: u64 = 800;

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The first port; others follow.
    pub(crate) port: u16,
    /// Agents on shift.
    pub(crate) agents: u32,
    /// Leads there are.
    pub(crate) leads: u64,
    /// The trunk's limit.
    pub(crate) calls_per_second: u32,
    /// From answer to the carrier's BYE.
    pub(crate) talk_ms: u32,
    /// Each call is recorded, sealed, to a temporary folder.
    pub(crate) record: bool,
}

impl Plan {
    pub(crate) fn carrier(&self) -> u16 {
        self.port + 4
    }
    pub(crate) fn phones(&self) -> u16 {
        self.port + 6
    }
    /// SIPp's scenarios tell ports from 1000 above these, four for each call: below the node's for the
    /// first 1,400 calls.
    pub(crate) fn carrier_media(&self) -> u16 {
        1_100
    }
    pub(crate) fn phones_media(&self) -> u16 {
        29_000
    }
    /// Two for each agent and each call, of which there are those under way and those whose ports rest.
    pub(crate) fn rtp_ports(&self) -> anyhow::Result<(u16, u16)> {
        let a_second = u64::from(self.calls_per_second).min(self.leads) as f64;
        let resting = a_second * (media::DRAIN.as_secs_f64() + 0.5);
        let pairs = (u64::from(self.agents) + resting as u64).max(2_400);
        let last = u16::try_from(u64::from(RTP_PORT) + 2 * pairs);
        let last = last.context("more calls rest than there are ports: give a lower --rate")?;
        let files = 2 * pairs + OTHER_FILES;
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|now| now < files) {
            limit.current = Some(files);
            limit.maximum = limit.maximum.map(|most| most.max(files));
            setrlimit(Resource::Nofile, limit).with_context(|| {
                format!("{files} open files are needed: raise `ulimit -Hn`, or give a lower --rate")
            })?;
        }
        Ok((RTP_PORT, last))
    }
    pub(crate) fn at(&self, more: u16) -> SocketAddr {
        SocketAddr::new(LOOPBACK, self.port + more)
    }
}
