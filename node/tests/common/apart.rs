//! Tests in processes of their own, and what a node's metrics say.

use std::sync::{Mutex, PoisonError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// In the environment of a process that is one test's; not one of the node's own names.
const APART: &str = "TEST_APART";

/// A node's metrics are its process's, so each test has a process of its own, one after the other. True
/// in it; elsewhere the test has been run by then.
pub(crate) fn apart(test: &str) -> bool {
    static ONE: Mutex<()> = Mutex::new(());
    if std::env::var_os(APART).is_some() {
        return true;
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut this = std::process::Command::new(std::env::current_exe().unwrap());
    let this = this.args(["--exact", test, "--nocapture"]).env(APART, "1");
    let done = this.output().unwrap();
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(done.status.success(), "{}", said.concat());
    print!("{}", said[0]);
    false
}

/// The value of a series as `/metrics` of that port shows it, labels and all; none where it is not there.
pub(crate) async fn metric(monitoring: u16, series: &str) -> Option<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", monitoring)).await.ok()?;
    let ask = "GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await.ok()?;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Some(line?.parse().unwrap())
}
