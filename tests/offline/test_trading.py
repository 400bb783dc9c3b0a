"""The programs that are always on, as processes on the offline AWS: prices over Kinesis, orders over SQS, the journal in
DynamoDB. They trade what one process trades, byte for byte, whoever is killed when, and are stopped from outside.
"""

import datetime
import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import servers
from harness.trading import BEGIN, LAST, PROGRAMS, RUN_FILE, SYMBOLS, Trading


def same(trading):
    got, wanted = trading.journal(), trading.embedded()
    for at, (one, other) in enumerate(zip(got, wanted)):
        assert one == other, f"line {at + 1}\n{trading.logs()}"
    assert len(got) == len(wanted)
    assert any('"filled"' in line for line in got), "nothing was traded"
    return hashlib.sha256(got[-1].encode()).hexdigest()


def archived(trading):
    """The lines in the archive, part after part, and its heads."""
    s3, bucket = trading.client("s3"), f"{trading.name}-archive"
    keys = sorted(one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"])
    read = lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    parts = "".join(read(key) for key in keys if key.endswith(".jsonl"))
    return parts.splitlines(), [json.loads(read(key)) for key in keys if "head-" in key]


def test_three_processes_trade_what_one_process_trades_byte_for_byte(trading):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner")
    trading.wait(lambda: trading.closed(LAST))
    digest = same(trading)
    assert trading.record("live")["sha256"] == digest
    # The books agree, and every closed session is in the archive, the parts in one piece.
    assert trading.record("live")["snapshot"]["disputed"] is False
    lines, heads = archived(trading)
    assert lines == trading.journal()
    assert heads[-1] == {"seq": len(trading.journal()) - 1, "sha256": digest}
    codes = trading.stop()
    assert set(codes.values()) == {0}, f"{codes}\n{trading.logs()}"
    metrics = trading.client("cloudwatch").list_metrics(Namespace=trading.name)["Metrics"]
    beaten = {one["Dimensions"][0]["Value"] for one in metrics if one["MetricName"] == "Heartbeat"}
    assert beaten == {"market-data-adapter", "broker-adapter", "strategy-runner"}
    for program in PROGRAMS:
        assert servers.CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in trading.log(program)
        for line in trading.log(program).splitlines():
            json.loads(line)


@pytest.mark.parametrize("seed", [1, 2])
def test_whoever_is_killed_when_the_journal_comes_out_the_same(trading, seed):
    dice, programs = random.Random(seed), list(PROGRAMS)
    trading.start(*programs, SPEED="60", STALE_SECONDS="120")
    kills = 0
    deadline = time.monotonic() + 240
    while not trading.closed(LAST):
        assert time.monotonic() < deadline, f"it does not end\n{trading.logs()}"
        time.sleep(dice.uniform(0.3, 2.5))
        if kills < 10:
            program = programs[kills] if kills < 4 else dice.choice(programs)
            trading.started[program].kill()
            trading.started[program].wait()
            time.sleep(dice.uniform(0, 0.5))
            trading.start(program, SPEED="60", STALE_SECONDS="120")
            kills += 1
    assert kills >= 4
    same(trading)
    trading.wait(lambda: archived(trading)[0] == trading.journal())


def test_a_second_runner_is_turned_away_in_one_sentence(trading):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner")
    trading.wait(lambda: trading.record("live"))
    second = subprocess.run([servers.binaries() / "strategy-runner"], env=trading.environment(), capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    [line] = second.stdout.splitlines()
    told = json.loads(line)
    assert told["level"] == "ERROR" and told["message"].startswith("another program writes the journal of ema: it is strategy-runner ")
    trading.wait(lambda: trading.closed(LAST))
    same(trading)


def test_a_strategy_has_seen_the_past_before_its_first_session(always_on, lake, tmp_path):
    # Ten bars are needed, and eight are told.
    trading = Trading(always_on, lake, tmp_path, RUN_FILE.format(begin="2012-06-01", end=LAST, slow=10))
    try:
        trading.start("market-data-adapter", "broker-adapter", "strategy-runner", REPLAY_AFTER="2013-02-13")
        trading.wait(lambda: trading.closed(LAST))
        lines = trading.journal()
        assert json.loads(lines[1])["event"]["session_opened"]["date"] == BEGIN
        assert any('"ordered"' in line for line in lines), "it never decided"
        # A restart shows it the same past, or its steps would come out otherwise; also when the vendor knows better now.
        runner = trading.started["strategy-runner"]
        runner.terminate()
        assert runner.wait(20) == 0
        corrected = tmp_path / "daily_adjusted_IBM.csv"
        row = "2013-02-11,200.98,201.95,199.75,200.16,172.895767,2944700,0.0,"
        sample = (Path(__file__).parents[2] / "data/sample/daily_adjusted_IBM.csv").read_text()
        assert row + "1.0" in sample
        corrected.write_text(sample.replace(row + "1.0", row + "7.0"))
        trading.add_to_lake(corrected)
        trading.start("strategy-runner")
        trading.wait(lambda: trading.record("live")["state"] == "trading")
        assert trading.journal() == lines
        folder = trading.folder / "proof"
        trading.command("aws", "journal", "ema", "--out", folder, check=True)
        assert "came out again" in trading.command("journal", "replay", folder, "--lake", lake, check=True).stdout
        # Shown what is known today, it says so and ends.
        trading.started["strategy-runner"].terminate()
        trading.started["strategy-runner"].wait(20)
        trading.put("warmed", {"run": "another"})
        trading.start("strategy-runner")
        assert trading.started["strategy-runner"].wait(60) == 1
        assert "came out otherwise" in trading.log("strategy-runner")
        assert trading.journal() == lines
    finally:
        trading.stop()


@pytest.mark.parametrize(("program", "more", "words"), [
    ("market-data-adapter", {"FEED": "alpaca"}, "BROKER_SECRET is not set"),
    ("market-data-adapter", {"FEED": "alpacca"}, "FEED is `alpacca`; it must be replay, alpaca, alpaca:sip, file:PATH or stdin"),
    ("broker-adapter", {"BROKER": "fix"}, "BROKER_SECRET is not set"),
    ("broker-adapter", {"BROKER": "fixx"}, "BROKER is `fixx`; it must be paper, alpaca or fix"),
    ("broker-adapter", {"BROKER": "alpaca", "BROKER_SECRET": "nobody"}, "Secrets Manager GetSecretValue on `nobody`: not found"),
    ("strategy-runner", {"STRATEGY": "nobody"}, "the lake has no `strategies/nobody.toml`"),
    ("guardian", {"JOURNAL_TABLE": ""}, "the environment variable JOURNAL_TABLE is not set"),
])
def test_what_cannot_be_is_said_in_one_sentence(trading, program, more, words):
    done = subprocess.run([servers.binaries() / program], env=trading.environment(**more), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and not done.stderr
    [line] = done.stdout.splitlines()
    told = json.loads(line)
    assert told["level"] == "ERROR" and words in told["message"], line


@pytest.fixture
def prices():
    """The fake of Alpaca's prices, with a minute and the bars of every day of the last two weeks."""
    now = datetime.datetime.now(datetime.UTC)
    command = [servers.binaries() / "examples/alpaca_prices", now.strftime("%Y-%m-%dT%H:%M:%SZ")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        for days in range(1, 15):
            date = (now - datetime.timedelta(days)).strftime("%Y-%m-%d")
            lines = [{"minute": {"symbol": "AAPL", "start": f"{date}T15:00:00Z", "bar": [18510, 18520, 18500, 18515, 1000]}}]
            lines += [{"day": {"symbol": symbol, "date": date, "bar": [18510, 18520, 18500, 18517, 9000]}} for symbol in SYMBOLS]
            for line in lines:
                server.stdin.write(json.dumps(line) + "\n")
                server.stdin.flush()
                assert server.stdout.readline() == "done\n"
        yield port
    finally:
        server.kill()
        server.wait()


def test_alpacas_prices_come_onto_the_stream_after_the_session_that_was_told(trading, prices):
    secret = {"key_id": "PKDATAKEY", "secret_key": "a-very-secret-data-secret", "data_url": f"http://127.0.0.1:{prices}", "stream_url": f"ws://127.0.0.1:{prices}"}
    trading.client("secretsmanager").create_secret(Name=trading.name, SecretString=json.dumps(secret))
    told = (datetime.date.today() - datetime.timedelta(10)).isoformat()
    session = {"date": told, "open": f"{told}T14:30:00Z", "close": f"{told}T21:00:00Z", "index": 1}
    heard = {"session": session, "closed": True, "actions": [], "bars": [], "last": []}
    trading.put("feed", {"seq": 7, "heard": heard, "waiting": []})
    run = lambda: trading.start("market-data-adapter", FEED="alpaca", BROKER_SECRET=trading.name)
    run()
    closes = lambda count: lambda: [one["what"] for one in trading.market()].count("closed") >= count and trading.market()
    trading.wait(closes(2))
    # Whenever it is killed, what follows has the next number.
    trading.started["market-data-adapter"].kill()
    trading.started["market-data-adapter"].wait()
    run()
    told = trading.wait(closes(4))
    numbers = [one["seq"] for one in told]
    assert sorted(set(numbers)) == list(range(8, max(numbers) + 1))
    whats = [next(iter(one["what"])) if isinstance(one["what"], dict) else one["what"] for one in told]
    assert whats[:8] == ["opened", "price", *["bar"] * 5, "closed"]
    assert told[1]["what"]["price"]["sym"] == "AAPL" and told[2]["what"]["bar"]["shown"][3] == "185.17"
    assert "a-very-secret" not in trading.log("market-data-adapter")


def held(trading):
    account = trading.record("account")
    return account and account["status"]["holdings"]


def test_a_control_record_flattens(trading):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner", SPEED="30")
    trading.wait(lambda: held(trading))
    session = trading.record("live")["snapshot"]["session"]
    trading.control("flatten", session)
    trading.wait(lambda: trading.record("account")["flat"])
    trading.wait(lambda: trading.closed(LAST))
    assert trading.record("account")["flat"]
    live = trading.record("live")["snapshot"]
    assert live["mode"] == "flatten" and not live["orders"]
    assert any('"control":"flatten"' in line and "a person: a test" in line for line in trading.journal())


def test_what_a_person_accepts_or_enables_again_is_obeyed_once(trading):
    limits = b"version = 1\n[limits]\nrepeated_executions_max = 2\n"
    trading.client("s3").put_object(Bucket=trading.name, Key="lake/limits/ema.toml", Body=limits)
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner", SPEED="30")
    trading.wait(lambda: (live := trading.record("live")) and live["snapshot"]["throttled"])
    trading.ask("accept", "halt", "reenable")
    counted = lambda: [sum(f'"event":"{event}"' in line for line in trading.journal()) for event in ("accepted", "reenabled")]
    trading.wait(lambda: counted() == [1, 1])
    assert "of the control record is not obeyed: unknown variant `halt`" in trading.log("strategy-runner")
    # After a crash the record still stands there.
    trading.started["strategy-runner"].kill()
    trading.started["strategy-runner"].wait()
    trading.start("strategy-runner", SPEED="30")
    trading.wait(lambda: trading.closed(LAST))
    assert counted() == [1, 1]
    lines = trading.journal()
    enabled = next(at for at, line in enumerate(lines) if '"event":"reenabled"' in line)
    assert any('"filled"' in line for line in lines[enabled:]), "nothing was traded after it"
    assert sum("a person: a test (request " in line for line in trading.journal()) == 2


def test_the_guardian_closes_everything_when_the_runner_is_frozen(trading):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner", "guardian", SPEED="15")
    trading.wait(lambda: held(trading))
    frozen = trading.started["strategy-runner"]
    frozen.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    trading.wait(lambda: trading.record("account")["flat"] and trading.record("account")["status"]["flattening"])
    seconds = time.monotonic() - begun
    assert seconds < 30, seconds
    entries = trading.record("control")["entries"]
    assert [entry["mode"] for entry in entries] == ["reduce_only", "flatten"]
    assert "nothing was heard of the runner" in entries[0]["reason"]
    # When it wakes it can write nothing and says why.
    lines = len(trading.journal())
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(60) == 1
    assert "the guardian has taken over from the runner" in trading.log("strategy-runner")
    assert len(trading.journal()) == lines
    assert trading.record("account")["flat"]
