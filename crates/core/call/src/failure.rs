//! From the facts of a failed leg to the attempt's disposition.
//!
//! Precedence: what went wrong on our own side; then a definite Q.850 cause, since it comes from
//! the far network while gateways translate statuses loosely; then the SIP status.

use crate::leg::{Failure, LocalCause};
use domain::Disposition::{
    self, Busy, CarrierFailure, NoAnswer, OutOfService, PoweredOff, Rejected, TrunkFailure,
    Unallocated,
};

/// What a failed leg means. `heard` tells whether 180 or 183 came before: a 408 or a timeout after
/// ringing is a person who did not answer, before it a dead carrier.
pub fn disposition(failure: Failure, heard: bool) -> Disposition {
    let unanswered = if heard { NoAnswer } else { CarrierFailure };
    match failure.local {
        Some(LocalCause::Unreachable | LocalCause::CredentialsRefused) => {
            return TrunkFailure;
        }
        Some(LocalCause::MediaRefused) => return CarrierFailure,
        Some(LocalCause::TimedOut) => return unanswered,
        None => {}
    }
    if let Some((_, definite)) = CAUSES.iter().find(|(cause, _)| *cause == failure.q850) {
        return *definite;
    }
    let row = STATUSES
        .iter()
        .find(|(status, ..)| *status == failure.status);
    match row {
        Some((_, silent, rang)) => {
            if heard {
                *rang
            } else {
                *silent
            }
        }
        // 3xx, 484, 488 and their like too: the number or offer was malformed for this carrier. That is
        // a setting to be repaired; calling every such number dead would burn whole lists.
        None => CarrierFailure,
    }
}

/// Causes of ITU-T Q.850 that say by themselves what became of the call, in a Reason header (RFC 3326).
/// Others (16, 31, 127 ...) say nothing and leave the word to the status.
const CAUSES: [(u16, Disposition); 17] = [
    (1, Unallocated),     // unallocated number
    (2, CarrierFailure),  // no route to the transit network
    (3, CarrierFailure),  // no route to the destination
    (17, Busy),           // user busy
    (18, NoAnswer),       // no user responding
    (19, NoAnswer),       // no answer from the user, alerted
    (20, PoweredOff),     // subscriber absent
    (21, Rejected),       // call rejected
    (22, Unallocated),    // number changed
    (27, OutOfService),   // destination out of order
    (28, CarrierFailure), // invalid number format
    (34, CarrierFailure), // no circuit available
    (38, CarrierFailure), // network out of order
    (41, CarrierFailure), // temporary failure
    (42, CarrierFailure), // congestion
    (44, CarrierFailure), // channel not available
    (47, CarrierFailure), // resource unavailable
];

/// Final statuses: what each means before anything rang, and after.
const STATUSES: [(u16, Disposition, Disposition); 16] = [
    (404, Unallocated, Unallocated),
    (410, Unallocated, Unallocated),
    (604, Unallocated, Unallocated),
    (486, Busy, Busy),
    (600, Busy, Busy),
    (403, Rejected, Rejected),
    (433, Rejected, Rejected),
    (603, Rejected, Rejected),
    (607, Rejected, Rejected),
    (608, Rejected, Rejected),
    // Not reachable at all, or the far end let it ring long enough.
    (480, PoweredOff, NoAnswer),
    (408, CarrierFailure, NoAnswer),
    // Without our CANCEL: the Expires of the INVITE ran out on the way.
    (487, CarrierFailure, NoAnswer),
    (401, TrunkFailure, TrunkFailure),
    (407, TrunkFailure, TrunkFailure),
    // Nothing came: our own side says why.
    (0, CarrierFailure, CarrierFailure),
];

/// Whether it failed on the carrier's side before anything rang, so that another carrier may know
/// better. Not so where what we sent was refused (3xx, 484, 488 and their like): that is a setting to
/// be repaired. Whether another one may be asked within the attempt is another question: only when
/// this INVITE is over for certain.
pub fn is_carriers(failure: Failure, heard: bool) -> bool {
    let failed = matches!(disposition(failure, heard), CarrierFailure | TrunkFailure);
    let carriers = match failure.local {
        Some(LocalCause::MediaRefused) => false,
        Some(_) => true,
        None => {
            matches!(failure.q850, 2 | 3 | 34 | 38 | 41 | 42 | 44 | 47)
                || (failure.q850 != 28 && matches!(failure.status, 401 | 407 | 408 | 500..=599))
        }
    };
    !heard && failed && carriers
}

/// What a failure means after we gave the attempt up for a reason that asks for `asked`. The
/// network's word wins only where it is a fact about the person or number that crossed our CANCEL.
pub fn disposition_after_cancel(failure: Failure, heard: bool, asked: Disposition) -> Disposition {
    match disposition(failure, heard) {
        known @ (Busy | Unallocated | PoweredOff | OutOfService | Rejected) => known,
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
            (480, 0, PoweredOff, NoAnswer),
            (480, 16, PoweredOff, NoAnswer),
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
    fn every_row_is_what_the_design_says() {
        let causes: [(&[u16], Disposition); 7] = [
            (&[1, 22], Unallocated),
            (&[17], Busy),
            (&[18, 19], NoAnswer),
            (&[20], PoweredOff),
            (&[21], Rejected),
            (&[27], OutOfService),
            (&[2, 3, 28, 34, 38, 41, 42, 44, 47], CarrierFailure),
        ];
        let mut rows = 0;
        for (causes, expected) in causes {
            for q850 in causes {
                rows += 1;
                // Whatever status a gateway put beside it, before ringing and after.
                for status in [404, 408, 480, 486, 500, 503, 603] {
                    for heard in [false, true] {
                        let failure = Failure {
                            status,
                            q850: *q850,
                            local: None,
                        };
                        assert_eq!(disposition(failure, heard), expected, "{failure:?}");
                    }
                }
            }
        }
        assert_eq!(rows, CAUSES.len());
        for q850 in (1..=127).filter(|q850| CAUSES.iter().all(|(known, _)| known != q850)) {
            for (status, silent, rang) in STATUSES {
                let failure = Failure {
                    status,
                    q850,
                    local: None,
                };
                assert_eq!(disposition(failure, false), silent, "{failure:?}");
                assert_eq!(disposition(failure, true), rang, "{failure:?}");
            }
        }
        let known = |status: &u16| STATUSES.iter().any(|(row, ..)| row == status);
        for status in (300..700).filter(|status| !known(status)) {
            let failure = Failure {
                status,
                ..Failure::default()
            };
            assert_eq!(disposition(failure, false), CarrierFailure, "{status}");
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
    fn only_what_failed_before_ringing_is_the_carriers() {
        let with = |status| Failure {
            status,
            ..Failure::default()
        };
        for status in [401, 407, 408, 500, 502, 503, 504, 580] {
            assert!(is_carriers(with(status), false), "{status}");
            assert!(!is_carriers(with(status), true), "{status}");
        }
        for status in [
            0, 302, 403, 404, 480, 484, 486, 487, 488, 600, 603, 607, 608,
        ] {
            assert!(!is_carriers(with(status), false), "{status}");
        }
        for (status, q850, may) in [
            (480, 34, true),
            (486, 41, true),
            (603, 38, true),
            (503, 17, false),
            (503, 1, false),
            (503, 28, false),
            (404, 42, true),
        ] {
            let failure = Failure {
                status,
                q850,
                local: None,
            };
            assert_eq!(is_carriers(failure, false), may, "{failure:?}");
        }
        for (cause, may) in [
            (LocalCause::TimedOut, true),
            (LocalCause::Unreachable, true),
            (LocalCause::CredentialsRefused, true),
            (LocalCause::MediaRefused, false),
        ] {
            let failure = Failure {
                local: Some(cause),
                ..Failure::default()
            };
            assert_eq!(is_carriers(failure, false), may, "{cause:?}");
        }
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
