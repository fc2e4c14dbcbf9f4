//! Audio from the network and from files.

use super::State;
use domain::{Codec, LegId, Now, SrtpKey, SrtpKeys, SrtpSuite};
use media::{Exchange, ExchangeConfig, MediaCommand, Port, PortRange, Prompt, Prompts, SRTP_ROOM};
use sansio::{Seed, Stream};
use std::{net::SocketAddr, time::Duration};

const LEGS: [LegId; 2] = [LegId(1), LegId(2)];
/// Bytes of a datagram that are read.
const READ: usize = domain::limits::RTP_BYTES;

struct Bridge {
    exchange: Exchange,
    now: Now,
    /// The first leg is SRTP: none of these packets is its peer's.
    secured: bool,
}

fn peer(leg: LegId) -> SocketAddr {
    ([192, 0, 2, leg.0 as u8], 4_000).into()
}

pub(super) fn exchange(stream: &mut Stream) -> Box<dyn State> {
    let mut seed = [0; 32];
    stream.fill(&mut seed);
    let ports = PortRange::new(40_000, 40_019).expect("a range");
    let mut exchange = Exchange::new(
        ExchangeConfig::new(ports),
        Prompts::default(),
        Seed::new(seed),
    );
    let now = Now::default().plus(Duration::from_secs(1_000));
    for (leg, codec) in LEGS.into_iter().zip([Codec::Pcma, Codec::Pcmu]) {
        let place = 40_000 + 2 * leg.0 as u16;
        let port = Port::new(place).expect("even");
        for command in [
            MediaCommand::Open {
                leg,
                port,
                telephone_event: Some(101),
            },
            MediaCommand::SetRemote {
                leg,
                addr: peer(leg),
                rtcp: Some(SocketAddr::new(peer(leg).ip(), 4_001)),
                codec,
                telephone_event: Some(101),
                send: true,
                symmetric: stream.below(2) == 0,
            },
            MediaCommand::Listen {
                leg,
                answered: false,
            },
        ] {
            exchange.handle(now, command).expect("a leg of ours");
        }
    }
    let [a, b] = LEGS;
    let secured = stream.below(4) == 0;
    if secured {
        let suite = SrtpSuite::ALL[stream.below(4) as usize];
        let mut key = || SrtpKey::draw(suite, |bytes| stream.fill(bytes));
        let keys = SrtpKeys {
            send: key(),
            receive: key(),
        };
        let secure = MediaCommand::Secure {
            leg: a,
            keys: Some(keys),
        };
        exchange.handle(now, secure).expect("it is open");
    }
    if stream.below(4) > 0 {
        let bridged = exchange.handle(now, MediaCommand::Bridge { a, b });
        bridged.expect("both are open");
    }
    Box::new(Bridge {
        exchange,
        now,
        secured,
    })
}

impl State for Bridge {
    fn take(&mut self, bytes: &[u8], stream: &mut Stream) -> Result<(), String> {
        let leg = LEGS[stream.below(2) as usize];
        let place = self.exchange.place_of(leg).expect("it is open");
        let mut packet = bytes[..bytes.len().min(READ)].to_vec();
        let length = packet.len();
        packet.extend([0; SRTP_ROOM]);
        let mut from = peer(leg);
        if stream.below(20) == 0 {
            from.set_port(stream.next_u32() as u16);
        }
        let datagram = &mut packet[..length];
        let onward = self.exchange.receive(self.now, place, from, datagram);
        let _heard = self.exchange.tapped();
        while self.exchange.poll_output().is_some() {}
        self.now = self
            .now
            .plus(Duration::from_millis(u64::from(stream.below(60))));
        self.exchange.handle_timeout(self.now);
        let mut room = [0; media::exchange::TRANSMIT_BYTES];
        while let Some(own) = self.exchange.poll_transmit(&mut room) {
            let sealed = self.exchange.seal(own.place, &mut room, 0..own.len);
            if sealed.is_none() {
                return Err("what the exchange says itself cannot be sent".into());
            }
        }
        if let Some(onward) = &onward {
            let bytes = onward.bytes.clone();
            let sealed = self.exchange.seal(onward.place, &mut packet, bytes);
            if sealed.is_some_and(|bytes| bytes.end > length + SRTP_ROOM) {
                return Err("it grew beyond its room".into());
            }
        }
        match onward {
            Some(_) if self.secured && leg == LEGS[0] => Err("accepted without the key".into()),
            Some(onward) if onward.to.ip() == from.ip() => Err("it goes back to its sender".into()),
            Some(onward) if onward.bytes.end > length => Err("it grew on its way".into()),
            _ => Ok(()),
        }
    }
}

struct Wav;

pub(super) fn wav(_: &mut Stream) -> Box<dyn State> {
    Box::new(Wav)
}

impl State for Wav {
    fn take(&mut self, bytes: &[u8], _: &mut Stream) -> Result<(), String> {
        if let Ok(wav) = media::wav::read(bytes) {
            let samples = wav.samples().count();
            if samples > bytes.len() {
                return Err(format!("{samples} samples in {} bytes", bytes.len()));
            }
        }
        drop(Prompt::from_wav(bytes));
        Ok(())
    }
}
