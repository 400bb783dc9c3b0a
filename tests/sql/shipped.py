"""The files below crates/queries/sql, what their parameters stand for, and the two engines that run them."""

import datetime
import decimal
import json
import math
import os
import subprocess
from pathlib import Path

import duckdb
import sqlglot
from sqlglot import exp

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"
SQL = ROOT / "crates" / "queries" / "sql"
FOLDERS = ("tables", "views", "as_of", "checks", "analyst")
TEXTS = {folder: {file.stem: file.read_text() for file in sorted((SQL / folder).glob("*.sql"))} for folder in FOLDERS}
# The views that stand on others come after them.
VIEWS = sorted(TEXTS["views"])
BINARY = os.environ.get("ALGOTRADING_BIN", "")
SQL_BINARY = str(Path(BINARY).with_name("algotrading-sql")) if BINARY else ""


def parse(text: str) -> exp.Expression:
    """The one statement of a file, as Athena reads it."""
    statements = sqlglot.parse(text, read="athena")
    assert len(statements) == 1, "a file is one statement"
    assert not isinstance(statements[0], exp.Command), "sqlglot passes over what it does not understand"
    return statements[0]


def declared(table: str) -> dict[str, exp.DataType]:
    """Columns of a table as its CREATE EXTERNAL TABLE says."""
    return {column.name: column.kind for column in parse(TEXTS["tables"][table]).this.expressions}


def partition_keys(table: str) -> dict[str, exp.DataType]:
    """Its partition keys."""
    by = parse(TEXTS["tables"][table]).find(exp.PartitionedByProperty)
    return {column.name: column.kind for column in by.this.expressions} if by else {}


def bind(text: str, value: str | None) -> str:
    """Every parameter of a file stands for the same text."""
    return text if value is None else text.replace("?", f"'{value}'")


def call(*arguments, program: str = BINARY) -> str:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def load(lake: Path, *files: Path, known_at: str | None = None) -> dict:
    """Import files into a lake; the counts."""
    extra = ["--known-at", known_at] if known_at else []
    return json.loads(call("data", "import", *files, "--lake", lake, "--json", *extra))


def embedded(lake: Path, text: str) -> list[dict]:
    """The rows that our engine gives."""
    return json.loads(call("--lake", lake, "--format", "json", "--", text, program=SQL_BINARY))


def plain(value):
    """A value of DuckDB as our JSON has it."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return value


class Duck:
    """A lake as Athena has it, in DuckDB: the declared tables over the same Parquet files, the shipped views over them.

    A `timestamp` of Athena has no zone, so neither has `known_at` here.
    """

    def __init__(self, lake: Path):
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA algo_data; SET schema = 'algo_data'")
        for table in TEXTS["tables"]:
            columns = declared(table) | partition_keys(table)
            files = sorted(str(file) for file in (lake / table).glob("**/*.parquet"))
            kinds = {name: kind.sql("duckdb") for name, kind in columns.items()}
            if files:
                chosen = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in kinds.items())
                source = f"SELECT {chosen} FROM read_parquet({files}, hive_partitioning = true)"
                self.connection.execute(f"CREATE VIEW {table} AS {source}")
            else:
                self.connection.execute(f"CREATE TABLE {table} ({', '.join(f'{chr(34)}{n}{chr(34)} {k}' for n, k in kinds.items())})")
        for view in VIEWS:
            self.connection.execute(f"CREATE VIEW {view} AS {self.translate(TEXTS['views'][view])}")

    @staticmethod
    def translate(text: str) -> str:
        return parse(text).sql("duckdb", comments=False)

    def rows(self, text: str) -> list[dict]:
        """The rows of a text written for Athena."""
        cursor = self.connection.execute(self.translate(text))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, map(plain, row))) for row in cursor.fetchall()]


def sort(rows: list[dict]) -> list[dict]:
    """By text, dates and whole numbers first: doubles of two engines may differ in the last digits."""
    exact = lambda row: [str(value) for value in row.values() if not isinstance(value, float)]
    rough = lambda row: [f"{value:.6g}" for value in row.values() if isinstance(value, float)]
    return sorted(rows, key=lambda row: (exact(row), rough(row)))


def same(ours, theirs) -> bool:
    if isinstance(ours, bool) or isinstance(theirs, bool) or not isinstance(ours, (int, float)):
        return ours == theirs
    if not isinstance(theirs, (int, float)) or isinstance(ours, int) and isinstance(theirs, int):
        return ours == theirs
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)


def assert_equal(ours: list[dict], theirs: list[dict], ordered: bool) -> None:
    """Equal rows with equal names of columns; in the same order where the query orders them."""
    assert len(ours) == len(theirs)
    if not ordered:
        ours, theirs = sort(ours), sort(theirs)
    for one, other in zip(ours, theirs):
        assert list(one) == list(other)
        assert all(same(one[name], other[name]) for name in one), f"\nours:   {one}\nDuckDB: {other}"
