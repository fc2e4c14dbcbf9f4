//! A Prometheus of Debian's scrapes every member of a running mesh, and promtool finds nothing to
//! complain about.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use serde_json::Value;
use simulations::{
    population::{City, PopulationConfig},
    world::{World, WorldConfig},
};
use std::{
    fmt::Write as _,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Dies with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn prometheus(folder: &Path, listen: SocketAddr, targets: &[SocketAddr]) -> Prometheus {
    let mut config =
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: dialmesh\n  static_configs:\n"
            .to_owned();
    for target in targets {
        writeln!(config, "  - targets: ['{target}']").unwrap();
    }
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={listen}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Debian's prometheus is installed by `cargo xtask setup`");
    Prometheus(child)
}

async fn query(prometheus: SocketAddr, query: &str) -> Vec<Value> {
    let http = reqwest::Client::new();
    let url = format!("http://{prometheus}/api/v1/query?query={query}");
    let Ok(answer) = http.get(url).send().await else {
        return Vec::new();
    };
    let Ok(body) = answer.json::<Value>().await else {
        return Vec::new();
    };
    body["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn sum(results: &[Value]) -> f64 {
    results
        .iter()
        .filter_map(|r| r["value"][1].as_str()?.parse::<f64>().ok())
        .sum()
}

/// `promtool check metrics` on what a member serves.
async fn promtool(target: SocketAddr) {
    let text = reqwest::get(format!("http://{target}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool comes with Debian's prometheus");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && complaints.trim().is_empty(),
        "{target}: {complaints}"
    );
}

#[test]
fn prometheus_scrapes_every_member() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = WorldConfig {
            agents_per_city: 4,
            ..WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 3)
        };
        let mut world = World::build(config, |_| {}).await.unwrap();
        world.seat_agents().await.unwrap();
        let file = world.folder().join("leads.csv");
        let leads = PopulationConfig::new(3, 300, &City::CHINA)
            .write_file(&file)
            .unwrap();
        world.expect_leads(&leads);
        world.import(&file).await.unwrap();
        world.start_campaign().await.unwrap();

        let mut targets: Vec<SocketAddr> = world.nodes().iter().map(|n| n.monitoring()).collect();
        targets.push(world.coordinator_monitoring());
        let listen = WorldConfig::free_address().unwrap();
        let scraper = prometheus(world.folder(), listen, &targets);
        let patience = Duration::from_secs(60);
        world
            .until(
                "every member is scraped and calls are counted",
                patience,
                async |_| {
                    let up = sum(&query(listen, "up").await);
                    let closed = sum(&query(listen, "dialmesh_attempts_closed_total").await);
                    up as usize == targets.len() && closed > 20.0
                },
            )
            .await
            .unwrap();
        for target in &targets {
            promtool(*target).await;
        }
        drop(scraper);
        world.shut_down().await;
    });
}
