"""What the vendor publishes: the sample of data/, cut at a session, as revisions of a data set.

A product is a folder: `<data set>/<revision>/` with `revision.json` (`{"published_at": "…"}`) and the assets.
"""

from __future__ import annotations

import csv
import json
import shutil
from datetime import date
from pathlib import Path

from .servers import TOP

SAMPLE = TOP / "data" / "sample"
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
# The last session of the sample, and one on which all five have bars.
DAY = "2013-03-01"


def rows(symbol: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a vendor's file, the newest first, as the vendor sends them."""
    with (SAMPLE / f"daily_adjusted_{symbol}.csv").open(newline="") as file:
        header, *found = csv.reader(file)
    return header, found


def sessions() -> list[str]:
    """The sessions on which all symbols have bars."""
    days = [{row[0] for row in rows(symbol)[1]} for symbol in SYMBOLS]
    return sorted(set.intersection(*days))


class NoSuchSession(Exception):
    """A day that the sample has no bars of."""


def before(session: str) -> str:
    """The session before one."""
    known = sessions()
    if session not in known[1:]:
        raise NoSuchSession(
            f"the sample has no bars of all symbols on {session}; "
            f"it has from {known[1]} to {known[-1]}, on days the exchange was open"
        )
    return known[known.index(session) - 1]


def publish(
    product: Path, revision: str, published_at: str, since: str = "", until: str = "9999",
    edit=lambda symbol, row: row,
) -> str:
    """Makes a revision with the bars from one day to another, both included, each as `edit` returns it (None for none).

    The manifest comes last: what has none is not published. A revision that is published does not change any more.
    """
    folder = product / revision
    if (folder / "revision.json").exists():
        return revision
    folder.mkdir(parents=True, exist_ok=True)
    for symbol in SYMBOLS:
        header, found = rows(symbol)
        kept = [edit(symbol, list(row)) for row in found if since <= row[0] <= until]
        with (folder / f"daily_adjusted_{symbol}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *(row for row in kept if row)])
    part = folder / "revision.json.part"
    part.write_text(json.dumps({"published_at": published_at}))
    part.rename(folder / "revision.json")
    return revision


def evening(session: str) -> str:
    """When the vendor publishes a session: after the close in New York, summer or winter."""
    date.fromisoformat(session)
    return f"{session}T22:30:00Z"


def history(product: Path, session: str, since: str = "") -> str:
    """The revision with everything before a session."""
    last = before(session)
    return publish(product, f"history-{last}", evening(last), since, last)


def day(product: Path, session: str) -> str:
    """The revision with the bars of a session."""
    before(session)
    return publish(product, f"day-{session}", evening(session), session, session)


def published(product: Path) -> list[str]:
    """The revisions that are published, sorted."""
    return sorted(manifest.parent.name for manifest in product.glob("*/revision.json"))


def empty(product: Path) -> None:
    """A data set without revisions."""
    shutil.rmtree(product, ignore_errors=True)
    product.mkdir(parents=True)
