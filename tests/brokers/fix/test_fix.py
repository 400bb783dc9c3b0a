"""Our FIX adapter against a QuickFIX acceptor, over a line that fails."""

import ipaddress
import random
import time
from datetime import datetime, timedelta, timezone

import pytest
from conftest import free_port


def order_of(desk, **wanted):
    """A limit order of 100 that works."""
    acceptor, adapter = desk.both(**wanted)
    adapter.submit(kind={"limit": {"limit": "50.5"}})
    order = acceptor.hears("D")
    acceptor.accept(order)
    assert adapter.answer() == {"answer": None}
    return acceptor, adapter, order


def told(execution):
    return execution["id"], execution["quantity"], execution["price"], execution["cumulative"]


def test_an_order_fills_whole(desk):
    acceptor, adapter, order = order_of(desk)
    assert adapter.events("accepted")[0]["order"] == order[11] == "desk-test-1"
    acceptor.fill(order, "100", "50.25", "100", "2", _12="1.5", _13="3")
    execution = adapter.event("executed")["execution"]
    assert execution == {
        "id": "E2", "order": "desk-test-1", "quantity": "100", "price": "50.25", "fee": "1.5", "cumulative": "100",
        "at": "2024-01-31T15:00:00.123Z",
    }
    assert adapter.call("cancel", number=1) == {"answer": None}
    assert acceptor.heard("F") == []
    # Logged out in good order.
    assert adapter.end() == ""
    acceptor.admin("5")


def test_an_order_fills_in_parts_each_told_once(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.fill(order, "30", "50.5", "30", _12="0.01", _13="1")
    acceptor.fill(order, "50", "50.25", "80", _12="0.001", _13="2")
    acceptor.number -= 1
    acceptor.fill(order, "50", "50.25", "80", _12="0.001", _13="2", _97="Y")
    acceptor.fill(order, "20", "50", "100", "2")
    executions = adapter.executions()
    assert [told(one) for one in executions] == [
        ("E2", "30", "50.5", "30"), ("E3", "50", "50.25", "80"), ("E4", "20", "50", "100"),
    ]
    assert [one["fee"] for one in executions] == ["0.3", "2.5125", "0"]


@pytest.mark.parametrize(
    "kind, more, wanted",
    [
        ("market", {}, {40: "1", 59: "1", 54: "1", 38: "100"}),
        ({"limit": {"limit": "9.125"}}, {"time_in_force": "day"}, {40: "2", 44: "9.12", 59: "0"}),
        ({"stop": {"stop": "19.82805"}}, {"quantity": "-7"}, {40: "3", 99: "19.83"}),
        ({"stop": {"stop": "120"}}, {"quantity": "-7"}, {40: "3", 99: "120", 54: "2", 38: "7"}),
        ({"stop_limit": {"stop": "95", "limit": "94"}}, {"quantity": "-7", "short": True}, {40: "4", 99: "95", 44: "94", 54: "5"}),
        ("market_on_open", {}, {40: "1", 59: "2"}),
        ("market_on_close", {}, {40: "1", 59: "7"}),
        ({"trailing_stop": {"trail": {"amount": "2.5"}}}, {"quantity": "-7"}, {40: "P", 18: "a", 211: "-2.5", 835: "0", 836: "0"}),
        ({"trailing_stop": {"trail": {"basis_points": 150}}}, {}, {40: "P", 18: "a", 211: "150", 835: "0", 836: "1"}),
    ],
)
def test_each_kind_of_order_is_written_as_the_dictionary_has_it(desk, kind, more, wanted):
    acceptor, adapter = desk.both(trailing_stops=True, account="A-1")
    adapter.submit(kind=kind, **more)
    order = acceptor.hears("D")
    assert {tag: order.get(tag) for tag in wanted} == wanted
    assert (order[1], order[55], order[21]) == ("A-1", "IBM", "1")
    acceptor.accept(order)
    assert adapter.answer() == {"answer": None}


def test_what_fix_does_not_have_is_refused_with_a_sentence(desk):
    acceptor, adapter = desk.both()
    adapter.submit(kind={"trailing_stop": {"trail": {"amount": "2.5"}}})
    assert "trailing stops only as pegged orders" in adapter.answer()["refused"]
    orders = [{"number": one, "symbol": "IBM", "quantity": "-1", "kind": "market", "group": 9} for one in (2, 3)]
    assert "no orders that cancel each other" in adapter.call("submit", orders=orders)["refused"]
    assert acceptor.heard("D") == []
    # One by itself is an order like any other, until its alternative comes.
    adapter.ask("submit", orders=orders[:1])
    order = dict(acceptor.until(lambda line: "heard" in line and [11, "desk-test-2"] in line["heard"])["heard"])
    acceptor.accept(order)
    assert adapter.answer() == {"answer": None}
    assert "no orders that cancel each other" in adapter.call("submit", orders=orders[1:])["refused"]


def test_a_refused_order_is_an_answer_and_no_event(desk):
    acceptor, adapter = desk.both()
    adapter.submit()
    acceptor.report(acceptor.hears("D"), "8", "8", _58="no such account", _103="99")
    assert adapter.answer() == {"refused": "no such account"}
    assert adapter.events("ended", "accepted") == []
    adapter.submit()
    assert "sent before" in adapter.answer()["refused"]
    assert len(acceptor.heard("D")) == 1


def test_a_message_that_is_not_taken_is_a_refusal(desk):
    acceptor, adapter = desk.both()
    adapter.submit()
    order = acceptor.hears("D")
    acceptor.send("j", {45: order[34], 372: "D", 380: "4", 58: "closed for today"})
    assert adapter.answer() == {"refused": "closed for today"}
    adapter.ask("working")
    acceptor.send("j", {45: acceptor.hears("AF")[34], 372: "AF", 380: "4", 58: "not now"})
    assert adapter.answer() == {"refused": "not now"}


def test_a_counterparty_that_lists_no_orders_leaves_what_is_known_here(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.fill(order, "30", "50.5", "30")
    adapter.event("executed")
    adapter.ask("working")
    acceptor.send("j", {45: acceptor.hears("AF")[34], 372: "AF", 380: "3", 58: "not supported"})
    [known] = adapter.answer()["answer"]
    assert (known["id"], known["state"], len(known["executions"])) == ("desk-test-1", "working", 1)


def test_an_order_is_cancelled(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.fill(order, "30", "50.5", "30")
    adapter.ask("cancel", number=1)
    request = acceptor.hears("F")
    assert request[41] == order[11] and request[11].startswith("desk-test-1-x") and request[54] == "1"
    acceptor.report(request | {38: "100"}, "6", "6", "30", "50.5", _41=order[11])
    assert adapter.answer() == {"answer": None}
    acceptor.report(request | {38: "100"}, "4", "4", "30", "50.5", _41=order[11], _58="as you wish")
    ended = adapter.event("ended")
    assert ended == {"event": "ended", "order": "desk-test-1", "reason": "cancelled", "text": "as you wish"}


def test_a_cancel_that_comes_too_late_is_no_failure_and_one_that_is_refused_is(desk):
    acceptor, adapter, order = order_of(desk)
    rejected = {37: "B1", 11: "", 41: order[11], 434: "1", 58: "not now"}
    adapter.ask("cancel", number=1)
    acceptor.send("9", rejected | {11: acceptor.hears("F")[11], 39: "0", 102: "2"})
    assert adapter.answer() == {"refused": "not now"}
    adapter.ask("cancel", number=1)
    acceptor.send("9", rejected | {11: acceptor.hears("F")[11], 39: "2", 102: "0"})
    assert adapter.answer() == {"answer": None}


def test_a_partly_filled_order_is_replaced_and_each_counts_for_itself(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.fill(order, "30", "50.5", "30")
    adapter.event("executed")
    adapter.ask("replace", number=1, **{"with": {"number": 2, "symbol": "IBM", "quantity": "40", "kind": {"limit": {"limit": "51"}}}})
    new = acceptor.hears("G")
    # What is filled counts along in FIX.
    assert (new[11], new[41], new[38], new[44]) == ("desk-test-2", "desk-test-1", "70", "51")
    # It fills while the replacement waits: still under the old order.
    acceptor.fill(order, "10", "50.5", "40", "E")
    acceptor.report(new, "5", "1", "40", "50.5", _41=order[11])
    assert adapter.answer() == {"answer": None}
    acceptor.fill(new, "30", "51", "70", "2")
    events = [
        (one["event"], one.get("order") or one["execution"]["order"], one.get("reason") or one.get("execution", {}).get("cumulative"))
        for one in adapter.events("executed", "ended", "accepted")
    ]
    assert events == [
        ("accepted", "desk-test-1", None), ("executed", "desk-test-1", "30"), ("executed", "desk-test-1", "40"),
        ("ended", "desk-test-1", "replaced"), ("accepted", "desk-test-2", None), ("executed", "desk-test-2", "30"),
        # The other ten had filled under the first one's name.
        ("ended", "desk-test-2", "cancelled"),
    ]


def test_a_replacement_that_is_refused_leaves_the_first_one_working(desk):
    acceptor, adapter, order = order_of(desk)
    adapter.ask("replace", number=1, **{"with": {"number": 2, "symbol": "IBM", "quantity": "40", "kind": "market"}})
    acceptor.send("9", {37: "B1", 11: acceptor.hears("G")[11], 41: order[11], 39: "0", 434: "2", 102: "2", 58: "no"})
    assert adapter.answer() == {"refused": "no"}
    acceptor.fill(order, "100", "50.5", "100", "2")
    assert told(adapter.event("executed")["execution"])[3] == "100"


def test_silence_is_unclear_and_asking_clears_it(desk):
    acceptor, adapter = desk.both(answer_within_ms=700)
    adapter.submit()
    order = acceptor.hears("D")
    assert "unclear" in adapter.answer()
    adapter.submit()
    assert "ask for it first" in adapter.answer()["unclear"]
    adapter.ask("find", number=1)
    question = acceptor.hears("H")
    assert (question[11], question[55], question[54]) == ("desk-test-1", "IBM", "1")
    acceptor.report(order, "I", "1", "30", "50", _790=question[790])
    found = adapter.answer()["answer"]
    assert (found["state"], found["quantity"]) == ("working", "100")
    # A broker that only tells a sum gives one execution for it.
    assert [told(one)[1:] for one in found["executions"]] == [("30", "50", "30")]
    assert len(acceptor.heard("D")) == 1
    assert adapter.call("find", number=77) == {"answer": None}


def test_an_order_that_was_lost_on_the_line_is_not_sent_again_by_itself(desk):
    acceptor, adapter = desk.both()
    desk.line.up = False
    adapter.submit()
    adapter.settle(0.3)
    desk.line.cut()
    assert "unclear" in adapter.answer()
    desk.line.up = True
    adapter.up()
    # QuickFIX missed a message and asked; it was told to go on.
    acceptor.admin("2", "says")
    assert acceptor.admin("4")[123] == "Y"
    assert acceptor.heard("D") == []
    adapter.ask("find", number=1)
    question = acceptor.hears("H")
    acceptor.report(question | {38: "0"}, "I", "8", _790=question[790], _103="5", _58="unknown order")
    assert adapter.answer() == {"answer": None}
    # Nobody has seen it: now it may leave.
    adapter.submit()
    acceptor.accept(acceptor.hears("D"))
    assert adapter.answer() == {"answer": None}
    assert len(acceptor.heard("D")) == 1


def test_executions_that_happen_while_the_line_is_down_come_once_each(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.fill(order, "10", "50", "10")
    adapter.event("executed")
    # The next one vanishes on the line, the others happen without one.
    desk.line.down = False
    acceptor.fill(order, "20", "50", "30")
    acceptor.settle(0.3)
    desk.line.cut()
    acceptor.until(lambda line: "down" in line)
    acceptor.fill(order, "30", "50", "60")
    acceptor.fill(order, "15", "50", "75")
    desk.line.down = True
    adapter.event("disconnected")
    adapter.up()
    # By the time it says that it is connected, it has told them.
    assert [told(one)[3] for one in adapter.executions()] == ["10", "30", "60", "75"]
    acceptor.fill(order, "25", "50", "100", "2")
    adapter.until(lambda line: line.get("execution", {}).get("cumulative") == "100")
    assert [told(one)[3] for one in adapter.executions()] == ["10", "30", "60", "75", "100"]
    assert len(acceptor.heard("D")) == 1


def test_a_gap_within_a_connection_is_asked_for(desk):
    acceptor, adapter, order = order_of(desk)
    desk.line.down = False
    acceptor.fill(order, "10", "50", "10")
    acceptor.settle(0.3)
    desk.line.down = True
    acceptor.fill(order, "20", "50", "30")
    assert acceptor.admin("2")[35] == "2"
    adapter.until(lambda line: line.get("execution", {}).get("cumulative") == "30")
    assert [told(one)[3] for one in adapter.executions()] == ["10", "30"]
    assert adapter.events("disconnected") == []


def test_a_killed_adapter_goes_on_where_it_was(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.fill(order, "10", "50", "10")
    adapter.event("executed")
    adapter.kill()
    acceptor.until(lambda line: "down" in line)
    acceptor.fill(order, "90", "51", "100", "2")
    again = desk.adapter()
    again.up()
    assert [told(one) for one in again.executions()] == [("E3", "90", "51", "100")]
    # It remembers each execution, though the broker tells sums.
    again.ask("find", number=1)
    question = acceptor.hears("H")
    assert question[37] == "B1"
    acceptor.report(order, "I", "2", "100", "50.9", _790=question[790])
    found = again.answer()["answer"]
    assert found["state"] == "filled"
    assert [told(one) for one in found["executions"]] == [("E2", "10", "50", "10"), ("E3", "90", "51", "100")]
    again.submit(kind={"limit": {"limit": "50.5"}})
    assert "sent before" in again.answer()["refused"]
    assert len(acceptor.heard("D")) == 1


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments_lose_and_double_nothing(desk, seed):
    chance = random.Random(seed)
    acceptor, adapter, order = order_of(desk)
    seen, filled = [], 0
    while filled < 100:
        for _ in range(min(chance.randint(1, 9), 100 - filled)):
            filled += 1
            acceptor.fill(order, "1", "50", str(filled), "2" if filled == 100 else "1")
        time.sleep(chance.uniform(0, 0.15))
        if chance.random() < 0.5:
            adapter.kill()
            seen += adapter.executions()
            adapter = desk.adapter()
            time.sleep(chance.uniform(0, 0.3))
        elif chance.random() < 0.5:
            desk.line.cut()
    adapter.up()
    adapter.ask("find", number=1)
    acceptor.report(order, "I", "2", "100", "50", _790=acceptor.hears("H")[790])
    found = [one["cumulative"] for one in adapter.answer()["answer"]["executions"]]
    assert found == [str(one) for one in range(1, 101)]
    # What was printed was printed once; a kill may come between storing and printing.
    printed = [one["cumulative"] for one in seen + adapter.executions()]
    assert printed == sorted(set(printed), key=int) and len(acceptor.heard("D")) == 1


def test_a_killed_acceptor_is_found_again(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.kill()
    adapter.event("disconnected")
    adapter.submit(2)
    assert "cannot connect" in adapter.answer()["not_sent"] or "closed the line" in adapter.log[-1]["not_sent"]
    acceptor = desk.acceptor()
    acceptor.number = 10
    adapter.up()
    acceptor.fill(order, "100", "50", "100", "2")
    assert told(adapter.event("executed")["execution"])[3] == "100"
    adapter.submit(2)
    acceptor.accept(acceptor.hears("D"))
    assert adapter.answer() == {"answer": None}


def test_a_silent_line_is_noticed_and_left(desk):
    acceptor, adapter = desk.both(heartbeat_seconds=1)
    acceptor.admin("0")
    adapter.settle(2.5)
    assert adapter.events("disconnected") == []
    desk.line.down = False
    reason = adapter.event("disconnected")["reason"]
    assert reason == "nothing was heard, not even an answer to a test"
    desk.line.down = True
    adapter.event("connected")


def test_a_session_that_the_acceptor_does_not_have(desk):
    desk.acceptor(client="SOMEBODY")
    adapter = desk.adapter()
    reason = adapter.event("disconnected")["reason"]
    assert "may not know the session `DESK` -> `BROKER`" in reason
    adapter.submit()
    assert "not_sent" in adapter.answer()


def test_an_acceptor_that_lost_its_numbers_stops_the_session(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.kill()
    desk.acceptor(store=str(desk.folder / "empty"))
    adapter.until(lambda line: line.get("event") == "disconnected")
    adapter.settle(1)
    answer = adapter.call("working")["not_sent"]
    assert answer == "the session is stopped, and has to be started by hand: MsgSeqNum too low, expecting 4 but received 1"


def test_an_adapter_that_lost_its_numbers_is_told_and_does_not_try_for_ever(desk):
    acceptor, adapter, order = order_of(desk)
    for number in (2, 3, 4, 5, 6, 7, 8):
        adapter.submit(number)
        acceptor.accept(acceptor.hears("D"))
        adapter.answer()
    adapter.end()
    (desk.folder / "adapter").rename(desk.folder / "lost")
    adapter = desk.adapter()
    assert "MsgSeqNum too low" in adapter.event("disconnected")["reason"]
    adapter.settle(1.5)
    answer = adapter.call("working")["not_sent"]
    assert answer.startswith("the session is stopped") and "MsgSeqNum too low" in answer
    adapter.end()
    # Agreed with the other side, the numbers may begin again.
    adapter = desk.adapter(reset_on_logon=True)
    adapter.up()
    adapter.submit(20)
    acceptor.accept(acceptor.hears("D"))
    assert adapter.answer() == {"answer": None}


def test_a_damaged_store_is_one_clear_error(desk):
    _, adapter, _ = order_of(desk)
    adapter.kill()
    log = desk.folder / "adapter" / "session.log"
    log.write_text(log.read_text().replace("desk-test-1", "desk-test-2"))
    adapter = desk.adapter()
    assert adapter.process.wait(timeout=10) == 1
    assert "is damaged in line" in adapter.process.stderr.read()


def test_a_wrong_password_is_not_tried_for_ever_and_never_printed(desk):
    acceptor = desk.acceptor(password="right")
    adapter = desk.adapter(username="me", password="hunter2")
    assert "refused" in adapter.event("disconnected")["reason"]
    adapter.settle(1.5)
    assert adapter.call("wait", seconds=1)["not_sent"].startswith("the session is stopped")
    acceptor.settle()
    logons = [line for line in acceptor.log if "admin" in line and [35, "A"] in line["admin"]]
    assert len(logons) == 3 and dict(logons[0]["admin"])[554] == "hunter2"
    kept = "".join(path.read_text() for path in (desk.folder / "adapter").iterdir())
    assert "hunter2" not in kept + str(adapter.log) + adapter.end()
    adapter = desk.adapter(username="me", password="right")
    adapter.up()


def test_everything_that_works_in_the_account(desk):
    acceptor, adapter, order = order_of(desk)
    adapter.ask("working")
    request = acceptor.hears("AF")
    assert request[585] == "7"
    acceptor.report(order, "I", "1", "30", "50", _584=request[584], _911="3")
    other = {11: "someone-else-9", 55: "MSFT", 54: "2", 38: "5"}
    acceptor.report(other, "I", "0", _584=request[584], _911="3")
    acceptor.report(other | {11: "someone-else-8"}, "I", "4", _584=request[584], _911="3", _912="Y")
    working = [(one["id"], one["symbol"], one["quantity"], len(one["executions"])) for one in adapter.answer()["answer"]]
    assert working == [("desk-test-1", "IBM", "100", 1), ("someone-else-9", "MSFT", "-5", 0)]
    adapter.ask("working")
    request = acceptor.hears("AF")
    acceptor.report(order | {38: "0"}, "I", "8", _584=request[584], _911="0")
    assert adapter.answer() == {"answer": []}


def positions(acceptor, adapter, cash):
    request = acceptor.hears("AN")
    acceptor.send(
        "AO", {721: "M1", 710: request[710], 727: "2", 728: "0", 729: "0", 1: request[1], 581: "1", 60: "20240131-15:00:00"},
    )
    for symbol, tag, size in (("IBM", 704, "70"), ("MSFT", 705, "5")):
        groups = [[702, 703, [[703, "TQ"], [tag, size], [706, "0"]]], [753, 707, [[707, "SMTM"], [708, "1"]]]]
        if cash and symbol == "MSFT":
            groups[1] = [753, 707, [[707, "CASH"], [708, "1234.5"]]]
        acceptor.send(
            "AP",
            {721: f"M{symbol}", 710: request[710], 727: "2", 728: "0", 715: "20240131", 1: request[1], 581: "1", 55: symbol,
             730: "51.5", 731: "1", 734: "50"},
            groups,
        )


def test_positions_and_cash_where_they_are_told(desk):
    acceptor, adapter = desk.both(account="A-1")
    holdings = [{"symbol": "IBM", "quantity": "70", "price": "51.5"}, {"symbol": "MSFT", "quantity": "-5", "price": "51.5"}]
    adapter.ask("account")
    positions(acceptor, adapter, cash=True)
    assert adapter.answer() == {"answer": {"cash": "1234.5", "holdings": holdings}}
    adapter.ask("account")
    positions(acceptor, adapter, cash=False)
    assert adapter.answer() == {"answer": {"cash": None, "holdings": holdings}}
    adapter.ask("account")
    acceptor.send("j", {45: acceptor.hears("AN")[34], 372: "AN", 380: "3", 58: "unknown message"})
    assert adapter.answer()["refused"] == "this counterparty does not tell positions over FIX: unknown message"


@pytest.mark.parametrize("wanted", [None, "TQ", "FIN"])
def test_of_several_sorts_of_quantities_one_is_the_position(desk, wanted):
    acceptor, adapter = desk.both(account="A-1", **({"position_type": wanted} if wanted else {}))
    adapter.ask("account")
    request = acceptor.hears("AN")
    sorts = [[702, 703, [[703, sort], [704, size], [706, "0"]]] for sort, size in (("SOD", "40"), ("TQ", "70"))]
    acceptor.send(
        "AP",
        {721: "M1", 710: request[710], 727: "1", 728: "0", 715: "20240131", 1: request[1], 581: "1", 55: "IBM", 730: "51.5",
         731: "1", 734: "50"},
        [*sorts, [753, 707, [[707, "CASH"], [708, "1234.5"]]]],
    )
    answer = adapter.answer()
    if wanted == "TQ":
        assert answer["answer"]["holdings"] == [{"symbol": "IBM", "quantity": "70", "price": "51.5"}]
    elif wanted:
        assert answer["unclear"] == "it tells IBM as TQ, and not as FIN, which position_type says"
    else:
        assert answer["unclear"] == "it tells positions as SOD and TQ; say with position_type which counts"


def test_no_more_messages_leave_in_a_second_than_are_allowed(desk):
    acceptor, adapter = desk.both(messages_per_second_max=4)
    begun = time.monotonic()
    for number in range(1, 11):
        adapter.submit(number)
        acceptor.accept(acceptor.hears("D"))
        assert adapter.answer() == {"answer": None}
    # Three in any second: one is kept for cancels.
    assert time.monotonic() - begun > 2.9
    assert len(acceptor.heard("D")) == 10


def test_alternatives_that_are_emulated_end_when_one_trades(desk):
    acceptor, adapter = desk.both(emulate_alternatives=True)
    kinds = ({"limit": {"limit": "60"}}, {"stop": {"stop": "40"}})
    orders = [{"number": at + 1, "symbol": "IBM", "quantity": "-10", "kind": kind, "group": 900} for at, kind in enumerate(kinds)]
    adapter.ask("submit", orders=orders)
    profit = acceptor.hears("D")
    acceptor.accept(profit)
    loss = acceptor.hears("D")
    acceptor.accept(loss)
    assert adapter.answer() == {"answer": None}
    # The line breaks as it trades: the other is ended as soon as there is one again.
    desk.line.cut()
    acceptor.until(lambda line: "down" in line)
    acceptor.fill(profit, "10", "60", "10", "2")
    request = acceptor.hears("F")
    assert request[41] == loss[11]
    acceptor.report(request | {38: "10"}, "4", "4", _41=loss[11])
    ended = adapter.event("ended")
    assert (ended["order"], ended["reason"]) == ("desk-test-2", "replaced")
    assert len(acceptor.heard("F")) == 1


def test_an_alternative_that_comes_late_is_still_one(desk):
    acceptor, adapter = desk.both(emulate_alternatives=True, answer_within_ms=700)
    orders = [{"number": one, "symbol": "IBM", "quantity": "-10", "kind": "market", "group": 900} for one in (1, 2)]
    adapter.ask("submit", orders=orders)
    first = acceptor.hears("D")
    acceptor.accept(first)
    second = acceptor.hears("D")
    # Nobody answers for the second: the first is taken back, and what came of both has to be asked for.
    request = acceptor.hears("F")
    assert request[41] == first[11]
    answer = adapter.answer()["unclear"]
    assert answer.startswith("desk-test-2 of the alternatives was not taken")
    adapter.ask("find", number=2)
    question = acceptor.hears("H")
    acceptor.report(question | {38: "0"}, "I", "8", _790=question[790], _103="5")
    assert adapter.answer() == {"answer": None}
    # The first filled all the same: the second may not leave any more.
    acceptor.fill(first, "10", "60", "10", "2")
    adapter.event("executed")
    assert adapter.call("submit", orders=orders[1:]) == {"refused": "an alternative has filled already"}
    assert second[11] == "desk-test-2" and len(acceptor.heard("D")) == 2


def test_a_busted_execution_makes_the_runner_ask(desk):
    acceptor, adapter, order = order_of(desk)
    acceptor.fill(order, "10", "50", "10")
    acceptor.fill(order, "20", "51", "30")
    adapter.event("executed")
    adapter.event("executed")
    acceptor.report(order, "H", "1", "20", "51", _19="E2", _32="10", _31="50")
    assert adapter.event("disconnected")["reason"] == "execution E2 of order desk-test-1 was busted"
    adapter.event("connected")
    adapter.ask("find", number=1)
    acceptor.report(order, "I", "1", "20", "51", _790=acceptor.hears("H")[790])
    assert [told(one) for one in adapter.answer()["answer"]["executions"]] == [("E3", "20", "51", "20")]


def certificate(folder, name, issuer=None):
    """A key and its certificate, signed by another or by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    # QuickFIX reads RSA keys.
    key = rsa.generate_private_key(65537, 2048) if issuer else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[1].subject if issuer else subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(issuer[0] if issuer else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key.private_bytes(*form))
    return key, made


def test_tls_is_verified(desk):
    authority = certificate(desk.folder, "authority")
    certificate(desk.folder, "broker", authority)
    certificate(desk.folder, "stranger")
    pem = lambda name: str(desk.folder / f"{name}.pem")
    acceptor = desk.acceptor(certificate=pem("broker"), key=str(desk.folder / "broker.key"))
    adapter = desk.adapter(tls={"roots": pem("authority")})
    adapter.up()
    adapter.submit()
    acceptor.accept(acceptor.hears("D"))
    assert adapter.answer() == {"answer": None}
    desk.line.cut()
    adapter.event("disconnected")
    adapter.up()
    adapter.end()
    for tls, problem in (
        ({"roots": pem("stranger")}, "UnknownIssuer"),
        ({"roots": pem("authority"), "name": "broker.example"}, "certificate not valid for name"),
    ):
        adapter = desk.adapter(tls=tls)
        reason = adapter.event("disconnected")["reason"]
        assert "TLS failed" in reason and problem in reason, reason
        adapter.kill()
    acceptor.settle()
    logons = [line for line in acceptor.log if "admin" in line and [35, "A"] in line["admin"]]
    assert len(logons) == 2


def test_without_tls_only_this_machine_is_reached(desk):
    adapter = desk.adapter(host="192.0.2.1", port=free_port())
    assert "is not on this machine" in adapter.event("disconnected")["reason"]
