use proptest::prelude::*;

use super::*;

fn id(text: &str) -> ClientOrderId {
    ClientOrderId::told(text)
}

fn sent(name: &str, quantity: i64, day: bool, replaces: Option<&str>) -> Record {
    Record::Sent {
        id: id(name),
        symbol: Symbol::new("IBM").unwrap(),
        quantity: Quantity::whole(quantity).unwrap(),
        short: false,
        day,
        group: None,
        replaces: replaces.map(id),
    }
}

fn report(name: &str, kind: char, status: char) -> Message {
    Message::new("8")
        .with(tag::CL_ORD_ID, name)
        .with(tag::ORDER_ID, "B1")
        .with(tag::EXEC_ID, "E1")
        .with(tag::EXEC_TYPE, kind)
        .with(tag::ORD_STATUS, status)
        .with(tag::SYMBOL, "IBM")
        .with(tag::SIDE, 1)
        .with(tag::ORDER_QTY, 100)
        .with(tag::TRANSACT_TIME, "20240131-15:00:00")
}

fn trade(name: &str, execution: u64, quantity: u64, filled: u64, status: char) -> Message {
    let fields = report(name, 'F', status).fields().to_vec();
    let message = Message::new("8").with(tag::EXEC_ID, format!("T{execution}"));
    let message = fields
        .iter()
        .filter(|(tag, _)| *tag != tag::EXEC_ID)
        .fold(message, |message, (tag, value)| message.with(*tag, value));
    message.with(tag::LAST_QTY, quantity).with(tag::LAST_PX, 50).with(tag::CUM_QTY, filled)
}

fn apply(orders: &mut Orders, message: &Message) -> Applied {
    orders.apply(&Report::read(message).unwrap())
}

#[test]
fn a_request_s_name_leads_to_its_order() {
    for name in ["desk-test-1f", "desk-x-1", "a", "b-x", "x1-x2-3"] {
        assert_eq!(order_of(&cancel_name(&id(name), 0xfeed)), id(name));
        assert_eq!(order_of(name), id(name));
    }
}

#[test]
fn commissions_come_in_three_kinds() {
    let (quantity, price) = (Quantity::whole(200).ok(), Price::parse("50").ok());
    let of = |amount: &str, kind| fee(Money::parse(amount).unwrap(), kind, quantity, price).map(|fee| fee.to_string());
    assert_eq!(of("1.5", None).as_deref(), Some("1.5"));
    assert_eq!(of("1.5", Some("3")).as_deref(), Some("1.5"));
    assert_eq!(of("0.005", Some("1")).as_deref(), Some("1"));
    assert_eq!(of("0.001", Some("2")).as_deref(), Some("10"));
    assert_eq!(of("1", Some("5")), None);
    assert_eq!(of("0", Some("5")).as_deref(), Some("0"));
}

#[test]
fn what_every_report_has_is_wanted() {
    for missing in [tag::EXEC_ID, tag::EXEC_TYPE, tag::ORD_STATUS, tag::TRANSACT_TIME] {
        let whole = report("a-b-1", '0', '0');
        let fields = whole.fields().iter().filter(|(tag, _)| *tag != missing);
        let message = fields.fold(Message::new("8"), |message, (tag, value)| message.with(*tag, value));
        let error = Report::read(&message).unwrap_err().to_string();
        assert!(error.contains(&format!("field {missing}")), "{error}");
    }
    let odd = report("a-b-1", 'F', '1').with(tag::LAST_QTY, "ten");
    assert!(Report::read(&odd).unwrap_err().to_string().contains("no quantity in field 32"));
}

#[test]
fn done_for_the_day_ends_what_was_for_the_day() {
    for (day, ended) in [(true, true), (false, false)] {
        let mut orders = Orders::replay(&[sent("a-b-1", 100, day, None)]);
        let applied = apply(&mut orders, &report("a-b-1", '3', '3'));
        let reason = OrderEnd::Expired;
        let wanted = BrokerEvent::Ended { id: id("a-b-1"), reason, text: String::new() };
        assert_eq!(applied.events == [wanted], ended, "{applied:?}");
    }
}

#[test]
fn an_order_entered_by_hand_is_told_and_can_be_cancelled() {
    let mut orders = Orders::default();
    let fields = trade("a-b-1", 1, 10, 10, '1').fields().to_vec();
    let message = fields.iter().filter(|(tag, _)| *tag != tag::CL_ORD_ID);
    let message = message.fold(Message::new("8"), |message, (tag, value)| message.with(*tag, value));
    let applied = apply(&mut orders, &message);
    assert!(matches!(&applied.events[0], BrokerEvent::Executed(one) if one.order == id("broker:B1")), "{applied:?}");
    assert_eq!(orders.get(&id("broker:B1")).unwrap().state, State::Working);
}

#[test]
fn a_sum_that_is_not_made_of_what_was_told_makes_the_runner_ask() {
    let mut orders = Orders::replay(&[sent("a-b-1", 100, false, None)]);
    apply(&mut orders, &trade("a-b-1", 1, 10, 10, '1'));
    let applied = apply(&mut orders, &trade("a-b-1", 3, 10, 50, '1'));
    assert_eq!(applied.ask, None);
    let ended = report("a-b-1", '4', '4').with(tag::CUM_QTY, 60);
    let asked = apply(&mut orders, &ended).ask.unwrap();
    assert_eq!(asked, "60 of order a-b-1 are filled, and not every execution was told");
}

#[test]
fn what_was_not_told_is_one_sum_at_the_price_that_makes_the_average() {
    let mut orders = Orders::replay(&[sent("a-b-1", 100, false, None)]);
    apply(&mut orders, &trade("a-b-1", 1, 10, 10, '1'));
    let status = report("a-b-1", 'I', '1').with(tag::CUM_QTY, 40).with(tag::AVG_PX, 53);
    let (status, _) = orders.status(&Report::read(&status).unwrap()).unwrap();
    let executions: Vec<_> =
        status.executions.iter().map(|one| (one.quantity.to_string(), one.price.to_string(), one.cumulative)).collect();
    let whole = |shares| Quantity::whole(shares).unwrap();
    assert_eq!(executions, [("10".into(), "50".into(), whole(10)), ("30".into(), "54".into(), whole(40))]);
    let odd = report("a-b-1", 'I', '1').with(tag::CUM_QTY, 40).with(tag::AVG_PX, 1);
    assert!(orders.status(&Report::read(&odd).unwrap()).is_err());
}

#[test]
fn a_name_is_sent_once_unless_nobody_has_seen_it() {
    let mut orders = Orders::default();
    assert_eq!(orders.may_send(&id("a-b-1")), Ok(()));
    orders.record(&sent("a-b-1", 100, false, None));
    assert!(matches!(orders.may_send(&id("a-b-1")), Err(Failure::Unclear(_))));
    orders.record(&Record::Absent(id("a-b-1")));
    assert_eq!(orders.may_send(&id("a-b-1")), Ok(()));
    orders.record(&sent("a-b-1", 100, false, None));
    apply(&mut orders, &report("a-b-1", '0', '0'));
    assert!(matches!(orders.may_send(&id("a-b-1")), Err(Failure::Refused(_))));
}

/// An engine that lets everything pass is the only way to a ticket here too.
fn ticket(quantity: i64, kind: OrderKind) -> Ticket {
    let margin = engine::Margin { initial_long: 0.0, initial_short: 0.0, maintenance: 0.0 };
    let limits = engine::Limits { margin, ..engine::Limits::default() };
    let mut gate = engine::Engine::new(engine::Idle, Money::parse("1000000").unwrap(), 1, limits);
    let day = domain::SessionDate::parse("2024-01-02").unwrap();
    let session = *domain::Calendar::nyse().session(day).unwrap();
    let instrument = domain::InstrumentId(0);
    gate.step(&engine::Event::SessionOpened(session)).unwrap();
    let price = Price::parse("100").unwrap();
    gate.step(&engine::Event::Price { instrument, price, at: session.open }).unwrap();
    let order = Order {
        id: domain::OrderId(1),
        instrument,
        quantity: Quantity::whole(quantity).unwrap(),
        kind,
        time_in_force: TimeInForce::Day,
        bracket: None,
        group: None,
        reduce_only: false,
    };
    let approved = gate.admit(order).unwrap();
    Ticket { id: id("a-b-1"), symbol: Symbol::new("IBM").unwrap(), approved, short: false }
}

#[test]
fn a_price_between_two_ticks_leaves_on_the_one_that_is_no_worse_and_no_later() {
    let style = Style { trailing_stops: true, ..Style::default() };
    let price = |text: &str| Price::parse(text).unwrap();
    let trailing = |text| OrderKind::TrailingStop { trail: Trail::Amount(price(text)) };
    let at = Timestamp::from_nanos(0);
    for (quantity, kind, [limit, stop, offset]) in [
        (7, OrderKind::Limit { limit: price("9.129") }, [Some("9.12"), None, None]),
        (-7, OrderKind::Limit { limit: price("139.19175") }, [Some("139.2"), None, None]),
        (-7, OrderKind::Stop { stop: price("19.82805") }, [None, Some("19.83"), None]),
        (7, OrderKind::Stop { stop: price("0.12349") }, [None, Some("0.1234"), None]),
        (
            -7,
            OrderKind::StopLimit { stop: price("95.001"), limit: price("94.001") },
            [Some("94.01"), Some("95.01"), None],
        ),
        (-7, trailing("2.509"), [None, None, Some("-2.5")]),
        (7, trailing("2.509"), [None, None, Some("2.5")]),
    ] {
        let (message, _) = new_order(&ticket(quantity, kind), &style, at).unwrap();
        let said = [tag::PRICE, tag::STOP_PX, tag::PEG_OFFSET_VALUE].map(|tag| message.get(tag));
        assert_eq!(said, [limit, stop, offset], "{kind}");
    }
    let refused = new_order(&ticket(7, OrderKind::Limit { limit: price("0.00005") }), &style, at).unwrap_err();
    assert!(refused.contains("no tick above 0"), "{refused}");
}

proptest! {
    /// Reports come twice, in spans that were seen before, and the process restarts between any two.
    #[test]
    fn executions_are_told_once_and_survive_any_restart(
        sizes in prop::collection::vec(1_u64..50, 1..20),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..20),
    ) {
        let total: u64 = sizes.iter().sum();
        let mut filled = 0;
        let reports: Vec<Message> = sizes.iter().zip(0..).map(|(size, at)| {
            filled += size;
            // A counterparty that begins its names again each day.
            trade("a-b-1", at % 3, *size, filled, if filled == total { '2' } else { '1' })
        }).collect();
        let mut records = vec![sent("a-b-1", i64::try_from(total).unwrap(), false, None)];
        let mut orders = Orders::replay(&records);
        let mut told = Vec::new();
        // What is new comes in its order; anything old may come before it.
        let mut steps = steps.into_iter();
        for at in 0..reports.len() {
            if let Some((again, restart)) = steps.next() {
                for old in reports.iter().take(at).skip(again.index(at + 1)) {
                    let applied = apply(&mut orders, old);
                    prop_assert_eq!(applied, Applied::default());
                }
                if restart {
                    orders = Orders::replay(&records);
                }
            }
            let applied = apply(&mut orders, &reports[at]);
            records.extend(applied.records);
            told.extend(applied.events.into_iter().filter_map(|event| match event {
                BrokerEvent::Executed(execution) => Some(execution.quantity.units() as u64 / 1_000_000),
                _ => None,
            }));
        }
        prop_assert_eq!(told, sizes);
        prop_assert_eq!(orders.get(&id("a-b-1")).unwrap().state, State::Filled);
        prop_assert_eq!(Orders::replay(&records).remembered(&id("a-b-1")), orders.remembered(&id("a-b-1")));
    }

    /// Through a chain of replacements FIX counts on; each of our orders counts for itself.
    #[test]
    fn orders_of_a_chain_count_for_themselves(spans in prop::collection::vec(prop::collection::vec(1_u64..20, 0..5), 1..6)) {
        let mut orders = Orders::default();
        let (mut filled, mut execution) = (0, 0);
        for (at, span) in spans.iter().enumerate() {
            let (name, old) = (format!("a-b-{at}"), at.checked_sub(1).map(|old| format!("a-b-{old}")));
            orders.record(&sent(&name, 1_000, false, old.as_deref()));
            match &old {
                None => drop(apply(&mut orders, &report(&name, '0', '0'))),
                Some(old) => {
                    let replaced = report(&name, '5', '1').with(tag::ORIG_CL_ORD_ID, old).with(tag::CUM_QTY, filled);
                    let events = apply(&mut orders, &replaced).events;
                    let (reason, text) = (OrderEnd::Replaced, String::new());
                    prop_assert_eq!(events, [BrokerEvent::Ended { id: id(old), reason, text }, BrokerEvent::Accepted(id(&name))]);
                }
            }
            let mut own = 0;
            for size in span {
                (filled, own, execution) = (filled + size, own + size, execution + 1);
                let applied = apply(&mut orders, &trade(&name, execution, *size, filled, '1'));
                let cumulative = Quantity::whole(i64::try_from(own).unwrap()).unwrap();
                prop_assert_eq!(applied.ask, None);
                prop_assert!(matches!(&applied.events[..], [BrokerEvent::Executed(one)] if one.cumulative == cumulative));
            }
        }
    }
}
