//! From the facts of a failed leg to the attempt's disposition.
//!
//! Precedence: what went wrong on our own side; then a definite Q.850 cause, since it comes from
//! the far network while gateways translate statuses loosely; then the SIP status.

use crate::leg::{Failure, LocalCause};
use domain::Disposition;

/// What a failed leg means. `heard` tells whether 180 or 183 came before: a 408 or a timeout after
/// ringing is a person who did not answer, before it a dead carrier.
pub fn disposition(failure: Failure, heard: bool) -> Disposition {
    let unanswered = if heard {
        Disposition::NoAnswer
    } else {
        Disposition::CarrierFailure
    };
    match failure.local {
        Some(LocalCause::Unreachable | LocalCause::CredentialsRefused) => {
            return Disposition::TrunkFailure;
        }
        Some(LocalCause::MediaRefused) => return Disposition::CarrierFailure,
        Some(LocalCause::TimedOut) => return unanswered,
        None => {}
    }
    if let Some(definite) = by_q850(failure.q850) {
        return definite;
    }
    match failure.status {
        404 | 410 | 604 => Disposition::Unallocated,
        486 | 600 => Disposition::Busy,
        403 | 433 | 603 | 607 | 608 => Disposition::Rejected,
        480 => Disposition::NoAnswer,
        // 487 without our CANCEL: the Expires of the INVITE ran out on the way.
        408 | 487 => unanswered,
        401 | 407 => Disposition::TrunkFailure,
        // 484 and 488 too: the number or offer was malformed for this carrier. That is a setting
        // to be repaired; calling every such number dead would burn whole lists.
        _ => Disposition::CarrierFailure,
    }
}

/// Causes of ITU-T Q.850 that say by themselves what became of the call. Others (16, 31, 127 ...)
/// say nothing and leave the word to the status.
fn by_q850(cause: u16) -> Option<Disposition> {
    Some(match cause {
        1 | 22 => Disposition::Unallocated,
        17 => Disposition::Busy,
        18 | 19 => Disposition::NoAnswer,
        20 => Disposition::PoweredOff,
        21 => Disposition::Rejected,
        27 => Disposition::OutOfService,
        2 | 3 | 28 | 34 | 38 | 41 | 42 | 44 | 47 => Disposition::CarrierFailure,
        _ => return None,
    })
}

/// Whether the attempt may be tried once on the next trunk: it failed on the carrier's side before
/// anything rang, and another carrier may know better.
pub fn may_fail_over(failure: Failure, heard: bool) -> bool {
    !heard
        && matches!(
            disposition(failure, heard),
            Disposition::CarrierFailure | Disposition::TrunkFailure
        )
}

/// What a failure means after we gave the attempt up for a reason that asks for `asked`. The
/// network's word wins only where it is a fact about the person or number that crossed our CANCEL.
pub fn disposition_after_cancel(failure: Failure, heard: bool, asked: Disposition) -> Disposition {
    match disposition(failure, heard) {
        known @ (Disposition::Busy
        | Disposition::Unallocated
        | Disposition::PoweredOff
        | Disposition::OutOfService
        | Disposition::Rejected) => known,
        _ => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Disposition::*;

    #[test]
    fn statuses_and_causes_map_as_the_table_says() {
        // status, Q.850, disposition before ringing, disposition after ringing
        for (status, q850, silent, rang) in [
            (404, 0, Unallocated, Unallocated),
            (410, 0, Unallocated, Unallocated),
            (604, 0, Unallocated, Unallocated),
            (480, 1, Unallocated, Unallocated),
            (480, 20, PoweredOff, PoweredOff),
            (480, 0, NoAnswer, NoAnswer),
            (480, 18, NoAnswer, NoAnswer),
            (480, 19, NoAnswer, NoAnswer),
            (480, 27, OutOfService, OutOfService),
            (486, 0, Busy, Busy),
            (600, 0, Busy, Busy),
            (486, 17, Busy, Busy),
            (486, 34, CarrierFailure, CarrierFailure),
            (503, 17, Busy, Busy),
            (403, 0, Rejected, Rejected),
            (603, 0, Rejected, Rejected),
            (603, 16, Rejected, Rejected),
            (603, 31, Rejected, Rejected),
            (607, 0, Rejected, Rejected),
            (608, 0, Rejected, Rejected),
            (480, 21, Rejected, Rejected),
            (484, 0, CarrierFailure, CarrierFailure),
            (484, 28, CarrierFailure, CarrierFailure),
            (488, 0, CarrierFailure, CarrierFailure),
            (302, 0, CarrierFailure, CarrierFailure),
            (500, 0, CarrierFailure, CarrierFailure),
            (503, 0, CarrierFailure, CarrierFailure),
            (480, 34, CarrierFailure, CarrierFailure),
            (480, 38, CarrierFailure, CarrierFailure),
            (480, 41, CarrierFailure, CarrierFailure),
            (480, 42, CarrierFailure, CarrierFailure),
            (480, 44, CarrierFailure, CarrierFailure),
            (404, 127, Unallocated, Unallocated),
            (404, 20, PoweredOff, PoweredOff),
            (408, 0, CarrierFailure, NoAnswer),
            (487, 0, CarrierFailure, NoAnswer),
            (401, 0, TrunkFailure, TrunkFailure),
            (407, 0, TrunkFailure, TrunkFailure),
            (0, 0, CarrierFailure, CarrierFailure),
        ] {
            let failure = Failure {
                status,
                q850,
                local: None,
            };
            assert_eq!(disposition(failure, false), silent, "{failure:?}");
            assert_eq!(
                disposition(failure, true),
                rang,
                "{failure:?} after ringing"
            );
        }
    }

    #[test]
    fn our_own_side_speaks_first() {
        for (local, silent, rang) in [
            (LocalCause::Unreachable, TrunkFailure, TrunkFailure),
            (LocalCause::CredentialsRefused, TrunkFailure, TrunkFailure),
            (LocalCause::MediaRefused, CarrierFailure, CarrierFailure),
            (LocalCause::TimedOut, CarrierFailure, NoAnswer),
        ] {
            let failure = Failure {
                status: 486,
                q850: 17,
                local: Some(local),
            };
            assert_eq!(disposition(failure, false), silent, "{local:?}");
            assert_eq!(disposition(failure, true), rang, "{local:?} after ringing");
        }
    }

    #[test]
    fn only_silent_carrier_failures_fail_over() {
        let with = |status| Failure {
            status,
            ..Failure::default()
        };
        assert!(may_fail_over(with(503), false));
        assert!(!may_fail_over(with(503), true));
        assert!(!may_fail_over(with(486), false));
        assert!(!may_fail_over(with(404), false));
    }

    #[test]
    fn after_a_cancel_only_facts_about_the_person_win() {
        let with = |status| Failure {
            status,
            ..Failure::default()
        };
        for (status, expected) in [
            (487, Cancelled),
            (408, Cancelled),
            (480, Cancelled),
            (503, Cancelled),
            (486, Busy),
            (404, Unallocated),
            (603, Rejected),
        ] {
            assert_eq!(
                disposition_after_cancel(with(status), true, Cancelled),
                expected,
                "{status}"
            );
        }
    }
}
