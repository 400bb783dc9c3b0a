#!/usr/bin/env python3
"""Make the golden figures our backtests are compared with.

    tests/oracles/regenerate              rewrite golden/*.json
    make_goldens.py --check [SYM]...      fail when a golden differs from a fresh run

The judges are backtrader (fills, equity, trades, its own analyzers),
empyrical-reloaded and quantstats (metrics of the daily returns). Returns are
`equity.pct_change().dropna()`: the first session has none. A figure a judge
does not define (nan, infinity, an error on no returns) is null.
"""

import argparse
import json
import math
import sys
import tempfile
import warnings
from pathlib import Path

import empyrical as ep
import numpy as np
import pandas as pd
import quantstats.stats as qs

import reference
import sample

warnings.filterwarnings("ignore")
np.seterr(all="ignore")

# Relative difference allowed between two machines in a figure made of sums of floats.
TOLERANCE = 1e-9

EMPYRICAL = (
    "cum_returns_final", "annual_return", "cagr", "annual_volatility", "downside_risk",
    "sharpe_ratio", "sortino_ratio", "calmar_ratio", "omega_ratio", "max_drawdown",
    "stability_of_timeseries", "tail_ratio", "value_at_risk", "conditional_value_at_risk",
)
EMPYRICAL_BENCHMARK = ("alpha", "beta", "excess_sharpe", "up_capture", "down_capture", "capture")
QUANTSTATS = (
    "skew", "kurtosis", "profit_factor", "win_rate", "payoff_ratio", "avg_win", "avg_loss",
    "best", "worst", "exposure", "gain_to_pain_ratio", "ulcer_index", "common_sense_ratio",
    "volatility", "sharpe", "sortino", "comp", "tail_ratio",
)


def defined(value):
    """A float, or None for what is not a number."""
    value = float(value)
    return value if math.isfinite(value) else None


def judged(functions, names, *series):
    figures = {}
    for name in names:
        try:
            figures[name] = defined(getattr(functions, name)(*(one.copy() for one in series)))
        except (ValueError, ZeroDivisionError, IndexError, TypeError):
            figures[name] = None
    return figures


def drawdown_dates(equity):
    """Peak, valley and recovery of the deepest drawdown, first one when equal."""
    depth = equity / equity.cummax() - 1
    if depth.min() == 0:
        return {"peak": None, "valley": None, "recovery": None}
    valley = depth.idxmin()
    peak = equity[:valley].idxmax()
    back = equity[valley:][equity[valley:] >= equity[peak]]
    day = lambda at: at.date().isoformat()
    return {
        "peak": day(peak),
        "valley": day(valley),
        "recovery": day(back.index[0]) if len(back) else None,
    }


def month_ends(run):
    """Equity at each month's last session; the metrics vouch for the days between."""
    last = {day[:7]: (day, value) for day, value in zip(run.dates, run.equity)}
    # Cents are exact in the sample; this drops the dust of adding floats.
    return [[day, round(value, 6)] for day, value in last.values()]


def trades(run):
    found = run.analyzers.trades.get_analysis()

    def count(*path):
        node = found
        for key in path:
            if key not in node:
                return 0
            node = node[key]
        return int(node)

    pnls = [round(pnl, 6) + 0.0 for pnl in run.pnls]
    assert len(pnls) == count("total", "closed")
    return {
        "closed": count("total", "closed"),
        "open": count("total", "open"),
        # backtrader's rule, by which a trade that ends at zero is won, on cents without the
        # dust of adding floats: its own count loses some trades of zero to -1e-14.
        "won": sum(pnl >= 0 for pnl in pnls),
        "lost": sum(pnl < 0 for pnl in pnls),
        "pnl": pnls,
    }


def analyzers(run):
    drawdown = run.analyzers.drawdown.get_analysis()
    sqn = run.analyzers.sqn.get_analysis()
    sharpe = run.analyzers.sharpe_a.get_analysis()["sharperatio"]
    return {
        "sqn": defined(sqn["sqn"]) if sqn["trades"] else None,
        "sharpe_ratio_a": None if sharpe is None else defined(sharpe),
        "max_drawdown_percent": drawdown["max"]["drawdown"],
        "max_drawdown_money": drawdown["max"]["moneydown"],
        "max_drawdown_sessions": drawdown["max"]["len"],
        "yearly_returns": {
            str(at.year): value for at, value in run.analyzers.years.get_analysis().items()
        },
    }


def metrics(run, closes):
    index = pd.DatetimeIndex(run.dates)
    equity = pd.Series(run.equity, index=index)
    returns = equity.pct_change().dropna()
    benchmark = pd.Series(closes, index=index).pct_change().dropna()
    return {
        "empyrical": judged(ep, EMPYRICAL, returns)
        | judged(ep, EMPYRICAL_BENCHMARK, returns, benchmark),
        "quantstats": judged(qs, QUANTSTATS, returns),
        "drawdown_dates": drawdown_dates(equity),
    }


def fills(run, symbol):
    """Fills without the dust of averaging the two parts of a reversal, which trade at one price."""
    return [[day, symbol, size, round(price, 9), round(fee, 9)] for day, size, price, fee in run.fills]


def golden(symbol: str) -> dict:
    """Everything the judges say about one symbol."""
    closes = [float(row["close"]) for row in sample.vendor_rows(symbol)]
    result = {"symbol": symbol, "strategies": {}, "with_costs": {}}
    with tempfile.TemporaryDirectory() as folder:
        raw = sample.write_workshop(symbol, Path(folder) / "raw.csv")
        for name in reference.STRATEGIES:
            run = reference.run(name, raw)
            result["strategies"][name] = {
                "fills": fills(run, symbol),
                "refused": run.refused,
                "final_equity": run.equity[-1],
                "month_end_equity": month_ends(run),
                "trades": trades(run),
                "analyzers": analyzers(run),
                "metrics": metrics(run, closes),
            }
            for costs in ("bps10", "per_share_half_cent"):
                run = reference.run(name, raw, costs)
                result["with_costs"].setdefault(costs, {})[name] = {
                    "fees": [round(fee, 9) for _, _, _, fee in run.fills],
                    "fills": len(run.fills),
                    "refused": run.refused,
                    "final_equity": run.equity[-1],
                    "trades": {k: v for k, v in trades(run).items() if k != "pnl"},
                }
        if symbol in ("AAPL", "MSFT"):
            # What a strategy that knows of splits must decide: when, and which way.
            adjusted = sample.write_split_adjusted(symbol, Path(folder) / "adjusted.csv")
            result["split_adjusted_directions"] = {
                name: [
                    [day, 1 if size > 0 else -1]
                    for day, size, _, _ in reference.run(name, adjusted).fills
                ]
                for name in ("sma", "ema")
            }
    return result


def text(value: dict) -> str:
    """JSON with one line per part: a change shows in a diff, and the file stays small."""
    small = lambda part: json.dumps(part, separators=(",", ":"), allow_nan=False)

    def lay(node, depth, indent=0):
        if depth == 0 or not isinstance(node, dict):
            return small(node)
        pad = " " * (indent + 1)
        inner = ",\n".join(
            f"{pad}{small(key)}:{lay(part, depth - 1, indent + 1)}" for key, part in node.items()
        )
        return "{\n" + inner + "\n" + " " * indent + "}"

    return lay(value, 4) + "\n"


def difference(want, got, at=""):
    """The first place where two goldens differ, or None."""
    if isinstance(want, dict) and isinstance(got, dict):
        if want.keys() != got.keys():
            return f"{at}: keys {sorted(want.keys() ^ got.keys())}"
        pairs = ((f"{at}.{key}", want[key], got[key]) for key in want)
    elif isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return f"{at}: {len(want)} entries and {len(got)}"
        pairs = ((f"{at}[{n}]", a, b) for n, (a, b) in enumerate(zip(want, got)))
    elif isinstance(want, float) and isinstance(got, float):
        same = math.isclose(want, got, rel_tol=TOLERANCE, abs_tol=1e-12)
        return None if same else f"{at}: {want!r} and {got!r}"
    else:
        return None if want == got else f"{at}: {want!r} and {got!r}"
    return next((found for found in (difference(a, b, w) for w, a, b in pairs) if found), None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("symbols", nargs="*", metavar="SYM")
    arguments = parser.parse_args()

    sample.GOLDEN.mkdir(exist_ok=True)
    for symbol in arguments.symbols or sample.SYMBOLS:
        path = sample.GOLDEN / f"{symbol}.json"
        fresh = golden(symbol)
        if arguments.check:
            found = difference(json.loads(path.read_text()), json.loads(text(fresh)))
            if found:
                sys.exit(f"{path.name} differs from a fresh run at {found}")
            print(f"{path.name} equals a fresh run")
        else:
            path.write_text(text(fresh))
            print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
