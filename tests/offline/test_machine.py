"""The ways through the state machine that a day seldom takes, on the real functions."""

from conftest import DAY, SINCE
from harness import day, sample
from test_day import STEPS, steps


def test_a_day_without_bars_ends_before_anybody_trades(offline):
    sample.history(offline.stack.product, DAY, SINCE)
    run = offline.start(DAY)
    assert run.status == "FAILED" and run.error == "DataQuality" and "no_bars" in run.reason
    assert steps(run) == ["Plan", "Export", "Ingest", "Crawl", "Checks", "Failure", "Failed"]
    assert not any(file.startswith(("signals/", "orders/", "runs/")) for file in offline.objects())
    [(subject, text)] = offline.notices()
    assert "FAILED" in subject and "no_bars" in text
    assert offline.records()[f"eod/{DAY}"]["state"] == "failed"


def test_what_is_not_tried_again_is_called_once(offline):
    offline.client("s3").put_object(Bucket=offline.stack.bucket, Key="lake/strategies/no name.toml", Body=b"")
    run = offline.start(DAY)
    assert run.status == "FAILED" and run.error == "BadInput"
    assert steps(run) == ["Plan", "FailureNotice", "Failed"] and offline.calls("plan-session") == 1
    [(subject, text)] = offline.notices()
    assert "failed" in subject and run.name in text and "no name" in text


def test_what_is_too_large_for_a_function_is_ingested_in_a_container(make):
    offline = make(variables={"INGEST_BYTES_MAX": "1000"}, strategies={})
    offline.publish(DAY)
    run = offline.start(DAY)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    assert steps(run) == [*STEPS[:3], "LaunchIngest", *STEPS[3:]]
    assert int(offline.query(f"SELECT count(*) AS n FROM hist_data_daily WHERE dt = '{DAY}'")[0]["n"]) == 5


def test_a_day_that_failed_goes_on_when_the_cause_is_gone(offline):
    offline.publish(DAY)
    held = offline.client("s3").get_object(Bucket=offline.stack.bucket, Key="lake/strategies/ema.toml")["Body"].read()

    def put(body):
        offline.client("s3").put_object(Bucket=offline.stack.bucket, Key="lake/strategies/ema.toml", Body=body)

    put(b'[strategy]\nname = "no such"\n')
    run = offline.start(DAY)
    assert run.status == "FAILED" and run.error == "TaskFailed" and "ema" in run.reason
    assert "Strategies" in steps(run) and "Report" not in steps(run)
    put(held)
    run = offline.start(DAY)
    assert run.status == "SUCCEEDED", f"{run.error}: {run.reason}\n{offline.logs()}"
    assert {one["strategy"]: one["attempt"] for one in run.output["strategies"]}["ema"] == 2
    assert [subject for subject, _ in offline.notices()][-1].endswith("is done")


def test_a_run_that_is_stopped_is_told(offline):
    arn = day.start(offline.stack, {"session": DAY}, name="stopped")
    offline.client("stepfunctions").stop_execution(executionArn=arn)
    [(_, text)] = offline.notices(5)
    assert "stopped" in text and "ABORTED" in text
