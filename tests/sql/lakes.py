"""Lakes for the tests: made by imports wherever the importer lets it through, else written beside it."""

import shutil
from pathlib import Path

import duckdb

from shipped import SAMPLE, declared, load

HEADER = "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient"


def copy(lake: Path, to: Path) -> Path:
    shutil.copytree(lake, to)
    return to


def sample(folder: Path) -> Path:
    counts = load(folder / "lake", *sorted(SAMPLE.glob("*.csv")))
    assert counts["stored"] == counts["read"] > 12_000
    return folder / "lake"


def bar(dt: str, close: float, vol: int = 1000, **other) -> str:
    """A row of a vendor's file; prices around the close unless given."""
    prices = {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close} | other
    row = [dt, *(prices[name] for name in ("open", "high", "low", "close")), close, vol]
    return ",".join(map(str, [*row, other.get("dividend", 0.0), other.get("split", 1.0)]))


def deliver(lake: Path, bars: dict[str, list[str]], known_at: str | None = None) -> dict:
    """Import a file with these rows for each symbol."""
    folder = lake.parent / f"delivery-{sum(1 for _ in lake.parent.iterdir())}"
    folder.mkdir()
    for sym, rows in bars.items():
        (folder / f"daily_adjusted_{sym}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return load(lake, folder, known_at=known_at)


def stored(sym: str, dt: str) -> dict[str, float]:
    """The sample's bar."""
    lines = (SAMPLE / f"daily_adjusted_{sym}.csv").read_text().splitlines()
    fields = next(line for line in lines if line.startswith(dt)).split(",")
    return dict(zip(("open", "high", "low", "close"), map(float, fields[1:5]))) | {"vol": int(fields[6])}


def write(lake: Path, table: str, file: str, rows: list[dict]) -> None:
    """A Parquet file with exactly the declared columns; an absent value is null."""
    columns = {name: kind.sql("duckdb") for name, kind in declared(table).items()}
    # As it is written: microseconds, UTC.
    kinds = {name: "TIMESTAMPTZ" if kind == "TIMESTAMP" else kind for name, kind in columns.items()}
    assert all(set(row) <= set(kinds) for row in rows), f"a column that {table} does not have"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE t ({', '.join(f'{chr(34)}{name}{chr(34)} {kind}' for name, kind in kinds.items())})")
        for row in rows:
            connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(kinds))})", [row.get(name) for name in kinds])
        path = lake / table / file
        path.parent.mkdir(parents=True, exist_ok=True)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


def write_bars(lake: Path, rows: list[dict]) -> None:
    """Bars that no importer would let through, all of 2013."""
    usual = {"mic": "XNYS", "currency": "USD", "source": "f" * 16, "flags": "", "vol": 1000, "known_at": "2013-02-21T21:00:00Z"}
    write(lake, "bars_daily", "year=2013/by_hand.parquet", [usual | row for row in rows])


def write_records(lake: Path) -> None:
    """What two strategies and a model said and did in three sessions."""
    sessions = ["2013-02-20", "2013-02-21", "2013-02-22"]
    for strategy, sign in (("ema", 1), ("forecast", -1)):
        for at, dt in enumerate(sessions):
            file, run = f"{strategy}/{dt}.parquet", f"{strategy}{at}" * 3
            base = {"dt": dt, "strategy": strategy, "run_id": run}
            order = {"order_id": f"{dt}-1", "sym": "IBM", "quantity": sign * 100 + at / 8}
            write(lake, "orders", file, [
                base | order | {"side": "buy", "kind": "limit", "limit_price": 200.123456789, "time_in_force": "day", "state": "filled"},
                base | {"order_id": f"{dt}-2", "sym": "MSFT", "side": "sell", "quantity": 5, "kind": "market", "time_in_force": "opg", "state": "refused", "reason": "max_position"},
            ])
            write(lake, "fills", file, [base | order | {"price": 200.123456789, "fee": 0.000001 + at}, base | order | {"order_id": f"{dt}-3", "sym": "AAPL", "price": 446.06, "fee": 0}])
            write(lake, "equity", file, [base | {"cash": 1000.5, "net": sign * 20.25, "gross": 20.25, "equity": 1020.75 + sign * at, "return_1d": None if at == 0 else sign * 0.001 / at, "drawdown": -0.1 * at}])
            write(lake, "runs", file, [base | {"name": strategy, "version": "0.1.0", "journal_sha256": "a" * 64, "input_sha256": "b" * 64, "config_sha256": "c" * 64, "control": ["normal", "reduce_only", "halt"][at], "fills": 2, "orders": 2, "refused": 1}])
    for dt in sessions:
        write(lake, "signals", f"forecast/{dt}.parquet", [
            {"dt": dt, "sym": sym, "model": "forecast", "long": 0.6, "short": 0.3, "value": value, "input": "d" * 64, "known_at": f"{dt}T21:00:00Z"}
            for sym, value in (("IBM", 0.3), ("AAPL", -0.25), ("GONE", None))
        ])


def busy(clean: Path, folder: Path) -> Path:
    lake = copy(clean, folder / "lake")
    # A split of three for two and a dividend, odd volumes, a session between them without bar; the split corrected later.
    odd = [bar(f"2013-02-{day:02}", 60 + day / 7, 999 + day * 3) for day in (11, 12, 13, 14)]
    odd += [bar("2013-02-19", 41.03, 1501, split=1.5), bar("2013-02-20", 41.5, 1503, dividend=0.37), bar("2013-02-21", 41.25, 1507)]
    deliver(lake, {"ODD": odd, "DEAD": [bar("2013-02-20", 7.5), bar("2013-02-21", 7.25)]}, known_at="2013-02-21T21:00:00Z")
    deliver(lake, {"ODD": [bar("2013-02-19", 41.03, 1501, split=1.25)]}, known_at="2013-02-26T12:00:00Z")
    # Corrections of corrections.
    for at, known_at in ((1, "2013-02-22T12:00:00Z"), (2, "2013-02-25T12:00:00.000001Z")):
        fixed = [bar(dt, stored("IBM", dt)["close"] + at / 64, 4_000_001 * at) for dt in ("2013-02-14", "2013-02-20", "2013-02-21")]
        assert deliver(lake, {"IBM": fixed}, known_at=known_at)["stored"] == 3
    # Rows that are refused, that are suspicious, and that come late.
    same_as_before = stored("MSFT", "2013-03-01")
    counts = deliver(lake, {
        "AAPL": [bar("2013-03-04", 215.25), bar("2013-03-02", 216), bar("2013-03-05", 217, high=1)],
        "GOOG": [bar("2013-03-04", 800, 0)],
        "MSFT": [bar("2013-03-04", 27.95, 77, **{name: same_as_before[name] for name in ("open", "high", "low")})],
        "IBM": [bar("2013-03-04", -3), bar("2013-03-05", 200), bar("2013-03-05", 201)],
    }, known_at="2013-03-06T12:00:00Z")
    assert counts["quarantined"] >= 4 and counts["stored"] >= 3, counts
    # What a lake should not have: two bars of one moment, impossible prices. And a symbol that ends.
    write_bars(lake, [
        {"dt": "2013-02-21", "sym": "TWICE", "open": 5, "high": 6, "low": 4, "close": close, "source": source * 16}
        for close, source in ((5, "1"), (5.5, "2"))
    ] + [{"dt": "2013-02-22", "sym": "WRONG", "open": 5, "high": 6, "low": 7, "close": 5}])
    write(lake, "corporate_actions", "by_hand.parquet", [
        {"ex_date": "2013-02-22", "sym": "DEAD", "kind": "delisting", "value": 7.25, "currency": "USD", "known_at": "2013-02-21T21:00:00Z", "source": "f" * 16},
    ])
    write_records(lake)
    return lake
