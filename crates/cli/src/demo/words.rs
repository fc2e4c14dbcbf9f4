//! What the demonstration says, in two languages.

use super::Language;
use simulations::world::Step;

/// Every word of one language.
#[derive(Debug)]
pub(super) struct Words {
    language: Language,
    pub(super) agents_step: &'static str,
    pub(super) console: &'static str,
    pub(super) token: &'static str,
    pub(super) agents_page: &'static str,
    pub(super) spare_agent: &'static str,
    pub(super) spare_hint: &'static str,
    pub(super) files: &'static str,
    pub(super) ending: &'static str,
    pub(super) stopping: &'static str,
    pub(super) kept: &'static str,
    pub(super) columns: [&'static str; 12],
    pub(super) keys: &'static str,
    pub(super) chosen: &'static str,
    pub(super) killed: &'static str,
    pub(super) restarted: &'static str,
    pub(super) cut: &'static str,
    pub(super) healed: &'static str,
    pub(super) opting_out: &'static str,
    pub(super) effective: &'static str,
    pub(super) nobody_waits: &'static str,
    pub(super) no_status: &'static str,
    pub(super) left: &'static str,
}

static ENGLISH: Words = Words {
    language: Language::En,
    agents_step: "  agents register their phones and log in",
    console: "console   ",
    token: "token     ",
    agents_page: "agents' page",
    spare_agent: "token of a free desk",
    spare_hint: "           join in: open a city's agents' page, sign in with the token, log in, get ready (the desk's simulated phone answers by itself)",
    files: "files     ",
    ending: "no more dialing; waiting for calls to end and records to arrive",
    stopping: "stopping",
    kept: "kept:",
    columns: [
        "city",
        "mode",
        "trunk",
        "dialing",
        "ringing",
        "bridged",
        "ready/call/wrap/pause",
        "attempts",
        "calls",
        "abandoned",
        "queued",
        "age",
    ],
    keys: "1-3 city   k kill or restart   c cut its link   h heal all   d do not call a waiting number   q quit",
    chosen: "chosen:",
    killed: "killed (SIGKILL); k starts it again",
    restarted: "started again",
    cut: "cut off from the others; it stops dialing when its permission ends; h heals",
    healed: "every link is whole",
    opting_out: "do not call",
    effective: "effective after",
    nobody_waits: "no lead is waiting any more",
    no_status: "the coordinator does not tell the status",
    left: "left",
};

static CHINESE: Words = Words {
    language: Language::Zh,
    agents_step: "  坐席话机注册并登录",
    console: "控制台    ",
    token: "令牌      ",
    agents_page: "坐席工作台",
    spare_agent: "空闲席位令牌",
    spare_hint: "           体验当班：打开某城市的坐席工作台，用令牌登录，签入后转为空闲（该席位的模拟话机自动接听）",
    files: "文件      ",
    ending: "停止外呼；等待通话结束与话单到齐",
    stopping: "正在停止",
    kept: "已保留：",
    columns: [
        "城市",
        "模式",
        "中继",
        "拨号",
        "振铃",
        "通话",
        "就绪/通话/整理/小休",
        "呼叫",
        "接通",
        "放弃率",
        "待传",
        "时延",
    ],
    keys: "1-3 选城市   k 杀死或重启   c 切断链路   h 全部恢复   d 将一个待呼号码设为勿扰   q 退出",
    chosen: "已选：",
    killed: "已杀死（SIGKILL）；再按 k 重启",
    restarted: "已重启",
    cut: "已与其他成员断开；许可到期后停止外呼；h 恢复",
    healed: "所有链路已恢复",
    opting_out: "勿扰",
    effective: "生效用时",
    nobody_waits: "没有待呼的线索了",
    no_status: "协调器没有回答状态",
    left: "剩余",
};

impl Words {
    /// Of a language.
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &ENGLISH,
            Language::Zh => &CHINESE,
        }
    }

    pub(super) fn first_line(&self, agents: usize, leads: u32) -> String {
        let version = env!("CARGO_PKG_VERSION");
        match self.language {
            Language::En => format!(
                "dialmesh {version}: a coordinator, three cities, a simulated carrier, {agents} simulated agents, {leads} leads; all on this machine"
            ),
            Language::Zh => format!(
                "dialmesh {version}：一个协调器、三座城市、模拟运营商、{agents} 名模拟坐席、{leads} 条线索，全部在本机"
            ),
        }
    }

    pub(super) fn step(&self, step: &Step) -> String {
        match (self.language, step) {
            (Language::En, step) => format!("  {step}"),
            (Language::Zh, Step::Carrier) => "  模拟运营商".to_owned(),
            (Language::Zh, Step::Coordinator) => "  协调器".to_owned(),
            (Language::Zh, Step::Node(name)) => format!("  节点 {name}"),
            (Language::Zh, Step::Trunks) => "  中继与主叫号码".to_owned(),
            (Language::Zh, Step::Campaign) => "  外呼任务".to_owned(),
        }
    }

    pub(super) fn leads_step(&self, rows: usize) -> String {
        match self.language {
            Language::En => format!("  {rows} leads are imported"),
            Language::Zh => format!("  导入 {rows} 条线索"),
        }
    }

    /// A city's mode.
    pub(super) fn mode<'a>(&self, mode: &'a str) -> &'a str {
        match (self.language, mode) {
            (Language::Zh, "central") => "在线",
            (Language::Zh, "local") => "孤岛",
            (Language::Zh, "unreachable") => "失联",
            (Language::Zh, "cordoned") => "停派",
            (_, mode) => mode,
        }
    }
}
