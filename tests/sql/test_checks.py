"""Every check of a session's data: what it finds where one thing is wrong, and that it is silent where nothing is."""

import json

import pytest

import lakes
from lakes import bar, deliver, stored
from shipped import TEXTS, Duck, assert_equal, bind, call, embedded

SESSION = "2013-02-21"
NEXT = "2013-03-04"  # The first session after the sample.
ALL = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def findings(lake, name, session=NEXT):
    """The rows, which two engines must agree on."""
    text = bind(TEXTS["checks"][name], session)
    rows = embedded(lake, text)
    assert_equal(rows, Duck(lake).rows(text), ordered=True)
    return rows


def usual(*names, **moved):
    """The next session's rows: the closes of the sample's last, times a factor."""
    return {sym: [bar(NEXT, round(stored(sym, "2013-03-01")["close"] * moved.get(sym, 1.01), 4))] for sym in names}


@pytest.mark.parametrize("name", TEXTS["checks"])
def test_nothing_is_found_in_a_clean_lake(clean, name):
    assert findings(clean, name, SESSION) == []


def test_every_check_has_its_scenario():
    assert {f"test_{name}" for name in TEXTS["checks"]} <= set(globals())


def test_no_bars(lake):
    assert findings(lake, "no_bars") == [{"what": "bars_daily", "dt": NEXT}]
    deliver(lake, usual("IBM"))
    assert findings(lake, "no_bars") == []


def test_duplicate_bars(lake):
    prices = {"dt": SESSION, "open": 5, "high": 6, "low": 4}
    lakes.write_bars(lake, [
        prices | {"sym": "TWICE", "close": 5}, prices | {"sym": "TWICE", "close": 5.5},
        # Another moment is another version.
        prices | {"sym": "FIXED", "close": 5}, prices | {"sym": "FIXED", "close": 5.5, "known_at": "2013-02-22T00:00:00Z"},
        prices | {"sym": "OTHER", "close": 5, "dt": "2013-02-20"}, prices | {"sym": "OTHER", "close": 6, "dt": "2013-02-20"},
    ])
    assert findings(lake, "duplicate_bars", SESSION) == [{"dt": SESSION, "sym": "TWICE", "versions": 2}]


def test_impossible_prices(lake):
    right = {"dt": SESSION, "open": 5, "high": 6, "low": 4, "close": 5}
    wrong = {"A": {"low": 0}, "B": {"high": 3}, "C": {"open": 3.9}, "D": {"open": 6.1}, "E": {"close": 3.9}, "F": {"close": 6.1}}
    # A check that stops the day does not pass what it cannot compare.
    wrong |= {f"N{name}": {name: None} for name in ("close", "high", "low", "open")}
    rows = [right | {"sym": sym} | prices for sym, prices in wrong.items()]
    # Corrected since; corrected into nonsense; on the edges.
    rows += [right | {"sym": "G", "low": 7}, right | {"sym": "G", "known_at": "2013-02-22T00:00:00Z"}]
    rows += [right | {"sym": "H"}, right | {"sym": "H", "low": -1, "known_at": "2013-02-22T00:00:00Z"}]
    rows += [right | {"sym": "I", "open": 4, "close": 6}, right | {"sym": "J", "dt": "2013-02-20", "low": 0}]
    lakes.write_bars(lake, rows)
    found = findings(lake, "impossible_prices", SESSION)
    assert [row["sym"] for row in found] == ["A", "B", "C", "D", "E", "F", "H", "Nclose", "Nhigh", "Nlow", "Nopen"]
    assert found[0] == {"dt": SESSION, "sym": "A", "open": 5, "high": 6, "low": 0, "close": 5}


def test_missing_symbols(lake):
    deliver(lake, usual("AAPL", "MSFT", "GOOG"))
    lakes.write(lake, "corporate_actions", "by_hand.parquet", [
        {"ex_date": NEXT, "sym": "FB", "kind": "delisting", "value": 27, "known_at": "2013-03-01T21:00:00Z"},
        # Still to come, and no delisting: neither explains anything.
        {"ex_date": "2013-03-05", "sym": "IBM", "kind": "delisting", "value": 200, "known_at": "2013-03-01T21:00:00Z"},
        {"ex_date": NEXT, "sym": "IBM", "kind": "split", "value": 2, "known_at": "2013-03-01T21:00:00Z"},
    ])
    assert findings(lake, "missing_symbols") == [{"sym": "IBM", "last_bar": "2013-03-01"}]


def test_unexplained_jumps(lake):
    rows = usual(*ALL, AAPL=0.5, GOOG=0.5, FB=1.41, IBM=1.39, MSFT=0.61)
    rows["GOOG"] = [bar(NEXT, 403.1, split=2.0)]
    # A dividend explains no such fall.
    rows["AAPL"] = [bar(NEXT, 215.235, dividend=200.0)]
    deliver(lake, rows)
    assert findings(lake, "unexplained_jumps") == [
        {"sym": "AAPL", "close_before": 430.47, "close": 215.235},
        {"sym": "FB", "close_before": 27.78, "close": round(27.78 * 1.41, 4)},
    ]
    # A split of the Sunday belongs to this session, one of the session before or of the next does not.
    for ex_date, found in (("2013-03-03", []), ("2013-03-04", []), ("2013-03-01", ["AAPL"]), ("2013-03-05", ["AAPL"])):
        lakes.write(lake, "corporate_actions", "by_hand.parquet", [
            {"ex_date": ex_date, "sym": "AAPL", "kind": "split", "value": 2, "known_at": "2013-03-01T21:00:00Z"},
        ])
        assert [row["sym"] for row in findings(lake, "unexplained_jumps") if row["sym"] == "AAPL"] == found, ex_date
    # The sample's own.
    assert [row["sym"] for row in findings(lake, "unexplained_jumps", "2000-09-29")] == ["AAPL"]


def test_repeated_bars(lake):
    def again(sym, **moved):
        """The bar before once more, with a price moved."""
        before = stored(sym, "2013-03-01")
        prices = {name: round(before[name] + moved.get(name, 0), 4) for name in ("open", "high", "low", "close")}
        return [bar(NEXT, prices.pop("close"), 77, **prices)]

    deliver(lake, {
        "IBM": again("IBM"), "NEW": again("IBM"),
        "AAPL": again("AAPL", open=-0.01), "FB": again("FB", high=0.01), "GOOG": again("GOOG", low=-0.01), "MSFT": again("MSFT", close=-0.01),
    })
    assert findings(lake, "repeated_bars") == [{"sym": "IBM", "close": 202.91, "vol_before": 3308300, "vol": 77}]
    # The rest was stored.
    assert findings(lake, "missing_symbols") == []


def test_zero_volume(lake):
    deliver(lake, usual("AAPL", "FB", "GOOG") | {"IBM": [bar(NEXT, 200.5, 0), bar("2013-03-05", 201.5, 0)], "MSFT": [bar(NEXT, 27.95, 1)]})
    assert findings(lake, "zero_volume") == [{"dt": NEXT, "sym": "IBM", "close": 200.5}]


def test_late_bars(lake):
    # 36 hours after the close of Monday, 21:00 UTC, are Wednesday, 09:00; until then a run decides on the bar.
    deliver(lake, usual("MSFT"), known_at="2013-03-06T09:00:00Z")
    deliver(lake, usual("IBM"), known_at="2013-03-06T09:00:00.001Z")
    # In time, and corrected late.
    deliver(lake, usual("AAPL"), known_at="2013-03-04T21:00:00Z")
    deliver(lake, usual("AAPL", AAPL=1.02), known_at="2013-03-07T12:30:00Z")
    # Bought years later, with all its history: taken as known at the close.
    deliver(lake, {"NEW": [bar("2013-03-01", 5), bar(NEXT, 5.25)]}, known_at="2014-01-01T00:00:00Z")
    assert findings(lake, "late_bars") == [{"sym": "IBM", "first_known": "2013-03-06 09:00"}]


def test_a_late_bar_is_one_that_a_run_leaves_out(lake, tmp_path):
    """The check and the rule of a run (ADR 4) say the same of the same lake."""
    deliver(lake, usual("IBM"), known_at="2013-03-06T09:00:00.001Z")
    deliver(lake, usual("MSFT"), known_at="2013-03-06T09:00:00Z")
    for sym, found in (("IBM", True), ("MSFT", False)):
        run = tmp_path / f"{sym}.toml"
        run.write_text(f'data.symbols = ["{sym}"]\n[strategy]\nname = "ema"\nfast = 8\nslow = 21\nsize = 100\n')
        notes = json.loads(call("backtest", run, "--lake", lake, "--out", tmp_path / sym, "--json"))["notes"]
        assert any("left out" in note for note in notes) == found, notes
        assert (sym in [row["sym"] for row in findings(lake, "late_bars")]) == found


def test_corrected_bars(lake):
    fixed = lambda sym, dt: {sym: [bar(dt, stored(sym, dt)["close"] + 0.25, 5)]}
    # Since the session: its eve, 30 days before, and more than that; the session itself; twice.
    for rows in (fixed("IBM", "2013-02-20"), fixed("IBM", "2013-01-22"), fixed("IBM", "2013-01-18"), fixed("IBM", SESSION)):
        assert deliver(lake, rows, known_at="2013-02-21T00:00:00Z")["stored"] == 1
    edge = {"dt": "2013-01-21", "sym": "EDGE", "open": 5, "high": 6, "low": 4, "close": 5}
    lakes.write_bars(lake, [edge | {"known_at": "2013-01-21T21:00:00Z"}, edge])
    deliver(lake, fixed("AAPL", "2013-02-20"), known_at="2013-02-22T00:00:00Z")
    deliver(lake, {"AAPL": [bar("2013-02-20", 440, 6)]}, known_at="2013-02-23T00:00:00Z")
    # Before it.
    deliver(lake, fixed("MSFT", "2013-02-19"), known_at="2013-02-20T23:59:59.999999Z")
    assert findings(lake, "corrected_bars", SESSION) == [
        {"dt": "2013-01-22", "sym": "IBM", "versions": 2},
        {"dt": "2013-02-20", "sym": "AAPL", "versions": 3},
        {"dt": "2013-02-20", "sym": "IBM", "versions": 2},
    ]


def test_what_is_corrected_on_a_weekend_is_told_on_monday(lake):
    for sym, known_at in (("IBM", "2013-03-02T00:00:00Z"), ("MSFT", "2013-03-03T23:59:59Z"), ("AAPL", "2013-03-01T23:59:59Z")):
        deliver(lake, {sym: [bar("2013-03-01", stored(sym, "2013-03-01")["close"] + 0.25, 5)]}, known_at=known_at)
    assert [row["sym"] for row in findings(lake, "corrected_bars")] == ["IBM", "MSFT"]
    # Not told again on Tuesday.
    deliver(lake, usual(*ALL))
    assert findings(lake, "corrected_bars", "2013-03-05") == []


def test_quarantined_rows(lake):
    # By hand, because an import by hand says today.
    old = {"line": 2, "rule": "high_low", "value": "1", "row": "x", "source": "f" * 16}
    refused = lambda file, known_at, **other: old | {"file": file, "known_at": known_at} | other
    lakes.write(lake, "quarantine", "by_hand.parquet", [
        refused("friday.csv", "2013-03-01T23:59:59Z"), refused("saturday.csv", "2013-03-02T00:00:00Z"),
        refused("monday.csv", "2013-03-04T00:00:00Z", rule="off_session"), refused("monday.csv", "2013-03-04T12:00:00Z", value="2", line=9),
        refused("monday.csv", "2013-03-04T12:00:00Z"),
    ])
    row = lambda file, rule, count, example="1": {"file": file, "rule": rule, "refused": count, "example": example}
    # The session before was a Friday.
    monday = [row("monday.csv", "high_low", 2), row("monday.csv", "off_session", 1)]
    wanted = [*monday, row("saturday.csv", "high_low", 1)]
    assert findings(lake, "quarantined_rows") == wanted
    deliver(lake, usual(*ALL))
    assert findings(lake, "quarantined_rows") == wanted
    assert findings(lake, "quarantined_rows", "2013-03-05") == []
    counts = deliver(lake, {"IBM": [bar("2013-03-02", 200), bar("2013-03-03", 201)], "MSFT": [bar("2013-03-02", 28)]})
    assert counts["quarantined"] == 3
    assert [(row["file"], row["rule"], row["refused"]) for row in findings(lake, "quarantined_rows", "2013-03-05")] == [
        ("daily_adjusted_IBM.csv", "off_session", 2), ("daily_adjusted_MSFT.csv", "off_session", 1),
    ]


def test_rows_refused_before_the_first_bar_are_told(clean, tmp_path):
    """A lake without a session before: the session's own day."""
    lakes.write(tmp_path / "lake", "quarantine", "by_hand.parquet", [
        {"file": f"{known_at[:10]}.csv", "line": 2, "rule": "high_low", "value": "1", "row": "x", "known_at": known_at}
        for known_at in ("2013-03-03T23:59:59Z", "2013-03-04T00:00:00Z")
    ])
    assert [row["file"] for row in findings(tmp_path / "lake", "quarantined_rows")] == ["2013-03-04.csv"]
