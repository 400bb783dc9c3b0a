"""The reference workshop's three strategies on backtrader, and one run of them.

Market orders placed on a bar's close fill at the next bar's open. Cash is
100,000 and an order is for 100 shares (200 to reverse).
"""

from pathlib import Path

import backtrader as bt

CASH = 100_000.0
SIZE = 100


class Recorded(bt.Strategy):
    """What every reference strategy records, whatever it decides."""

    params = (("size", SIZE),)

    def __init__(self):
        self.fills, self.refused, self.pnls = [], [], []
        self.dates, self.equity = [], []

    def notify_order(self, order):
        day = self.data.datetime.date(0).isoformat()
        if order.status == order.Completed:
            done = order.executed
            self.fills.append([day, int(done.size), done.price, done.comm])
        elif order.status in (order.Margin, order.Rejected, order.Canceled, order.Expired):
            self.refused.append([day, int(order.created.size), order.getstatusname()])

    def notify_trade(self, trade):
        if trade.isclosed:
            self.pnls.append(trade.pnlcomm)

    def record(self):
        self.dates.append(self.data.datetime.date(0).isoformat())
        self.equity.append(self.broker.getvalue())

    def prenext(self):
        self.record()

    def nextstart(self):
        self.next()

    def next(self):
        self.record()
        self.decide()


class Crossover(Recorded):
    """Always in the market: long above the slow average, short below it."""

    params = (("fast", 0), ("slow", 0))
    average = None

    def __init__(self):
        super().__init__()
        self.fast = self.average(self.data.close, period=self.p.fast)
        self.slow = self.average(self.data.close, period=self.p.slow)

    def decide(self):
        fast, slow, size = self.fast[0], self.slow[0], self.position.size
        if size == 0:
            self.buy(size=self.p.size) if fast > slow else self.sell(size=self.p.size)
        elif size > 0 and fast < slow:
            self.sell(size=2 * self.p.size)
        elif size < 0 and fast > slow:
            self.buy(size=2 * self.p.size)


class Sma(Crossover):
    params = (("fast", 50), ("slow", 200))
    average = bt.ind.SimpleMovingAverage


class Ema(Crossover):
    params = (("fast", 8), ("slow", 21))
    average = bt.ind.ExponentialMovingAverage


class Breakout(Recorded):
    """In on a close beyond the channel of the bars before, out when it falls back inside."""

    params = (("period", 50),)

    def channel(self):
        return self.data.close, self.data.close

    def __init__(self):
        super().__init__()
        above, below = self.channel()
        self.highest = bt.ind.Highest(above, period=self.p.period)
        self.lowest = bt.ind.Lowest(below, period=self.p.period)

    def decide(self):
        close, highest, lowest = self.data.close[0], self.highest[-1], self.lowest[-1]
        size = self.position.size
        if size == 0:
            if close > highest:
                self.buy(size=self.p.size)
            elif close < lowest:
                self.sell(size=self.p.size)
        elif size > 0 and close < highest:
            self.close()
        elif size < 0 and close > lowest:
            self.close()


class BreakoutHighLow(Breakout):
    """The same on the channel of highs and lows."""

    def channel(self):
        return self.data.high, self.data.low


STRATEGIES = {
    "sma": Sma,
    "ema": Ema,
    "breakout": Breakout,
    "breakout_high_low": BreakoutHighLow,
}

COSTS = {
    "none": {},
    "bps10": {"commission": 0.001},
    "per_share_half_cent": {
        "commission": 0.005,
        "commtype": bt.CommInfoBase.COMM_FIXED,
        "stocklike": True,
    },
}


def run(strategy: str, csv_path: Path, costs: str = "none", **params):
    """Run a strategy over a file in the workshop layout; return what it recorded."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(
        bt.feeds.GenericCSVData(
            dataname=str(csv_path),
            dtformat="%Y-%m-%d",
            datetime=0, open=2, high=3, low=4, close=5, volume=6, openinterest=-1,
        )
    )
    cerebro.addstrategy(STRATEGIES[strategy], **params)
    cerebro.broker.setcash(CASH)
    if COSTS[costs]:
        cerebro.broker.setcommission(**COSTS[costs])
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    cerebro.addanalyzer(bt.analyzers.SQN, _name="sqn")
    cerebro.addanalyzer(bt.analyzers.SharpeRatio_A, _name="sharpe_a")
    cerebro.addanalyzer(bt.analyzers.DrawDown, _name="drawdown")
    cerebro.addanalyzer(
        bt.analyzers.TimeReturn, _name="years", timeframe=bt.TimeFrame.Years
    )
    # Bar by bar: the vectorised pass fails when the data is shorter than a period (FB, 200).
    return cerebro.run(runonce=False)[0]
