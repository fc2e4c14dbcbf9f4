//! Control of a simulated part from outside: one JSON value a line over TCP on loopback, one JSON
//! value a line back. `nc` and a test speak it equally well.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

/// One request, and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What was asked.
    pub command: Value,
    /// Takes the answer.
    pub reply: oneshot::Sender<Value>,
}

/// Binds the address and serves it until the receiver is dropped.
pub async fn serve(address: SocketAddr) -> io::Result<(SocketAddr, mpsc::Receiver<Request>)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    let (requests, inbox) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = requests.closed() => return,
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        tokio::spawn(converse(stream, requests.clone()));
                    }
                }
            }
        }
    });
    Ok((local, inbox))
}

async fn converse(stream: TcpStream, requests: mpsc::Sender<Request>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await.ok()? {
        let answer = match serde_json::from_str(&line) {
            Err(e) => refused(&format!("not JSON: {e}")),
            Ok(command) => {
                let (reply, answer) = oneshot::channel();
                requests.send(Request { command, reply }).await.ok()?;
                answer.await.ok()?
            }
        };
        write
            .write_all(format!("{answer}\n").as_bytes())
            .await
            .ok()?;
    }
    Some(())
}

/// The answer to a command that cannot be obeyed.
pub fn refused(why: &str) -> Value {
    json!({"ok": false, "error": why})
}

/// Asks one thing of a control socket.
pub async fn ask(address: SocketAddr, command: &Value) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to the control socket {address}"))?;
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    let answer: Value = serde_json::from_str(&line).context("the answer is not JSON")?;
    anyhow::ensure!(answer["ok"] == true, "refused: {}", answer["error"]);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asks_and_answers() {
        let (address, mut inbox) = serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        tokio::spawn(async move {
            while let Some(request) = inbox.recv().await {
                let answer = match request.command["cmd"].as_str() {
                    Some("ping") => json!({"ok": true, "pong": 1}),
                    _ => refused("unknown cmd"),
                };
                drop(request.reply.send(answer));
            }
        });
        assert_eq!(
            ask(address, &json!({"cmd": "ping"})).await.unwrap()["pong"],
            1
        );
        let error = ask(address, &json!({"cmd": "x"})).await.unwrap_err();
        assert!(error.to_string().contains("unknown cmd"));
    }
}
