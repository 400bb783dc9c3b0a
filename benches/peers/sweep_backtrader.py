#!/usr/bin/env python3
"""The SMA sweep on backtrader: `sweep_backtrader.py FILE.csv [--combos N]`.

FILE.csv has the layout `dt,sym,open,high,low,close,vol`. Runs the first N of the
combinations every engine runs (backtrader is too slow for all of them) and prints
one JSON line `{peer, seconds, seconds_per_combo, bars, combos, final_equity}`.

What is timed: `cerebro.run()` on data already in memory, with no observers, no
analyzers and the vectorised indicators, one process.
"""

import argparse
import json
import time

import backtrader as bt
import pandas as pd

from combos import CASH, COMBOS, SIZE


class Crossover(bt.Strategy):
    params = (("fast", 0), ("slow", 0))

    def __init__(self):
        self.fast = bt.ind.SimpleMovingAverage(self.data.close, period=self.p.fast)
        self.slow = bt.ind.SimpleMovingAverage(self.data.close, period=self.p.slow)

    def next(self):
        fast, slow, held = self.fast[0], self.slow[0], self.position.size
        if held == 0:
            self.buy(size=SIZE) if fast > slow else self.sell(size=SIZE)
        elif held > 0 and fast < slow:
            self.sell(size=2 * SIZE)
        elif held < 0 and fast > slow:
            self.buy(size=2 * SIZE)


def backtest(prices, fast, slow):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=prices, openinterest=None))
    cerebro.addstrategy(Crossover, fast=fast, slow=slow)
    cerebro.broker.setcash(CASH)
    start = time.perf_counter()
    cerebro.run()
    return time.perf_counter() - start, cerebro.broker.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--combos", type=int, default=5)
    arguments = parser.parse_args()

    prices = pd.read_csv(arguments.file, parse_dates=["dt"], index_col="dt")
    prices = prices.rename(columns={"vol": "volume"})
    backtest(prices, *COMBOS[0])  # imports and caches
    runs = [backtest(prices, *combo) for combo in COMBOS[: arguments.combos]]
    seconds = sum(run[0] for run in runs)
    print(
        json.dumps(
            {
                "peer": f"backtrader {bt.__version__}",
                "seconds": seconds,
                "seconds_per_combo": seconds / len(runs),
                "bars": len(prices),
                "combos": len(runs),
                "final_equity": [round(run[1], 6) for run in runs],
            }
        )
    )


if __name__ == "__main__":
    main()
