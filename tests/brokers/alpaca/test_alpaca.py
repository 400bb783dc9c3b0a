"""Alpaca's own client trades on the paper venue: what it sends is understood, what it is answered is what it expects."""

import uuid

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, OrderType, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

BUY, SELL, DAY, GTC = OrderSide.BUY, OrderSide.SELL, TimeInForce.DAY, TimeInForce.GTC


def market(qty, side=BUY, symbol="AAPL", tif=DAY, **more):
    return MarketOrderRequest(symbol=symbol, qty=qty, side=side, time_in_force=tif, **more)


def limit(qty, price, side=BUY, symbol="AAPL", tif=DAY, **more):
    return LimitOrderRequest(symbol=symbol, qty=qty, side=side, time_in_force=tif, limit_price=price, **more)


def hold(venue, client, qty=100):
    client.submit_order(market(qty))
    venue.price(185)


def status(client, order):
    return client.get_order_by_id(order.id).status


def refused(call, code, words, http):
    with pytest.raises(APIError) as caught:
        call()
    assert caught.value.status_code == http, caught.value
    assert caught.value.code == code, caught.value
    assert words in caught.value.message
    return caught.value


def said(updates, *events):
    heard = [updates.get(timeout=5) for _ in events]
    assert [one.event for one in heard] == list(events)
    return heard


def test_a_market_order_trades_at_the_next_price(venue, client):
    order = client.submit_order(market(100, client_order_id="first"))
    assert (order.status, order.type, order.side, order.qty) == (OrderStatus.NEW, OrderType.MARKET, BUY, "100")
    assert order.client_order_id == "first" and order.order_class == OrderClass.SIMPLE and order.legs is None
    venue.price(186)
    done = client.get_order_by_client_id("first")
    assert (done.id, done.status, done.filled_qty, done.filled_avg_price) == (order.id, OrderStatus.FILLED, "100", "186")
    assert done.filled_at is not None


def test_the_account_and_its_positions_add_up(venue, client):
    hold(venue, client)
    venue.price(190)
    account, position = client.get_account(), client.get_open_position("AAPL")
    assert (account.cash, account.equity, account.long_market_value) == ("81500", "100500", "19000")
    assert account.status == "ACTIVE" and account.buying_power == "81500"
    assert (position.qty, position.avg_entry_price, position.current_price) == ("100", "185", "190")
    assert (position.market_value, position.cost_basis, position.unrealized_pl) == ("19000", "18500", "500")
    assert float(position.unrealized_plpc) == pytest.approx(500 / 18500, abs=1e-6)
    assert position.qty_available == "100" and position.side == "long"
    assert [one.symbol for one in client.get_all_positions()] == ["AAPL"]
    assert client.get_open_position(position.asset_id).symbol == "AAPL"
    fills = client.get("/account/activities/FILL")
    assert [(fill["side"], fill["qty"], fill["price"], fill["type"]) for fill in fills] == [("buy", "100", "185", "fill")]


def test_a_short_position_is_negative(venue, client):
    client.submit_order(market(50, SELL))
    venue.price(180)
    venue.price(170)
    position = client.get_open_position("AAPL")
    assert (position.qty, position.side, position.market_value, position.unrealized_pl) == ("-50", "short", "-8500", "500")
    assert client.get_account().cash == "109000"


def test_limits_stops_and_trailing_stops_wait_for_their_price(venue, client):
    hold(venue, client)
    buy = client.submit_order(limit(10, 180))
    stop = client.submit_order(StopOrderRequest(symbol="AAPL", qty=10, side=SELL, time_in_force=GTC, stop_price=175))
    stop_limit = client.submit_order(
        StopLimitOrderRequest(symbol="AAPL", qty=10, side=SELL, time_in_force=GTC, stop_price=174, limit_price=173)
    )
    trail = client.submit_order(
        TrailingStopOrderRequest(symbol="AAPL", qty=10, side=SELL, time_in_force=GTC, trail_price=3)
    )
    percent = client.submit_order(
        TrailingStopOrderRequest(symbol="AAPL", qty=10, side=SELL, time_in_force=GTC, trail_percent=2.5)
    )
    assert (trail.trail_price, percent.trail_percent) == ("3", "2.50")
    venue.price(190)
    assert status(client, buy) == OrderStatus.NEW
    venue.price(187)
    assert (status(client, trail), status(client, percent)) == (OrderStatus.FILLED, OrderStatus.NEW)
    venue.price(185)
    assert status(client, percent) == OrderStatus.FILLED
    venue.price(180)
    assert client.get_order_by_id(buy.id).filled_avg_price == "180"
    venue.price(175)
    assert client.get_order_by_id(stop.id).filled_avg_price == "175"
    venue.price("173.50")
    assert client.get_order_by_id(stop_limit.id).filled_qty == "10"


def test_the_closing_auction_fills_market_on_close_and_the_day_ends_the_rest(venue, client):
    close = client.submit_order(market(10, tif=TimeInForce.CLS))
    day, gtc = client.submit_order(limit(10, 100)), client.submit_order(limit(10, 100, tif=GTC))
    venue.price(188)
    assert status(client, close) == OrderStatus.NEW
    venue.close()
    assert client.get_order_by_id(close.id).filled_avg_price == "188"
    assert (status(client, day), status(client, gtc)) == (OrderStatus.EXPIRED, OrderStatus.NEW)
    auction = client.submit_order(market(10, tif=TimeInForce.OPG))
    assert auction.status == OrderStatus.ACCEPTED
    venue.open("2024-01-03")
    venue.price(184)
    assert client.get_order_by_id(auction.id).filled_avg_price == "184"


def test_the_socket_tells_every_step_of_an_order(venue, client, updates):
    order = client.submit_order(market(100))
    venue.price(186, volume=40)
    venue.price(187)
    _, part, rest = said(updates, "new", "partial_fill", "fill")
    assert (part.order.id, part.qty, part.price, part.position_qty) == (order.id, 40, 186, 40)
    assert (part.order.filled_qty, part.order.status) == ("40", OrderStatus.PARTIALLY_FILLED)
    assert (rest.qty, rest.price, rest.position_qty, rest.order.filled_avg_price) == (60, 187, 100, "186.6")
    assert part.execution_id != rest.execution_id
    ids = {uuid.UUID(fill["id"].split("::")[1]): fill["cum_qty"] for fill in client.get("/account/activities/FILL")}
    assert ids == {part.execution_id: "40", rest.execution_id: "100"}
    client.submit_order(limit(1, 100))
    venue.close()
    said(updates, "new", "expired")


def test_a_bracket_waits_for_its_entry_and_one_exit_ends_the_other(venue, client, updates):
    order = client.submit_order(
        limit(
            100, 184, tif=GTC, order_class=OrderClass.BRACKET, take_profit=TakeProfitRequest(limit_price=190),
            stop_loss=StopLossRequest(stop_price=180),
        )
    )
    profit, loss = order.legs
    assert (profit.type, profit.limit_price, profit.status) == (OrderType.LIMIT, "190", OrderStatus.HELD)
    assert (loss.type, loss.stop_price, loss.side) == (OrderType.STOP, "180", SELL)
    venue.price(191)
    assert status(client, profit) == OrderStatus.HELD
    venue.price(184)
    assert (status(client, order), status(client, profit)) == (OrderStatus.FILLED, OrderStatus.NEW)
    open_now = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, nested=True))
    assert [one.id for one in open_now] == [order.id] and len(open_now[0].legs) == 2
    assert len(client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN))) == 2
    venue.price(190)
    assert (status(client, profit), status(client, loss)) == (OrderStatus.FILLED, OrderStatus.CANCELED)
    assert client.get_all_positions() == []
    heard = said(updates, "new", "fill", "new", "fill", "canceled")
    assert [one.order.id for one in heard] == [order.id, order.id, profit.id, profit.id, loss.id]


def test_the_exits_of_an_entry_that_never_filled_end_with_it(venue, client):
    order = client.submit_order(
        limit(100, 100, order_class=OrderClass.OTO, stop_loss=StopLossRequest(stop_price=90, limit_price=89))
    )
    (stop,) = order.legs
    assert (stop.type, stop.limit_price) == (OrderType.STOP_LIMIT, "89")
    client.cancel_order_by_id(order.id)
    assert (status(client, order), status(client, stop)) == (OrderStatus.CANCELED, OrderStatus.CANCELED)


def oco(qty=100, **more):
    return LimitOrderRequest(
        symbol="AAPL", qty=qty, side=SELL, time_in_force=GTC, order_class=OrderClass.OCO,
        take_profit=TakeProfitRequest(limit_price=190), stop_loss=StopLossRequest(stop_price=180), **more,
    )


def test_one_of_two_alternatives_ends_the_other(venue, client):
    hold(venue, client)
    order = client.submit_order(oco())
    assert (order.type, order.limit_price, order.order_class) == (OrderType.LIMIT, "190", OrderClass.OCO)
    (stop,) = client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True)).legs
    assert client.get_open_position("AAPL").qty_available == "0"
    refused(lambda: client.submit_order(market(1, SELL)), 40310000, "insufficient qty available", 403)
    venue.price(179)
    assert (status(client, stop), status(client, order)) == (OrderStatus.FILLED, OrderStatus.CANCELED)
    assert client.get_order_by_id(stop.id).filled_avg_price == "179"
    refused(lambda: client.submit_order(oco()), 42210000, "oco orders must be exit orders", 422)


def test_cancelling_an_alternative_cancels_both(venue, client):
    hold(venue, client)
    order = client.submit_order(oco())
    client.cancel_order_by_id(order.legs[0].id)
    assert (status(client, order), status(client, order.legs[0])) == (OrderStatus.CANCELED, OrderStatus.CANCELED)
    assert client.get_open_position("AAPL").qty_available == "100"


def test_an_order_is_replaced_by_another(venue, client, updates):
    order = client.submit_order(limit(10, 100))
    new = client.replace_order_by_id(order.id, ReplaceOrderRequest(limit_price=101, qty=20, client_order_id="second"))
    assert (new.replaces, new.limit_price, new.qty, new.client_order_id) == (order.id, "101", "20", "second")
    old = client.get_order_by_id(order.id)
    assert (old.status, old.replaced_by) == (OrderStatus.REPLACED, new.id) and old.replaced_at is not None
    said(updates, "new", "replaced", "new")
    venue.price(101)
    assert status(client, new) == OrderStatus.FILLED
    refused(lambda: client.replace_order_by_id(new.id, ReplaceOrderRequest(limit_price=99)), 42210000, "filled", 422)
    refused(lambda: client.replace_order_by_id(order.id, ReplaceOrderRequest(limit_price=9)), 42210000, "replaced", 422)


def test_a_replacement_beyond_the_limits_leaves_the_old_order_alone(venue, client):
    order = client.submit_order(limit(10, 100))
    refused(lambda: client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=1000)), 40310000, "60000", 403)
    same = ReplaceOrderRequest(limit_price=100)
    refused(lambda: client.replace_order_by_id(order.id, same), 40310000, "not changed", 403)
    refused(lambda: client.replace_order_by_id(order.id, ReplaceOrderRequest(stop_price=9)), 40010001, "stop_price", 422)
    assert status(client, order) == OrderStatus.NEW
    venue.price(100)
    assert status(client, order) == OrderStatus.FILLED


def test_a_leg_keeps_its_alternative_when_it_is_replaced(venue, client):
    hold(venue, client)
    order = client.submit_order(oco())
    stop = client.replace_order_by_id(order.legs[0].id, ReplaceOrderRequest(stop_price=183))
    assert [leg.id for leg in client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True)).legs] == [stop.id]
    venue.price(182)
    assert (status(client, stop), status(client, order)) == (OrderStatus.FILLED, OrderStatus.CANCELED)
    assert client.get_all_positions() == []


def test_orders_are_cancelled_one_by_one_and_all_together(venue, client, updates):
    one, other = client.submit_order(limit(1, 100)), client.submit_order(limit(1, 101))
    client.cancel_order_by_id(one.id)
    refused(lambda: client.cancel_order_by_id(one.id), 42210000, "canceled", 422)
    third = client.submit_order(limit(1, 300, symbol="MSFT"))
    answers = client.cancel_orders()
    assert {(answer.id, answer.status) for answer in answers} == {(other.id, 200), (third.id, 200)}
    assert client.get_orders() == [] and client.cancel_orders() == []
    said(updates, "new", "new", "canceled", "new", "canceled", "canceled")


def test_a_name_is_taken_only_once(venue, client):
    first = client.submit_order(limit(1, 100, client_order_id="mine"))
    refused(lambda: client.submit_order(limit(1, 99, client_order_id="mine")), 40010001, "client_order_id must be unique", 422)
    client.cancel_order_by_id(first.id)
    refused(lambda: client.submit_order(limit(1, 99, client_order_id="mine")), 40010001, "client_order_id must be unique", 422)
    assert len(client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL))) == 1


def test_positions_are_closed(venue, client):
    hold(venue, client)
    order = client.close_position("AAPL", ClosePositionRequest(qty="40"))
    assert (order.side, order.qty, order.type) == (SELL, "40", OrderType.MARKET)
    venue.price(186)
    half = client.close_position("AAPL", ClosePositionRequest(percentage="50"))
    assert half.qty == "30"
    venue.price(186)
    client.submit_order(market(10, SELL, symbol="MSFT"))
    venue.price(370, symbol="MSFT")
    resting = client.submit_order(limit(5, 200, SELL))
    done = client.close_all_positions(cancel_orders=True)
    assert {(one.symbol, one.status, one.body.side) for one in done} == {("AAPL", 200, SELL), ("MSFT", 200, BUY)}
    venue.price(186)
    venue.price(370, symbol="MSFT")
    assert client.get_all_positions() == [] and status(client, resting) == OrderStatus.CANCELED
    refused(lambda: client.close_position("AAPL"), 40410000, "position does not exist", 404)
    refused(lambda: client.get_open_position("AAPL"), 40410000, "position does not exist", 404)


def test_wrong_keys_see_and_do_nothing(venue, client):
    for key, secret in [("PKPAPER", "wrong"), ("wrong", "paper-secret"), ("x", "y")]:
        stranger = venue.client(key, secret)
        refused(stranger.get_account, 40110000, "not authorized", 401)
        refused(lambda: stranger.submit_order(market(1)), 40110000, "not authorized", 401)
    assert client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL)) == []


def test_the_socket_knows_nobody_with_wrong_keys(venue):
    import asyncio

    from alpaca.trading.stream import TradingStream

    stream = TradingStream("PKPAPER", "wrong", url_override=f"ws://127.0.0.1:{venue.port}/stream")

    async def knock():
        await stream._connect()
        with pytest.raises(ValueError, match="failed to authenticate"):
            await stream._auth()
        await stream.close()

    asyncio.run(knock())


def test_nobody_listens_who_has_not_said_who_he_is(venue, client):
    import asyncio
    import json

    from websockets.asyncio.client import connect

    async def knock():
        async with connect(f"ws://127.0.0.1:{venue.port}/stream") as socket:
            for said in ["no json", json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}})]:
                await socket.send(said)
                answer = json.loads(await asyncio.wait_for(socket.recv(), 5))
                assert answer["stream"] == "error"
            client.submit_order(limit(1, 100))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.3)

    asyncio.run(knock())


@pytest.mark.parametrize(
    ("order", "code", "words", "http"),
    [
        (market(1, symbol="NOSUCH"), 42210000, 'asset "NOSUCH" not found', 422),
        (market(0.5), 40010001, "fractional", 422),
        (MarketOrderRequest(symbol="AAPL", notional=100, side=BUY, time_in_force=DAY), 40010001, "notional", 422),
        (limit(1, 100.123), 42210000, "sub-penny increment", 422),
        (limit(1, -5), 40010001, "limit_price must be > 0", 422),
        (limit(1, 100, extended_hours=True), 40010001, "extended hours", 422),
        (limit(1, 100, tif=TimeInForce.IOC), 40010001, "ioc", 422),
        (limit(1, 100, tif=TimeInForce.OPG), 40010001, "opg", 422),
        (limit(1, 100, client_order_id="x" * 129), 40010001, "128 characters", 422),
        (market(400), 40310000, "60000", 403),
        (limit(300, 195, order_class=OrderClass.BRACKET, take_profit=TakeProfitRequest(limit_price=190),
               stop_loss=StopLossRequest(stop_price=180)), 42210000, "must lie above", 422),
    ],
)
def test_bad_orders_are_refused_with_a_sentence_and_leave_nothing(venue, client, order, code, words, http):
    refused(lambda: client.submit_order(order), code, words, http)
    assert client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL)) == []


def test_nobody_buys_more_than_the_account_carries(venue, client):
    client.submit_order(market(300))
    problem = refused(lambda: client.submit_order(limit(240, 190)), 40310000, "insufficient buying power", 403)
    assert "100000" in problem.message


def test_no_order_takes_a_position_through_zero(venue, client):
    hold(venue, client)
    refused(lambda: client.submit_order(market(101, SELL)), 40310000, "(requested: 101, available: 100)", 403)


def test_orders_are_listed_as_they_are_asked_for(venue, client):
    orders = [client.submit_order(limit(1, 100 + at)) for at in range(5)]
    other = client.submit_order(limit(1, 300, symbol="MSFT"))
    client.cancel_order_by_id(orders[0].id)
    ids = lambda **query: [one.id for one in client.get_orders(GetOrdersRequest(**query))]
    assert ids() == [other.id] + [one.id for one in reversed(orders[1:])]
    assert ids(direction="asc", symbols=["AAPL"]) == [one.id for one in orders[1:]]
    assert ids(status="closed") == [orders[0].id] and len(ids(status="all")) == 6
    assert ids(status="all", limit=2, until=orders[3].submitted_at) == [orders[2].id, orders[1].id]
    assert ids(status="all", direction="asc", after=orders[3].submitted_at) == [orders[4].id, other.id]
    assert ids(side=SELL) == []
    refused(lambda: client.get_order_by_id(uuid.uuid4()), 40410000, "order not found", 404)
    refused(lambda: client.get_order_by_client_id("nobody"), 40410000, "order not found", 404)


def test_fills_come_in_pages(venue, client):
    for at in range(5):
        client.submit_order(market(1))
        venue.price(185 + at)
    newest = client.get("/account/activities/FILL", {"page_size": 2})
    assert [fill["price"] for fill in newest] == ["189", "188"]
    older = client.get("/account/activities/FILL", {"page_size": 2, "page_token": newest[-1]["id"]})
    assert [fill["price"] for fill in older] == ["187", "186"]
    later = client.get("/account/activities/FILL", {"direction": "asc", "after": older[-1]["transaction_time"]})
    assert [fill["price"] for fill in later] == ["187", "188", "189"]


def test_assets_clock_and_calendar(venue, client):
    asset = client.get_asset("AAPL")
    assert (asset.symbol, asset.tradable, asset.fractionable) == ("AAPL", True, False)
    assert client.get_asset(str(asset.id)).symbol == "AAPL"
    assert [one.symbol for one in client.get_all_assets()] == ["AAPL", "MSFT"]
    refused(lambda: client.get_asset("NOSUCH"), 40410000, "asset not found", 404)
    clock = client.get_clock()
    assert clock.is_open and clock.next_close.isoformat() == "2024-01-02T16:00:00-05:00"
    assert clock.next_open.isoformat() == "2024-01-03T09:30:00-05:00"
    days = client.get_calendar(GetCalendarRequest(start="2024-07-01", end="2024-07-05"))
    assert [(str(day.date), day.close.hour) for day in days] == [
        ("2024-07-01", 16), ("2024-07-02", 16), ("2024-07-03", 13), ("2024-07-05", 16),
    ]
    venue.close()
    assert not client.get_clock().is_open


def test_answers_of_other_paths_and_broken_bodies_have_alpacas_form(venue, client):
    import requests

    keys = {"APCA-API-KEY-ID": "PKPAPER", "APCA-API-SECRET-KEY": "paper-secret"}
    broken = requests.post(f"{venue.url}/v2/orders", data="{", headers=keys, timeout=5)
    assert (broken.status_code, broken.json()["code"]) == (400, 40010000)
    missing = requests.get(f"{venue.url}/v2/watchlists", headers=keys, timeout=5)
    assert (missing.status_code, missing.json()["code"]) == (404, 40410000)
    assert requests.get(f"{venue.url}/v2/watchlists", timeout=5).status_code == 401


def test_the_account_stays_right_under_many_clients_at_once(venue, client):
    from concurrent.futures import ThreadPoolExecutor

    def trade(number):
        own = venue.client()
        return own.submit_order(market(1, client_order_id=f"many-{number}")).id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(trade, range(60)))
    venue.price(185)
    assert len(set(ids)) == 60
    assert client.get_open_position("AAPL").qty == "60"
    assert client.get_account().cash == str(100_000 - 60 * 185)
