"""The shipped SQL: in Athena's language, and with the same answers on two engines.

Set ALGOTRADING_BIN to the binary (`./test` builds it and does); `algotrading-sql` lies beside it, or the tests that need it are skipped, and fail where ALGOTRADING_TEST_SQL is set (as by `./test` without `--fast`).
"""

import duckdb
import pytest
from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from shipped import FOLDERS, SQL, TEXTS, VIEWS, Duck, assert_equal, bind, declared, embedded, parse, partition_keys

EVERY = [(folder, name) for folder in FOLDERS for name in TEXTS[folder]]
SESSIONS = ["2013-02-21", "2013-02-22", "2013-02-23", "2013-02-25", "2013-03-04", "2000-03-01", "2000-09-29"]
# Before everything, at a session's close, at a correction, just before the next, and with an offset; a date alone is a moment too.
MOMENTS = ["1999-01-01T00:00:00Z", "2005-06-01", "2013-02-21T21:00:00Z", "2013-02-22T12:00:00Z", "2013-02-25T12:00:00Z", "2013-02-26T13:00:00+01:00", "2030-01-01T00:00:00Z"]
WITHOUT_ORDER = ["reference_history", "reference_preview"]


def parameters(folder: str, name: str) -> list[str | None]:
    if "?" not in TEXTS[folder][name]:
        return [None]
    return MOMENTS if folder == "as_of" else SESSIONS


def test_the_folders_are_those_that_are_tested():
    assert sorted(folder.name for folder in SQL.iterdir()) == sorted(FOLDERS) and all(TEXTS.values())


@pytest.mark.parametrize("folder,name", EVERY)
def test_athena_would_parse_it(folder, name):
    text = TEXTS[folder][name]
    tree = parse(text.replace("{lake}", "s3://bucket/lake"))
    if folder == "tables":
        assert (tree.kind, tree.this.this.name, tree.this.this.db) == ("TABLE", name, "algo_data")
        assert tree.find(exp.LocationProperty).this.name == f"s3://bucket/lake/{name}/"
        assert tree.find(exp.ExternalProperty) and tree.find(exp.FileFormatProperty).this.name == "PARQUET"
    else:
        assert isinstance(tree, exp.Query)
        unknown = [call.name for call in tree.find_all(exp.Anonymous)]
        assert not unknown, f"no functions of Trino's: {unknown}"
        assert len(list(tree.find_all(exp.Placeholder))) == text.count("?")
    if folder == "views":
        assert parse(f"CREATE OR REPLACE VIEW algo_data.{name} AS\n{text}").kind == "VIEW"


def athena_schema() -> MappingSchema:
    schema = MappingSchema(dialect="athena")
    for table in TEXTS["tables"]:
        schema.add_table(f"algo_data.{table}", declared(table) | partition_keys(table))
    for view in VIEWS:
        columns = {column.alias_or_name: column.type for column in typed(TEXTS["views"][view], schema).selects}
        schema.add_table(f"algo_data.{view}", columns)
    return schema


def plainer(node: exp.Expression) -> exp.Expression:
    """The same type from what sqlglot knows the type of."""
    if isinstance(node, exp.ArgMax):
        return exp.Max(this=node.this)
    if isinstance(node, exp.FromISO8601Timestamp):
        return exp.cast(node.this, exp.DType.TIMESTAMPTZ)
    return node


def typed(text: str, schema: MappingSchema) -> exp.Query:
    tree = qualify(parse(text).transform(plainer), schema=schema, db="algo_data", dialect="athena", quote_identifiers=False)
    return annotate_types(tree, schema=schema, dialect="athena")


def family(node: exp.Expression) -> str:
    """Types among which Trino compares."""
    node = node.unnest() if isinstance(node, exp.Subquery) else node
    of = node.selects[0].type if isinstance(node, exp.Query) else node.type
    for name, types in (("text", exp.DataType.TEXT_TYPES), ("number", exp.DataType.NUMERIC_TYPES), ("time", exp.DataType.TEMPORAL_TYPES)):
        if of.this in types:
            return name
    return str(of.this.value)


@pytest.mark.parametrize("folder,name", [one for one in EVERY if one[0] != "tables"])
def test_nothing_is_compared_that_trino_would_not_compare(folder, name):
    """Trino refuses `varchar = date` and `date + varchar`; our engine and DuckDB find a common type."""
    tree = typed(bind(TEXTS[folder][name], "2013-02-21"), athena_schema())
    for node in tree.find_all(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Add, exp.Sub, exp.Mul, exp.Div):
        assert family(node.left) == family(node.right), node.sql("athena")
    for node in tree.find_all(exp.In):
        others = node.expressions or [node.args["query"]]
        assert {family(other) for other in others} == {family(node.this)}, node.sql("athena")
    for column in tree.selects:
        assert column.type.this not in (exp.DType.UNKNOWN, exp.DType.NULL), f"{column.sql('athena')} has no type"
        # Its text would not be the same everywhere.
        cast = column.unalias()
        if isinstance(cast, exp.Cast) and family(cast) == "text":
            assert cast.this.type.this in (exp.DType.DATE, *exp.DataType.TEXT_TYPES), column.sql("athena")


def test_files_have_the_declared_columns(busy):
    for table in TEXTS["tables"]:
        wanted = {name: kind.sql("duckdb").replace(", ", ",") for name, kind in declared(table).items()}
        same_thing = {"TEXT": "VARCHAR", "TIMESTAMP": "TIMESTAMP WITH TIME ZONE"}
        files = sorted(file for file in (busy / table).glob("**/*.parquet"))
        assert files, f"the busy lake has no {table}"
        for file in files:
            described = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{file}', hive_partitioning = false)").fetchall()
            assert [(name, of) for name, of, *_ in described] == [(name, same_thing.get(of, of)) for name, of in wanted.items()], file


@pytest.fixture(scope="session")
def duck(busy):
    return Duck(busy)


@pytest.mark.parametrize("folder,name", [one for one in EVERY if one[0] != "tables" and one[1] not in WITHOUT_ORDER])
def test_two_engines_agree(busy, duck, folder, name):
    found = 0
    for value in parameters(folder, name):
        text = bind(TEXTS[folder][name], value)
        ours, theirs = embedded(busy, text), duck.rows(text)
        try:
            assert_equal(ours, theirs, ordered=folder in ("checks", "analyst"))
        except AssertionError as error:
            raise AssertionError(f"{name} with {value}: {error}") from None
        if folder == "as_of":
            assert_equal(embedded(busy, f"SELECT * FROM algo_data.{name}('{value}')"), theirs, ordered=False)
        if folder == "views":
            assert_equal(embedded(busy, f"SELECT * FROM algo_data.{name}"), theirs, ordered=False)
        found += len(theirs)
    assert found, "no rows with any parameter prove nothing"


def test_the_reference_queries_run_as_they_are(busy, duck):
    history, preview = (TEXTS["analyst"][name] for name in WITHOUT_ORDER)
    assert "SELECT cast(date_parse(dt,'%Y-%m-%d') as date) as day, sym, open, close, high, low, vol FROM algo_data.hist_data_daily limit 1000" in history
    assert 'SELECT * FROM "algo_data"."hist_data_daily" limit 10' in preview
    # Which rows come is open, so they must be among all of them.
    for text, limit in ((history, 1000), (preview, 10)):
        ours = embedded(busy, text)
        assert len(ours) == len(duck.rows(text)) == limit
        everything = {tuple(row.items()) for row in duck.rows(text.replace(f"limit {limit}", ""))}
        assert {tuple(row.items()) for row in ours} <= everything and len(everything) > 12_000


def test_record_tables_exist_in_a_lake_without_records(clean):
    for table in TEXTS["tables"]:
        columns = ", ".join(declared(table))
        if not (clean / table).exists():
            assert embedded(clean, f"SELECT {columns} FROM {table}") == []
    for name in ("signals_and_returns", "equity_curves", "fills_of_session", "run_history"):
        text = bind(TEXTS["analyst"][name], "2013-02-21")
        assert embedded(clean, text) == Duck(clean).rows(text) == []
