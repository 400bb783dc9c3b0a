#!/usr/bin/env python3
"""Re-dress the public-domain WIKI prices as a Data Exchange subscriber gets them.

One `daily_adjusted_SYM.csv` per symbol in Alpha Vantage's layout, newest row
first. Numbers keep the text they have in the source: nothing is rounded,
padded or parsed on the way.

    tools/redress_sample.py SOURCE.csv            write data/sample/
    tools/redress_sample.py --check SOURCE.csv    fail when a committed file differs

SOURCE.csv has the columns dt,sym,open,high,low,close,vol,dividend,split,adj_close.
"""

import argparse
import csv
import sys
from pathlib import Path

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
HEADER = (
    "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient"
)
SOURCE_COLUMNS = (
    "dt", "open", "high", "low", "close", "adj_close", "vol", "dividend", "split",
)


def redress(source: Path) -> dict[str, str]:
    """Return the text of each file, by its name."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    with source.open(newline="") as lines:
        for row in csv.DictReader(lines):
            rows.setdefault(row["sym"], []).append(tuple(row[c] for c in SOURCE_COLUMNS))
    files = {}
    for symbol, bars in sorted(rows.items()):
        bars.sort(reverse=True)  # ISO dates sort as text
        dates = [bar[0] for bar in bars]
        if len(set(dates)) != len(dates):
            sys.exit(f"{source}: {symbol} has a date twice")
        files[f"daily_adjusted_{symbol}.csv"] = "\n".join(
            [HEADER, *(",".join(bar) for bar in bars), ""]
        )
    return files


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()

    files = redress(arguments.source)
    if arguments.check:
        committed = {path.name: path.read_text() for path in SAMPLE.glob("*.csv")}
        wrong = sorted(
            name
            for name in files.keys() | committed.keys()
            if files.get(name) != committed.get(name)
        )
        if wrong:
            sys.exit(f"data/sample differs from what {arguments.source} gives: {', '.join(wrong)}")
        print(f"data/sample equals what {arguments.source} gives ({len(files)} files)")
        return
    SAMPLE.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (SAMPLE / name).write_text(text)
        print(f"{name}: {text.count(chr(10)) - 1} rows")


if __name__ == "__main__":
    main()
