"""From an event of the market to the order at the broker: how long it takes through Kinesis, DynamoDB and SQS of the
offline AWS. Run by `benches/trading`.
"""

import argparse
import csv
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from harness import servers
from harness.trading import Trading

RUN_FILE = """[strategy]
name = "sma"
fast = 1
slow = 2
size = 100

[data]
symbols = ["AAPL"]
from = 2005-01-01
to = 2013-03-01

[account]
cash = 1000000
"""
SUBMIT = b"submit"


class Wire:
    """Passes on what the broker adapter says to AWS, and notes when it begins to write an order down."""

    def __init__(self, url: str):
        host, port = url.removeprefix("http://").split(":")
        self.to = host, int(port)
        self.at: list[float] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(self.to)
            for one, other, watched in ((near, far, True), (far, near, False)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(one, other, watched), daemon=True).start()

    def _pass_on(self, one, other, watched):
        writes = False
        while data := one.recv(1 << 16):
            if watched:
                writes = b"TransactWriteItems" in data or (writes and not data.startswith(b"POST"))
                if writes and SUBMIT in data:
                    self.at.append(time.perf_counter())
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)

    def next(self, before: int) -> float:
        """When the order came that follows on so many."""
        until = time.monotonic() + 60
        while len(self.at) == before:
            if time.monotonic() > until:
                sys.exit("no order came for a minute")
            time.sleep(0.001)
        return self.at[before]


def session(date: str, up: bool) -> list[dict]:
    price = "110" if up else "100"
    bar = {"sym": "AAPL", "open": price, "high": price, "low": price, "close": price, "volume": 1_000_000}
    return [{"open": date}, {"bar": bar}, {"close": date}]


def measure(emulator, lake: Path, folder: Path, dates: list[str]) -> list[float]:
    trading, took = Trading(emulator, lake, folder, RUN_FILE), []
    wire = Wire(emulator.url)
    try:
        trading.start("strategy-runner")
        trading.start("broker-adapter", AWS_ENDPOINT_URL=wire.url)
        trading.start("market-data-adapter", stdin=subprocess.PIPE, FEED="stdin")
        feed = trading.started["market-data-adapter"].stdin
        for number, date in enumerate(dates):
            *before, close = session(date, number % 2 == 0)
            for line in before:
                feed.write(json.dumps(line).encode() + b"\n")
            feed.flush()
            live = lambda: (live := trading.record("live")) and live["snapshot"]["session"]
            trading.wait(lambda: live() == date)
            # What the session's own events set going is over.
            time.sleep(0.3)
            known, begun = len(wire.at), time.perf_counter()
            feed.write(json.dumps(close).encode() + b"\n")
            feed.flush()
            if number == 0:
                trading.wait(lambda: trading.closed(date))
            else:
                took.append(wire.next(known) - begun)
        return took
    finally:
        trading.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=300)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    sample = servers.TOP / "data/sample/daily_adjusted_AAPL.csv"
    dates = sorted(row["timestamp"] for row in csv.DictReader(sample.open()) if row["timestamp"] >= "2005")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([servers.binaries() / "algotrading", "demo", "--out", folder / "demo"], check=True, stdout=subprocess.DEVNULL)
        emulator = servers.ministack(folder / "ministack")
        try:
            took = measure(emulator, folder / "demo/lake", folder, dates[: arguments.sessions + 1])
        finally:
            servers.stop(emulator)
    cuts = statistics.quantiles(took, n=1000, method="inclusive")
    figures = {"orders": len(took), "p50_ms": cuts[499] * 1e3, "p99_ms": cuts[989] * 1e3, "max_ms": max(took) * 1e3}
    if len(took) >= 1_000:
        figures["p999_ms"] = cuts[998] * 1e3
    print(", ".join(f"{name} {value:.0f}" for name, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
