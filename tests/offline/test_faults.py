"""The day with one thing broken at a time: it ends in the documented state, nothing is lost or doubled, people are told
the cause, and once that is mended the same day runs through.
"""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from conftest import DAY, NEXT
from harness import day, sample, servers

ALWAYS = 1000


def failed(offline, run, error, *words):
    """The run has failed for a reason, the record and people say so."""
    assert run.status == "FAILED", f"{run.status}\n{offline.logs()}"
    assert run.error == error, f"{run.error}: {run.reason}"
    record = offline.records()[f"eod/{DAY}"]
    assert record["state"] == "failed"
    told = offline.notices()
    assert told, "nobody was told"
    subject, text = told[-1]
    assert DAY in subject and "FAILED" in subject
    for word in words:
        assert word in text and word in record["reason"], f"`{word}` is not in: {text}"


def mended(offline, session=DAY):
    """Started again, the day runs through, with every row once."""
    run = offline.start(session)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    whole(offline, session)
    return run


def whole(offline, session=DAY, symbols=sample.SYMBOLS):
    """The lake has each bar of the session once, and each strategy's day once."""
    assert offline.records()[f"eod/{session}"]["state"] == "finished"
    bars = offline.query(f"SELECT sym, count(*) AS n FROM bars_daily WHERE dt = DATE '{session}' GROUP BY sym ORDER BY sym")
    assert [(bar["sym"], bar["n"]) for bar in bars] == [(symbol, "1") for symbol in symbols]
    runs = offline.query(f"SELECT strategy, count(*) AS n FROM equity WHERE dt = DATE '{session}' GROUP BY strategy")
    assert sorted((run["strategy"], run["n"]) for run in runs) == sorted((name, "1") for name in offline.stack.strategies)
    orders = offline.query("SELECT count(*) AS n, count(DISTINCT order_id) AS ids FROM orders")[0]
    assert orders["n"] == orders["ids"], "an order stands there twice"


def test_an_export_job_that_fails(offline):
    offline.publish(DAY)
    offline.faults({"service": "dataexchange", "do": "fail_job", "message": "the key's policy denies it"})
    failed(offline, offline.start(DAY), "ExportFailed", "the key's policy denies it", "data set eod-us")
    mended(offline)
    # The revision whose job went well was not exported again.
    assert len(offline.requests("dataexchange", "StartJob")) == 3


def test_one_malformed_asset_of_several(offline):
    revision = offline.publish(DAY)[-1]
    (offline.stack.product / revision / "daily_adjusted_IBM.csv").write_bytes(b"\x1f\x8b not what it says")
    run = offline.start(DAY)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    whole(offline, symbols=[symbol for symbol in sample.SYMBOLS if symbol != "IBM"])
    subject, text = offline.notices()[-1]
    assert "needs a look" in subject
    assert "daily_adjusted_IBM.csv" in text and "check missing_symbols: sym IBM" in text, text
    assert [one["asset"] for one in run.output["ingest"]["revisions"][-1]["refused_assets"]] == ["daily_adjusted_IBM.csv"]


def test_a_session_without_bars_is_not_traded_on(offline):
    sample.history(offline.stack.product, DAY, "2011-06-01")
    failed(offline, offline.start(DAY), "DataQuality", "no_bars")
    assert not any(key.startswith(("signals/", "orders/", "equity/")) for key in offline.objects())
    offline.publish(DAY, history=False)
    mended(offline)


def test_a_crawler_that_never_ends_and_one_that_fails(make):
    offline = make(variables={"CRAWL_SECONDS_MAX": "1"})
    offline.publish(DAY)
    offline.faults({"service": "glue", "do": "hang_crawler", "times": ALWAYS})
    failed(offline, offline.start(DAY), "CrawlFailed", "has not ended within 1 seconds")
    offline.no_faults()
    time.sleep(1)
    offline.faults({"service": "glue", "do": "fail_crawl", "message": "access denied to the bucket"})
    failed(offline, offline.start(DAY), "CrawlFailed", "access denied to the bucket")
    offline.no_faults()
    offline = make_patient(offline)
    mended(offline)


def make_patient(offline):
    """The same stack, whose functions wait for a crawl as long as they should."""
    client = offline.client("lambda")
    name = f"{offline.stack.name}-crawl-catalog"
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    del variables["CRAWL_SECONDS_MAX"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    return offline


def test_a_catalogue_that_somebody_changed(offline):
    offline.publish(DAY)
    glue = offline.client("glue")
    table = glue.get_table(DatabaseName=offline.stack.database, Name="equity")["Table"]
    changed = {key: table[key] for key in ("Name", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters") if key in table}
    right = json.loads(json.dumps(changed))
    next(one for one in changed["StorageDescriptor"]["Columns"] if one["Name"] == "cash")["Type"] = "string"
    glue.update_table(DatabaseName=offline.stack.database, TableInput=changed)
    failed(offline, offline.start(DAY), "CatalogDrift", "equity.cash is string and was declared decimal(18,6)")
    glue.update_table(DatabaseName=offline.stack.database, TableInput=right)
    mended(offline)


def test_a_query_that_fails(offline):
    offline.publish(DAY)
    offline.faults({"service": "athena", "do": "fail_query", "message": "HIVE_BAD_DATA: a file is damaged"})
    failed(offline, offline.start(DAY), "QueryFailed", "HIVE_BAD_DATA: a file is damaged")
    mended(offline)


def test_an_endpoint_that_is_down_and_then_answers_something_else(make):
    offline = make(variables={"ENDPOINT": "forecast"})
    offline.publish(DAY)
    down = {"service": "sagemaker", "call": "InvokeEndpoint", "times": ALWAYS, "do": "error", "status": 500,
            "code": "InternalFailure", "message": "the container is restarting"}
    offline.faults(down)
    failed(offline, offline.start(DAY), "Transient", "SageMaker InvokeEndpoint", "the container is restarting")
    offline.no_faults()
    offline.faults({"service": "sagemaker", "do": "wrong_shape", "body": "{\"predictions\": []}", "times": ALWAYS})
    failed(offline, offline.start(DAY), "ModelFailed", "the endpoint answered what is no forecast")
    assert not any(key.startswith("signals/") for key in offline.objects())
    offline.no_faults()
    run = mended(offline)
    assert run.output["score"]["endpoint"] is True and run.output["score"]["signals"] == len(sample.SYMBOLS)


def test_an_endpoint_that_stumbles_once_is_asked_again(make):
    offline = make(variables={"ENDPOINT": "forecast"})
    offline.publish(DAY)
    stumble = {"service": "sagemaker", "call": "InvokeEndpoint", "do": "error", "status": 500, "code": "InternalFailure", "message": "once"}
    offline.faults(stumble)
    mended(offline)


def test_a_task_that_ends_with_another_exit_code_and_a_strategy_that_cannot_be_run(offline):
    offline.publish(DAY)
    offline.faults({"service": "ecs", "do": "exit", "code": 3})
    failed(offline, offline.start(DAY), "TaskFailed", "ended with exit code 3")
    run = mended(offline)
    assert sorted(one["attempt"] for one in run.output["strategies"])[-1] == 2
    text = b'data.symbols = ["NOBODY"]\n[strategy]\nname = "sma"\nfast = 5\nslow = 9\nsize = 1\n'
    offline.client("s3").put_object(Bucket=offline.stack.bucket, Key="lake/strategies/wrong.toml", Body=text)
    run = offline.start(DAY)
    assert run.status == "FAILED" and run.error == "TaskFailed"
    assert "the task of strategy wrong" in run.reason and "the lake has no symbol NOBODY" in run.reason, run.reason
    subject, told = offline.notices()[-1]
    assert "FAILED" in subject and "the lake has no symbol NOBODY" in told
    # What was finished stays finished.
    assert offline.records()[f"eod/{DAY}"]["state"] == "finished"


def test_a_notice_that_comes_twice_and_late_exports_once(offline):
    revisions = offline.publish(DAY)
    # The later revision is announced first, and each several times.
    for revision in [*reversed(revisions), *revisions]:
        day.announce(offline.stack, revision)
    time.sleep(0.5)
    mended(offline)
    assert len(offline.requests("dataexchange", "StartJob")) == 2


def test_revisions_out_of_order(offline):
    offline.publish(DAY)
    mended(offline)
    offline.publish(NEXT, history=False)
    mended(offline, NEXT)
    before = offline.objects("lake/bars_daily/")
    # A correction of the first day that was published before the second, and turns up after it.
    correct = lambda symbol, row: [row[0], *(str(float(cell) * 2) for cell in row[1:5]), *row[5:]]
    sample.publish(offline.stack.product, "late", f"{DAY}T23:30:00Z", DAY, DAY, correct)
    run = offline.start(NEXT)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    [late] = run.output["ingest"]["revisions"]
    assert (late["stored"], late["unchanged"]) == (0, len(sample.SYMBOLS))
    assert offline.objects("lake/bars_daily/") == before


def kill_when_seen(program, killed, stop):
    """Kills the first process of a program that appears."""
    while not stop.is_set():
        found = subprocess.run(["pgrep", "-f", f"{servers.binaries()}/{program}$"], capture_output=True, text=True).stdout
        for pid in found.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
                killed.append(int(pid))
                return
            except ProcessLookupError:
                continue
        time.sleep(0.002)


@pytest.mark.parametrize("program", ["export-assets", "ingest-bars", "score-signals", "launch-strategy", "report-run"])
def test_a_function_killed_half_way(make, program):
    offline = make(variables={"LAKE_LOCK_SECONDS": "2"})
    offline.publish(DAY)
    killed, stop = [], threading.Event()
    killer = threading.Thread(target=kill_when_seen, args=(program, killed, stop))
    killer.start()
    try:
        run = offline.start(DAY)
    finally:
        stop.set()
        killer.join()
    assert killed, f"{program} was never seen"
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    whole(offline)


def test_a_container_killed_half_way(make):
    offline = make(variables={"LAKE_LOCK_SECONDS": "2"})
    offline.publish(DAY)
    killed, stop = [], threading.Event()
    killer = threading.Thread(target=kill_when_seen, args=("strategy-runner", killed, stop))
    killer.start()
    try:
        run = offline.start(DAY)
    finally:
        stop.set()
        killer.join()
    assert killed
    failed(offline, run, "TaskFailed", "ended with exit code 137")
    mended(offline)


def test_a_day_that_never_ran_raises_an_alarm(offline):
    answer = offline.client("lambda").invoke(
        FunctionName=f"{offline.stack.name}-watch-pnl", Payload=json.dumps({"scheduled": True})
    )
    breaches = json.load(answer["Payload"])["breaches"]
    assert any("has not finished: it was never started" in one["what"] for one in breaches)
    subjects = [subject for subject, _ in offline.notices()]
    assert any(subject.endswith("is missing") for subject in subjects), subjects
    assert any("missing-run" in subject for subject in subjects), "the alarm of the figure"
    metrics = offline.client("cloudwatch").list_metrics(Namespace=offline.stack.name)["Metrics"]
    assert {"MissingRun", "Breach"} <= {one["MetricName"] for one in metrics}


def test_a_broken_limit_tightens_the_strategy_and_is_told(make):
    offline = make(limits="[limits.drawdown]\nwarn = 0.0001\nreduce_only = 0.0002\n", strategies={"sma": make_sma()})
    offline.publish(DAY)
    run = offline.start(DAY)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    [breach] = run.output["watch"]["breaches"]
    assert (breach["strategy"], breach["action"]) == ("sma", "reduce_only")
    [entry] = offline.records()["control/sma"]["entries"]
    assert (entry["from"], entry["mode"], entry["by"]) == (NEXT, "reduce_only", "watch-pnl")
    assert any("limit of sma broken" in subject for subject, _ in offline.notices())
    offline.publish(NEXT, history=False)
    mended(offline, NEXT)
    [run] = offline.query(f"SELECT control FROM runs WHERE dt = DATE '{NEXT}'")
    assert run["control"] == f"reduce-only from {NEXT}"


def make_sma():
    return 'name = "sma"\nfast = 5\nslow = 20\nsize = 100'


def test_no_log_has_a_credential_or_data(make, emulator):
    offline = make(variables={"ENDPOINT": "forecast"})
    offline.publish(DAY)
    offline.faults({"service": "sagemaker", "do": "error", "call": "InvokeEndpoint", "status": 403,
                    "code": "AccessDeniedException", "message": "no", "times": ALWAYS})
    assert offline.start(DAY).status == "FAILED"
    offline.no_faults()
    mended(offline)
    lines = [line for file in offline.stack.logs.glob("*.log") for line in file.read_text().splitlines()]
    ours = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(ours) > 10, "the functions' logs are not there"
    for line in ours:
        assert {"level", "message", "request_id"} <= line.keys()
    assert any(line.get("run") and line.get("session") == DAY for line in ours)
    assert any(line["level"] == "ERROR" and line["error_type"] == "Denied" for line in ours)
    said = offline.logs() + open(emulator.log, errors="replace").read()
    # The secret key is a word of its own, and the close of a session stands in no other place.
    prices = [row[4] for symbol in sample.SYMBOLS for row in sample.rows(symbol)[1] if row[0] == DAY]
    for secret in [servers.CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "Signature=", "Credential=", *prices]:
        assert secret not in said, f"`{secret}` is in a log"
