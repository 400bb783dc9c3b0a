"""The programs that are always on with a broker elsewhere: what it does is not ours to replay, and it is closed all the
same.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import servers

SYMBOLS = ["AAPL", "MSFT"]
RUN_FILE = """[strategy]
name = "ema"
fast = 1
slow = 2
size = 100

[data]
symbols = ["AAPL", "MSFT"]
from = 2013-03-04

[account]
cash = 100000
"""
DATES = ["2013-03-04", "2013-03-05", "2013-03-06", "2013-03-07", "2013-03-08"]


class Market:
    """Prices, told to a broker and to the market data adapter alike."""

    def __init__(self, trading, broker):
        self.trading, self.broker = trading, broker

    def feed(self, **line):
        stdin = self.trading.started["market-data-adapter"].stdin
        stdin.write(json.dumps(line).encode() + b"\n")
        stdin.flush()

    def open(self, date):
        self.date, self.minute = date, 30
        self.broker.open(date)
        self.feed(open=date)

    def price(self, symbol, price):
        self.minute += 1
        self.broker.price(symbol, price)
        self.feed(price={"sym": symbol, "price": price, "volume": 1_000_000, "at": f"{self.date}T15:{self.minute}:00Z"})

    def close(self, **closes):
        self.broker.close()
        for symbol, price in closes.items():
            self.feed(bar={"sym": symbol, "open": price, "high": price, "low": price, "close": price, "volume": 1_000_000})
        self.feed(close=self.date)
        self.trading.wait(lambda: self.trading.closed(self.date))

    def session(self, date, price):
        self.open(date)
        for symbol in SYMBOLS:
            self.price(symbol, price)
        self.close(**dict.fromkeys(SYMBOLS, price))


SECRET = "a-very-secret-trading-secret"
TOP = Path(__file__).resolve().parents[2]


class Alpaca:
    """Our paper venue, served over Alpaca's API."""

    name = "alpaca"

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [servers.binaries() / "examples/alpaca_paper", *SYMBOLS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"APCA_API_KEY_ID": "PKTRADE", "APCA_API_SECRET_KEY": SECRET},
        )
        port = int(self.process.stdout.readline())
        self.secret = {"key_id": "PKTRADE", "secret_key": SECRET, "base_url": f"http://127.0.0.1:{port}"}

    def tell(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def open(self, date):
        self.tell(opened=date)

    def price(self, symbol, price):
        self.tell(price={"symbol": symbol, "price": price, "volume": 1_000_000})

    def close(self):
        self.tell(closed={})

    def stop(self):
        self.process.kill()
        self.process.wait()


class Fix:
    """A small broker on QuickFIX (`tests/brokers/fix/venue.py`)."""

    name = "fix"

    def __init__(self, folder):
        venv = TOP / "tests/brokers/fix"
        made = [TOP / "tools/python-env", venv / "requirements.txt", venv / ".venv"]
        python = subprocess.run(made, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        port, file = servers.free_port(), folder / "venue.json"
        store = folder / "venue"
        store.mkdir()
        file.write_text(json.dumps({"port": port, "store": str(store), "cash": "100000", "password": SECRET}))
        self.process = subprocess.Popen(
            [python, venv / "venue.py", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.heard, self.answers = [], queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        session = f'sender = "DESK"\ntarget = "BROKER"\nhost = "127.0.0.1"\nport = {port}\nplain = true\n'
        self.secret = {"session": session, "username": "desk", "password": SECRET}

    def _read(self):
        for line in self.process.stdout:
            told = json.loads(line)
            self.answers.put(told) if "did" in told else self.heard.append(told)

    def tell(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return self.answers.get(timeout=20)["books"]

    def open(self, date):
        self.tell(bell="open")

    def price(self, symbol, price):
        self.tell(price=[symbol, price])

    def close(self):
        self.tell(bell="close")

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=[Alpaca, Fix], ids=lambda broker: broker.name)
def market(request, trading, tmp_path):
    s3 = trading.client("s3")
    s3.put_object(Bucket=trading.name, Key="lake/strategies/ema.toml", Body=RUN_FILE.encode())
    broker = request.param(tmp_path)
    try:
        trading.client("secretsmanager").create_secret(Name=trading.name, SecretString=json.dumps(broker.secret))
        yield Market(trading, broker)
    finally:
        broker.stop()


def holds(trading):
    account = trading.record("account")
    return account and {one["symbol"]: one["quantity"] for one in account["status"]["holdings"]}


def begin(market, *programs):
    """Everybody trades, and the account holds something."""
    trading = market.trading
    environment = {"BROKER": market.broker.name, "BROKER_SECRET": trading.name, "SILENCE_SECONDS": "4000000000"}
    trading.start("market-data-adapter", stdin=subprocess.PIPE, **environment | {"FEED": "stdin"})
    trading.start("broker-adapter", "strategy-runner", *programs, **environment)
    for date, price in zip(DATES, ("300", "320", "340")):
        market.session(date, price)
    market.open(DATES[3])
    for symbol in SYMBOLS:
        market.price(symbol, "360")
    trading.wait(lambda: holds(trading) == {"AAPL": "100", "MSFT": "100"})
    return environment


def test_at_a_broker_elsewhere_nothing_is_lost_or_doubled_whoever_is_killed(market):
    trading = market.trading
    environment = begin(market)
    for program in ("broker-adapter", "strategy-runner"):
        trading.started[program].kill()
        trading.started[program].wait()
    # Prices fall while nobody is there; the strategy sells at the next open.
    market.price("AAPL", "290")
    trading.start("broker-adapter", "strategy-runner", **environment)
    market.close(AAPL="200", MSFT="380")
    market.open(DATES[4])
    market.price("AAPL", "201")
    market.price("MSFT", "381")
    # It sells what it has, and once that has filled it goes short at the next price.
    positions = lambda: [one["quantity"] for one in trading.record("live")["snapshot"]["positions"]]
    trading.wait(lambda: positions() in (["0", "100"], ["-100", "100"]))
    trading.wait(lambda: sum('"ordered"' in line for line in trading.journal()) == 4)
    for _ in range(20):
        market.price("AAPL", "201")
        time.sleep(0.5)
        if holds(trading) == {"AAPL": "-100", "MSFT": "100"}:
            break
    trading.wait(lambda: positions() == ["-100", "100"] and trading.record("live")["snapshot"]["compared"])
    assert trading.record("live")["snapshot"]["disputed"] is False
    lines = trading.journal()
    assert sum('"filled"' in line for line in lines) == 4 and not any('"corrected"' in line for line in lines)
    folder = trading.folder / "proof"
    trading.command("aws", "journal", "ema", "--out", folder, check=True)
    assert "came out again" in trading.command("journal", "replay", folder, "--lake", trading.lake, check=True).stdout
    kept = "".join(lines) + "".join(trading.log(program) for program in ("broker-adapter", "strategy-runner"))
    assert SECRET not in kept


def test_the_guardian_closes_at_a_broker_elsewhere_when_the_runner_is_frozen(market):
    trading = market.trading
    begin(market, "guardian")
    trading.started["strategy-runner"].send_signal(signal.SIGSTOP)
    trading.wait(lambda: trading.record("account")["status"]["flattening"])
    market.price("AAPL", "355")
    market.price("MSFT", "355")
    trading.wait(lambda: trading.record("account")["flat"])
    assert holds(trading) == {}
    trading.started["strategy-runner"].send_signal(signal.SIGCONT)
    assert trading.started["strategy-runner"].wait(60) == 1
    assert "the guardian has taken over from the runner" in trading.log("strategy-runner")
    # What comes later opens nothing again.
    market.price("AAPL", "500")
    assert trading.record("account")["flat"]
