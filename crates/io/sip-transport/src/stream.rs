//! A connection's bytes, plain or by TLS, written and read without waiting.

use parking_lot::Mutex;
use rustls::Connection;
use std::io::{self, Read, Write};
use tokio::net::TcpStream;

/// An open connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    /// After its handshake. The lock is held for a record or two: by who sends, and by who reads.
    Tls(TcpStream, Box<Mutex<Connection>>),
}

/// A socket that answers `WouldBlock` instead of waiting.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `Ok(false)` where the socket was not ready.
fn ready<T>(done: io::Result<T>) -> io::Result<bool> {
    match done {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends what TLS has made, as far as the socket takes it. Whether all of it went.
fn push(tls: &mut Connection, tcp: &TcpStream) -> io::Result<bool> {
    while tls.wants_write() {
        if !ready(tls.write_tls(&mut Raw(tcp)))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes in what came. `Ok(None)` where nothing is there, `Ok(Some(0))` at the end of the stream.
fn pull(tls: &mut Connection, tcp: &TcpStream) -> io::Result<Option<usize>> {
    let len = match tls.read_tls(&mut Raw(tcp)) {
        Ok(len) => len,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Err(error) = tls.process_new_packets() {
        // The alert says why to the other side, if it still goes.
        _ = push(tls, tcp);
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    Ok(Some(len))
}

impl Stream {
    /// Shakes hands.
    ///
    /// # Errors
    /// What rustls found wrong with the other side, or the connection's end.
    pub(crate) async fn secured(tcp: TcpStream, mut tls: Connection) -> io::Result<Self> {
        loop {
            let sent = push(&mut tls, &tcp)?;
            if !tls.is_handshaking() && sent {
                return Ok(Self::Tls(tcp, Box::new(Mutex::new(tls))));
            }
            if !sent {
                tcp.writable().await?;
                continue;
            }
            match pull(&mut tls, &tcp)? {
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(_) => {}
                None => tcp.readable().await?,
            }
        }
    }

    const fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) | Self::Tls(tcp, _) => tcp,
        }
    }

    /// Until bytes may be there. Ask [`Stream::try_read`] first: TLS may hold some already.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.tcp().readable().await
    }

    /// Until the socket takes bytes.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.tcp().writable().await
    }

    /// Whether bytes that were taken have not left yet: TLS may hold a record that the socket did not
    /// take whole.
    pub(crate) fn holds_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(_, tls) => tls.lock().wants_write(),
        }
    }

    /// Sends what TLS holds. Whether all of it went.
    pub(crate) fn push(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tcp, tls) => push(&mut tls.lock(), tcp),
        }
    }

    /// Writes what is taken at once; `WouldBlock` where nothing is.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let (tcp, tls) = match self {
            Self::Plain(tcp) => return tcp.try_write(bytes),
            Self::Tls(tcp, tls) => (tcp, tls),
        };
        let mut tls = tls.lock();
        if !push(&mut tls, tcp)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = tls.writer().write(bytes)?;
        push(&mut tls, tcp)?;
        Ok(taken)
    }

    /// Reads what is there; `WouldBlock` where nothing is, zero at the end.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (tcp, tls) = match self {
            Self::Plain(tcp) => return tcp.try_read(buffer),
            Self::Tls(tcp, tls) => (tcp, tls),
        };
        let mut tls = tls.lock();
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            match pull(&mut tls, tcp)? {
                // Without a close_notify: the stream was cut off. No message of ours is shorter for it,
                // they are framed by their own lengths.
                Some(0) => return Ok(0),
                // It may have asked for something, such as new keys.
                Some(_) => _ = push(&mut tls, tcp)?,
                None => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }
}
