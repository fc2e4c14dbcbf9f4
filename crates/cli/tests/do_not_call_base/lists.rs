//! A publisher's list, from its server over the coordinator to what every node dials by.

use super::*;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
};

/// Serves one list with an entity tag, for as long as the test lives; who has it is told so.
fn publisher(numbers: &[String]) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let body = format!("phone\n{}\n", numbers.join("\n"));
    thread::spawn(move || {
        for link in listener.incoming() {
            let Ok(mut link) = link else { return };
            let mut head = Vec::new();
            let mut piece = [0; 1024];
            while !head.ends_with(b"\r\n\r\n") {
                match link.read(&mut piece) {
                    Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let known = String::from_utf8_lossy(&head).contains("\"v1\"");
            let answer = match known {
                true => "HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n".to_owned(),
                false => format!(
                    "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                ),
            };
            // Who has gone away needs no answer.
            let _sent = link.write_all(answer.as_bytes()).is_ok();
        }
    });
    Ok(address)
}

/// Declares a list of these numbers and waits until every node dials by it.
pub(super) async fn in_use(world: &World, numbers: &[String]) -> Result<()> {
    let from = format!("http://{}/numbers.txt", publisher(numbers)?);
    let add = ["dnc", "list", "add", "registry", "--country", "CN"];
    let refuse = |from: &str, why: &str| -> Result<()> {
        let said = refused(world, &[&add[..], &["--from", from]].concat())?;
        ensure!(said.contains(why), "{from}: {said}");
        Ok(())
    };
    refuse("http://192.0.2.1/", "another machine")?;
    refuse("file:///etc/passwd", "[do_not_call]")?;
    let header = world.folder().join("header");
    fs::write(&header, "Authorization: Bearer of-nobody\n")?;
    let header = header.to_string_lossy().into_owned();
    let words = [&add[..], &["--from", &from, "--header-file", &header]].concat();
    let declared = said(world, &words)?;
    ensure!(
        declared["every_seconds"] == 86_400 && !declared.to_string().contains("of-nobody"),
        "{declared}"
    );
    let used = world.until("every node dials by the list", PATIENCE, async |w| {
        said(w, &["dnc", "list", "show", "registry"]).is_ok_and(|list| list["in_use"] == true)
    });
    println!("a list is in use after {:.1?}", used.await?);
    let counted = said(world, &["dnc", "list", "pull", "registry", "--dry-run"])?;
    ensure!(counted["state"] == "succeeded", "{counted}");
    let pulled = said(world, &["dnc", "list", "pull", "registry"])?;
    ensure!(pulled["state"] == "succeeded", "{pulled}");
    let list = said(world, &["dnc", "list", "show", "registry"])?;
    ensure!(
        list["pulls"][0]["result"] == "unchanged" && list["numbers"] == numbers.len(),
        "{list}"
    );
    ensure!(list["pulls"][1]["added"] == numbers.len(), "{list}");
    let bases = said(world, &["dnc", "base", "ls"])?;
    let bases = bases.as_array().context("a list")?;
    ensure!(bases.len() == 1 && bases[0]["in_use"] == true, "{bases:?}");
    for words in [
        &[
            "dnc", "list", "approve", "registry", "--reason", "r", "--yes",
        ][..],
        &["dnc", "base", "compact"],
    ] {
        refused(world, words)?;
    }
    said(world, &["dnc", "list", "rm", "registry", "--dry-run"])?;
    let paused = said(world, &["dnc", "list", "pause", "registry"])?;
    ensure!(paused["paused"] == true, "{paused}");
    let listed = said(world, &["dnc", "list", "ls"])?;
    ensure!(listed[0]["name"] == "registry", "{listed}");
    let checked = said(world, &["dnc", "check", &numbers[0]])?;
    ensure!(
        checked["listed"] == true && checked["in_base"] == true,
        "{checked}"
    );
    Ok(())
}
