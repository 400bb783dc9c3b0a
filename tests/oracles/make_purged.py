"""What purgedcv leaves to train on: golden/models/purged.json, which crates/models/tests/purged.rs holds ours against.

    tests/oracles/make_purged.py        with the environment that tools/python-env prints
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from purgedcv import apply_embargo, purge

GOLDEN = Path(__file__).resolve().parent / "golden" / "models" / "purged.json"
DAY = pd.Timedelta(days=1)


def made() -> list[dict]:
    random = np.random.default_rng(7)
    cases = []
    for rows, horizon, embargo in [(60, 5, 5), (60, 5, 0), (40, 1, 3), (80, 10, 2), (50, 5, 20)]:
        # Some days have rows of several symbols, some none; labels reach over `horizon` days.
        days = np.sort(random.integers(0, 60, size=rows))
        start = pd.Timestamp("2020-01-01")
        predicted = pd.Series(start + days * DAY)
        evaluated = predicted + horizon * DAY
        first, last = np.sort(random.choice(rows, size=2, replace=False))
        # Whole days are judged.
        judged = np.flatnonzero((days >= days[first]) & (days <= days[last]))
        others = np.setdiff1d(np.arange(rows), judged)
        kept = apply_embargo(purge(others, judged, predicted, evaluated), judged, predicted, evaluated, embargo * DAY)
        cases.append({
            "days": days.tolist(), "horizon": horizon, "embargo": embargo,
            "judged": judged.tolist(), "train": kept.tolist(),
        })
    return cases


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(made()) + "\n")
