#!/usr/bin/env python3
"""CSV to Parquet on pandas: `import_pandas.py FILE.csv OUT.parquet [--engine c|pyarrow]`.

FILE.csv has the layout `dt,sym,open,high,low,close,vol`. `read_csv`, dates as
dates, `to_parquet` with zstd, and no check of anything. Prints one JSON line
`{peer, engine, seconds, rows, rows_per_second, rss_max_mib}`.
"""

import argparse
import json
import resource
import time

import pandas as pd
import pyarrow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("out")
    parser.add_argument("--engine", choices=("c", "pyarrow"), default="c")
    arguments = parser.parse_args()

    start = time.perf_counter()
    frame = pd.read_csv(arguments.file, parse_dates=["dt"], engine=arguments.engine)
    frame.to_parquet(arguments.out, compression="zstd", index=False)
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "peer": f"pandas {pd.__version__}, pyarrow {pyarrow.__version__}",
                "engine": arguments.engine,
                "seconds": seconds,
                "rows": len(frame),
                "rows_per_second": len(frame) / seconds,
                "rss_max_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
