"""The sample in `data/sample`, as the oracles and the command read it.

The workshop layout `dt,sym,open,high,low,close,vol` carries raw prices and no
corporate actions, so a backtest on it is the one backtrader runs: a split is a
jump in the price. The text of the numbers is kept.
"""

import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"
GOLDEN = Path(__file__).resolve().parent / "golden"
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
WORKSHOP_HEADER = "dt,sym,open,high,low,close,vol"


def vendor_file(symbol: str) -> Path:
    return SAMPLE / f"daily_adjusted_{symbol}.csv"


def vendor_rows(symbol: str) -> list[dict[str, str]]:
    """The rows of a symbol, oldest first, every value as text."""
    with vendor_file(symbol).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return sorted(rows, key=lambda row: row["timestamp"])


def write_workshop(symbol: str, path: Path) -> Path:
    """Write a symbol in the workshop layout, oldest first."""
    with path.open("w") as out:
        out.write(WORKSHOP_HEADER + "\n")
        for row in vendor_rows(symbol):
            out.write(
                f"{row['timestamp']},{symbol},{row['open']},{row['high']},"
                f"{row['low']},{row['close']},{row['volume']}\n"
            )
    return path


def write_split_adjusted(symbol: str, path: Path) -> Path:
    """Write a symbol in the workshop layout with prices adjusted for splits.

    Prices before an ex-date are divided by the split and volumes multiplied,
    so that the last row is as traded.
    """
    factor, lines = 1.0, []
    for row in reversed(vendor_rows(symbol)):
        prices = ",".join(
            repr(float(row[name]) / factor) for name in ("open", "high", "low", "close")
        )
        lines.append(f"{row['timestamp']},{symbol},{prices},{int(int(row['volume']) * factor)}")
        factor *= float(row["split_coefficient"])
    path.write_text("\n".join([WORKSHOP_HEADER, *reversed(lines), ""]))
    return path


if __name__ == "__main__":
    import sys

    if len(sys.argv) != 3 or sys.argv[1] not in SYMBOLS:
        sys.exit(f"usage: sample.py {'|'.join(SYMBOLS)} OUT.csv   (writes the workshop layout)")
    write_workshop(sys.argv[1], Path(sys.argv[2]))
