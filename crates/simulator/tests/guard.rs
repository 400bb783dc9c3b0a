//! What bars new exposure beside single orders' figures, and what it never bars: the way out.
#![allow(clippy::unwrap_used)]

mod support;

use domain::{Money, Order, OrderKind, Quantity, Symbol, Timestamp};
use engine::{Cancels, Command, Correction, Engine, Event, Limits, Margin, Mode, Record, Refusal};
use support::{ID, Script, Wish, bar, day, money, price, session, shares};

fn free() -> Limits {
    Limits { margin: Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 }, ..Limits::default() }
}

fn engine(limits: Limits, wishes: Vec<(usize, Wish)>, cancels: Cancels) -> Engine<Script> {
    let cash = Money::from_units(support::CASH * Money::UNITS);
    Engine::new(Script(wishes), cash, 1, limits).at_venue(&[Symbol::new("AAA").unwrap()], cancels)
}

fn wish(n: usize, wish: impl Fn(&mut domain::Decisions) + 'static) -> (usize, Wish) {
    (n, Box::new(wish))
}

fn buy(n: usize, quantity: i64, kind: OrderKind) -> (usize, Wish) {
    wish(n, move |decisions| decisions.order(ID, shares(quantity), kind))
}

struct Seen {
    commands: Vec<Command>,
    records: Vec<Record>,
}

impl Seen {
    fn refusals(&self) -> Vec<Refusal> {
        let reason = |record: &Record| if let Record::Refused(refused) = record { Some(refused.reason) } else { None };
        self.records.iter().filter_map(reason).collect()
    }

    fn sent(&self) -> Vec<Order> {
        let order = |command: &Command| if let Command::Submit(sent) = command { Some(*sent.order()) } else { None };
        self.commands.iter().filter_map(order).collect()
    }

    fn cancelled(&self) -> usize {
        self.commands.iter().filter(|command| matches!(command, Command::Cancel(_))).count()
    }
}

fn take(engine: &mut Engine<Script>, event: Event) -> Seen {
    let step = engine.step(&event).unwrap();
    Seen { commands: step.commands.clone(), records: step.records.clone() }
}

/// Opens the nth session and shows its bar.
fn show(engine: &mut Engine<Script>, n: usize, prices: &str) -> Seen {
    take(engine, Event::SessionOpened(session(n)));
    take(engine, Event::Bar(bar(n, prices)))
}

fn fill(engine: &mut Engine<Script>, order: &Order, quantity: i64, n: usize, at: &str) -> Seen {
    let fill = domain::Fill {
        order: order.id,
        instrument: ID,
        session: day(n),
        quantity: shares(quantity),
        price: price(at),
        fee: Money::ZERO,
    };
    take(engine, Event::Filled(fill))
}

/// An engine that holds 100 shares after its first two sessions.
fn holding(limits: Limits, mut wishes: Vec<(usize, Wish)>, cancels: Cancels) -> Engine<Script> {
    wishes.insert(0, buy(0, 100, OrderKind::Market));
    let mut engine = engine(limits, wishes, cancels);
    let order = show(&mut engine, 0, "50 50 50 50").sent()[0];
    take(&mut engine, Event::SessionOpened(session(1)));
    fill(&mut engine, &order, 100, 1, "50");
    engine
}

#[test]
fn reduce_only_lets_positions_shrink_and_nothing_else() {
    let wishes = vec![
        buy(1, 50, OrderKind::Market),
        buy(1, -150, OrderKind::Market),
        wish(1, |decisions| decisions.target(ID, shares(-40))),
    ];
    let mut engine = holding(free(), wishes, Cancels::AtOnce);
    take(&mut engine, Event::Control(Mode::ReduceOnly));
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 50 50")));
    assert_eq!(seen.refusals(), [Refusal::NotNow { mode: Mode::ReduceOnly }]);
    let sent = seen.sent();
    assert!(sent.iter().all(|order| order.reduce_only && order.quantity.signum() < 0), "{sent:?}");
    assert_eq!(sent[1].quantity, shares(-100), "a target beyond flat ends at flat");
}

#[test]
fn cancel_stops_the_strategy_and_leaves_positions() {
    let wishes = vec![buy(0, 10, OrderKind::Limit { limit: price("40") }), buy(1, -100, OrderKind::Market)];
    let mut engine = holding(free(), wishes, Cancels::AtOnce);
    let seen = take(&mut engine, Event::Control(Mode::Cancel));
    assert_eq!((seen.cancelled(), seen.sent().len()), (1, 0));
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 50 50")));
    assert_eq!(seen.refusals(), [Refusal::NotNow { mode: Mode::Cancel }]);
    assert_eq!(engine.book().position(ID), shares(100));
    take(&mut engine, Event::Control(Mode::Normal));
    assert_eq!(engine.guard().mode(), Mode::Normal);
}

#[test]
fn flatten_closes_what_there_is_and_what_still_fills() {
    let exits = domain::Bracket { take_profit: Some(price("60")), stop_loss: None };
    let entry =
        wish(0, move |decisions| decisions.bracket(ID, shares(10), OrderKind::Limit { limit: price("40") }, exits));
    let mut engine = holding(free(), vec![entry], Cancels::WhenConfirmed);
    let entry = engine.open_orders()[0].order;
    let seen = take(&mut engine, Event::Control(Mode::Flatten));
    assert_eq!((seen.cancelled(), seen.sent()[0].quantity), (1, shares(-100)));
    let closing = seen.sent()[0];
    // The cancel comes too late: what fills gets no exits of its own and is closed too.
    let seen = fill(&mut engine, &entry, 10, 1, "40");
    assert!(seen.sent().iter().all(|order| order.kind == OrderKind::Market), "{:?}", seen.sent());
    let seen = fill(&mut engine, &closing, -100, 1, "50");
    assert_eq!(seen.sent().iter().map(|order| order.quantity).collect::<Vec<_>>(), [shares(-10)]);
    // The broker refuses it: time makes it try again.
    let again = seen.sent()[0];
    take(&mut engine, Event::OrderEnded { order: again.id, reason: engine::OrderEnd::Rejected });
    assert!(engine.has_to_close());
    let later = Timestamp::from_nanos(session(1).open.nanos() + 60_000_000_000);
    let seen = take(&mut engine, Event::Clock(later));
    assert_eq!(seen.sent()[0].quantity, shares(-10));
    fill(&mut engine, &seen.sent()[0], -10, 1, "50");
    assert!(engine.book().position(ID).is_zero() && !engine.has_to_close());
}

#[test]
fn a_strategy_that_is_stopped_cancels_no_close() {
    let cancels = wish(1, |decisions| decisions.cancel_all(ID));
    let mut engine = holding(free(), vec![cancels], Cancels::WhenConfirmed);
    assert_eq!(take(&mut engine, Event::Control(Mode::Flatten)).sent().len(), 1);
    take(&mut engine, Event::SessionOpened(session(1)));
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 50 50")));
    assert_eq!((seen.cancelled(), seen.sent().len()), (0, 0), "both closes could fill");
}

#[test]
fn a_second_kill_cancels_no_close() {
    let mut engine = holding(free(), Vec::new(), Cancels::WhenConfirmed);
    assert_eq!(take(&mut engine, Event::Control(Mode::Flatten)).sent().len(), 1);
    let seen = take(&mut engine, Event::Control(Mode::Flatten));
    assert_eq!((seen.cancelled(), seen.sent().len()), (0, 0), "both closes could fill");
    // Lifted and said again, it cancels what it does not know to be a close of its own, and closes.
    take(&mut engine, Event::Control(Mode::Normal));
    let seen = take(&mut engine, Event::Control(Mode::Flatten));
    assert_eq!((seen.cancelled(), seen.sent().len()), (1, 1));
}

#[test]
fn an_order_counts_until_its_cancel_is_confirmed() {
    let limits = Limits { position_quantity_max: Some(shares(100)), ..free() };
    let wishes = vec![
        buy(0, 100, OrderKind::Limit { limit: price("40") }),
        wish(1, |decisions| decisions.cancel_all(ID)),
        buy(2, 100, OrderKind::Market),
        buy(3, 100, OrderKind::Market),
    ];
    let mut engine = engine(limits, wishes, Cancels::WhenConfirmed);
    let first = show(&mut engine, 0, "50 50 50 50").sent()[0];
    assert_eq!(show(&mut engine, 1, "50 50 50 50").cancelled(), 1);
    let refused = show(&mut engine, 2, "50 50 50 50").refusals();
    assert_eq!(refused, [Refusal::PositionTooLarge { quantity: shares(200), max: shares(100) }]);
    take(&mut engine, Event::OrderEnded { order: first.id, reason: engine::OrderEnd::Cancelled });
    assert_eq!(show(&mut engine, 3, "50 50 50 50").sent().len(), 1);
}

#[test]
fn what_fills_after_its_end_is_taken_and_said() {
    let wishes = vec![buy(0, 10, OrderKind::Limit { limit: price("40") })];
    let mut engine = engine(free(), wishes, Cancels::WhenConfirmed);
    let order = show(&mut engine, 0, "50 50 50 50").sent()[0];
    take(&mut engine, Event::OrderEnded { order: order.id, reason: engine::OrderEnd::Cancelled });
    let seen = fill(&mut engine, &order, 10, 0, "40");
    assert_eq!(seen.records[0], Record::FilledLate(order.id));
    assert_eq!(engine.book().position(ID), shares(10));
}

#[test]
fn stale_prices_and_disputed_books_bar_what_is_new_and_not_the_way_out() {
    let wishes = (1..4).flat_map(|n| [buy(n, 10, OrderKind::Market), buy(n, -5, OrderKind::Market)]).collect();
    let mut engine = holding(free(), wishes, Cancels::AtOnce);
    take(&mut engine, Event::Feed { instrument: ID, stale: true });
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 50 50")));
    assert_eq!((seen.refusals(), seen.sent().len()), (vec![Refusal::StalePrices { since: session(1).open }], 1));
    take(&mut engine, Event::Feed { instrument: ID, stale: false });
    let position = engine.book().position(ID);
    let theirs = shares(90);
    let correction = Correction::Position { instrument: ID, ours: position, theirs, price: price("50") };
    let seen = take(&mut engine, Event::Corrected(correction));
    assert_eq!((engine.book().position(ID), seen.records.len()), (theirs, 2));
    let seen = show(&mut engine, 2, "50 50 50 50");
    assert_eq!((seen.refusals(), seen.sent().len()), (vec![Refusal::BooksDiffer { since: session(1).close }], 1));
    take(&mut engine, Event::Accepted);
    assert_eq!(show(&mut engine, 3, "50 50 50 50").sent().len(), 2);
}

#[test]
fn what_a_broker_holds_beyond_ours_is_not_the_strategys_until_it_is_accepted() {
    let counted = |engine: &mut Engine<Script>, theirs: i64| {
        let (ours, theirs) = (engine.book().position(ID), shares(theirs));
        take(engine, Event::Corrected(Correction::Position { instrument: ID, ours, theirs, price: price("50") }));
    };
    let sent = |seen: &Seen| seen.sent().iter().map(|order| order.quantity).collect::<Vec<_>>();
    let to_flat = |n| wish(n, |decisions| decisions.target(ID, Quantity::ZERO));
    // A hundred are ours, and somebody has bought forty.
    let mut engine =
        holding(free(), vec![buy(1, -101, OrderKind::Market), buy(1, -100, OrderKind::Market)], Cancels::AtOnce);
    counted(&mut engine, 140);
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 50 50")));
    assert_eq!(
        (seen.refusals(), sent(&seen)),
        (vec![Refusal::BooksDiffer { since: session(1).open }], vec![shares(-100)])
    );

    let mut engine = holding(free(), (1..4).map(to_flat).collect(), Cancels::AtOnce);
    counted(&mut engine, 140);
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 50 50")));
    assert_eq!(sent(&seen), [shares(-100)]);
    fill(&mut engine, &seen.sent()[0], -100, 1, "50");
    // Said twice it is the same; once a split has come it is twice as many.
    counted(&mut engine, 40);
    let ratio = domain::Ratio::new(2, 1).unwrap();
    let split = domain::CorporateAction { instrument: ID, ex_date: day(2), kind: domain::ActionKind::Split { ratio } };
    take(&mut engine, Event::SessionOpened(session(2)));
    take(&mut engine, Event::Action(split));
    assert_eq!(engine.book().position(ID), shares(80));
    assert_eq!(sent(&take(&mut engine, Event::Bar(bar(2, "25 25 25 25")))), []);
    take(&mut engine, Event::Accepted);
    assert_eq!(sent(&show(&mut engine, 3, "25 25 25 25")), [shares(-80)]);

    // Somebody has sold forty: what is left is ours. A kill closes whatever is held.
    let mut engine = holding(free(), vec![to_flat(1)], Cancels::AtOnce);
    counted(&mut engine, 60);
    assert_eq!(sent(&take(&mut engine, Event::Bar(bar(1, "50 50 50 50")))), [shares(-60)]);
    let mut engine = holding(free(), Vec::new(), Cancels::AtOnce);
    counted(&mut engine, 140);
    assert_eq!(sent(&take(&mut engine, Event::Control(Mode::Flatten))), [shares(-140)]);
}

#[test]
fn corrections_keep_the_sum_of_the_ledger_equal_to_the_cash() {
    let mut engine = holding(free(), Vec::new(), Cancels::AtOnce);
    let mut sum = engine.book().cash();
    let corrections = [
        Correction::Position { instrument: ID, ours: shares(100), theirs: shares(-30), price: price("51") },
        Correction::Cash { ours: sum, theirs: money("77.5") },
        Correction::Position { instrument: ID, ours: shares(-30), theirs: Quantity::ZERO, price: price("52") },
        Correction::Foreign,
    ];
    for correction in corrections {
        for record in take(&mut engine, Event::Corrected(correction)).records {
            if let Record::Ledger(entry) = record {
                sum = sum.add(entry.amount).unwrap();
            }
        }
        assert_eq!(sum, engine.book().cash(), "{correction:?}");
    }
    assert_eq!((engine.book().cash(), engine.book().position(ID)), (money("77.5"), Quantity::ZERO));
}

#[test]
fn losses_of_a_session_and_from_the_peak_bar_what_is_new() {
    let limits = Limits { daily_loss_max: Some(money("500")), ..free() };
    let wishes = (1..4).map(|n| buy(n, 10, OrderKind::Market)).collect();
    let mut engine = holding(limits, wishes, Cancels::AtOnce);
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 45 45")));
    assert_eq!(seen.refusals(), [Refusal::DailyLoss { loss: money("500"), max: money("500") }]);
    assert_eq!(show(&mut engine, 2, "45 45 41 41").sent().len(), 1, "a new session begins anew");

    let limits = Limits { drawdown_max: Some(0.004), ..free() };
    let wishes = (1..4).map(|n| buy(n, 10, OrderKind::Market)).collect();
    let mut engine = holding(limits, wishes, Cancels::AtOnce);
    assert_eq!(take(&mut engine, Event::Bar(bar(1, "50 50 47 47"))).sent().len(), 1);
    let refused = show(&mut engine, 2, "46 46 46 46").refusals();
    assert!(matches!(refused[..], [Refusal::Drawdown { max: 0.004, .. }]), "{refused:?}");
}

#[test]
fn rates_and_repetition_are_counted_by_the_time_of_events() {
    let limits = Limits { orders_per_minute_max: Some(2), ..free() };
    let wishes = (1..4).map(|n| buy(0, n, OrderKind::Market)).chain([buy(1, 9, OrderKind::Market)]).collect();
    let mut engine = engine(limits, wishes, Cancels::AtOnce);
    let seen = show(&mut engine, 0, "50 50 50 50");
    assert_eq!((seen.sent().len(), seen.refusals()), (2, vec![Refusal::TooManyOrdersAMinute { max: 2 }]));
    assert_eq!(show(&mut engine, 1, "50 50 50 50").sent().len(), 1);

    let limits = Limits { duplicate_window_s: Some(60), ..free() };
    let wishes = vec![buy(0, 7, OrderKind::Market), buy(0, 7, OrderKind::Market), buy(0, 8, OrderKind::Market)];
    let mut engine = self::engine(limits, wishes, Cancels::AtOnce);
    let seen = show(&mut engine, 0, "50 50 50 50");
    assert_eq!((seen.sent().len(), seen.refusals()), (2, vec![Refusal::Duplicate { window_s: 60 }]));

    let limits = Limits { cancels_per_minute_max: Some(1), ..free() };
    let again = |decisions: &mut domain::Decisions| {
        decisions.cancel_all(ID);
        decisions.order(ID, shares(5), OrderKind::Limit { limit: price("40") });
    };
    let wishes = vec![buy(0, 5, OrderKind::Limit { limit: price("40") }), wish(0, again)];
    let mut engine = self::engine(limits, wishes, Cancels::AtOnce);
    show(&mut engine, 0, "50 50 50 50");
    // One order was cancelled, and that is allowed; what would need another cancel is not begun.
    let seen = take(&mut engine, Event::Bar(bar(0, "50 50 50 50")));
    assert_eq!(seen.refusals(), vec![Refusal::TooManyCancelsAMinute { max: 1 }; seen.refusals().len()]);
}

#[test]
fn a_strategy_that_repeats_itself_waits_for_a_person() {
    let limits = Limits { repeated_executions_max: Some(3), ..free() };
    let wishes = vec![
        buy(0, 10, OrderKind::Limit { limit: price("40") }),
        buy(1, 10, OrderKind::Market),
        buy(2, 10, OrderKind::Market),
        buy(2, -4, OrderKind::Market),
        buy(3, 10, OrderKind::Market),
    ];
    let mut engine = holding(limits, wishes, Cancels::AtOnce);
    let order = take(&mut engine, Event::Bar(bar(1, "50 50 50 50"))).sent()[0];
    take(&mut engine, Event::SessionOpened(session(2)));
    assert!(fill(&mut engine, &order, 4, 2, "50").records.iter().all(|one| !matches!(one, Record::Throttled { .. })));
    let seen = fill(&mut engine, &order, 6, 2, "50");
    assert!(seen.records.contains(&Record::Throttled { executions: 3, max: 3 }), "{:?}", seen.records);
    assert_eq!(seen.cancelled(), 1, "what works and may build is cancelled");
    let seen = take(&mut engine, Event::Bar(bar(2, "50 50 50 50")));
    assert_eq!((seen.refusals(), seen.sent().len()), (vec![Refusal::Throttled { executions: 3 }], 1));
    take(&mut engine, Event::Reenabled);
    assert_eq!(show(&mut engine, 3, "50 50 50 50").sent().len(), 1);
}

#[test]
fn restricted_symbols_own_orders_and_a_lean_to_one_side_are_refused() {
    let listed = Limits { restricted: vec![Symbol::new("AAA").unwrap()], ..free() };
    let first = |limits: Limits, wishes| show(&mut engine(limits, wishes, Cancels::AtOnce), 0, "50 50 50 50");
    assert_eq!(first(listed.clone(), vec![buy(0, 1, OrderKind::Market)]).refusals(), [Refusal::Restricted]);
    // A list whose symbols nobody can tell bars everything.
    let mut unnamed = Engine::new(
        Script(vec![buy(0, 1, OrderKind::Market)]),
        money("1000"),
        1,
        Limits { restricted: vec![Symbol::new("ZZZ").unwrap()], ..free() },
    );
    assert_eq!(show(&mut unnamed, 0, "50 50 50 50").refusals(), [Refusal::Restricted]);

    let both = |sell: OrderKind| vec![buy(0, 5, OrderKind::Limit { limit: price("49") }), buy(0, -5, sell)];
    let alone = Limits { no_self_trade: true, ..free() };
    let crossing = first(alone.clone(), both(OrderKind::Limit { limit: price("48") }));
    assert!(matches!(crossing.refusals()[..], [Refusal::SelfTrade { .. }]));
    assert!(matches!(first(alone.clone(), both(OrderKind::Market)).refusals()[..], [Refusal::SelfTrade { .. }]));
    assert!(first(alone.clone(), both(OrderKind::Limit { limit: price("51") })).refusals().is_empty());
    assert!(first(alone, both(OrderKind::Stop { stop: price("45") })).refusals().is_empty());

    let net = Limits { net_notional_max: Some(money("400")), ..free() };
    let seen = first(net, vec![buy(0, -10, OrderKind::Market)]);
    assert_eq!(seen.refusals(), [Refusal::NetNotionalTooLarge { notional: money("500"), max: money("400") }]);
}

#[test]
fn a_target_through_flat_is_closed_first_where_orders_are_confirmed() {
    let wishes = vec![wish(1, |decisions| decisions.target(ID, shares(-50)))];
    let mut engine = holding(free(), wishes, Cancels::WhenConfirmed);
    let seen = take(&mut engine, Event::Bar(bar(1, "50 50 50 50")));
    assert_eq!(seen.sent().iter().map(|order| order.quantity).collect::<Vec<_>>(), [shares(-100)]);
    take(&mut engine, Event::SessionOpened(session(2)));
    assert!(fill(&mut engine, &seen.sent()[0], -60, 2, "50").sent().is_empty());
    let rest = fill(&mut engine, &seen.sent()[0], -40, 2, "50").sent();
    assert_eq!(rest.iter().map(|order| order.quantity).collect::<Vec<_>>(), [shares(-50)]);
}
