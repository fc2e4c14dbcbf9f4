//! Tickets: a token's stand-in in a WebSocket's address, where it may be logged on the way. Used
//! once, soon.

use crate::{
    auth::{hash_token, random, token_text},
    limits::{TICKET_SPAN, TICKETS},
};
use domain::AgentId;
use parking_lot::Mutex;
use std::{collections::HashMap, time::Instant};

#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<String, (AgentId, Instant)>>);

impl Tickets {
    /// A new ticket; `None` when too many are unused.
    pub(super) fn issue(&self, agent: AgentId, now: Instant) -> Option<String> {
        let mut tickets = self.0.lock();
        if tickets.len() >= TICKETS {
            tickets.retain(|_, (_, issued)| now.saturating_duration_since(*issued) < TICKET_SPAN);
            if tickets.len() >= TICKETS {
                return None;
            }
        }
        let ticket = token_text("dmtk_", &random());
        tickets.insert(hash_token(&ticket), (agent, now));
        Some(ticket)
    }

    /// Whose ticket it is; it is void after that.
    pub(super) fn redeem(&self, ticket: &str, now: Instant) -> Option<AgentId> {
        let (agent, issued) = self.0.lock().remove(&hash_token(ticket))?;
        (now.saturating_duration_since(issued) < TICKET_SPAN).then_some(agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_soon() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let ticket = tickets.issue(AgentId(7), now).unwrap();
        assert_eq!(tickets.redeem(&ticket, now), Some(AgentId(7)));
        assert_eq!(tickets.redeem(&ticket, now), None);
        let late = tickets.issue(AgentId(7), now).unwrap();
        assert_eq!(tickets.redeem(&late, now + TICKET_SPAN), None);
    }

    #[test]
    fn at_the_bound_old_ones_make_room() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        for _ in 0..TICKETS {
            tickets.issue(AgentId(1), now).unwrap();
        }
        assert_eq!(tickets.issue(AgentId(1), now), None);
        assert!(tickets.issue(AgentId(1), now + TICKET_SPAN).is_some());
    }
}
