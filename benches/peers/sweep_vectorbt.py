#!/usr/bin/env python3
"""The SMA sweep on vectorbt.

    sweep_vectorbt.py FILE.csv [--combos N] [--runs N] [--engine numba|rust] [--style tuned|documented]

FILE.csv has the layout `dt,sym,open,high,low,close,vol`. Prints one JSON line
`{peer, engine, style, seconds, bars, combos, final_equity}`; `seconds` is the
fastest of the timed runs, after a run of the same shape that is not counted
(it compiles).

What is timed: averages of each distinct period once, positions, simulation and
final equity, from data in memory. What is left out: reading the file and
statistics. `documented` is the sweep as vectorbt's documentation writes it,
with labelled frames and signals. `tuned` is the fastest found by trying: plain
arrays, an order only where the position changes (nan elsewhere), room for no
more orders than there may be, and final equity from the order records instead
of from the daily value of each column. One thread: vectorbt has no more here.
"""

import argparse
import json
import time

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt.generic import nb as generic_nb
from vectorbt.portfolio.enums import SizeType

from combos import CASH, COMBOS, SIZE


def wanted(fast, slow):
    """Shares to hold after each bar's order; nan where nothing changes.

    Long above, short below, and a tie holds; the first ready bar goes short on a tie.
    """
    ready = ~np.isnan(slow)
    side = np.sign(np.where(ready, fast - slow, 0.0)).astype(np.int8)
    first = ready.argmax(axis=0)
    columns = np.arange(side.shape[1])
    side[first, columns] = np.where(side[first, columns] > 0, 1, -1)
    # Only the bars that ask for something: a position changes where it differs from the last.
    columns, bars = np.nonzero(side.T)
    asked = side.T[columns, bars]
    change = np.ones(len(asked), dtype=bool)
    change[1:] = (asked[1:] != asked[:-1]) | (columns[1:] != columns[:-1])
    columns, bars, asked = columns[change], bars[change] + 1, asked[change]
    tradable = bars < side.shape[0]
    columns, bars, asked = columns[tradable], bars[tradable], asked[tradable]
    target = np.full(side.shape, np.nan)
    target[bars, columns] = asked * float(SIZE)
    return target, int(np.bincount(columns, minlength=1).max())


def sweep(opens, closes, combos, engine):
    periods = sorted({period for combo in combos for period in combo})
    column = {period: n for n, period in enumerate(periods)}
    averages = np.column_stack([generic_nb.rolling_mean_1d_nb(closes, p) for p in periods])
    target, orders_max = wanted(
        averages[:, [column[fast] for fast, _ in combos]],
        averages[:, [column[slow] for _, slow in combos]],
    )
    portfolio = vbt.Portfolio.from_orders(
        closes[:, None],
        size=target,
        size_type=SizeType.TargetAmount,
        price=opens[:, None],
        init_cash=CASH,
        max_orders=orders_max * len(combos),
        max_logs=0,
        engine=engine,
    )
    records = portfolio.order_records
    signed = np.where(records["side"] == 0, records["size"], -records["size"])
    width = len(combos)
    shares = np.bincount(records["col"], signed, width)
    spent = np.bincount(records["col"], signed * records["price"], width)
    return CASH - spent + shares * closes[-1], portfolio


def documented(opens, closes, combos, engine):
    """Stop and reverse by signals, each filled at the next open."""
    price = pd.Series(closes)
    fast = vbt.MA.run(price, [fast for fast, _ in combos], short_name="fast")
    slow = vbt.MA.run(price, [slow for _, slow in combos], short_name="slow")
    ready = slow.ma.notna().to_numpy()
    first = ready & ~np.vstack([np.zeros(len(combos), dtype=bool), ready[:-1]])
    above, below = fast.ma_above(slow), fast.ma_below(slow)
    below = below | (first & ~above.to_numpy())
    portfolio = vbt.Portfolio.from_signals(
        price,
        entries=above.vbt.signals.fshift(1),
        short_entries=below.vbt.signals.fshift(1),
        size=SIZE,
        price=pd.Series(opens),
        upon_opposite_entry="reverse",
        init_cash=CASH,
        engine=engine,
    )
    return portfolio.final_value().to_numpy(), portfolio


STYLES = {"tuned": sweep, "documented": documented}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--combos", type=int, default=len(COMBOS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--engine", choices=("numba", "rust"), default="numba")
    parser.add_argument("--style", choices=STYLES, default="tuned")
    arguments = parser.parse_args()
    run = STYLES[arguments.style]

    prices = pd.read_csv(arguments.file, usecols=["open", "close"])
    opens, closes = prices["open"].to_numpy(), prices["close"].to_numpy()
    combos = COMBOS[: arguments.combos]

    equity, portfolio = run(opens, closes, combos, arguments.engine)
    # vectorbt's own final value must agree with the one taken from the orders.
    np.testing.assert_allclose(portfolio.final_value().to_numpy(), equity, rtol=1e-12)
    seconds = []
    for _ in range(arguments.runs):
        start = time.perf_counter()
        equity, _ = run(opens, closes, combos, arguments.engine)
        seconds.append(time.perf_counter() - start)
    print(
        json.dumps(
            {
                "peer": f"vectorbt {vbt.__version__}",
                "engine": arguments.engine,
                "style": arguments.style,
                "seconds": min(seconds),
                "bars": len(closes),
                "combos": len(combos),
                "final_equity": [round(value, 6) for value in equity.tolist()],
            }
        )
    )


if __name__ == "__main__":
    main()
