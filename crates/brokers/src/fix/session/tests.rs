use proptest::prelude::*;

use super::*;

fn settings() -> Settings {
    Settings {
        sender: "US".into(),
        target: "THEM".into(),
        heartbeat: Duration::from_secs(10),
        reset_on_logon: false,
        username: None,
        password: None,
        answer_within: Duration::from_secs(5),
    }
}

fn at(millis: u64) -> Moment {
    Moment { wall: Timestamp::from_nanos(1_700_000_000_000_000_000), steady: Duration::from_millis(millis) }
}

fn theirs(kind: &str, number: u64) -> Message {
    Message::new(kind).with(tag::SENDER_COMP_ID, "THEM").with(tag::TARGET_COMP_ID, "US").with(tag::MSG_SEQ_NUM, number)
}

fn again(kind: &str, number: u64) -> Message {
    theirs(kind, number).with(tag::POSS_DUP_FLAG, "Y")
}

fn app(number: u64) -> Message {
    theirs("8", number).with(tag::TEXT, number)
}

fn fill(number: u64, next: u64) -> Message {
    again("4", number).with(tag::GAP_FILL_FLAG, "Y").with(tag::NEW_SEQ_NO, next)
}

/// What a session wanted, as short text: `>` sent, `<` received.
fn said(session: &mut Session) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(output) = session.poll() {
        match output {
            Output::Numbers(_) => {}
            Output::Transmit(bytes) => {
                let mut decoder = Decoder::default();
                decoder.feed(&bytes);
                let Some(Found::Message(message)) = decoder.next() else { panic!("sent what is no message") };
                let number = message.number(tag::MSG_SEQ_NUM).unwrap();
                let mut text = format!("> {} {number}", message.kind());
                for (tag, value) in message.fields() {
                    if ![34, 49, 52, 56, 98, 122].contains(tag) {
                        text.push_str(&format!(" {tag}={value}"));
                    }
                }
                all.push(text);
            }
            Output::Received(message) => all.push(format!("< {}", message.get(tag::TEXT).unwrap_or_default())),
            Output::Up => all.push("up".into()),
            Output::Skipped { from, to } => all.push(format!("skipped {from}..{to}")),
            Output::Lost(reason) => all.push(format!("lost: {reason}")),
            Output::Down(Down { reason, stop, .. }) => {
                all.push(format!("{}: {reason}", if stop { "stop" } else { "down" }));
            }
        }
    }
    all
}

fn hear(session: &mut Session, message: &Message, millis: u64) -> Vec<String> {
    session.received(&message.encode(&[]), at(millis));
    said(session)
}

fn answered(number: u64, test: u64) -> Message {
    theirs("0", number).with(tag::TEST_REQ_ID, format!("up-{test}"))
}

/// Logged on; both sides' next numbers are 2, as if the test had not counted.
fn up() -> Session {
    let mut session = Session::new(settings(), Numbers::default());
    session.connected(at(0));
    assert_eq!(said(&mut session), ["> A 1 108=10"]);
    assert_eq!(hear(&mut session, &theirs("A", 1).with(tag::HEART_BT_INT, 10), 0), ["> 1 2 112=up-2"]);
    assert!(!session.is_up());
    assert_eq!(hear(&mut session, &answered(2, 2), 0), ["up"]);
    session.numbers = Numbers { out: 2, inward: 2 };
    session
}

#[test]
fn logs_on_with_credentials_that_are_not_printed() {
    let secret = |text: &str| Some(Secret::new(text));
    let settings = Settings { username: secret("me"), password: secret("hunter2"), ..settings() };
    assert!(!format!("{settings:?}").contains("hunter2"));
    let mut session = Session::new(settings, Numbers { out: 7, inward: 9 });
    session.connected(at(0));
    assert_eq!(said(&mut session), ["> A 7 108=10 553=me 554=hunter2"]);
    assert!(!format!("{session:?}").contains("hunter2"));
}

#[test]
fn numbers_are_counted_before_a_message_leaves_and_after_one_came_out() {
    let mut session = up();
    session.send(Message::new("D"), at(0));
    session.received(&app(2).encode(&[]), at(0));
    let order: Vec<Output> = std::iter::from_fn(|| session.poll()).collect();
    assert!(matches!(order[0], Output::Numbers(Numbers { out: 3, inward: 2 })), "{order:?}");
    assert!(matches!(order[1], Output::Transmit(_)), "{order:?}");
    assert!(matches!(order[2], Output::Received(_)), "{order:?}");
    assert!(matches!(order[3], Output::Numbers(Numbers { out: 3, inward: 3 })), "{order:?}");
}

#[test]
fn nothing_is_sent_before_the_logon_is_answered() {
    let mut session = Session::new(settings(), Numbers::default());
    assert_eq!(session.send(Message::new("D"), at(0)), None);
    session.connected(at(0));
    assert_eq!(session.send(Message::new("D"), at(0)), None);
    session.tick(at(4_999));
    assert!(session.wakes() == Some(Duration::from_secs(5)));
    session.tick(at(5_000));
    assert_eq!(said(&mut session), ["> A 1 108=10", "down: the logon was not answered"]);
}

#[test]
fn a_quiet_line_is_kept_alive_and_a_dead_one_is_left() {
    let mut session = up();
    assert_eq!(session.wakes(), Some(Duration::from_secs(10)));
    session.tick(at(10_000));
    assert_eq!(said(&mut session), ["> 0 2"]);
    assert_eq!(session.wakes(), Some(Duration::from_secs(12)));
    session.tick(at(12_000));
    assert_eq!(said(&mut session), ["> 1 3 112=20231114-22:13:20.000"]);
    session.tick(at(22_000));
    assert_eq!(said(&mut session), ["> 0 4"]);
    assert_eq!(hear(&mut session, &theirs("0", 2), 23_000), Vec::<String>::new());
    session.tick(at(35_000));
    assert_eq!(said(&mut session), ["> 1 5 112=20231114-22:13:20.000"]);
    session.tick(at(47_000));
    assert_eq!(said(&mut session), ["down: nothing was heard, not even an answer to a test"]);
    assert_eq!(session.wakes(), None);
}

#[test]
fn a_test_is_answered_with_its_name() {
    let mut session = up();
    assert_eq!(
        hear(&mut session, &theirs("1", 2).with(tag::TEST_REQ_ID, "are you there"), 1),
        ["> 0 2 112=are you there"]
    );
}

#[test]
fn a_gap_is_asked_for_once_and_then_everything_comes_in_order() {
    let mut session = up();
    assert_eq!(hear(&mut session, &app(4), 1), ["> 2 2 7=2 16=3"]);
    assert_eq!(hear(&mut session, &app(5), 2), Vec::<String>::new());
    assert_eq!(hear(&mut session, &again("8", 2).with(tag::TEXT, 2), 3), ["< 2"]);
    assert_eq!(hear(&mut session, &again("8", 3).with(tag::TEXT, 3), 4), ["< 3", "< 4", "< 5"]);
    assert_eq!(hear(&mut session, &app(6), 5), ["< 6"]);
}

#[test]
fn a_gap_filled_with_a_gap_goes_on_behind_it() {
    let mut session = up();
    assert_eq!(hear(&mut session, &app(9), 1), ["> 2 2 7=2 16=8"]);
    assert_eq!(hear(&mut session, &fill(2, 7), 1), Vec::<String>::new());
    assert_eq!(hear(&mut session, &again("8", 7).with(tag::TEXT, 7), 1), ["< 7"]);
    assert_eq!(hear(&mut session, &fill(8, 9), 1), ["< 9"]);
}

#[test]
fn a_second_gap_is_asked_for_when_the_first_is_filled() {
    let mut session = up();
    assert_eq!(hear(&mut session, &app(3), 1), ["> 2 2 7=2 16=2"]);
    assert_eq!(hear(&mut session, &app(6), 1), Vec::<String>::new());
    assert_eq!(hear(&mut session, &again("8", 2).with(tag::TEXT, 2), 1), ["< 2", "< 3", "> 2 3 7=4 16=5"]);
}

#[test]
fn a_gap_that_nobody_fills_ends_the_line() {
    let mut session = up();
    assert_eq!(hear(&mut session, &app(3), 0), ["> 2 2 7=2 16=2"]);
    session.tick(at(5_000));
    session.tick(at(10_000));
    assert_eq!(said(&mut session), ["> 2 3 7=2 16=2", "> 2 4 7=2 16=2"]);
    session.tick(at(15_000));
    let reason = "messages from 2 on are not sent again";
    assert_eq!(said(&mut session), [format!("> 5 5 58={reason}"), format!("down: {reason}")]);
}

#[test]
fn what_was_missed_before_the_logon_is_asked_for() {
    let mut session = Session::new(settings(), Numbers { out: 5, inward: 8 });
    session.connected(at(0));
    said(&mut session);
    assert_eq!(hear(&mut session, &theirs("A", 10), 0), ["> 2 6 7=8 16=9", "> 1 7 112=up-7"]);
    // The answer waits for what was missed.
    assert_eq!(hear(&mut session, &answered(11, 7), 0), Vec::<String>::new());
    assert_eq!(hear(&mut session, &again("8", 8).with(tag::TEXT, 8), 0), ["< 8"]);
    assert_eq!(hear(&mut session, &again("8", 9).with(tag::TEXT, 9), 0), ["< 9", "up"]);
    assert_eq!(hear(&mut session, &app(12), 0), ["< 12"]);
}

#[test]
fn what_they_missed_is_filled_before_anything_may_be_sent() {
    let mut session = Session::new(settings(), Numbers { out: 5, inward: 8 });
    session.connected(at(0));
    said(&mut session);
    assert_eq!(hear(&mut session, &theirs("A", 8), 0), ["> 1 6 112=up-6"]);
    assert_eq!(session.send(Message::new("D"), at(0)), None);
    let request = theirs("2", 9).with(tag::BEGIN_SEQ_NO, 3).with(tag::END_SEQ_NO, 0);
    // The first test was among what is filled: there is another.
    assert_eq!(hear(&mut session, &request, 0), ["skipped 3..6", "> 4 3 43=Y 123=Y 36=7", "> 1 7 112=up-7"]);
    assert_eq!(hear(&mut session, &answered(10, 6), 0), Vec::<String>::new());
    assert_eq!(hear(&mut session, &answered(11, 7), 0), ["up"]);
}

#[test]
fn a_test_after_the_logon_without_answer_ends_the_line() {
    let mut session = Session::new(settings(), Numbers::default());
    session.connected(at(0));
    assert_eq!(hear(&mut session, &theirs("A", 1), 1_000)[1], "> 1 2 112=up-2");
    assert_eq!(session.wakes(), Some(Duration::from_secs(6)));
    session.tick(at(6_000));
    assert_eq!(said(&mut session)[1], "down: the test after the logon was not answered");
}

#[test]
fn no_message_of_ours_is_sent_again() {
    let mut session = up();
    session.send(Message::new("D").with(tag::CL_ORD_ID, "a"), at(0));
    session.send(Message::new("D").with(tag::CL_ORD_ID, "b"), at(0));
    said(&mut session);
    let request =
        |number, from: u64, to: u64| theirs("2", number).with(tag::BEGIN_SEQ_NO, from).with(tag::END_SEQ_NO, to);
    assert_eq!(hear(&mut session, &request(2, 1, 0), 0), ["skipped 1..3", "> 4 1 43=Y 123=Y 36=4"]);
    assert_eq!(hear(&mut session, &request(3, 2, 2), 0), ["skipped 2..2", "> 4 2 43=Y 123=Y 36=3"]);
    assert_eq!(hear(&mut session, &request(4, 3, 900), 0), ["skipped 3..3", "> 4 3 43=Y 123=Y 36=4"]);
    let rejected = hear(&mut session, &request(5, 9, 0), 0);
    assert_eq!(rejected, ["> 3 4 45=5 372=2 373=5 58=BeginSeqNo has not been sent"]);
}

#[test]
fn both_sides_missing_something_do_not_wait_for_each_other() {
    let mut session = up();
    let request = theirs("2", 5).with(tag::BEGIN_SEQ_NO, 1).with(tag::END_SEQ_NO, 0);
    assert_eq!(hear(&mut session, &request, 0), ["skipped 1..1", "> 4 1 43=Y 123=Y 36=2", "> 2 2 7=2 16=4"]);
    assert_eq!(hear(&mut session, &fill(2, 5), 0), Vec::<String>::new());
    assert_eq!(hear(&mut session, &app(6), 0), ["< 6"]);
}

#[test]
fn what_is_known_and_marked_as_sent_again_is_passed_over() {
    let mut session = up();
    assert_eq!(hear(&mut session, &app(2), 0), ["< 2"]);
    assert_eq!(hear(&mut session, &again("8", 2).with(tag::TEXT, 2), 0), Vec::<String>::new());
}

#[test]
fn a_low_number_stops_the_session() {
    let mut session = up();
    hear(&mut session, &app(2), 0);
    let reason = "MsgSeqNum too low, expecting 3 but received 2";
    assert_eq!(hear(&mut session, &app(2), 0), [format!("> 5 2 58={reason}"), format!("stop: {reason}")]);

    let mut session = Session::new(settings(), Numbers { out: 5, inward: 8 });
    session.connected(at(0));
    said(&mut session);
    let reason = "MsgSeqNum too low, expecting 8 but received 1";
    assert_eq!(hear(&mut session, &theirs("A", 1), 0), [format!("> 5 6 58={reason}"), format!("stop: {reason}")]);
}

#[test]
fn another_session_s_message_stops_the_session() {
    for wrong in [
        Message::new("8").with(49, "OTHERS").with(56, "US").with(34, 2),
        Message::new("8").with(49, "THEM").with(56, "OTHERS").with(34, 2),
    ] {
        let mut session = up();
        let heard = hear(&mut session, &wrong, 0);
        assert!(heard[1].starts_with("stop: a message is from"), "{heard:?}");
    }
    let mut session = up();
    let nameless = Message::new("8").with(49, "THEM").with(56, "US");
    assert_eq!(hear(&mut session, &nameless, 0)[1], "stop: a message has no MsgSeqNum");
}

#[test]
fn a_garbled_message_is_not_counted_and_so_comes_again() {
    let mut session = up();
    let mut garbled = app(2).encode(&[]);
    let end = garbled.len() - 10;
    garbled[end] ^= 1;
    session.received(&garbled, at(0));
    assert_eq!(said(&mut session), Vec::<String>::new());
    assert_eq!(hear(&mut session, &app(3), 0), ["> 2 2 7=2 16=2"]);
}

#[test]
fn numbers_that_begin_again_as_agreed() {
    let mut session = Session::new(Settings { reset_on_logon: true, ..settings() }, Numbers { out: 40, inward: 50 });
    session.connected(at(0));
    assert_eq!(said(&mut session), ["> A 1 108=10 141=Y"]);
    assert_eq!(hear(&mut session, &theirs("A", 1).with(tag::RESET_SEQ_NUM_FLAG, "Y"), 0), ["> 1 2 112=up-2"]);
    assert_eq!(session.numbers(), Numbers { out: 3, inward: 2 });
}

#[test]
fn numbers_that_begin_again_in_the_answer_were_not_agreed() {
    let mut session = Session::new(settings(), Numbers { out: 40, inward: 50 });
    session.connected(at(0));
    said(&mut session);
    let heard = hear(&mut session, &theirs("A", 1).with(tag::RESET_SEQ_NUM_FLAG, "Y"), 0);
    assert_eq!(heard[1], "stop: the counterparty began its numbers again, which was not agreed");
}

#[test]
fn numbers_that_begin_again_in_a_session_are_followed_and_said() {
    let mut session = up();
    hear(&mut session, &app(2), 0);
    let logon = theirs("A", 1).with(tag::HEART_BT_INT, 10).with(tag::RESET_SEQ_NUM_FLAG, "Y");
    assert_eq!(hear(&mut session, &logon, 0), ["lost: the counterparty began the numbers again", "> A 1 108=10 141=Y"]);
    assert_eq!(hear(&mut session, &app(2), 0), ["< 2"]);
}

#[test]
fn a_reset_without_gap_fill_jumps_ahead_and_never_back() {
    let mut session = up();
    let reset = |next: u64| theirs("4", 1).with(tag::NEW_SEQ_NO, next);
    assert_eq!(hear(&mut session, &reset(9), 0), ["lost: the counterparty's numbers jumped from 2 to 9"]);
    assert_eq!(hear(&mut session, &app(9), 0), ["< 9"]);
    assert_eq!(hear(&mut session, &reset(5), 0), ["> 3 2 45=1 372=4 373=5 58=NewSeqNo lies behind"]);
    assert_eq!(hear(&mut session, &app(10), 0), ["< 10"]);
}

#[test]
fn logs_out_when_asked_and_when_told() {
    let mut session = up();
    session.logout(at(0));
    assert_eq!(said(&mut session), ["> 5 2"]);
    assert!(!session.is_up());
    assert_eq!(hear(&mut session, &app(2), 0), ["< 2"]);
    assert_eq!(hear(&mut session, &theirs("5", 3), 0), ["down: logged out"]);

    let mut session = up();
    let text = "end of day";
    assert_eq!(
        hear(&mut session, &theirs("5", 2).with(tag::TEXT, text), 0),
        ["> 5 2", "down: the counterparty logged out: end of day"]
    );
    let mut session = up();
    session.logout(at(0));
    session.tick(at(5_000));
    assert_eq!(said(&mut session), ["> 5 2", "down: the logout was not answered"]);
}

#[test]
fn a_refused_logon_says_why() {
    let mut session = Session::new(settings(), Numbers::default());
    session.connected(at(0));
    said(&mut session);
    session.received(&theirs("5", 1).with(tag::TEXT, "bad password").encode(&[]), at(0));
    let outputs: Vec<Output> = std::iter::from_fn(|| session.poll()).collect();
    let down = Down { reason: "the logon was refused: bad password".into(), refused: true, stop: false };
    assert_eq!(outputs.last(), Some(&Output::Down(down)));
    assert_eq!(session.numbers(), Numbers { out: 2, inward: 2 });
}

#[test]
fn another_version_stops_the_session() {
    let mut session = up();
    let bytes = String::from_utf8(app(2).encode(&[])).unwrap().replace("FIX.4.4", "FIX.4.2");
    let body = bytes.split_once("10=").unwrap().0;
    let sum: u32 = body.bytes().map(u32::from).sum::<u32>() % 256;
    session.received(format!("{body}10={sum:03}\x01").as_bytes(), at(0));
    let reason = "the counterparty speaks FIX.4.2, and this is FIX.4.4";
    assert_eq!(said(&mut session), [format!("> 5 2 58={reason}"), format!("stop: {reason}")]);
}

/// A counterparty that keeps what it sent, as any does.
#[derive(Default)]
struct Counterparty {
    /// What it sent under each number: an application's message, or none that is sent again.
    sent: Vec<Option<u64>>,
    expects: u64,
    told: u64,
    orders: Vec<u64>,
}

impl Counterparty {
    fn message(&mut self, kind: &str, app: Option<u64>) -> Message {
        self.sent.push(app);
        let message = theirs(kind, self.sent.len() as u64);
        match app {
            Some(text) => message.with(tag::TEXT, text),
            None => message,
        }
    }

    fn execution(&mut self) -> Message {
        self.told += 1;
        let told = self.told;
        self.message("8", Some(told))
    }

    fn take(&mut self, message: &Message) -> Vec<Message> {
        let number = message.number(tag::MSG_SEQ_NUM).unwrap();
        let mut answers = Vec::new();
        if message.kind() == "4" {
            self.expects = message.number(tag::NEW_SEQ_NO).unwrap();
            return answers;
        }
        if message.kind() == "2" {
            let to = message.number(tag::END_SEQ_NO).unwrap();
            for number in message.number(tag::BEGIN_SEQ_NO).unwrap()..=to {
                answers.push(match self.sent[number as usize - 1] {
                    Some(text) => again("8", number).with(tag::TEXT, text),
                    None => fill(number, number + 1),
                });
            }
        }
        if message.kind() == "A" {
            answers.push(self.message("A", None));
        }
        if number > self.expects {
            let expects = self.expects;
            answers.push(self.message("2", None).with(tag::BEGIN_SEQ_NO, expects).with(tag::END_SEQ_NO, 0));
            return answers;
        }
        assert_eq!(number, self.expects, "a number is used twice, or a message is sent again");
        self.expects += 1;
        match message.kind() {
            "D" => self.orders.push(message.number(tag::CL_ORD_ID).unwrap()),
            "1" => {
                let name = message.get(tag::TEST_REQ_ID).unwrap();
                answers.push(self.message("0", None).with(tag::TEST_REQ_ID, name));
            }
            _ => {}
        }
        answers
    }
}

#[derive(Debug, Clone)]
enum Happens {
    Order,
    Execution,
    /// One of the next messages to us is garbled.
    Garbled,
    /// One of the next messages to them is lost with the line.
    LostLine,
    Crash,
    Wait(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Order),
        6 => Just(Happens::Execution),
        2 => Just(Happens::Garbled),
        1 => Just(Happens::LostLine),
        1 => Just(Happens::Crash),
        2 => (1_u64..13_000).prop_map(Happens::Wait),
    ]
}

/// Both sides and the line between them.
struct World {
    session: Session,
    /// What the store has.
    stored: Numbers,
    them: Counterparty,
    seen: Vec<u64>,
    time: u64,
    garble: bool,
    up: bool,
}

impl World {
    fn new() -> Self {
        Self {
            session: Session::new(settings(), Numbers::default()),
            stored: Numbers::default(),
            them: Counterparty { expects: 1, ..Counterparty::default() },
            seen: Vec::new(),
            time: 0,
            garble: false,
            up: false,
        }
    }

    /// Carries what there is to and fro until there is nothing left; `lose` cuts the line before anything leaves.
    fn settle(&mut self, lose: bool) {
        loop {
            let mut to_them = Vec::new();
            let mut down = false;
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Numbers(numbers) => self.stored = numbers,
                    Output::Transmit(bytes) => to_them.push(bytes),
                    Output::Received(message) => self.seen.push(message.number(tag::TEXT).unwrap()),
                    Output::Up => self.up = true,
                    Output::Down(Down { reason, stop, .. }) => {
                        assert!(!stop, "{reason}");
                        down = true;
                    }
                    Output::Skipped { .. } => {}
                    Output::Lost(reason) => panic!("{reason}"),
                }
            }
            if lose {
                to_them.clear();
                self.session.disconnected("cut");
                down = true;
            }
            if down {
                while self.session.poll().is_some() {}
                self.up = false;
                return;
            }
            if to_them.is_empty() {
                return;
            }
            let mut decoder = Decoder::default();
            let mut answers = Vec::new();
            for bytes in to_them {
                decoder.feed(&bytes);
                while let Some(Found::Message(message)) = decoder.next() {
                    answers.extend(self.them.take(&message));
                }
            }
            for answer in answers {
                self.deliver(&answer);
            }
        }
    }

    fn deliver(&mut self, message: &Message) {
        let mut bytes = message.encode(&[]);
        if std::mem::take(&mut self.garble) && message.kind() != "A" {
            let end = bytes.len() - 9;
            bytes[end] ^= 3;
        }
        self.session.received(&bytes, at(self.time));
    }

    fn connect(&mut self) {
        if !self.up {
            self.garble = false;
            self.session.connected(at(self.time));
            self.settle(false);
            assert!(self.up);
        }
    }
}

proptest! {
    #[test]
    fn every_execution_comes_once_and_no_order_twice(story in prop::collection::vec(happens(), 1..60)) {
        let mut world = World::new();
        world.connect();
        let mut orders = 0;
        for event in story {
            match event {
                Happens::Order => {
                    world.connect();
                    orders += 1;
                    world.session.send(Message::new("D").with(tag::CL_ORD_ID, orders), at(world.time));
                    world.settle(false);
                }
                Happens::Execution => {
                    let message = world.them.execution();
                    if world.up {
                        world.deliver(&message);
                        world.settle(false);
                    }
                }
                Happens::Garbled => world.garble = true,
                Happens::LostLine => {
                    if world.up {
                        orders += 1;
                        world.session.send(Message::new("D").with(tag::CL_ORD_ID, orders), at(world.time));
                        world.settle(true);
                    }
                }
                Happens::Crash => {
                    world.session = Session::new(settings(), world.stored);
                    world.up = false;
                }
                Happens::Wait(millis) => {
                    world.time += millis;
                    world.session.tick(at(world.time));
                    world.settle(false);
                }
            }
        }
        // A message more shows what is missing.
        world.connect();
        world.garble = false;
        let last = world.them.execution();
        world.deliver(&last);
        world.settle(false);
        prop_assert_eq!(&world.seen, &(1..=world.them.told).collect::<Vec<_>>());
        let mut once = world.them.orders.clone();
        once.dedup();
        prop_assert_eq!(once, world.them.orders);
    }

    #[test]
    fn whatever_comes_is_survived_and_no_number_goes_back(
        kinds in prop::collection::vec(
            (prop::sample::select(vec!["0", "1", "2", "3", "4", "5", "8", "9", "A", "j"]), 0_u64..12, any::<bool>(),
             any::<bool>(), 0_u64..14, 0_u64..14),
            0..40,
        ),
    ) {
        let mut session = up();
        let (mut steady, mut last) = (0, session.numbers());
        for (kind, number, dup, gap, from, next) in kinds {
            let mut message = theirs(kind, number).with(tag::BEGIN_SEQ_NO, from).with(tag::END_SEQ_NO, next);
            message = message.with(tag::NEW_SEQ_NO, next).with(tag::TEXT, 1);
            if dup {
                message = message.with(tag::POSS_DUP_FLAG, "Y");
            }
            if gap {
                message = message.with(tag::GAP_FILL_FLAG, "Y");
            }
            session.received(&message.encode(&[]), at(steady));
            steady += 700;
            session.tick(at(steady));
            while session.poll().is_some() {}
            let numbers = session.numbers();
            prop_assert!(numbers.out >= last.out && numbers.inward >= last.inward);
            last = numbers;
        }
    }
}
