//! Asking a publisher for a list.

use super::address::{Address, file_below};
use bytes::Bytes;
use dialmesh_http::dto::header_line;
use domain::{Secret, WallTime};
use futures::{StreamExt as _, stream, stream::BoxStream};
use reqwest::{
    Certificate, Client, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use std::{
    io,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::AsyncReadExt as _;

/// How long a server may take to be reached.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long one answer may take, whole.
const ANSWER: Duration = Duration::from_secs(6 * 3600);
/// Redirects that are followed, within one host.
const REDIRECTS: usize = 5;
/// Bytes of a file read at once.
const PIECE: usize = 256 * 1024;
/// Bytes of an entity tag or date that are kept; a longer one is left out.
const MARK_BYTES: usize = 512;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) from: &'a Address,
    /// The folder that files must lie in.
    pub(super) files: Option<&'a Path>,
    pub(super) header: Option<&'a Secret>,
    /// PEM certificates that are trusted, and no others.
    pub(super) ca: Option<&'a str>,
    /// By what the publisher can tell that nothing has changed.
    pub(super) marks: &'a Marks,
    /// Bytes at most.
    pub(super) most: u64,
}

/// How a publisher names a version of its list.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Marks {
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
}

/// What came.
pub(super) enum Fetched {
    /// What is here already is what the publisher has, and when that was true.
    Unchanged(WallTime),
    /// A list.
    List(List),
}

/// A list as it comes.
pub(super) struct List {
    /// When the publisher had it.
    pub(super) as_of: WallTime,
    pub(super) marks: Marks,
    /// Its bytes in all, where that was told.
    pub(super) length: Option<u64>,
    pub(super) pieces: BoxStream<'static, Result<Bytes, FetchError>>,
}

/// A list did not come.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct FetchError {
    pub(super) why: String,
    /// Whether it may come when asked once more.
    pub(super) again: bool,
}

impl FetchError {
    fn fatal(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { why, again: false }
    }

    fn passing(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { why, again: true }
    }

    pub(super) fn too_large(most: u64) -> Self {
        Self::fatal(format!(
            "the list has more than {most} bytes; raise `list_bytes` in [do_not_call] if that is right"
        ))
    }
}

/// Asks once.
pub(super) async fn fetch(ask: &Ask<'_>) -> Result<Fetched, FetchError> {
    match ask.from {
        Address::Server(url) => ask_server(url, ask).await,
        Address::File(path) => {
            let files = ask.files.unwrap_or(Path::new("/nonexistent"));
            read_file(path, files, ask).await
        }
    }
}

fn client(url: &Url, ask: &Ask<'_>) -> Result<Client, FetchError> {
    let origin = url.origin();
    let redirects = Policy::custom(move |attempt| {
        if attempt.url().origin() != origin {
            attempt.error("it sends us to another host, which is not followed; name that one")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("it sends us from one place to the next without an end")
        } else {
            attempt.follow()
        }
    });
    let mut builder = Client::builder()
        .user_agent(concat!("dialmesh/", env!("CARGO_PKG_VERSION")))
        // Straight to where the administrator said, and nowhere else.
        .no_proxy()
        .redirect(redirects)
        .referer(false)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .timeout(ANSWER);
    if ask.from.is_encrypted() {
        builder = builder.https_only(true);
        if let Some(ca) = ask.ca {
            let trusted = Certificate::from_pem_bundle(ca.as_bytes()).map_err(|error| {
                FetchError::fatal(format!("its certificates are no PEM: {error}"))
            })?;
            builder = builder.tls_certs_only(trusted);
        }
    } else {
        // This machine, whatever a name server says. No certificate is asked for; what the system
        // trusts need not be read.
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        builder = builder.resolve("localhost", here).tls_certs_only([]);
    }
    let built = builder.build();
    built.map_err(|error| FetchError::fatal(format!("cannot ask: {}", chain(&error))))
}

/// An error with its causes, without the address, which may hold a key.
fn chain(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "it took too long".to_owned(),
        error if error.is_connect() => "it cannot be reached".to_owned(),
        error if error.is_redirect() => "its redirect is refused".to_owned(),
        _ => "the exchange failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn failed(error: &reqwest::Error) -> FetchError {
    FetchError {
        why: chain(error),
        again: !error.is_redirect() && !error.is_builder(),
    }
}

async fn ask_server(url: &Url, ask: &Ask<'_>) -> Result<Fetched, FetchError> {
    let mut request = client(url, ask)?.get(url.clone());
    if let Some(secret) = ask.header {
        let (name, value) = header_line(secret.expose()).map_err(FetchError::fatal)?;
        let wrong = |_| FetchError::fatal("its header is no header; declare the list anew");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(()))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong(()))?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    if let Some(etag) = &ask.marks.etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    if let Some(modified) = &ask.marks.modified {
        request = request.header(header::IF_MODIFIED_SINCE, modified);
    }
    // Before the answer: what the publisher says was true then at the latest.
    let as_of = service::clock::wall();
    let response = request.send().await.map_err(|error| failed(&error))?;
    let status = response.status();
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if *ask.marks != Marks::default() => {
            return Ok(Fetched::Unchanged(as_of));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            return Err(FetchError::passing(format!("it answered {status}")));
        }
        status if status.is_server_error() => {
            return Err(FetchError::passing(format!("it answered {status}")));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let why = format!("it answered {status}; check the header that it is asked with");
            return Err(FetchError::fatal(why));
        }
        status => return Err(FetchError::fatal(format!("it answered {status}"))),
    }
    let headers = response.headers();
    if headers.contains_key(header::CONTENT_ENCODING) {
        let why = "it sends the list compressed, which was not asked for";
        return Err(FetchError::fatal(why));
    }
    let marks = Marks {
        etag: mark(headers, header::ETAG),
        modified: mark(headers, header::LAST_MODIFIED),
    };
    let length = response.content_length();
    if length.is_some_and(|length| length > ask.most) {
        return Err(FetchError::too_large(ask.most));
    }
    let pieces = response.bytes_stream();
    let pieces = pieces.map(|piece| piece.map_err(|error| failed(&error)));
    Ok(Fetched::List(List {
        as_of,
        marks,
        length,
        pieces: pieces.boxed(),
    }))
}

fn mark(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= MARK_BYTES).then(|| text.to_owned())
}

fn unreadable(path: &Path, error: &io::Error) -> FetchError {
    FetchError::passing(format!("{} cannot be read: {error}", path.display()))
}

/// A file is as old as its last change: that nobody has changed it confirms nothing.
async fn read_file(path: &Path, files: &Path, ask: &Ask<'_>) -> Result<Fetched, FetchError> {
    let (asked, folder) = (path.to_owned(), files.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        let found = file_below(&asked, &folder)?;
        let file = std::fs::File::open(&found)?;
        let metadata = file.metadata()?;
        io::Result::Ok((found, file, metadata))
    });
    let (found, file, metadata): (PathBuf, _, _) = found
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| unreadable(path, &error))?;
    let millis = metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000;
    let as_of = WallTime::from_millis(millis).min(service::clock::wall());
    let marks = Marks {
        etag: Some(format!(
            "{}-{}-{}.{:09}",
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec()
        )),
        modified: None,
    };
    if marks == *ask.marks {
        return Ok(Fetched::Unchanged(as_of));
    }
    if metadata.len() > ask.most {
        return Err(FetchError::too_large(ask.most));
    }
    let file = tokio::fs::File::from_std(file);
    let pieces = stream::try_unfold(file, move |mut file| {
        let path = found.clone();
        async move {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece).await;
            let read = read.map_err(|error| unreadable(&path, &error))?;
            piece.truncate(read);
            Ok((read > 0).then(|| (Bytes::from(piece), file)))
        }
    });
    Ok(Fetched::List(List {
        as_of,
        marks,
        length: Some(metadata.len()),
        pieces: pieces.boxed(),
    }))
}
