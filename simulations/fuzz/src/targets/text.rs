//! Messages, streams of them, session descriptions.

use super::State;
use domain::{Codec, SrtpPolicy};
use sansio::Stream;
use sip::{
    Frame, Framer,
    digest::{Authorization, Challenge},
    lexer,
    message::{self, Head, NameAddr, Uri},
    sdp::{Direction, LocalCrypto, LocalMedia, Session},
};

struct Message;

pub(super) fn message(_: &mut Stream) -> Box<dyn State> {
    Box::new(Message)
}

impl State for Message {
    fn take(&mut self, bytes: &[u8], _: &mut Stream) -> Result<(), String> {
        let Ok(framed) = lexer::Message::read(bytes) else {
            return Ok(());
        };
        drop(message::to_rsip(&framed));
        let _cause = message::q850_cause(&framed);
        let _unsupported = message::unsupported(&framed);
        let _accepts = message::accepts_sdp(&framed);
        let _challenge = Challenge::strongest(&framed);
        if let Some(head) = Head::read(&framed) {
            drop(head.check(&framed));
        }
        drop(Session::read(framed.body()));
        for (_, _, value) in framed.headers() {
            let _given = Authorization::read(value);
            let _uri = Uri::read(value).map(|uri| (uri.address(), uri.user_text()));
            let _name = NameAddr::read(value).map(|name| name.tag().map(<[u8]>::len));
            for item in message::split_list(value) {
                let _params = message::params(item).count();
                let _plain = message::unquote(item);
            }
        }
        match framed.head_end() <= bytes.len() {
            true => Ok(()),
            false => Err("its head ends behind its end".into()),
        }
    }
}

struct Split;

pub(super) fn stream(_: &mut Stream) -> Box<dyn State> {
    Box::new(Split)
}

type Framed = (Vec<Frame>, bool);

/// The frames of a stream that comes in these pieces, and whether it was found broken.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Framed {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    for piece in pieces {
        if framer.feed(piece).is_err() {
            return (frames, true);
        }
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

impl State for Split {
    fn take(&mut self, bytes: &[u8], stream: &mut Stream) -> Result<(), String> {
        // As the sockets read: at most so much at a time.
        let whole = frames(bytes.chunks(16 * 1024));
        let size = 1 + stream.below(97) as usize;
        let split = frames(bytes.chunks(size));
        match whole == split {
            true => Ok(()),
            false => Err(format!("other frames in pieces of {size} bytes")),
        }
    }
}

struct Sdp(LocalMedia);

pub(super) fn sdp(stream: &mut Stream) -> Box<dyn State> {
    let policies = [SrtpPolicy::Off, SrtpPolicy::Offered, SrtpPolicy::Required];
    let policy = policies[stream.below(3) as usize];
    Box::new(Sdp(LocalMedia {
        session_id: 1,
        version: 1,
        address: ([192, 0, 2, 1], 40_000).into(),
        codecs: match stream.below(2) {
            0 => vec![Codec::Pcma],
            _ => vec![Codec::Pcmu, Codec::Pcma],
        },
        dtmf_payload: 101,
        direction: Direction::SendRecv,
        crypto: LocalCrypto::draw(policy, |bytes| stream.fill(bytes)),
    }))
}

impl State for Sdp {
    fn take(&mut self, bytes: &[u8], _: &mut Stream) -> Result<(), String> {
        drop(Session::read(bytes));
        if let Ok(agreed) = self.0.read_answer(bytes)
            && !self.0.codecs.contains(&agreed.codec)
        {
            return Err(format!("{:?} was never offered", agreed.codec));
        }
        if let Ok((answer, agreed)) = self.0.answer(bytes) {
            if Session::read(&answer).is_err() {
                return Err("our own answer cannot be read".into());
            }
            let ours = self.0.crypto.as_ref();
            let plain = agreed.crypto.is_none();
            if plain && ours.is_some_and(|ours| ours.policy == SrtpPolicy::Required) {
                return Err("plain where it must be secured".into());
            }
            if !plain && ours.is_none() {
                return Err("secured where we have no key".into());
            }
        }
        Ok(())
    }
}
