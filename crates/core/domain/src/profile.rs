//! What carriers publish of how they want to be spoken to, as data: the defaults of new trunks.
//!
//! A profile only fills in what an operator does not say; a trunk keeps the values, not the profile.

use crate::{
    Codec, IdentityHeader, NumberFormat, NumberShape, NumberShapeError, Privacy, Redirects,
    TrunkManner,
};
use std::time::Duration;

/// One carrier's habits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrunkProfile {
    /// Its name.
    pub name: &'static str,
    /// Whom it is for, in a line.
    pub about: &'static str,
    /// How numbers are written where [`TrunkProfile::called`] and `shown` say nothing.
    pub number_format: NumberFormat,
    /// How called numbers are written.
    pub called: Option<&'static str>,
    /// How caller IDs are written.
    pub shown: Option<&'static str>,
    /// Whether URIs say `user=phone`.
    pub user_phone: bool,
    /// The header beside From.
    pub identity: IdentityHeader,
    /// The Privacy header.
    pub privacy: Option<Privacy>,
    /// Codecs offered, in order.
    pub codecs: &'static [Codec],
    /// How often OPTIONS asks.
    pub options_interval: Duration,
    /// Session-Expires that is asked for.
    pub session_expires: Option<Duration>,
    /// Whether reliable provisional responses are offered.
    pub reliable: bool,
    /// What is done about 3xx.
    pub redirects: Redirects,
    /// New calls a second before the carrier raises it.
    pub calls_per_second: u32,
}

const GENERIC: TrunkProfile = TrunkProfile {
    name: "generic",
    about: "RFC 3261 with E.164 numbers",
    number_format: NumberFormat::PlusE164,
    called: None,
    shown: None,
    user_phone: false,
    identity: IdentityHeader::Asserted,
    privacy: None,
    codecs: &[Codec::Pcmu, Codec::Pcma],
    options_interval: Duration::from_secs(30),
    session_expires: None,
    reliable: false,
    redirects: Redirects::Refuse,
    calls_per_second: 5,
};

/// Every profile, `generic` first.
pub const PROFILES: [TrunkProfile; 5] = [
    GENERIC,
    TrunkProfile {
        name: "china-ims",
        about: "IMS trunks of China's carriers: numbers as dialed there, PCMA, PRACK, session timers",
        called: Some("{dialed:86}"),
        user_phone: true,
        codecs: &[Codec::Pcma],
        session_expires: Some(Duration::from_secs(1_800)),
        reliable: true,
        ..GENERIC
    },
    TrunkProfile {
        name: "twilio",
        about: "Twilio Elastic SIP Trunking: +E.164, one call a second until it is raised",
        session_expires: Some(Duration::from_secs(1_800)),
        calls_per_second: 1,
        ..GENERIC
    },
    TrunkProfile {
        name: "telnyx",
        about: "Telnyx: +E.164; with a technical prefix give --called 1234{e164}",
        ..GENERIC
    },
    TrunkProfile {
        name: "bandwidth",
        about: "Bandwidth: +E.164, PCMU, known by address",
        codecs: &[Codec::Pcmu],
        options_interval: Duration::from_secs(60),
        ..GENERIC
    },
];

impl TrunkProfile {
    /// The profile of that name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// How a trunk of this profile is used.
    ///
    /// # Errors
    /// A shape of numbers in the table is not one; a test reads them all.
    pub fn manner(&self) -> Result<TrunkManner, NumberShapeError> {
        let shape = |text: Option<&str>| text.map(str::parse::<NumberShape>).transpose();
        Ok(TrunkManner {
            profile: self.name.to_owned(),
            called: shape(self.called)?,
            shown: shape(self.shown)?,
            user_phone: self.user_phone,
            identity: self.identity,
            privacy: self.privacy,
            session_expires: self.session_expires,
            reliable: self.reliable,
            redirects: self.redirects,
            ..TrunkManner::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn every_profile_can_be_used() {
        for profile in PROFILES {
            let manner = profile.manner().expect(profile.name);
            assert_eq!(TrunkProfile::by_name(profile.name), Some(&profile));
            assert_eq!(manner.profile, profile.name);
            assert!(!profile.codecs.is_empty() && profile.calls_per_second > 0);
            let asked = manner
                .session_expires
                .unwrap_or(limits::SESSION_EXPIRES_MIN);
            let range = limits::SESSION_EXPIRES_MIN..=limits::SESSION_EXPIRES_MAX;
            assert!(range.contains(&asked), "{}", profile.name);
        }
        assert_eq!(TrunkProfile::by_name("nobody"), None);
        let plain = TrunkManner {
            profile: "generic".into(),
            ..TrunkManner::default()
        };
        assert_eq!(GENERIC.manner().expect("generic"), plain);
    }
}
