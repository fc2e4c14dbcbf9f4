//! Which fault comes when: drawn beforehand, so that one seed gives one script.

use super::PERMIT;
use sansio::{Seed, Stream};
use std::{fmt, time::Duration};

/// One fault, for a span; then everything is whole again before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, started again afterwards.
    Kill {
        /// Whom.
        member: String,
        /// How long it is gone.
        span: Duration,
    },
    /// SIGSTOP and SIGCONT: a pause of its machine.
    Hold {
        /// Whom.
        member: String,
        /// How long.
        span: Duration,
    },
    /// Alone, each of them.
    Cut {
        /// Whom.
        members: Vec<String>,
        /// How long.
        span: Duration,
    },
    /// These two do not reach each other.
    CutPair {
        /// One.
        a: String,
        /// The other.
        b: String,
        /// How long.
        span: Duration,
    },
    /// One does not reach the other; the other way is whole.
    CutOneWay {
        /// Who is not heard.
        from: String,
        /// By whom.
        to: String,
        /// How long.
        span: Duration,
    },
    /// Its disk is full; started again where that stopped it.
    FullDisk {
        /// Whose.
        member: String,
        /// How long.
        span: Duration,
    },
    /// Stopped in order and started again as a member that understands more than the mesh does yet.
    Upgrade {
        /// Whom.
        member: String,
    },
    /// Its calendar is wrong.
    Clock {
        /// Whose.
        member: String,
        /// By so many seconds; behind where negative.
        ahead: i64,
        /// How long.
        span: Duration,
    },
}

/// What this machine lets us do beyond the faults that every machine allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Means {
    /// Disks can be filled.
    pub disks: bool,
    /// Calendars can be set.
    pub clocks: bool,
}

impl Fault {
    /// How long it lasts.
    pub const fn span(&self) -> Duration {
        match self {
            Self::Kill { span, .. }
            | Self::Hold { span, .. }
            | Self::Cut { span, .. }
            | Self::CutPair { span, .. }
            | Self::CutOneWay { span, .. }
            | Self::FullDisk { span, .. }
            | Self::Clock { span, .. } => *span,
            Self::Upgrade { .. } => Duration::ZERO,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.span();
        match self {
            Self::Kill { member, .. } => write!(f, "{member} killed, gone for {span:.1?}"),
            Self::Hold { member, .. } => write!(f, "{member} held for {span:.1?}"),
            Self::Cut { members, .. } => {
                write!(f, "{} alone for {span:.1?}", members.join(" and "))
            }
            Self::CutPair { a, b, .. } => write!(f, "{a} and {b} apart for {span:.1?}"),
            Self::CutOneWay { from, to, .. } => {
                write!(f, "{from} not heard by {to} for {span:.1?}")
            }
            Self::Upgrade { member } => write!(f, "{member} upgraded"),
            Self::FullDisk { member, .. } => write!(f, "{member}'s disk full for {span:.1?}"),
            Self::Clock { member, ahead, .. } => {
                write!(f, "{member}'s clock {ahead:+} s for {span:.1?}")
            }
        }
    }
}

/// Faults for about `length`, drawn from `seed`. Each kind comes once before any comes again.
pub fn script(seed: u64, members: &[String], means: Means, length: Duration) -> Vec<Fault> {
    let mut draws = Seed::from_u64(seed).stream("chaos");
    let mut faults = Vec::new();
    let mut spent = Duration::ZERO;
    let mut kinds = Vec::new();
    while spent < length {
        if kinds.is_empty() {
            kinds = (0..KINDS)
                .filter(|kind| *kind != FULL_DISK || means.disks)
                .filter(|kind| *kind != CLOCK || means.clocks)
                .collect();
        }
        let kind = kinds.swap_remove(draws.below(kinds.len() as u32) as usize);
        let fault = draw(kind, &mut draws, members);
        // Coming back takes a few seconds each time.
        spent += fault.span() + Duration::from_secs(3);
        faults.push(fault);
    }
    faults
}

/// `times` kills of each member in turn, each for a moment.
pub fn kills(members: &[String], times: u32) -> Vec<Fault> {
    let span = Duration::from_millis(200);
    (0..times)
        .flat_map(|_| members.iter().cloned())
        .map(|member| Fault::Kill { member, span })
        .collect()
}

const KINDS: u32 = 9;
const FULL_DISK: u32 = 6;
const CLOCK: u32 = 7;
const UPGRADE: u32 = 8;

fn draw(kind: u32, draws: &mut Stream, members: &[String]) -> Fault {
    let mut millis =
        |from: u32, to: u32| Duration::from_millis(u64::from(from + draws.below(to - from)));
    let short = millis(200, 6_000);
    let long = PERMIT + millis(1_000, 7_000);
    let first = draws.below(members.len() as u32) as usize;
    let other = (first + 1 + draws.below(members.len() as u32 - 1) as usize) % members.len();
    let (member, second) = (members[first].clone(), members[other].clone());
    match kind {
        0 => Fault::Kill {
            member,
            span: short,
        },
        // Longer than T: it wakes with a permission that is over.
        1 => Fault::Hold { member, span: long },
        2 => Fault::Cut {
            members: vec![member],
            span: long,
        },
        // Two of four members: no quorum.
        3 => Fault::Cut {
            members: vec![member, second],
            span: long,
        },
        4 => Fault::CutPair {
            a: member,
            b: second,
            span: long,
        },
        5 => Fault::CutOneWay {
            from: member,
            to: second,
            span: long,
        },
        FULL_DISK => Fault::FullDisk {
            member,
            span: short,
        },
        UPGRADE => Fault::Upgrade { member },
        // Hours, to either side: enough to fall out of any window and past any rest.
        _ => Fault::Clock {
            member,
            ahead: (i64::from(draws.below(10)) + 1) * [3_600, -3_600][draws.below(2) as usize],
            span: long,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_script_with_every_kind() {
        let members: Vec<String> = ["coordinator", "a", "b", "c"].map(str::to_owned).into();
        let length = Duration::from_secs(180);
        let all = Means {
            disks: true,
            clocks: true,
        };
        let one = script(7, &members, all, length);
        assert_eq!(one, script(7, &members, all, length));
        assert_ne!(one, script(8, &members, all, length));
        assert!(one.len() >= KINDS as usize, "{one:?}");
        let kinds: std::collections::HashSet<_> = one.iter().map(std::mem::discriminant).collect();
        assert_eq!(kinds.len(), 8);
        for fault in script(7, &members, Means::default(), length) {
            let beyond = matches!(fault, Fault::FullDisk { .. } | Fault::Clock { .. });
            assert!(!beyond, "{fault}");
        }
        for fault in &one {
            if let Fault::CutPair { a, b, .. } | Fault::CutOneWay { from: a, to: b, .. } = fault {
                assert_ne!(a, b);
            }
        }
        assert_eq!(kills(&members, 3).len(), 12);
    }
}
