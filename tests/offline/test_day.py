"""The scheduled day on the offline AWS: the real functions and containers, over HTTP."""

import time

from conftest import DAY, NEXT
from harness import sample

STEPS = ["Plan", "Export", "Ingest", "Crawl", "Checks", "Score", "Strategies", "Watch", "Report", "Done"]
TABLES = ("signals", "orders", "fills", "equity", "runs")


def steps(run):
    return [step.name for step in run.steps if step.kind in ("Task", "Map", "Succeed", "Fail")]


def closes(session):
    """Raw closes in the vendor's files."""
    found = {}
    for symbol in sample.SYMBOLS:
        header, rows = sample.rows(symbol)
        found[symbol] = next(float(row[header.index("close")]) for row in rows if row[0] == session)
    return found


def counts(offline):
    return {table: int(offline.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]) for table in TABLES}


def test_the_schedule_trades_the_day_and_a_second_time_changes_nothing(offline):
    offline.publish(DAY)
    run = offline.fire(DAY)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    assert steps(run) == STEPS

    # The bars, as an analyst asks for them.
    bars = offline.query(f"SELECT sym, close FROM hist_data_daily WHERE dt = '{DAY}' ORDER BY sym")
    assert {bar["sym"]: float(bar["close"]) for bar in bars} == closes(DAY)
    last = offline.query("SELECT max(dt) AS last, count(DISTINCT dt) AS days FROM hist_data_daily")[0]
    assert last["last"] == DAY and int(last["days"]) > 400

    # What was decided and done.
    files = offline.objects()
    assert f"signals/forecast/{DAY}.parquet" in files
    for strategy in offline.stack.strategies:
        for table in ("equity", "runs"):
            assert f"{table}/{strategy}/{DAY}.parquet" in files
        assert any(file.startswith(f"reports/{strategy}/{DAY}/") and file.endswith(".html") for file in files)
    first = counts(offline)
    assert first["signals"] == len(sample.SYMBOLS)
    assert first["equity"] == first["runs"] == len(offline.stack.strategies)
    assert first["orders"] > 0 and first["fills"] > 0
    assert {one["strategy"] for one in run.output["report"]["reports"]} == set(offline.stack.strategies)

    # What people were told, once.
    [(subject, text)] = offline.notices()
    assert DAY in subject and all(name in text for name in offline.stack.strategies)

    again = offline.fire(DAY)
    assert again.status == "SUCCEEDED", f"{again.error}: {again.reason}"
    # Before the queries leave their results.
    assert offline.objects() == files, "the second time changed the lake"
    assert counts(offline) == first

    def tasks(run):
        return {one["strategy"]: (one["task"], one["attempt"]) for one in run.output["strategies"]}

    assert tasks(again) == tasks(run), "a strategy was started a second time"
    assert again.output["export"]["exported"] == [] and again.output["export"]["already"] == 2


def test_the_next_day_goes_on_from_the_last(offline):
    offline.publish(DAY)
    run = offline.start(DAY)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    offline.publish(NEXT, history=False)
    run = offline.start(NEXT)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    assert [one["revision"] for one in run.output["export"]["exported"]] == [f"day-{NEXT}"]
    days = offline.query("SELECT DISTINCT CAST(dt AS varchar) AS dt FROM equity ORDER BY 1")
    assert [row["dt"] for row in days] == [DAY, NEXT]
    # Orders of the first day are filled on the second.
    filled = offline.query(f"SELECT DISTINCT strategy FROM fills WHERE dt = DATE '{NEXT}'")
    assert "ema" in {row["strategy"] for row in filled}


def test_a_day_without_a_session_is_only_told(offline):
    run = offline.fire("2013-02-23")
    assert run.status == "SUCCEEDED" and steps(run) == ["Plan", "HolidayNotice", "Holiday"]
    [(subject, text)] = offline.notices()
    assert "no session" in subject and "2013-02-23" in text


def test_an_announced_revision_is_exported_before_the_schedule(offline):
    offline.publish(DAY, announced=True)
    for _ in range(100):
        if len({key.split("/")[1] for key in offline.objects("exports/")}) == 2:
            break
        time.sleep(0.1)
    run = offline.start(DAY)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    # Whether the jobs have ended is found out by the next who asks; nobody starts them again.
    assert len(run.output["export"]["exported"]) + run.output["export"]["already"] == 2
    # Two announcements at once may both find a job that waits: Data Exchange refuses the second start.
    assert len(offline.requests("dataexchange", "CreateJob")) == 2
    starts = [one["status"] for one in offline.requests("dataexchange", "StartJob")]
    assert starts.count(202) == 2 and set(starts) <= {202, 409}, starts
    assert offline.calls("export-assets") == 1
