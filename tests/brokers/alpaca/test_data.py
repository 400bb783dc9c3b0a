"""Alpaca's own client reads the fake of Alpaca's market data that our feed is tested against.

Its server is the example `alpaca_prices` of the crate `brokers`: beside `alpaca_paper`, or where ALPACA_PRICES says.
"""

import asyncio
import json
import os
import pathlib
import queue
import subprocess
import threading
from datetime import date, datetime, timedelta, timezone

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import CorporateActionsRequest, StockBarsRequest
from alpaca.data.timeframe import TimeFrame

BINARY = os.environ.get("ALPACA_PRICES") or str(
    pathlib.Path(os.environ.get("ALPACA_PAPER", "")).with_name("alpaca_prices")
)
KEY, SECRET = "PKDATAKEY", "a-very-secret-data-secret"
OPEN = datetime(2024, 1, 2, 14, 30, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


class Prices:
    """The server's process: told what there is, and what time it is, by its standard input."""

    def __init__(self, now):
        self.process = subprocess.Popen(
            [BINARY, now.isoformat()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = f"127.0.0.1:{int(self.process.stdout.readline())}"

    def tell(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def minute(self, number, bar, symbol="AAPL"):
        self.tell(minute={"symbol": symbol, "start": (OPEN + number * MINUTE).isoformat(), "bar": bar})

    def now(self, now):
        self.tell(now=now.isoformat())

    def history(self, key=KEY, secret=SECRET):
        return StockHistoricalDataClient(key, secret, url_override=f"http://{self.address}")

    def actions(self):
        return CorporateActionsClient(KEY, SECRET, url_override=f"http://{self.address}")

    def stop(self):
        self.process.stdin.close()
        try:
            assert self.process.wait(timeout=10) == 0
        finally:
            self.process.kill()


@pytest.fixture
def prices():
    if not os.path.exists(BINARY):
        pytest.fail(f"the example `alpaca_prices` is not built at {BINARY}")
    prices = Prices(OPEN - MINUTE)
    try:
        yield prices
    finally:
        prices.stop()


class Listener:
    """The client's socket, on a thread of its own."""

    def __init__(self, prices, source="iex", key=KEY):
        self.heard = queue.Queue()
        self.stream = StockDataStream(key, SECRET, url_override=f"ws://{prices.address}/v2/{source}")
        self.stream._reconnect_min_backoff = 0.1

        async def hear(what):
            self.heard.put(what)

        self.stream.subscribe_bars(hear, "AAPL", "MSFT")
        self.stream.subscribe_trades(hear, "AAPL")
        self.thread = threading.Thread(target=self.stream.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.stream.stop_ws(), self.stream._loop).result(timeout=10)
        self.thread.join(timeout=20)


def ask(client, symbols, timeframe=TimeFrame.Minute, start=OPEN, end=OPEN + 60 * MINUTE):
    request = StockBarsRequest(
        symbol_or_symbols=symbols, timeframe=timeframe, start=start, end=end, feed=DataFeed.IEX,
        adjustment=Adjustment.RAW,
    )
    return client.get_stock_bars(request).data


def row(bar):
    return [round(price * 100) for price in (bar.open, bar.high, bar.low, bar.close)] + [bar.volume]


def bars(count, base):
    return [[base + at, base + at + 9, base + at - 9, base + at + 5, 100 + at] for at in range(count)]


def test_minutes_come_page_by_page_when_they_are_over(prices):
    apple, soft = bars(20, 18500), bars(5, 37000)
    for number, bar in enumerate(apple):
        prices.minute(number, bar)
    for number, bar in enumerate(soft):
        prices.minute(3 * number, bar, symbol="MSFT")
    prices.tell(page=3)
    assert ask(prices.history(), ["AAPL", "MSFT"]) == {}
    prices.now(OPEN + 10 * MINUTE + timedelta(seconds=30))
    data = ask(prices.history(), ["AAPL", "MSFT"])
    assert [row(bar) for bar in data["AAPL"]] == apple[:10]
    assert [row(bar) for bar in data["MSFT"]] == soft[:4]
    assert [bar.timestamp for bar in data["MSFT"]] == [OPEN + 3 * number * MINUTE for number in range(4)]
    # Both ends are part of what is asked for.
    data = ask(prices.history(), "AAPL", start=OPEN + 2 * MINUTE, end=OPEN + 4 * MINUTE)
    assert [row(bar) for bar in data["AAPL"]] == apple[2:5]


def test_the_bar_of_a_day_begins_at_midnight_in_new_york(prices):
    prices.tell(day={"symbol": "AAPL", "date": "2024-01-02", "bar": [18700, 18800, 18300, 18560, 82_488_700]})
    ask_day = lambda: ask(prices.history(), "AAPL", TimeFrame.Day, OPEN - timedelta(hours=12), OPEN)
    assert ask_day() == {}
    prices.now(datetime(2024, 1, 2, 21, 20, tzinfo=timezone.utc))
    [bar] = ask_day()["AAPL"]
    assert row(bar) == [18700, 18800, 18300, 18560, 82_488_700]
    assert bar.timestamp == datetime(2024, 1, 2, 5, tzinfo=timezone.utc)


def test_corporate_actions_are_filed_under_their_process_date(prices):
    dividend = {
        "id": "018f0000-0000-7000-8000-000000000001", "symbol": "AAPL", "cusip": "037833100", "rate": 0.24,
        "special": False, "foreign": False, "ex_date": "2024-02-09", "record_date": "2024-02-12",
        "payable_date": "2024-02-15", "process_date": "2024-02-15",
    }
    split = {
        "id": "018f0000-0000-7000-8000-000000000002", "symbol": "NVDA", "cusip": "67066G104", "new_rate": 10,
        "old_rate": 1, "ex_date": "2024-06-10", "record_date": "2024-06-06", "payable_date": "2024-06-07",
        "process_date": "2024-06-10",
    }
    prices.tell(action={"kind": "cash_dividends", "row": dividend})
    prices.tell(action={"kind": "forward_splits", "row": split})
    prices.tell(page=1)

    def asked(symbols, start, end):
        request = CorporateActionsRequest(symbols=symbols, start=start, end=end)
        return prices.actions().get_corporate_actions(request).data

    data = asked(["AAPL", "NVDA"], date(2024, 1, 1), date(2024, 12, 31))
    assert [(one.symbol, one.rate, one.ex_date) for one in data["cash_dividends"]] == [
        ("AAPL", 0.24, date(2024, 2, 9))
    ]
    assert [(one.symbol, one.new_rate, one.old_rate) for one in data["forward_splits"]] == [("NVDA", 10, 1)]
    assert asked(["AAPL"], date(2024, 2, 9), date(2024, 2, 9)) == {}


def test_wrong_keys_are_refused(prices):
    with pytest.raises(APIError) as caught:
        ask(prices.history(key="PKWRONG"), "AAPL")
    assert caught.value.status_code == 403


def test_the_socket_tells_bars_and_trades_as_they_happen(prices):
    apple, soft = bars(4, 18500), bars(4, 37000)
    for number, (one, other) in enumerate(zip(apple, soft)):
        prices.minute(number, one)
        prices.minute(number, other, symbol="MSFT")
    for second in range(0, 240, 20):
        at = (OPEN + timedelta(seconds=second, microseconds=7)).isoformat()
        trade = {"symbol": "AAPL", "at": at, "price": 18500 + second, "size": 10 + second, "conditions": ["@", "F"]}
        prices.tell(trade=trade)
    with Listener(prices) as listener:
        # The client does not say when it listens: time goes on until it hears.
        now, heard = OPEN + timedelta(seconds=1), []
        while not heard:
            assert now < OPEN + MINUTE, "the socket says nothing"
            prices.now(now)
            try:
                heard.append(listener.heard.get(timeout=0.3))
            except queue.Empty:
                now += timedelta(seconds=1)
        prices.now(OPEN + 5 * MINUTE)
        while sum(hasattr(one, "open") for one in heard) < 8:
            heard.append(listener.heard.get(timeout=5))
    got = lambda symbol: [row(one) for one in heard if hasattr(one, "open") and one.symbol == symbol]
    assert (got("AAPL"), got("MSFT")) == (apple, soft)
    starts = [one.timestamp for one in heard if hasattr(one, "open") and one.symbol == "AAPL"]
    assert starts == [OPEN + number * MINUTE for number in range(4)]
    trades = [one for one in heard if not hasattr(one, "open")]
    assert all(round(one.price * 100) - 18500 == one.size - 10 for one in trades)
    assert trades[-1].timestamp == OPEN + timedelta(seconds=220, microseconds=7)
    assert trades[-1].conditions == ["@", "F"]


def test_the_socket_refuses_wrong_keys(prices, caplog):
    prices.minute(0, bars(1, 18500)[0])
    with Listener(prices, key="PKWRONG") as listener:
        with pytest.raises(queue.Empty):
            listener.heard.get(timeout=1)
    assert "auth failed" in caplog.text
