//! What is said. No phrase of one half is in the other; a bar parts what is said with a pause.

use super::Half;

/// Mandarin or English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Mandarin,
    English,
}

use Language::{English as En, Mandarin as Zh};

/// The phrases of one kind in one half.
pub type Phrases = &'static [(Language, &'static str)];

/// Kinds of what is said, each with the phrases of both halves.
pub struct Kind {
    training: Phrases,
    held_out: Phrases,
}

impl Kind {
    pub fn of(&self, half: Half) -> Phrases {
        match half {
            Half::Training => self.training,
            Half::HeldOut => self.held_out,
        }
    }
}

/// How a telephone is answered with one word. "Hello" and "喂" by themselves are in the held-out
/// half alone.
pub const PLAIN: Kind = Kind {
    training: &[
        (Zh, "你好"),
        (Zh, "哎"),
        (Zh, "说话"),
        (Zh, "请讲"),
        (Zh, "哪位"),
        (Zh, "在的"),
        (En, "Yes?"),
        (En, "Hi."),
        (En, "Yeah?"),
        (En, "Speaking."),
        (En, "Who's there?"),
        (En, "Good day."),
        (Zh, "您好"),
        (Zh, "谁呀"),
        (Zh, "讲"),
        (Zh, "我在"),
        (En, "Yep?"),
        (En, "Hiya."),
        (En, "Howdy."),
        (En, "Go ahead."),
    ],
    held_out: &[
        (Zh, "喂"),
        (Zh, "喂？"),
        (Zh, "是我"),
        (Zh, "说吧"),
        (Zh, "干嘛"),
        (Zh, "啥事"),
        (En, "Hello?"),
        (En, "Hello."),
        (En, "What?"),
        (En, "Morning."),
        (En, "Talk to me."),
        (En, "This is he."),
    ],
};

/// And with a few.
pub const FEW: Kind = Kind {
    training: &[
        (Zh, "喂，|你好"),
        (Zh, "喂，哪位？"),
        (Zh, "你好，请讲"),
        (Zh, "喂，我是王强"),
        (Zh, "你好，哪位找我"),
        (Zh, "喂，|谁啊，有事吗"),
        (En, "Hello, this is Tom."),
        (En, "Hi, who is this?"),
        (En, "Susan speaking."),
        (En, "Hello,|who's calling?"),
        (En, "Yes, hello?"),
        (En, "Good morning."),
        (En, "Miller residence."),
        (En, "Hey,|what's up?"),
        (Zh, "哎，|您好"),
        (Zh, "喂，您是哪位"),
        (Zh, "您好，请说"),
        (Zh, "喂，李明"),
        (Zh, "您好，您找谁"),
        (Zh, "喂，|什么事啊，你说"),
        (En, "Hello, Peter here."),
        (En, "Hi there, who's this?"),
        (En, "Karen speaking, hello."),
        (En, "Yes,|who is it?"),
        (En, "Hello, yes?"),
        (En, "Good evening."),
        (En, "Johnson household."),
        (En, "Hi,|how are you?"),
    ],
    held_out: &[
        (Zh, "喂，|您哪里"),
        (Zh, "你好，我是张伟"),
        (Zh, "喂，听得到吗"),
        (Zh, "嗯，|你说吧"),
        (Zh, "您好，哪里打来的"),
        (Zh, "喂，|是小陈吗"),
        (En, "Hello, David speaking."),
        (En, "Hi, it's Emma."),
        (En, "Yeah, hello, who's that?"),
        (En, "Hey,|how's it going?"),
        (En, "Good afternoon, hello."),
        (En, "Parker family, hi."),
        (En, "Hello,|can you hear me?"),
        (En, "Yes, this is Laura."),
    ],
};

/// A company's people, up to some two seconds and a half.
pub const BUSINESS: Kind = Kind {
    training: &[
        (Zh, "您好，|顺达物流"),
        (Zh, "你好，华联超市，请讲"),
        (Zh, "人事部，你好"),
        (Zh, "您好，这里是市第一医院"),
        (En, "Good morning, Baker and Sons."),
        (En, "City Dental, how can I help?"),
        (En, "Accounts department, Linda speaking."),
        (En, "Northside Garage,|this is Bill."),
        (Zh, "你好，|鑫源装饰"),
        (Zh, "您好，东方酒店，您请说"),
        (Zh, "财务室，您好"),
        (Zh, "你好，这边是育才小学"),
        (En, "Good afternoon, Harper Clinic."),
        (En, "Lakeside Motors, can I help you?"),
        (En, "Front desk, this is Maria."),
        (En, "Green Leaf Florist,|Anna speaking."),
    ],
    held_out: &[
        (Zh, "您好，|恒通汽修"),
        (Zh, "前台，请讲"),
        (Zh, "你好，宏达快递"),
        (Zh, "销售部，您哪位"),
        (En, "Hello, Riverside Bakery."),
        (En, "Sales team, Mark here."),
        (En, "Good morning, Pine Street Vet."),
        (En, "Central Library,|good afternoon."),
    ],
};

/// And at length, over two seconds and a half.
pub const LONG_BUSINESS: Kind = Kind {
    training: &[
        (
            Zh,
            "您好，欢迎致电顺达物流公司，|我是客服小张，请问有什么可以帮您",
        ),
        (Zh, "你好，这里是华联超市中山路店服务台，|请问您找哪一位"),
        (
            En,
            "Good morning, thank you for calling Baker and Sons,|this is Linda speaking, how may I help you today?",
        ),
        (
            En,
            "City Dental practice, you're speaking with Robert,|what can I do for you?",
        ),
        (
            Zh,
            "您好，这里是东方大酒店总台，|很高兴为您服务，请问需要什么帮助",
        ),
        (
            Zh,
            "你好，鑫源装饰工程有限公司，|请问您是要咨询装修还是找人",
        ),
        (
            En,
            "Good afternoon, Harper Clinic reception,|my name is Maria, how can I direct your call?",
        ),
        (
            En,
            "Lakeside Motors sales and service, Peter on the line,|how can I be of help?",
        ),
    ],
    held_out: &[
        (
            Zh,
            "您好，感谢致电恒通汽车维修中心，|工号零二六为您服务，请问车牌号是多少",
        ),
        (
            Zh,
            "您好，这里是阳光花园物业管理处，|请问您住几栋几单元，有什么需要报修",
        ),
        (
            En,
            "Good morning, Pine Street Veterinary Hospital,|this is Olivia, are you calling about an appointment?",
        ),
        (
            En,
            "Thanks for calling Riverside Bakery and Cafe,|you've got Mark, what would you like to order today?",
        ),
    ],
};

/// Carriers' voice mail.
pub const CARRIER: Kind = Kind {
    training: &[
        (
            Zh,
            "您好，|您所拨打的用户暂时无法接听您的电话，|请在提示音后留言",
        ),
        (
            Zh,
            "机主暂时不方便接听电话，请在嘀声后留言，|留言完毕请挂机",
        ),
        (Zh, "欢迎使用语音信箱，|请在听到提示音之后留下您的口信"),
        (
            En,
            "Your call has been forwarded to an automatic voice message system.|The person you are trying to reach is not available.|At the tone, please record your message.",
        ),
        (
            En,
            "The person you have called is unable to take your call.|Please leave a message after the tone.",
        ),
        (
            En,
            "You have reached the voice mailbox of,|five five five,|zero one four two.|Please leave a message after the tone.",
        ),
        (
            Zh,
            "您好，|您呼叫的号码已转入留言信箱，|请听到嘀的一声后开始留言",
        ),
        (
            Zh,
            "对方无法接听您的来电，您可以留言，|结束后按井号键或直接挂机",
        ),
        (Zh, "这里是移动秘书台，|机主现在不能接电话，我可以帮您转告"),
        (
            En,
            "The subscriber you dialed is not answering.|To leave a voice message, wait for the beep.|When you have finished recording, you may hang up.",
        ),
        (
            En,
            "Welcome to the messaging service.|The customer is busy at the moment.|Please speak after the signal.",
        ),
        (
            En,
            "Sorry,|no one is available to answer right now.|Record your message at the tone.",
        ),
    ],
    held_out: &[
        (
            Zh,
            "您好，|您拨打的用户已开通来电留言，|请在滴声后说出您的留言",
        ),
        (Zh, "用户正忙，现在为您转接到语音留言，|请稍候"),
        (Zh, "您已进入联通语音信箱，|按一留言，按二退出"),
        (
            En,
            "We are sorry,|the customer at this number cannot be reached.|You may leave a message at the beep.",
        ),
        (
            En,
            "Your party is not available.|Please record your message after the tone. When finished, press pound for more options.",
        ),
        (
            En,
            "This mailbox belongs to,|four one seven,|double two nine.|Speak after the tone.",
        ),
    ],
};

/// People's own recordings.
pub const PERSONAL: Kind = Kind {
    training: &[
        (
            Zh,
            "你好，我是王强，|我现在不方便接电话，请留言，我会尽快回复你",
        ),
        (Zh, "喂，|你好，我出去了，有事请在嘀声后留言"),
        (
            En,
            "Hi, you've reached Tom.|I can't come to the phone right now, so leave a message and I'll call you back.",
        ),
        (
            En,
            "Hello.|You've reached the Millers. We're not at home.|Please leave your name and number after the beep.",
        ),
        (
            En,
            "Hey, it's Susan, sorry I missed your call.|Leave me a message.",
        ),
        (
            En,
            "Thank you for calling Baker and Sons.|Our office is closed. Our hours are nine to five, Monday to Friday.",
        ),
        (
            Zh,
            "您好，这里是李明的电话，|我正在开会，请您留下姓名和电话，谢谢",
        ),
        (Zh, "哎，|不好意思，我没接到您的电话，麻烦您说一下有什么事"),
        (
            En,
            "This is Peter's phone.|I'm either away or on another line. Tell me who you are and I will ring you later.",
        ),
        (
            En,
            "Hi.|This is the Johnson family. Nobody can talk at the moment.|Say what you want when you hear the tone.",
        ),
        (
            En,
            "Hello, Karen isn't here just now,|but she'd love to hear from you.",
        ),
        (
            En,
            "You are through to Lakeside Motors.|We are open from eight till six. For service, press one. For sales, press two.",
        ),
    ],
    held_out: &[
        (
            Zh,
            "嗨，|我是陈静，我现在没法接听，方便的话给我发短信或者留言",
        ),
        (
            Zh,
            "您拨打的是张伟的手机，我可能在开车，|请留下您的联系方式",
        ),
        (
            En,
            "Hello,|this is Emma. I'm out at the moment, but if you leave your details I will get back to you as soon as I can.",
        ),
        (
            En,
            "Hey there, you got David's voicemail.|I'm probably busy.|Leave a short message and have a great day.",
        ),
        (
            En,
            "The Parkers can't pick up.|Please try our mobile, or tell us after the beep what it is about.",
        ),
        (
            En,
            "Pine Street Vet is closed for the holiday.|If this is an emergency, please hang up and dial the night service.",
        ),
    ],
};

/// Short ones of theirs.
pub const BRIEF: Kind = Kind {
    training: &[
        (Zh, "请在嘀声后留言"),
        (Zh, "我是王强，有事请留言"),
        (En, "It's Tom. Leave a message."),
        (En, "Please leave a message after the tone."),
        (Zh, "听到提示音请讲话"),
        (Zh, "这是李明的手机，请留口信"),
        (En, "You know what to do, so do it."),
        (En, "Peter's phone, talk after the beep."),
    ],
    held_out: &[
        (Zh, "有事留言，谢谢"),
        (Zh, "张伟不在，请留言"),
        (En, "It's Emma, leave a note."),
        (En, "Record your message now."),
    ],
};

/// Announcements of the network, before the answer.
pub const NETWORK: Kind = Kind {
    training: &[
        (Zh, "您好，您拨打的电话已关机，|请稍后再拨"),
        (Zh, "对不起，您拨打的号码是空号，|请核对后再拨"),
        (
            En,
            "Sorry, the phone you dialed is powered off,|please try again later.",
        ),
        (
            En,
            "We're sorry, you have reached a number that has been disconnected|or is no longer in service.",
        ),
        (Zh, "您好，您所呼叫的用户正在通话中，|请稍后再试"),
        (Zh, "对不起，您拨的用户已停机，|感谢您的使用"),
        (
            En,
            "Hello, the subscriber you called cannot be connected for the moment,|please redial later.",
        ),
        (
            En,
            "Your call cannot be completed as dialed.|Please check the number and dial again.",
        ),
    ],
    held_out: &[
        (Zh, "您好，您拨打的号码暂停服务，|请稍后再拨"),
        (Zh, "对不起，您所拨打的电话号码不存在，|请查证后再拨"),
        (
            En,
            "The number you have called is temporarily out of service,|please try later.",
        ),
        (
            En,
            "All circuits are busy now.|Will you please try your call again later.",
        ),
    ],
};

/// Voices of espeak-ng: no voice of one half is in the other. Its plain `cmn` reads characters as
/// English letters.
pub fn voices(half: Half, language: Language) -> &'static [&'static str] {
    match (half, language) {
        (Half::Training, Zh) => &[
            "cmn-latn-pinyin+m1",
            "cmn-latn-pinyin+m2",
            "cmn-latn-pinyin+m3",
            "cmn-latn-pinyin+m4",
            "cmn-latn-pinyin+m6",
            "cmn-latn-pinyin+m7",
            "cmn-latn-pinyin+f1",
            "cmn-latn-pinyin+f2",
            "cmn-latn-pinyin+f3",
            "cmn-latn-pinyin+f4",
            "cmn-latn-pinyin+Alicia",
        ],
        (Half::HeldOut, Zh) => &[
            "cmn-latn-pinyin+Alex",
            "cmn-latn-pinyin+Michael",
            "cmn-latn-pinyin+m5",
            "cmn-latn-pinyin+Annie",
            "cmn-latn-pinyin+Andrea",
            "cmn-latn-pinyin+linda",
        ],
        (Half::Training, En) => &[
            "en-us+m1",
            "en-us+m2",
            "en-gb+m3",
            "en-gb-x-rp+m4",
            "en-gb-x-gbclan+m6",
            "en-us+m7",
            "en-029+m8",
            "en-us+f1",
            "en-us+f2",
            "en-gb+f3",
            "en-gb-scotland+f4",
            "en-gb+f5",
            "en-gb-scotland+Alicia",
        ],
        (Half::HeldOut, En) => &[
            "en-us+Alex",
            "en-gb+Michael",
            "en-gb-x-gbcwmd+m5",
            "en-us+Annie",
            "en-gb+Andrea",
            "en-gb-scotland+linda",
        ],
    }
}
