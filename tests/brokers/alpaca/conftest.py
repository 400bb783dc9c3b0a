"""The paper venue, served on this machine, and Alpaca's own client for it.

Set ALPACA_PAPER to the example `alpaca_paper` of the crate `brokers` (`cargo build -p brokers --example alpaca_paper`).
"""

import asyncio
import json
import os
import queue
import subprocess
import threading

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.stream import TradingStream

BINARY = os.environ.get("ALPACA_PAPER", "")
KEY, SECRET = "PKPAPER", "paper-secret"


class Venue:
    """The server's process: moves the market by its standard input."""

    def __init__(self, **limits):
        environment = {"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET, "PAPER_LIMITS": json.dumps(limits)}
        self.process = subprocess.Popen(
            [BINARY, "AAPL", "MSFT"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | environment,
        )
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def tell(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def open(self, date="2024-01-02"):
        self.tell(opened=date)

    def price(self, price, symbol="AAPL", volume=1_000_000):
        self.tell(price={"symbol": symbol, "price": str(price), "volume": volume})

    def close(self):
        self.tell(closed={})

    def client(self, key=KEY, secret=SECRET):
        return TradingClient(key, secret, url_override=self.url)

    def stop(self):
        self.process.stdin.close()
        try:
            assert self.process.wait(timeout=10) == 0
        finally:
            self.process.kill()


@pytest.fixture(scope="session", autouse=True)
def built():
    if not BINARY or not os.path.exists(BINARY):
        pytest.fail("ALPACA_PAPER does not name the built example `alpaca_paper`")


@pytest.fixture
def venue():
    """An account with 100,000 dollars, the session open, AAPL at 185 and MSFT at 370."""
    venue = Venue(order_notional_max="60000")
    try:
        venue.open()
        venue.price(185)
        venue.price(370, symbol="MSFT")
        yield venue
    finally:
        venue.stop()


@pytest.fixture
def client(venue):
    return venue.client()


@pytest.fixture
def updates(venue):
    """What the socket says, as a queue, once it listens."""
    heard = queue.Queue()
    stream = TradingStream(KEY, SECRET, url_override=f"ws://127.0.0.1:{venue.port}/stream")

    async def hear(update):
        heard.put(update)

    stream.subscribe_trade_updates(hear)
    thread = threading.Thread(target=stream.run)
    thread.start()
    try:
        wait_until_it_listens(venue, heard)
        yield heard
    finally:
        asyncio.run_coroutine_threadsafe(stream.stop_ws(), stream._loop).result(timeout=10)
        thread.join(timeout=20)


def wait_until_it_listens(venue, heard):
    """Alpaca's client does not say when it does; a first order tells."""
    from alpaca.trading.enums import OrderSide, TimeInForce
    from alpaca.trading.requests import LimitOrderRequest

    client = venue.client()
    for _ in range(50):
        order = client.submit_order(
            LimitOrderRequest(symbol="MSFT", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=1)
        )
        client.cancel_order_by_id(order.id)
        try:
            while (told := heard.get(timeout=0.3)).order.id != order.id or told.event != "canceled":
                pass
            return
        except queue.Empty:
            pass
    pytest.fail("the socket says nothing")
