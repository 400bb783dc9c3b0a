"""Our backtests against backtrader, empyrical-reloaded and quantstats.

The command runs on the sample; the judges' figures are in `golden/`. Set
ALGOTRADING_BIN to the binary (`./test` builds it and does).
"""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import make_goldens
import make_ppo
import make_purged
import reference
import sample

# Relative. Sums of floats are added in another order here than there.
SAME = 1e-9

RULES = {
    "sma": 'name = "sma"\nfast = 50\nslow = 200\nsize = 100',
    "ema": 'name = "ema"\nfast = 8\nslow = 21\nsize = 100',
    "breakout": 'name = "breakout"\nperiod = 50\nsize = 100',
    "breakout_high_low": 'name = "breakout"\nperiod = 50\nsize = 100\nchannel = "high_low"',
}
COSTS = {
    "none": "",
    "bps10": "[costs]\ncommission_bps = 10\n",
    "per_share_half_cent": "[costs]\ncommission_per_share = 0.005\n",
}

# Our metric: (judge, its name). Ours carry the name of the function whose definition they follow.
METRICS = {
    name: ("empyrical", name)
    for name in (
        "cum_returns_final", "annual_return", "annual_volatility", "sharpe_ratio",
        "sortino_ratio", "calmar_ratio", "max_drawdown", "alpha", "beta", "value_at_risk",
        "conditional_value_at_risk", "tail_ratio",
    )
} | {name: ("quantstats", name) for name in ("skew", "kurtosis")}

every_symbol = pytest.mark.parametrize("symbol", sample.SYMBOLS)
every_rule = pytest.mark.parametrize("rule", RULES)


def same(ours, theirs) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=SAME, abs_tol=1e-12)


def algotrading(*arguments) -> dict:
    binary = os.environ.get("ALGOTRADING_BIN")
    if not binary:
        pytest.fail("ALGOTRADING_BIN is not set; `cargo build` and set it to target/debug/algotrading")
    done = subprocess.run(
        [binary, *map(str, arguments), "--json"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.args}: {done.stderr.strip()}"
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def golden():
    return {s: json.loads((sample.GOLDEN / f"{s}.json").read_text()) for s in sample.SYMBOLS}


def lake_of(folder: Path, files: list[Path]) -> Path:
    lake = folder / "lake"
    counts = algotrading("data", "import", *files, "--lake", lake)
    rows = sum(file.read_text().count("\n") - 1 for file in files)
    assert (counts["read"], counts["stored"], counts["quarantined"]) == (rows, rows, 0)
    return lake


@pytest.fixture(scope="session")
def raw_lake(tmp_path_factory):
    """Raw prices in the workshop layout, no corporate actions: what backtrader is given."""
    folder = tmp_path_factory.mktemp("raw")
    return lake_of(folder, [sample.write_workshop(s, folder / f"{s}.csv") for s in sample.SYMBOLS])


@pytest.fixture(scope="session")
def vendor_lake(tmp_path_factory):
    """The vendor's files as they come, with splits and dividends."""
    folder = tmp_path_factory.mktemp("vendor")
    return lake_of(folder, [sample.vendor_file(s) for s in sample.SYMBOLS])


@pytest.fixture(scope="session")
def backtest(tmp_path_factory):
    """Run a rule on a symbol of a lake, once for each distinct question."""
    answers = {}
    folder = tmp_path_factory.mktemp("runs")

    def run(lake, symbol, rule, costs="none"):
        key = (lake, symbol, rule, costs)
        if key not in answers:
            rows = sample.vendor_rows(symbol)
            config = folder / f"{lake.parent.name}-{symbol}-{rule}-{costs}.toml"
            config.write_text(
                f'[data]\nsymbols = ["{symbol}"]\n'
                f'from = "{rows[0]["timestamp"]}"\nto = "{rows[-1]["timestamp"]}"\n'
                f"[strategy]\n{RULES[rule]}\n"
                f"[account]\ncash = {int(reference.CASH)}\n{COSTS[costs]}"
            )
            out = config.with_suffix("")
            answers[key] = algotrading("backtest", config, "--lake", lake, "--out", out)
        return answers[key]

    return run


def as_lists(fills) -> list:
    return [[f["dt"], f["sym"], f["quantity"], f["price"]] for f in fills]


def test_backtrader_refused_no_order(golden):
    """Otherwise its fills would show its margin rules and not the strategies."""
    for symbol, judged in golden.items():
        for rule, run in judged["strategies"].items():
            assert run["refused"] == [], (symbol, rule)


@every_rule
@every_symbol
def test_fills_equal_backtraders(golden, raw_lake, backtest, symbol, rule):
    theirs = [fill[:4] for fill in golden[symbol]["strategies"][rule]["fills"]]
    assert as_lists(backtest(raw_lake, symbol, rule)["fills"]) == theirs


@every_rule
@every_symbol
def test_trades_and_final_equity_equal_backtraders(golden, raw_lake, backtest, symbol, rule):
    theirs = golden[symbol]["strategies"][rule]
    ours = backtest(raw_lake, symbol, rule)
    assert same(ours["final_equity"], theirs["final_equity"])
    expected = {k: theirs["trades"][k] for k in ("closed", "open", "won", "lost")}
    assert {k: ours["trades"][k] for k in expected} == expected


@every_rule
@every_symbol
def test_metrics_equal_the_judges(golden, raw_lake, backtest, symbol, rule):
    theirs = golden[symbol]["strategies"][rule]
    ours = {k: v["value"] for k, v in backtest(raw_lake, symbol, rule)["metrics"].items()}
    wrong = {
        name: (ours.get(name, "absent"), theirs["metrics"][judge][theirs_name])
        for name, (judge, theirs_name) in METRICS.items()
        if name not in ours or not same(ours[name], theirs["metrics"][judge][theirs_name])
    }
    assert not wrong, f"ours, then the judge's: {wrong}"


@pytest.mark.parametrize("costs", [name for name in COSTS if name != "none"])
@every_rule
@every_symbol
def test_fees_equal_backtraders(golden, raw_lake, backtest, symbol, rule, costs):
    theirs = golden[symbol]["with_costs"][costs][rule]
    assert theirs["refused"] == []
    ours = backtest(raw_lake, symbol, rule, costs)
    fees = [fill["fee"] for fill in ours["fills"]]
    assert len(fees) == len(theirs["fees"])
    # Money is kept in millionths.
    assert all(abs(a - b) <= 1e-6 for a, b in zip(fees, theirs["fees"]))
    assert same(ours["final_equity"], theirs["final_equity"])
    expected = {k: theirs["trades"][k] for k in ("closed", "open", "won", "lost")}
    assert {k: ours["trades"][k] for k in expected} == expected


@pytest.mark.parametrize("rule", ["sma", "ema"])
@pytest.mark.parametrize("symbol", ["AAPL", "MSFT"])
def test_a_known_split_moves_no_signal(golden, vendor_lake, backtest, symbol, rule):
    """On raw prices with known splits we decide as backtrader does on adjusted ones."""
    ours = [
        [fill["dt"], 1 if fill["quantity"] > 0 else -1]
        for fill in backtest(vendor_lake, symbol, rule)["fills"]
    ]
    assert ours == golden[symbol]["split_adjusted_directions"][rule]


def test_a_golden_is_what_the_judges_say_today(golden):
    """One symbol, the shortest; `make_goldens.py --check` compares all of them."""
    fresh = json.loads(make_goldens.text(make_goldens.golden("FB")))
    assert make_goldens.difference(golden["FB"], fresh) is None


def test_purged_rows_are_still_what_purgedcv_leaves():
    assert make_purged.made() == json.loads(make_purged.GOLDEN.read_text())


def test_the_golden_of_ppo_is_still_what_numpy_says():
    assert agrees(make_ppo.made(), json.loads(make_ppo.GOLDEN.read_text()))


def agrees(one, other) -> bool:
    """Equal but for the last digits, which differ between builds of NumPy."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(agrees(one[key], other[key]) for key in one)
    return np.allclose(one, other, rtol=1e-12, atol=1e-13)
