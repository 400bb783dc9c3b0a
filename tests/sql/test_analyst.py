"""What the analysts' queries mean, reckoned from the vendor's files and from known records, without SQL.

That two engines agree says nothing about a window that is a day too long.
"""

import csv
import math
import statistics
from collections import defaultdict

import pytest

import lakes
from shipped import SAMPLE, TEXTS, bind, embedded


def ask(lake, name, session=None):
    return embedded(lake, bind(TEXTS["analyst"][name], session))


@pytest.fixture(scope="module")
def files():
    """Every symbol's rows as the vendor has them, oldest first."""
    symbols = {}
    for file in SAMPLE.glob("daily_adjusted_*.csv"):
        with file.open() as lines:
            rows = [{"dt": row["timestamp"]} | {name: float(row[name]) for name in row if name != "timestamp"} for row in csv.DictReader(lines)]
        symbols[file.stem.removeprefix("daily_adjusted_")] = sorted(rows, key=lambda row: row["dt"])
    return symbols


def growth(rows):
    """What one of money becomes over each session but the first: its split, its dividend, its price."""
    return [day["split_coefficient"] * (day["close"] + day["dividend_amount"]) / before["close"] for before, day in zip(rows, rows[1:])]


def assert_near(found: dict, wanted: dict):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == value if value is None else math.isclose(found[key], value, rel_tol=1e-7, abs_tol=1e-8), (key, found[key], value)


def test_latest_bars(clean, files):
    last = {sym: rows[-1] for sym, rows in files.items()}
    assert ask(clean, "latest_bars") == [
        {"sym": sym, "dt": last[sym]["dt"], "close": last[sym]["close"], "vol": last[sym]["volume"]} for sym in sorted(last)
    ]


def test_monthly_returns(clean, files):
    wanted = {}
    for sym, rows in files.items():
        months = defaultdict(list)
        for day, times in zip(rows[1:], growth(rows)):
            months[day["dt"][:7]].append(times)
        wanted |= {(sym, month): math.prod(times) - 1 for month, times in months.items()}
        # There is no close of the month before.
        wanted[sym, rows[0]["dt"][:7]] = None
    assert_near({(row["sym"], row["month"]): row["total_return"] for row in ask(clean, "monthly_returns")}, wanted)


def test_volatility_20d(clean, files):
    wanted = {}
    for sym, rows in files.items():
        logs = [math.log(times) for times in growth(rows)]
        for at in range(20, len(rows)):
            wanted[sym, rows[at]["dt"]] = statistics.stdev(logs[at - 20 : at]) * math.sqrt(252)
    assert_near({(row["sym"], row["dt"]): row["volatility"] for row in ask(clean, "volatility_20d")}, wanted)


def test_moving_averages(clean, files):
    found = {(row["sym"], row["dt"]): row for row in ask(clean, "moving_averages")}
    closes, fast, slow, fast_is = {}, {}, {}, {}
    for sym, rows in files.items():
        later, adjusted = 1.0, []
        for row in reversed(rows):
            adjusted.insert(0, row["close"] / later)
            later *= row["split_coefficient"]
        for at in range(199, len(rows)):
            key = sym, rows[at]["dt"]
            closes[key] = adjusted[at]
            fast[key] = statistics.fmean(adjusted[at - 49 : at + 1])
            slow[key] = statistics.fmean(adjusted[at - 199 : at + 1])
            fast_is[key] = "above" if fast[key] > slow[key] else "below"
    for name, wanted in (("close", closes), ("mean_50", fast), ("mean_200", slow)):
        assert_near({key: row[name] for key, row in found.items()}, wanted)
    assert {key: row["fast_is"] for key, row in found.items()} == fast_is
    assert set(fast_is.values()) == {"above", "below"}


def test_signals_and_returns(lake, files):
    # Apple paid 2.65 on 7 February; the last two have no two closes after them; GONE was never traded.
    sessions = ["2013-02-05", "2013-02-06", "2013-02-28", "2013-03-01"]
    for dt in sessions:
        lakes.write(lake, "signals", f"forecast/{dt}.parquet", [{"dt": dt, "sym": sym, "model": "forecast", "value": 0.25} for sym in ("AAPL", "GONE")])
    rows = files["AAPL"]
    place = {row["dt"]: at for at, row in enumerate(rows)}
    # From the close of at + 1 to that of at + 2.
    wanted = {dt: growth(rows)[place[dt] + 1] - 1 if place[dt] + 2 < len(rows) else None for dt in sessions}
    found = ask(lake, "signals_and_returns")
    assert all((row["model"], row["sym"], row["value"]) == ("forecast", "AAPL", 0.25) for row in found)
    assert_near({row["dt"]: row["next_return"] for row in found}, wanted)
    assert math.isclose(wanted["2013-02-05"], (468.22 + 2.65) / 457.35 - 1) and wanted["2013-02-28"] is None


def test_records(lake):
    lakes.write_records(lake)
    curves = ask(lake, "equity_curves")
    assert [(row["strategy"], row["dt"]) for row in curves] == [(s, f"2013-02-{d}") for s in ("ema", "forecast") for d in (20, 21, 22)]
    assert curves[1] == {"strategy": "ema", "dt": "2013-02-21", "equity": 1021.75, "return_1d": 0.001, "drawdown": -0.1}
    history = ask(lake, "run_history")
    assert [(row["strategy"], row["dt"]) for row in history] == [(row["strategy"], row["dt"]) for row in curves]
    assert history[5] == {"strategy": "forecast", "dt": "2013-02-22", "run_id": "forecast2" * 3, "control": "halt", "orders": 2, "refused": 1, "fills": 2}
    # One more session than is asked about, on either side.
    fill = lambda strategy, sym, order, quantity, price, fee: {"strategy": strategy, "sym": sym, "order_id": f"2013-02-21-{order}", "quantity": quantity, "price": price, "fee": fee}
    assert ask(lake, "fills_of_session", "2013-02-21") == [
        fill("ema", "AAPL", 3, 100.125, 446.06, 0.0), fill("ema", "IBM", 1, 100.125, 200.123456789, 1.000001),
        fill("forecast", "AAPL", 3, -99.875, 446.06, 0.0), fill("forecast", "IBM", 1, -99.875, 200.123456789, 1.000001),
    ]


def test_quarantine_by_rule(lake):
    lakes.write(lake, "quarantine", "by_hand.parquet", [
        {"file": "a.csv", "line": 7, "rule": rule, "value": "1", "row": "x", "known_at": known_at}
        for rule, known_at in (("high_low", "2013-03-03T23:59:59.999Z"), ("high_low", "2013-03-04T00:00:00Z"), ("high_low", "2013-03-04T23:00:00Z"), ("off_session", "2013-03-04T12:00:00Z"))
    ])
    assert ask(lake, "quarantine_by_rule") == [
        {"rule": "high_low", "arrived": "2013-03-03", "refused": 1},
        {"rule": "high_low", "arrived": "2013-03-04", "refused": 2},
        {"rule": "off_session", "arrived": "2013-03-04", "refused": 1},
    ]


def test_every_query_has_its_reckoning():
    elsewhere = {"reference_history", "reference_preview"}  # Of test_shipped.
    records = {"equity_curves", "run_history", "fills_of_session"}
    assert {f"test_{name}" for name in TEXTS["analyst"].keys() - elsewhere - records} <= set(globals())
