//! The agents' page in a real browser, against an agent's shift in memory: a whole call, a reload in
//! the middle of it, a lost connection, keys only, both languages, the strict policy. Where the pages
//! are not built or there is no Chromium, that is said and nothing is opened.

mod in_call;

use crate::chromium::{Browser, element};
use async_trait::async_trait;
use call::{
    AgentCommand, AgentError, AgentNotice, AgentStatus, CallCard, CallEnd, CommandError, EndedBy,
    Phone,
};
use dialmesh_http::{
    agent::{self, AgentBackend},
    auth::hash_token,
    limits,
    pages::{self, Page},
};
use domain::{AgentId, AgentState, AttemptId, CampaignId, LeadId, PauseCode, RegionId, WallTime};
use parking_lot::Mutex;
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::mpsc};

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    WallTime::from_millis(since.as_millis() as i64)
}

/// One agent's shift, as far as the page sees it.
struct Shift {
    status: AgentStatus,
    after: Option<AgentState>,
    call: Option<CallCard>,
    screens: Vec<mpsc::Sender<AgentNotice>>,
    commands: Vec<AgentCommand>,
}

struct Node(Mutex<Shift>);

impl Shift {
    fn tell(&mut self, notice: &AgentNotice) {
        self.screens
            .retain(|screen| screen.try_send(notice.clone()).is_ok());
    }

    fn go(&mut self, state: AgentState, deadline: Option<Duration>) {
        self.status = AgentStatus {
            state,
            since: now(),
            deadline: deadline.map(|span| now() + span),
            phone: self.status.phone,
            next: None,
        };
        self.tell(&AgentNotice::State(self.status.clone()));
    }

    fn busy(&self) -> bool {
        matches!(self.status.state, AgentState::OnCall | AgentState::WrapUp)
    }

    fn wants(&mut self, state: AgentState, name: &str) {
        if self.busy() {
            self.after = Some(state);
            self.status.next = Some(name.to_owned());
            self.tell(&AgentNotice::State(self.status.clone()));
        } else {
            self.go(state, None);
        }
    }

    fn end(&mut self, by: EndedBy) {
        let next = self.status.next.take();
        let call = self.call.as_mut().unwrap();
        call.ended = Some(CallEnd { at: now(), by });
        let attempt = call.attempt;
        self.tell(&AgentNotice::CallEnded { attempt, by });
        self.status.next = next.clone();
        self.go(AgentState::WrapUp, Some(Duration::from_secs(30)));
        if next.is_some() {
            self.status.next = next;
            self.tell(&AgentNotice::State(self.status.clone()));
        }
    }

    fn dispose(&mut self, name: String) -> Result<(), CommandError> {
        let Some(call) = self.call.as_mut().filter(|c| c.disposition.is_none()) else {
            return Err(AgentError::NothingToDispose.plain());
        };
        call.disposition = Some(name.clone());
        let (attempt, ended) = (call.attempt, call.ended.is_some());
        self.tell(&AgentNotice::Disposed {
            attempt,
            disposition: name,
        });
        if ended {
            self.call = None;
            let after = self.after.take().unwrap_or(AgentState::Ready);
            self.go(after, None);
        }
        Ok(())
    }
}

#[async_trait]
impl AgentBackend for Node {
    async fn authenticate(&self, hash: &str) -> Option<AgentId> {
        (hash == hash_token("dmag_good")).then_some(AgentId(7))
    }

    async fn attach(&self, _: AgentId) -> Result<mpsc::Receiver<AgentNotice>, CommandError> {
        let (sender, receiver) = mpsc::channel(limits::AGENT_QUEUE);
        let mut shift = self.0.lock();
        let snapshot = AgentNotice::Snapshot {
            status: shift.status.clone(),
            call: shift.call.clone().map(Box::new),
        };
        sender.try_send(snapshot).unwrap();
        shift.screens.push(sender);
        Ok(receiver)
    }

    /// A node that phones alone can be used with.
    async fn audio_offer(&self, _: AgentId, _: String) -> Result<String, CommandError> {
        Err(AgentError::NoBrowserAudio.plain())
    }

    async fn audio_close(&self, _: AgentId) -> Result<(), CommandError> {
        Err(AgentError::NoBrowserAudio.plain())
    }

    async fn command(&self, _: AgentId, command: AgentCommand) -> Result<(), CommandError> {
        let mut shift = self.0.lock();
        shift.commands.push(command.clone());
        match command {
            AgentCommand::LogIn => {
                shift.status.phone = Phone::Up;
                shift.go(AgentState::Paused(PauseCode::default()), None);
            }
            AgentCommand::LogOut => {
                shift.status.phone = Phone::Down;
                shift.go(AgentState::LoggedOut, None);
            }
            AgentCommand::Ready => shift.wants(AgentState::Ready, "ready"),
            AgentCommand::Pause { code } if code.0 == "forbidden" => {
                return Err(AgentError::PauseCode.with("It holds control characters"));
            }
            AgentCommand::Pause { code } => shift.wants(AgentState::Paused(code), "pause"),
            AgentCommand::HangUp if shift.status.state == AgentState::OnCall => {
                shift.end(EndedBy::Caller);
            }
            AgentCommand::HangUp => return Err(AgentError::NoCall.plain()),
            AgentCommand::Hold => shift.hold(true),
            AgentCommand::Resume => shift.hold(false),
            AgentCommand::PressKeys { .. } if shift.status.state == AgentState::OnCall => {}
            AgentCommand::Dispose { disposition, .. } => return shift.dispose(disposition),
            #[allow(
                unreachable_patterns,
                reason = "commands of other subjects come and go"
            )]
            _ => return Err(AgentError::Unreadable.plain()),
        }
        Ok(())
    }
}

impl Node {
    /// A person is on the line.
    fn call(&self, number: u32, name: &str) {
        let mut shift = self.0.lock();
        // As JSON: a field that a later subject adds is absent here, as from a node before it.
        let choice = |name: &str, flag: &str| {
            let mut choice = json!({
                "name": name, "contact": true, "success": false, "do_not_call": false, "retry": false,
                "freeze": false,
            });
            choice[flag] = json!(true);
            choice
        };
        let card: CallCard = serde_json::from_value(json!({
            "attempt": AttemptId::new(RegionId(1), 2, number),
            "lead": LeadId::new(RegionId(1), u64::from(number)),
            "number": "+86138*****34",
            "name": name,
            "attributes": {
                "company": "南山仪器有限公司",
                "last_order": "2026-03-14",
                "remark": "<b>prefers the afternoon</b>",
                "source": "trade fair, hall 4",
            },
            "campaign": CampaignId(4),
            "campaign_name": "spring",
            "zones": ["Asia/Shanghai"],
            "dispositions": [
                choice("sale", "success"),
                choice("callback", "retry"),
                choice("not_interested", "contact"),
                choice("wrong_number", "freeze"),
                choice("never_again", "do_not_call"),
            ],
            "bridged_at": now(),
        }))
        .unwrap();
        shift.call = Some(card.clone());
        shift.tell(&AgentNotice::Call(Box::new(card)));
        shift.go(AgentState::OnCall, Some(Duration::from_secs(1_800)));
    }

    fn last_disposition(&self) -> Option<(String, String, Option<WallTime>)> {
        let shift = self.0.lock();
        shift
            .commands
            .iter()
            .rev()
            .find_map(|command| match command {
                AgentCommand::Dispose {
                    disposition,
                    note,
                    callback_at,
                } => Some((disposition.clone(), note.clone(), *callback_at)),
                _ => None,
            })
    }
}

async fn serve() -> (SocketAddr, Arc<Node>) {
    let node = Arc::new(Node(Mutex::new(Shift {
        status: AgentStatus {
            state: AgentState::LoggedOut,
            since: now(),
            deadline: None,
            phone: Phone::Down,
            next: None,
        },
        after: None,
        call: None,
        screens: Vec::new(),
        commands: Vec::new(),
    })));
    let router = agent::router(node.clone()).merge(pages::router(Page::Agent));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, node)
}

/// The state that the page shows.
fn in_state(state: &str) -> String {
    format!("{}?.dataset.state === '{state}'", element("state"))
}

async fn language(browser: &mut Browser, tag: &str) {
    let choose = format!(
        "{}.querySelector('input[value=\"{tag}\"]').click()",
        element("language")
    );
    browser.evaluate(&choose).await;
    browser
        .until(&format!("document.documentElement.lang === '{tag}'"))
        .await;
}

async fn every_control_has_a_name(browser: &mut Browser) {
    let unnamed = "[...document.querySelectorAll('button, input, textarea, select')].filter(e => !(e.innerText || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML).join()";
    assert_eq!(browser.evaluate(unnamed).await, "");
}

/// Opens the page; none where that cannot be.
async fn desk() -> Option<(Browser, Arc<Node>, SocketAddr)> {
    if !web::is_built(Page::Agent) {
        eprintln!("the pages are not built: the agents' page was not opened");
        return None;
    }
    let Some(mut browser) = Browser::start().await else {
        eprintln!("there is no Chromium here: the agents' page was not opened");
        return None;
    };
    let (address, node) = serve().await;
    browser.open(&format!("http://{address}/")).await;
    browser.until(&format!("!!{}", element("token"))).await;
    Some((browser, node, address))
}

/// What the browser complained about, but for what the test asked for.
fn complaints(browser: &Browser) -> Vec<&String> {
    let asked_for = ["401", "ERR_INTERNET_DISCONNECTED"];
    let others = |c: &&String| !asked_for.iter().any(|word| c.contains(word));
    browser.complaints.iter().filter(others).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_works_with_keys_through_a_reload_and_a_lost_line() {
    let Some((mut browser, node, _)) = desk().await else {
        return;
    };
    browser.picture("desk-sign-in.png").await;
    browser.accessible("sign-in").await;
    browser.sign_in("dmag_wrong").await;
    browser
        .until(&format!("!!{}", element("sign-in-problem")))
        .await;
    browser.sign_in("dmag_good").await;
    browser.until(&in_state("logged_out")).await;
    let tokens = "[Object.values(sessionStorage).includes('dmag_good'), JSON.stringify(localStorage).includes('dmag_')]";
    assert_eq!(browser.evaluate(tokens).await, json!([true, false]));
    every_control_has_a_name(&mut browser).await;
    browser.picture("desk-logged-out.png").await;
    browser.accessible("logged out").await;

    browser.press("l").await;
    browser.until(&in_state("paused")).await;
    browser.press("r").await;
    browser.until(&in_state("ready")).await;
    browser.picture("desk-ready.png").await;
    browser.accessible("ready").await;
    node.call(1, "王小明");
    browser.until(&in_state("on_call")).await;
    browser.until("document.title.includes('王小明')").await;
    assert_eq!(browser.text("number").await, "+86138*****34");
    let attributes = browser.text("attributes").await;
    assert!(attributes.contains("<b>prefers"), "{attributes}");
    browser.press("n").await;
    browser.type_text("wants 2 quotes; rhp1").await;
    browser.picture("desk-on-call-en.png").await;
    browser.accessible("on call").await;
    assert_eq!(node.last_disposition(), None, "typing is no key");

    // A reload in the middle of the call: the browser asks, then everything is where it was.
    let reload = "location.reload()";
    browser.evaluate(reload).await;
    browser
        .until("performance.getEntriesByType('navigation')[0].type === 'reload'")
        .await;
    browser.until(&in_state("on_call")).await;
    assert_eq!(browser.farewells, 1);
    let note = format!("{}.value", element("note"));
    assert_eq!(browser.evaluate(&note).await, "wants 2 quotes; rhp1");

    // A pause that waits for the call, by keys.
    browser.press("p").await;
    browser
        .until(&format!(
            "document.activeElement === {}",
            element("pause-break")
        ))
        .await;
    browser.picture("desk-pause.png").await;
    browser.accessible("pause").await;
    browser.click("pause-lunch").await;
    browser.until(&format!("!!{}", element("next"))).await;

    node.0.lock().end(EndedBy::Callee);
    browser.until(&in_state("wrap_up")).await;
    let ended = browser.text("ended").await;
    assert!(ended.contains("other side"), "{ended}");
    browser.picture("desk-wrap-up-en.png").await;
    browser.accessible("wrap-up").await;
    browser.evaluate("document.activeElement.blur()").await;
    browser.press("1").await;
    browser.until(&in_state("paused")).await;
    let kept = ("sale".into(), "wants 2 quotes; rhp1".into(), None);
    assert_eq!(node.last_disposition(), Some(kept));
    let last = browser.text("last").await;
    assert!(last.contains("王小明") && last.contains("sale"), "{last}");
    let drafts = "Object.keys(sessionStorage).filter(k => k.includes('draft')).length";
    assert_eq!(browser.evaluate(drafts).await, 0, "the note is gone");

    // The line is lost for a while: said at once, and over by itself.
    let cut = |off: bool| json!({ "offline": off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.call("Network.enable", json!({})).await;
    browser
        .call("Network.emulateNetworkConditions", cut(true))
        .await;
    node.0.lock().screens.clear();
    browser.until(&format!("!!{}", element("lost"))).await;
    browser.picture("desk-lost.png").await;
    browser.accessible("lost").await;
    browser
        .call("Network.emulateNetworkConditions", cut(false))
        .await;
    browser
        .until(&format!("{}.dataset.link === 'live'", element("link")))
        .await;
    browser.until(&format!("!{}", element("lost"))).await;
    assert!(
        complaints(&browser).is_empty(),
        "{:?}",
        complaints(&browser)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_back_is_asked_twice_and_refusals_are_told() {
    let Some((mut browser, node, _)) = desk().await else {
        return;
    };
    language(&mut browser, "zh-CN").await;
    browser.picture("desk-sign-in-zh.png").await;
    browser.sign_in("dmag_good").await;
    browser.click("log_in").await;
    browser.until(&in_state("paused")).await;
    browser.click("ready").await;
    browser.until(&in_state("ready")).await;
    node.call(2, "陈静");
    browser.until(&in_state("on_call")).await;
    browser.picture("desk-on-call-zh.png").await;

    // A callback in the lead's own time, which the card names.
    let zone = format!(
        "{}.closest('.mantine-TextInput-root').innerText",
        element("callback")
    );
    let label = browser.evaluate(&zone).await;
    assert!(label.as_str().unwrap().contains("Asia/Shanghai"), "{label}");
    let quick =
        "[...document.querySelectorAll('button')].find(b => b.innerText === '明天 10:00').click()";
    browser.evaluate(quick).await;
    browser
        .until(&format!("{}.value.endsWith('T10:00')", element("callback")))
        .await;
    browser.press("5").await;
    let told = format!(
        "{}.innerText.includes('never_again')",
        element("result-fault")
    );
    browser.until(&told).await;
    assert_eq!(
        node.last_disposition(),
        None,
        "no callback to who must not be called"
    );
    browser.click("callback-clear").await;
    browser.evaluate("document.activeElement.blur()").await;

    // Never to be called again: one slip of a finger does not do it.
    browser.press("5").await;
    let armed = "document.querySelector('[data-name=never_again]').dataset.armed === 'true'";
    browser.until(armed).await;
    browser.picture("desk-armed-zh.png").await;
    assert_eq!(node.last_disposition(), None);
    browser.press("5").await;
    browser.until(&format!("!!{}", element("set"))).await;
    let (name, ..) = node.last_disposition().unwrap();
    assert_eq!(name, "never_again");
    browser.press("h").await;
    browser.until(&in_state("wrap_up")).await;

    // A refusal has its code and what to do.
    node.0.lock().call = None;
    node.0.lock().go(AgentState::Ready, None);
    browser.until(&in_state("ready")).await;
    browser.press("p").await;
    browser
        .until(&format!("!!{}", element("pause-other")))
        .await;
    browser
        .evaluate(&format!("{}.focus()", element("pause-other")))
        .await;
    browser.type_text("forbidden").await;
    browser.press("Enter").await;
    browser.until(&format!("!!{}", element("trouble"))).await;
    let trouble = browser.text("trouble").await;
    assert!(
        trouble.contains("DM3015") && trouble.contains("暂停原因无效"),
        "{trouble}"
    );
    browser.click("theme").await;
    browser.picture("desk-refused-zh-dark.png").await;
    browser.accessible("refused, dark").await;

    // The list of keys, and turning them off.
    browser.evaluate("document.activeElement.blur()").await;
    browser.press("?").await;
    browser.until(&format!("!!{}", element("keys"))).await;
    every_control_has_a_name(&mut browser).await;
    browser.picture("desk-keys-zh-dark.png").await;
    browser.accessible("keys, dark").await;
    browser.click("keys-enabled").await;
    browser.press("Escape").await;
    browser.until(&format!("!{}", element("keys"))).await;
    browser.press("r").await;
    browser.press("p").await;
    assert_eq!(
        browser
            .evaluate(&format!("!!{}", element("pause-reasons")))
            .await,
        false,
        "keys are off"
    );

    node.call(3, "Ada Lovelace-Byron of the Analytical Engines");
    browser.until(&in_state("on_call")).await;
    browser.picture("desk-on-call-zh-dark.png").await;
    browser.accessible("on call, dark").await;
    browser.resize(390, 900).await;
    browser
        .until("document.documentElement.scrollWidth <= window.innerWidth")
        .await;
    browser.picture("desk-phone-zh-dark.png").await;
    language(&mut browser, "en").await;
    browser.click("theme").await;
    browser
        .until("document.documentElement.scrollWidth <= window.innerWidth")
        .await;
    browser.picture("desk-phone-en.png").await;
    browser.accessible("on call, narrow").await;
    browser.evaluate("window.scrollTo(0, 9999)").await;
    browser.picture("desk-phone-en-below.png").await;
    assert!(
        complaints(&browser).is_empty(),
        "{:?}",
        complaints(&browser)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_microphone_is_checked_and_a_node_for_phones_says_so() {
    let Some((mut browser, _, _)) = desk().await else {
        return;
    };
    // Browsers measure nothing before a real press.
    browser.press("Tab").await;
    browser.click("voice-browser").await;
    browser.click("mic-open").await;
    let level = format!("Number({}?.ariaValueNow) > 0", element("level"));
    browser.until(&level).await;
    let heard = format!("{}?.innerText.includes('hears you')", element("mic-word"));
    browser.until(&heard).await;
    every_control_has_a_name(&mut browser).await;
    browser.picture("desk-microphone.png").await;
    browser.accessible("microphone").await;
    browser.sign_in("dmag_good").await;
    browser
        .until(&format!("{}?.dataset.phase === 'failed'", element("audio")))
        .await;
    browser
        .until(&format!("!!{}", element("audio-fault")))
        .await;
    browser.picture("desk-phones-only.png").await;
    browser.click("use-phone").await;
    browser.until(&in_state("logged_out")).await;
    browser.until(&format!("!{}", element("audio"))).await;
    assert!(
        complaints(&browser).is_empty(),
        "{:?}",
        complaints(&browser)
    );
}
