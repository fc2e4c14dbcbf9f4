//! Lists that are pulled, from a publisher on a real socket to what is in use.

use super::*;
use domain::{DncBaseId, WallTime};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    ops::ControlFlow,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A publisher that answers as it was told, one connection a request.
#[derive(Clone)]
struct Publisher {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Bytes to send, and whether to stay silent then instead of closing.
struct Answer(Vec<u8>, bool);

impl Publisher {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let publisher = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::default(),
            asked: Arc::default(),
        };
        let own = publisher.clone();
        tokio::spawn(async move {
            loop {
                let (link, _) = listener.accept().await.unwrap();
                tokio::spawn(own.clone().answer(link));
            }
        });
        publisher
    }

    async fn answer(self, mut link: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && link.read_buf(&mut head).await.unwrap() > 0 {}
        let answer = self.answers.lock().pop_front();
        let Answer(bytes, hangs) = answer.expect("nobody asks more often than was planned");
        self.asked.lock().push(String::from_utf8(head).unwrap());
        // Who has heard enough may close first.
        let _sent = link.write_all(&bytes).await.is_ok();
        if hangs {
            std::future::pending::<()>().await;
        }
        let _closed = link.shutdown().await.is_ok();
    }

    fn url(&self) -> String {
        format!("http://{}/list.txt", self.address)
    }

    fn answers(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        // Each request has a connection of its own: what is asked next must not meet a closed one.
        let text = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\
             {headers}\r\n{body}"
        );
        self.raw(&text, false);
    }

    fn raw(&self, text: &str, hangs: bool) {
        (self.answers.lock()).push_back(Answer(text.as_bytes().to_vec(), hangs));
    }

    fn last_asked(&self) -> String {
        self.asked.lock().last().unwrap().to_lowercase()
    }
}

/// Numbers of the United States without their country code.
fn rows(range: std::ops::Range<u32>) -> String {
    let mut text = "phone\n".to_owned();
    for n in range {
        writeln!(text, "415555{n:04}").unwrap();
    }
    text
}

fn request(from: &str) -> DncListRequest {
    DncListRequest {
        name: "ftc".into(),
        from: from.into(),
        every_seconds: 86_400,
        country: Some("US".into()),
        max_age_seconds: 31 * 86_400,
        shrink_permille: 100,
        invalid_permille: 1,
        header: Some(Secret::new("Authorization: Bearer tok3n")),
        ca: None,
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..3_000 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 30 s");
}

/// Waits until what was accepted is in use.
async fn in_use(api: &dyn AdminBackend) -> DncList {
    until("in use", async || {
        let list = api.do_not_call_list("ftc").await.unwrap();
        list.in_use.then_some(list)
    })
    .await
}

/// Pulls to the end.
async fn pull(api: &dyn AdminBackend, dry_run: bool) -> Operation {
    let request = DncListPullRequest { dry_run };
    let begun = api
        .pull_do_not_call_list(&by(), "ftc", request)
        .await
        .unwrap();
    until("the pull's end", async || {
        let operation = api.operation(&begun.id).await.unwrap();
        (operation.state != OperationState::Running).then_some(operation)
    })
    .await
}

async fn listed(api: &dyn AdminBackend, n: u32) -> bool {
    let number: PhoneNumber = number(n).parse().unwrap();
    api.check_do_not_call(&by(), number).await.unwrap().in_base
}

async fn last_pull(api: &dyn AdminBackend) -> DncListPull {
    let list = api.do_not_call_list("ftc").await.unwrap();
    list.pulls[0].clone()
}

/// Base files of the list.
fn files(mesh: &Mesh) -> usize {
    let folder = mesh.dir.path().join("data/dnc/lists/ftc");
    storage::dnc_bases(&folder).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_has_is_pulled_checked_and_put_into_use() {
    let mesh = Mesh::new().await;
    let publisher = Publisher::new().await;
    mesh.run(async |api, coordinator| {
        publisher.answers("200 OK", "etag: \"v1\"\r\n", &rows(0..1_000));
        let declared = api
            .declare_do_not_call_list(&by(), request(&publisher.url()))
            .await;
        assert_eq!(declared.unwrap().name, "ftc");
        let again = api
            .declare_do_not_call_list(&by(), request(&publisher.url()))
            .await;
        assert!(matches!(again, Err(BackendError::Conflict(_))), "{again:?}");
        let list = in_use(&*api).await;
        assert_eq!(list.numbers, Some(1_000));
        let asked = publisher.last_asked();
        assert!(asked.contains("authorization: bearer tok3n"), "{asked}");
        assert!(!asked.contains("if-none-match"), "{asked}");
        let first = &list.pulls[0];
        assert_eq!(
            (first.rows, first.invalid, first.added, first.removed),
            (1_001, 0, 1_000, 0),
            "a heading is no invalid row"
        );
        assert!(listed(&*api, 0).await && !listed(&*api, 1_000).await);
        let bases = api.do_not_call_bases().await.unwrap().data;
        assert_eq!((bases.len(), bases[0].in_use), (1, true));

        // Nothing new: nothing is built, and it is as old as the word of the publisher.
        publisher.answers("304 Not Modified", "", "");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let done = pull(&*api, false).await;
        assert_eq!(done.state, OperationState::Succeeded, "{done:?}");
        assert!(publisher.last_asked().contains("if-none-match: \"v1\""));
        let confirmed = api.do_not_call_list("ftc").await.unwrap();
        assert_eq!(confirmed.pulls[0].result, DncListResult::Unchanged);
        assert!(confirmed.obtained_at > list.obtained_at);
        // The same by another name of it.
        publisher.answers("200 OK", "etag: \"v1b\"\r\n", &rows(0..1_000));
        pull(&*api, false).await;
        assert_eq!(last_pull(&*api).await.result, DncListResult::Unchanged);
        assert_eq!(api.do_not_call_bases().await.unwrap().data.len(), 1);
        assert_eq!(files(&mesh), 1);

        // Changed; looked at first.
        publisher.answers("200 OK", "etag: \"v2\"\r\n", &rows(1..1_003));
        let counted = pull(&*api, true).await;
        assert_eq!((counted.counts["added"], counted.counts["removed"]), (3, 1));
        assert!(api.do_not_call_list("ftc").await.unwrap().in_use && files(&mesh) == 1);
        publisher.answers("200 OK", "etag: \"v2\"\r\n", &rows(1..1_003));
        let done = pull(&*api, false).await;
        assert_eq!((done.counts["added"], done.counts["removed"]), (3, 1));
        in_use(&*api).await;
        assert!(!listed(&*api, 0).await && listed(&*api, 1_002).await);

        // More than a tenth is gone: not without somebody's word.
        for decision in ["reject", "approve"] {
            publisher.answers("200 OK", "", &rows(1..900));
            let done = pull(&*api, false).await;
            assert_eq!(done.state, OperationState::NeedsApproval);
            let list = api.do_not_call_list("ftc").await.unwrap();
            assert!(list.waiting.is_some_and(|why| why.contains("899")));
            assert!(listed(&*api, 1_002).await && list.numbers == Some(1_002));
            let take = decision == "approve";
            let reason = "a test".to_owned();
            let decided = until("nothing is made meanwhile", async || {
                let decision = DncListDecision {
                    reason: reason.clone(),
                };
                api.decide_do_not_call_list(&by(), "ftc", take, decision)
                    .await
                    .ok()
            });
            assert_eq!(decided.await.waiting, None);
            let expected = match take {
                true => OperationState::Succeeded,
                false => OperationState::Failed,
            };
            assert_eq!(api.operation(&done.id).await.unwrap().state, expected);
        }
        in_use(&*api).await;
        assert!(listed(&*api, 899).await && !listed(&*api, 1_002).await);
        let reason = "again".to_owned();
        let decision = DncListDecision { reason };
        let none = api
            .decide_do_not_call_list(&by(), "ftc", true, decision)
            .await;
        assert!(matches!(none, Err(BackendError::Conflict(_))), "{none:?}");

        // Too many rows that are no numbers.
        publisher.answers("200 OK", "", &(rows(1..900) + "x\ny\n"));
        let done = pull(&*api, false).await;
        assert_eq!(done.state, OperationState::NeedsApproval);
        assert_eq!(done.counts["invalid"], 2);

        // It goes, and its numbers stay until another base is in use.
        api.remove_do_not_call_list(&by(), "ftc").await.unwrap();
        assert!(api.do_not_call_list("ftc").await.is_err());
        until("its folder is gone", async || {
            (!mesh.dir.path().join("data/dnc/lists/ftc").exists()).then_some(())
        })
        .await;
        assert!(listed(&*api, 899).await);
        ((), coordinator)
    });
    let clear = storage::in_clear(mesh.dir.path(), &[], &["tok3n"]).unwrap();
    assert_eq!(clear, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_far_or_large_is_not_taken() {
    let mesh = Mesh::new().await;
    let publisher = Publisher::new().await;
    mesh.run(async |api, coordinator| {
        // Broken off, out of order, then whole.
        let body = rows(0..1_000);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        publisher.raw(&(head + &body[..body.len() / 2]), false);
        publisher.answers("500 Internal Server Error", "", "");
        publisher.answers("200 OK", "", &body);
        let declared = api
            .declare_do_not_call_list(&by(), request(&publisher.url()))
            .await;
        declared.unwrap();
        let list = in_use(&*api).await;
        assert_eq!((list.numbers, list.pulls.len()), (Some(1_000), 1));
        assert_eq!(publisher.asked.lock().len(), 3);

        // Within the host it is followed.
        publisher.answers("302 Found", "location: /elsewhere\r\n", "");
        publisher.answers("200 OK", "", &rows(0..1_001));
        pull(&*api, false).await;
        assert_eq!(last_pull(&*api).await.result, DncListResult::Accepted);
        assert!(publisher.last_asked().starts_with("get /elsewhere"));
        in_use(&*api).await;

        let moved = "location: http://localhost:1/list.txt\r\n";
        let (long, endless) = ("x".repeat(100_001), "+14155550000\n".repeat(8_000));
        let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{endless}");
        let cases: [(&dyn Fn(), &str); 6] = [
            (
                &|| publisher.answers("302 Found", moved, ""),
                "another host",
            ),
            (
                &|| publisher.answers("200 OK", "", &long),
                "more than 100000 bytes",
            ),
            (&|| publisher.raw(&endless, false), "more than 100000 bytes"),
            (&|| publisher.answers("403 Forbidden", "", ""), "header"),
            (
                &|| publisher.answers("200 OK", "", "nothing\nof use\n"),
                "no number",
            ),
            (
                &|| publisher.answers("200 OK", "content-encoding: gzip\r\n", "x"),
                "compressed",
            ),
        ];
        for (answer, why) in cases {
            answer();
            let done = pull(&*api, false).await;
            assert_eq!(done.state, OperationState::Failed, "{why}");
            let said = done.error.unwrap();
            assert!(said.contains(why), "{said}");
            let last = last_pull(&*api).await;
            assert_eq!(
                (last.result, last.error),
                (DncListResult::Failed, Some(said))
            );
            assert!(publisher.answers.lock().is_empty(), "{why}");
        }
        assert_eq!(files(&mesh), 1, "nothing is left of them");
        let list = api.do_not_call_list("ftc").await.unwrap();
        assert!(list.in_use && list.numbers == Some(1_001));
        // It is asked again sooner than in a day.
        let next = list.next_pull_at.unwrap().0;
        assert!(next < service::clock::wall() + Duration::from_secs(2 * 3600));

        for (from, why) in [
            ("http://registry.example/", "another machine"),
            ("file:///etc/passwd", "not below"),
        ] {
            let refused = api.declare_do_not_call_list(&by(), request(from)).await;
            match refused {
                Err(BackendError::Invalid(errors)) => {
                    assert!(errors[0].message.contains(why), "{errors:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_begins_again() {
    let mesh = Mesh::new().await;
    let publisher = Publisher::new().await;
    mesh.run(async |api, coordinator| {
        let body = rows(0..1_000);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        publisher.raw(&(head + &body[..body.len() / 2]), true);
        let declared = api
            .declare_do_not_call_list(&by(), request(&publisher.url()))
            .await;
        declared.unwrap();
        until("it is asked", async || {
            (!publisher.asked.lock().is_empty()).then_some(())
        })
        .await;
        ((), coordinator)
    });
    publisher.answers("200 OK", "etag: \"v1\"\r\n", &rows(0..1_000));
    let id = mesh.run(async |api, coordinator| {
        let list = in_use(&*api).await;
        assert_eq!((list.numbers, files(&mesh)), (Some(1_000), 1));
        let operations = api.operations(PageQuery::default()).await.unwrap().data;
        let cut = operations.last().unwrap();
        assert_eq!(cut.state, OperationState::Failed, "{cut:?}");
        let base = api.do_not_call_bases().await.unwrap().data.remove(0);
        (base.id, coordinator)
    });
    // Nothing is built or asked again without a reason.
    mesh.run(async |api, coordinator| {
        publisher.answers("304 Not Modified", "", "");
        pull(&*api, false).await;
        assert!(publisher.last_asked().contains("if-none-match: \"v1\""));
        let bases = api.do_not_call_bases().await.unwrap().data;
        assert_eq!((bases.len(), bases[0].in_use), (1, true));
        assert_eq!(bases[0].id, id);
        ((), coordinator)
    });
    // Its numbers are lost: what is in use stays so, and they are asked for at once.
    let folder = mesh.dir.path().join("data/dnc/lists/ftc");
    let part = storage::dnc_bases(&folder).unwrap()[0];
    fs::remove_file(storage::dnc_base_path(&folder, part)).unwrap();
    publisher.answers("200 OK", "etag: \"v1\"\r\n", &rows(0..1_000));
    mesh.run(async |api, coordinator| {
        until("they are there again", async || {
            (files(&mesh) == 1).then_some(())
        })
        .await;
        assert!(!publisher.last_asked().contains("if-none-match"));
        assert!(listed(&*api, 0).await);
        in_use(&*api).await;
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_of_other_origin_is_replaced_only_by_hand() {
    let mesh = Mesh::new().await;
    let folder = mesh.dir.path().join("lists");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("ftc.txt");
    fs::write(&file, rows(0..1_000)).unwrap();
    let by_hand = storage::DncBaseBuild {
        dir: mesh.dir.path().join("bases"),
        about: permit::base::BaseAbout {
            source: "by hand".into(),
            built_at: service::clock::wall(),
        },
        memory: 0,
    };
    let (built, _) = by_hand
        .from_list(
            "+14155559999\n".as_bytes(),
            storage::e164,
            |_| Ok(()),
            |_| ControlFlow::Continue(()),
        )
        .unwrap();
    let from = format!("file://{}", file.display());
    mesh.run(async |api, coordinator| {
        let bytes = fs::read(&built.path).unwrap();
        (api.stage_do_not_call_base(&by(), built.id, body(bytes))
            .await)
            .unwrap();
        let use_base = async |id: String| {
            let request = DncBaseUse {
                id: Some(id),
                force: false,
                reason: String::new(),
                wait: Wait::Committed,
            };
            api.use_do_not_call_base(&by(), request).await.unwrap()
        };
        use_base(built.id.to_string()).await;
        api.declare_do_not_call_list(&by(), request(&from))
            .await
            .unwrap();
        let waits = until("an approval is asked for", async || {
            let operations = api.operations(PageQuery::default()).await.unwrap().data;
            let mut waits = operations.into_iter();
            waits.find(|operation| operation.state == OperationState::NeedsApproval)
        })
        .await;
        assert_eq!(waits.kind, "do_not_call_list_base");
        assert!(listed(&*api, 9_999).await && !listed(&*api, 0).await);
        let made: DncBaseId = waits.made.clone().unwrap().parse().unwrap();
        use_base(made.to_string()).await;
        in_use(&*api).await;
        assert!(!listed(&*api, 9_999).await && listed(&*api, 0).await);
        until("the operation has its end", async || {
            let operation = api.operation(&waits.id).await.unwrap();
            (operation.state == OperationState::Succeeded).then_some(())
        })
        .await;
        let refused = api.compact_do_not_call_base(&by()).await.unwrap_err();
        assert!(refused.to_string().contains("made of lists"), "{refused}");
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_as_old_as_its_file_and_stops_campaigns_that_ask_for_it() {
    let mesh = Mesh::new().await;
    let folder = mesh.dir.path().join("lists");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("ftc.txt");
    fs::write(&path, rows(0..1_000)).unwrap();
    let days = |n: u64| SystemTime::now() - Duration::from_secs(n * 86_400);
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(days(32)).unwrap();
    let from = format!("file://{}", path.display());
    mesh.run(async |api, coordinator| {
        let (_, campaign) = region_and_campaign(&*api).await;
        let leads = format!("number\n{}\n", number(5_000));
        let options = ImportOptions::default();
        (api.import_leads(&by(), campaign, options, None, body(leads))
            .await)
            .unwrap();
        let start = CampaignAction::Start;
        (api.act_on_campaign(&by(), campaign, start).await).unwrap();
        api.declare_do_not_call_list(&by(), request(&from))
            .await
            .unwrap();
        let list = in_use(&*api).await;
        assert_eq!(list.age_seconds.unwrap() / 86_400, 32);
        let too_old = async || {
            let stats = api.campaign_stats(campaign).await.unwrap();
            // By night nothing is due, whatever the list says.
            let open = stats
                .why_idle
                .iter()
                .any(|r| r.rule == "outside_calling_window");
            let old = stats.why_idle.iter().any(|r| r.rule == "old_dnc_base");
            (open, old)
        };
        let (night, old) = too_old().await;
        assert!(old || night);
        // Put there again: given anew, although it is the same.
        file.set_modified(days(30)).unwrap();
        pull(&*api, false).await;
        let list = api.do_not_call_list("ftc").await.unwrap();
        assert_eq!(list.pulls[0].result, DncListResult::Unchanged);
        assert_eq!(list.age_seconds.unwrap() / 86_400, 30);
        assert!(!too_old().await.1);
        assert_eq!(api.do_not_call_bases().await.unwrap().data.len(), 1);
        // It rests: nothing is due, and it grows older.
        let paused = api
            .pause_do_not_call_list(&by(), "ftc", true)
            .await
            .unwrap();
        assert_eq!((paused.paused, paused.next_pull_at), (true, None));
        let resumed = api
            .pause_do_not_call_list(&by(), "ftc", false)
            .await
            .unwrap();
        assert!(resumed.next_pull_at.unwrap().0 > WallTime::EPOCH);
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lift_holds_over_bases_until_the_list_drops_the_number() {
    let mesh = Mesh::new().await;
    let folder = mesh.dir.path().join("lists");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("ftc.txt");
    let from = format!("file://{}", path.display());
    fs::write(&path, rows(0..1_000)).unwrap();
    mesh.run(async |api, coordinator| {
        (api.declare_do_not_call_list(&by(), request(&from)).await).unwrap();
        in_use(&*api).await;
        let check = async || {
            let number: PhoneNumber = number(7).parse().unwrap();
            let check = api.check_do_not_call(&by(), number).await.unwrap();
            (check.in_base, check.listed, check.lifted_for.is_some())
        };
        assert_eq!(check().await, (true, true, false));
        let removal = DncRemoval {
            number: number(7),
            scope: Scope::Mesh,
            reason: "a customer".into(),
        };
        let seven: PhoneNumber = number(7).parse().unwrap();
        let lift = async || {
            let by = by();
            let removed = api.remove_do_not_call(&by, seven, removal.clone());
            removed.await
        };
        lift().await.unwrap();
        assert_eq!(check().await, (true, false, true));
        let again = lift().await.unwrap_err();
        assert!(matches!(again, BackendError::NotFound { .. }), "{again}");
        // An entry wins, and its removal leaves the lift.
        let entry = dnc(&number(7), Wait::Committed);
        api.add_do_not_call(&by(), seven, entry).await.unwrap();
        assert_eq!(check().await, (true, true, true));
        lift().await.unwrap();
        assert_eq!(check().await, (true, false, true));
        // The next base has it too.
        let publish = async |text: String| {
            fs::write(&path, text).unwrap();
            let done = pull(&*api, false).await;
            assert_eq!(done.state, OperationState::Succeeded, "{done:?}");
            in_use(&*api).await;
        };
        publish(rows(0..1_001)).await;
        assert_eq!(check().await, (true, false, true));
        // One does not; then the registry names it anew, and that counts.
        publish(rows(8..1_001)).await;
        until("the lift is forgotten", async || {
            (check().await == (false, false, false)).then_some(())
        })
        .await;
        publish(rows(0..1_002)).await;
        assert_eq!(check().await, (true, true, false));
        ((), coordinator)
    });
}

/// Serves one list over TLS for as long as the test lives; the address, and its certificate.
fn tls_publisher(body: String) -> (String, String) {
    use std::io::{Read as _, Write as _};
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let from = format!("https://{}/list.txt", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for link in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut link = rustls::StreamOwned::new(connection, link.unwrap());
            let (mut head, mut piece) = (Vec::new(), [0; 1024]);
            while !head.ends_with(b"\r\n\r\n") {
                match link.read(&mut piece) {
                    Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
                    // Who does not trust us goes away.
                    _ => break,
                }
            }
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _sent = link.write_all((head + &body).as_bytes()).is_ok();
            link.conn.send_close_notify();
            let _flushed = link.flush().is_ok();
        }
    });
    (from, made.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_known_by_its_certificate() {
    let mesh = Mesh::new().await;
    let (from, ca) = tls_publisher(rows(0..1_000));
    mesh.run(async |api, coordinator| {
        // Nobody's: neither the system nor the administrator trusts it.
        let declared = api.declare_do_not_call_list(&by(), request(&from)).await;
        assert_eq!(declared.unwrap().obtained_at, None);
        let failed = until("a pull", async || {
            let list = api.do_not_call_list("ftc").await.unwrap();
            list.pulls.first().cloned()
        })
        .await;
        let why = failed.error.unwrap();
        assert_eq!(failed.result, DncListResult::Failed);
        assert!(why.to_lowercase().contains("certificate"), "{why}");
        api.remove_do_not_call_list(&by(), "ftc").await.unwrap();
        let garbage = DncListRequest {
            ca: Some("no PEM".into()),
            ..request("http://127.0.0.1:1/")
        };
        let refused = api.declare_do_not_call_list(&by(), garbage).await;
        assert!(
            matches!(refused, Err(BackendError::Invalid(_))),
            "{refused:?}"
        );
        let trusted = DncListRequest {
            ca: Some(ca),
            ..request(&from)
        };
        api.declare_do_not_call_list(&by(), trusted).await.unwrap();
        assert_eq!(in_use(&*api).await.numbers, Some(1_000));
        ((), coordinator)
    });
}
