//! Files up to the coordinator and down from it.

use crate::{
    client::{Client, escaped},
    failure::Failure,
    output::{self, Form},
    session::Session,
};
use anyhow::{Context, Result};
use dialmesh_http::dto::{Operation, OperationState};
use futures::{Stream, StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, Method, header};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};
use tokio::{fs::File, io::AsyncReadExt};

/// Bytes read and sent at a time.
const CHUNK: usize = 64 * 1024;
/// How often the coordinator is asked how far it is.
const POLL: Duration = Duration::from_millis(250);

/// A bar on stderr that is drawn only on a terminal. Its template is fixed and known to be right.
pub(crate) fn bar(total: Option<u64>, template: &str) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

const SENDING: &str = "sending  [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const SENDING_UNKNOWN: &str = "sending  {spinner} {bytes} {bytes_per_sec}";
const WORKING: &str = "checking [{bar:30}] {percent}% {msg}";
const WORKING_UNKNOWN: &str = "checking {spinner} {msg}";
const FETCHING: &str = "fetching {spinner} {bytes} {bytes_per_sec}";

/// Sends a CSV file as an import to `path`, waits for its end, prints the counts and keeps the
/// refused rows.
pub(crate) async fn import(
    session: &Session,
    client: &Client,
    path: &str,
    file: &Path,
    rejects: Option<&Path>,
) -> Result<()> {
    let operation = finished(client, upload(client, path, file).await?).await?;
    if operation.state == OperationState::Failed {
        let why = operation.error.as_deref().unwrap_or("it gave no reason");
        return Err(Failure::refused(format!(
            "the import {} ended early: {why}; rows counted before: {}",
            operation.id, operation.rows
        ))
        .into());
    }
    print(session, &operation)?;
    if !operation.has_rejects {
        return Ok(());
    }
    let from = format!("/operations/{}/rejects", escaped(&operation.id));
    match rejects {
        Some(to) => {
            download(client, &from, Some(to)).await?;
            eprintln!(
                "The refused rows with their reasons are in {}.",
                to.display()
            );
        }
        None => eprintln!(
            "Some rows were refused; `dialmesh lead rejects {} --file rejects.csv` keeps them with \
             their reasons.",
            operation.id
        ),
    }
    Ok(())
}

/// Begins long work at the coordinator and waits for its end.
pub(crate) async fn operation(client: &Client, path: &str) -> Result<Operation> {
    ended(client, client.act(path).await?).await
}

/// Begins long work by a request with a body, and waits for its end.
pub(crate) async fn operation_with(client: &Client, path: &str, body: &Value) -> Result<Operation> {
    ended(client, client.post(path, body).await?).await
}

async fn ended(client: &Client, begun: Value) -> Result<Operation> {
    let begun =
        serde_json::from_value(begun).context("the coordinator's answer is not an operation")?;
    let operation = finished(client, begun).await?;
    match operation.state {
        OperationState::Failed => {
            let why = operation.error.as_deref().unwrap_or("it gave no reason");
            let text = format!("the operation {} ended early: {why}", operation.id);
            Err(Failure::refused(text).into())
        }
        _ => Ok(operation),
    }
}

async fn upload(client: &Client, path: &str, file: &Path) -> Result<Operation> {
    let csv = "text/csv; charset=utf-8";
    let body = send(client, Method::POST, path, csv, file).await?;
    serde_json::from_slice(&body).context("the coordinator's answer is not an operation")
}

/// Sends a file by PUT; the JSON that was answered.
pub(crate) async fn put_file(
    client: &Client,
    path: &str,
    media_type: &str,
    file: &Path,
) -> Result<Value> {
    let body = send(client, Method::PUT, path, media_type, file).await?;
    serde_json::from_slice(&body).context("the coordinator's answer is not JSON")
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    media_type: &str,
    file: &Path,
) -> Result<bytes::Bytes> {
    let path_of_file = if file == Path::new("-") {
        Path::new("/dev/stdin")
    } else {
        file
    };
    let place = || format!("cannot read {}", file.display());
    let opened = File::open(path_of_file).await.with_context(place)?;
    let metadata = opened.metadata().await.with_context(place)?;
    if metadata.is_dir() {
        let text = format!("{} is a folder; name a file", file.display());
        return Err(Failure::usage(text).into());
    }
    let length = metadata.is_file().then_some(metadata.len());
    let progress = bar(
        length,
        if length.is_some() {
            SENDING
        } else {
            SENDING_UNKNOWN
        },
    );
    let mut request = client
        .request(method, path)
        .header(header::CONTENT_TYPE, media_type);
    if let Some(length) = length {
        request = request.header(header::CONTENT_LENGTH, length);
    }
    let sent = progress.clone();
    let body = pieces(opened, length).inspect(move |piece| {
        if let Ok(piece) = piece {
            sent.inc(piece.len() as u64);
        }
    });
    let result = client.send(request.body(Body::wrap_stream(body))).await;
    progress.finish_and_clear();
    let response = result?;
    (response.bytes().await).map_err(|error| client.unreachable(&error).into())
}

/// A file piece by piece, no further than the length that was told: it may grow meanwhile.
fn pieces(file: File, length: Option<u64>) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
    let file = file.take(length.unwrap_or(u64::MAX));
    stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; CHUNK];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok((read > 0).then_some((piece, file)))
    })
}

/// Waits until an operation has ended, over a restart of the coordinator if need be.
async fn finished(client: &Client, mut operation: Operation) -> Result<Operation> {
    let known = operation.bytes_total.is_some();
    let progress = bar(
        operation.bytes_total,
        if known { WORKING } else { WORKING_UNKNOWN },
    );
    let path = format!("/operations/{}", escaped(&operation.id));
    let mut silent = 0;
    while operation.state == OperationState::Running {
        tokio::time::sleep(POLL).await;
        match client.get::<Operation>(&path).await {
            Ok(read) => (operation, silent) = (read, 0),
            // 40 tries at 250 ms: a restarted coordinator is back by then.
            Err(error)
                if silent < 40
                    && error
                        .downcast_ref::<Failure>()
                        .is_some_and(Failure::is_silence) =>
            {
                silent += 1;
            }
            Err(error) => {
                return Err(error.context(format!("{} is under way", operation.id)));
            }
        }
        progress.set_position(operation.bytes_done);
        progress.set_message(format!("{} rows", operation.rows));
        progress.tick();
    }
    progress.finish_and_clear();
    Ok(operation)
}

fn print(session: &Session, operation: &Operation) -> Result<()> {
    if session.form() != Form::Table {
        return session.show(&serde_json::to_value(operation)?);
    }
    let mut rows: Vec<Value> = operation
        .counts
        .iter()
        .map(|(result, rows)| json!({"result": result, "rows": rows}))
        .collect();
    rows.push(json!({"result": "total", "rows": operation.rows}));
    output::rows(
        Form::Table,
        &[("result", "/result"), ("rows", "/rows")],
        &Value::Array(rows),
    )?;
    if operation.dry_run {
        eprintln!("A dry run: nothing was changed.");
    }
    Ok(())
}

/// Fetches a file whole or not at all (mode 0600: it may hold phone numbers); onto standard output
/// where none is named. Returns its size.
pub(crate) async fn download(client: &Client, path: &str, to: Option<&Path>) -> Result<u64> {
    let response = client.send(client.request(Method::GET, path)).await?;
    let mut body = response.bytes_stream();
    let mut size = 0;
    let Some(to) = to else {
        let mut out = io::stdout().lock();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| client.unreachable(&error))?;
            out.write_all(&piece)?;
            size += piece.len() as u64;
        }
        out.flush()?;
        return Ok(size);
    };
    let place = || format!("cannot write {}", to.display());
    let folder = to
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(place)?;
    let progress = bar(None, FETCHING);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| client.unreachable(&error))?;
        file.write_all(&piece).with_context(place)?;
        size += piece.len() as u64;
        progress.set_position(size);
    }
    progress.finish_and_clear();
    file.as_file().sync_all().with_context(place)?;
    file.persist(to).with_context(place)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_grows_is_sent_as_long_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leads.csv");
        std::fs::write(&path, vec![b'x'; CHUNK + 10]).unwrap();
        for (length, expected) in [
            (None, CHUNK + 10),
            (Some(5), 5),
            (Some(1 << 20), CHUNK + 10),
        ] {
            let file = File::open(&path).await.unwrap();
            let sizes: Vec<usize> = pieces(file, length)
                .map(|piece| piece.unwrap().len())
                .collect()
                .await;
            assert_eq!(sizes.iter().sum::<usize>(), expected);
        }
    }

    #[test]
    fn templates_are_right() {
        for template in [SENDING, SENDING_UNKNOWN, WORKING, WORKING_UNKNOWN, FETCHING] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
