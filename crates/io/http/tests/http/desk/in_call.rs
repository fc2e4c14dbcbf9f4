//! What the page does within a call: the keypad and hold.

use super::*;

impl Node {
    /// The keys that were pressed for the person, in their order, as event codes.
    fn keys(&self) -> Vec<u8> {
        let shift = self.0.lock();
        let keys = shift.commands.iter().filter_map(|command| match command {
            AgentCommand::PressKeys { keys } => Some(keys.read().unwrap()),
            _ => None,
        });
        keys.flatten().map(domain::Key::event).collect()
    }
}

impl Shift {
    pub(super) fn hold(&mut self, held: bool) {
        let call = self.call.as_mut().unwrap();
        let since = held.then(now);
        call.held_since = since;
        let attempt = call.attempt;
        self.tell(&AgentNotice::Held { attempt, since });
    }
}

/// Signs in and waits on the line with a person.
async fn on_call() -> Option<(Browser, Arc<Node>)> {
    let (mut browser, node, _) = desk().await?;
    browser.sign_in("dmag_good").await;
    browser.click("log_in").await;
    browser.until(&in_state("paused")).await;
    browser.click("ready").await;
    browser.until(&in_state("ready")).await;
    node.call(4, "王小明");
    browser.until(&in_state("on_call")).await;
    Some((browser, node))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keypad_has_the_digits_while_it_is_open_and_dispositions_have_them_else() {
    let Some((mut browser, node)) = on_call().await else {
        return;
    };
    browser.press("k").await;
    browser.until(&format!("!!{}", element("keypad"))).await;
    every_control_has_a_name(&mut browser).await;
    for key in ["1", "0", "*", "#"] {
        browser.press(key).await;
    }
    browser.click("keypad-9").await;
    let shown = format!("{}.innerText === '10*#9'", element("keypad-pressed"));
    browser.until(&shown).await;
    browser.picture("desk-keypad-en.png").await;
    browser.accessible("keypad").await;
    assert_eq!(node.last_disposition(), None, "no key was a disposition");
    // The note is typed as ever.
    browser
        .evaluate(&format!("{}.focus()", element("note")))
        .await;
    browser.type_text("call 5").await;
    browser.evaluate("document.activeElement.blur()").await;
    language(&mut browser, "zh-CN").await;
    browser.picture("desk-keypad-zh.png").await;
    browser.evaluate("document.activeElement.blur()").await;
    browser.press("Escape").await;
    browser.until(&format!("!{}", element("keypad"))).await;
    browser.press("1").await;
    browser.until(&format!("!!{}", element("set"))).await;
    let kept = ("sale".into(), "call 5".into(), None);
    assert_eq!(node.last_disposition(), Some(kept));
    assert_eq!(node.keys(), [1, 0, 10, 11, 9]);
    // It is gone with the call.
    browser.press("k").await;
    browser.until(&format!("!!{}", element("keypad"))).await;
    node.0.lock().end(EndedBy::Callee);
    browser.until(&format!("!{}", element("keypad"))).await;
    assert!(
        complaints(&browser).is_empty(),
        "{:?}",
        complaints(&browser)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_held_by_key_and_by_button_also_over_a_reload() {
    let Some((mut browser, node)) = on_call().await else {
        return;
    };
    browser.press("o").await;
    browser.until(&format!("!!{}", element("held"))).await;
    browser.until(&format!("!!{}", element("resume"))).await;
    let keypad = format!("!!{}", element("keypad-button"));
    assert_eq!(browser.evaluate(&keypad).await, false, "nobody hears keys");
    browser.picture("desk-held-en.png").await;
    browser.accessible("held").await;
    browser.evaluate("location.reload()").await;
    browser
        .until("performance.getEntriesByType('navigation')[0].type === 'reload'")
        .await;
    browser.until(&format!("!!{}", element("held"))).await;
    language(&mut browser, "zh-CN").await;
    browser.picture("desk-held-zh.png").await;
    browser.accessible("held, zh").await;
    browser.click("resume").await;
    browser.until(&format!("!{}", element("held"))).await;
    browser.click("hold").await;
    browser.until(&format!("!!{}", element("held"))).await;
    // Who hangs up is held no more.
    node.0.lock().end(EndedBy::Callee);
    browser.until(&in_state("wrap_up")).await;
    browser.until(&format!("!{}", element("held"))).await;
    let pressed = |command: &AgentCommand| {
        let shift = node.0.lock();
        shift.commands.iter().filter(|c| *c == command).count()
    };
    assert_eq!(pressed(&AgentCommand::Hold), 2);
    assert_eq!(pressed(&AgentCommand::Resume), 1);
    assert!(
        complaints(&browser).is_empty(),
        "{:?}",
        complaints(&browser)
    );
}
