"""The programs that are always on, as processes on the offline AWS: prices over Kinesis, orders over SQS, the journal in
DynamoDB. They trade what one process trades, byte for byte, whoever is killed when, and are stopped from outside.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
import uuid

import boto3
import pytest

from harness import servers

PROGRAMS = ("market-data-adapter", "broker-adapter", "strategy-runner", "guardian")
RUN_FILE = """[strategy]
name = "ema"
fast = 2
slow = {slow}
size = 100

[data]
symbols = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
from = {begin}
to = {end}

[account]
cash = 250000

[costs]
commission_per_share = 0.005
commission_min = 1
spread_bps = 2
volume_share_max = 0.1
borrow_bps = 50
"""
BEGIN, END, LAST = "2013-02-14", "2013-02-26", "2013-02-26"
LIMITS = "[limits]\nmissing = \"reduce_only\"\n"


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    missing = [name for name in (*PROGRAMS, "algotrading") if not (servers.binaries() / name).exists()]
    if missing:
        assert "ALGOTRADING_TEST_SQL" not in os.environ, f"not built: {', '.join(missing)}"
        pytest.skip(f"not built: {', '.join(missing)}")
    server = servers.ministack(tmp_path_factory.mktemp("ministack"))
    try:
        yield server
    finally:
        servers.stop(server)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A lake with the sample in a folder."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    subprocess.run([servers.binaries() / "algotrading", "demo", "--out", out], check=True, capture_output=True)
    return out / "lake"


class Trading:
    """Everything around the programs, under names of its own, and the programs that were started."""

    def __init__(self, emulator, lake, folder, begin=BEGIN, end=END, slow=4):
        self.emulator, self.folder, self.name = emulator.url, folder, f"t-{uuid.uuid4().hex[:8]}"
        self.begin, self.end, self.lake = begin, end, lake
        self.started: dict[str, subprocess.Popen] = {}
        self.session = boto3.Session("test", servers.CREDENTIALS["AWS_SECRET_ACCESS_KEY"], region_name=servers.REGION)
        self.run_file = folder / "ema.toml"
        self.run_file.write_text(RUN_FILE.format(begin=begin, end=end, slow=slow))
        self._tables()
        self._queues()
        self.client("kinesis").create_stream(StreamName=self.name, ShardCount=1)
        self.topic = self.client("sns").create_topic(Name=self.name)["TopicArn"]
        self._lake()

    def client(self, service):
        return self.session.client(service, endpoint_url=self.emulator)

    def _tables(self):
        dynamodb = self.client("dynamodb")
        for table, keys in (("records", (("pk", "S"), ("sk", "S"))), ("journal", (("strategy", "S"), ("seq", "N")))):
            dynamodb.create_table(
                TableName=f"{self.name}-{table}", BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in keys],
                KeySchema=[{"AttributeName": keys[0][0], "KeyType": "HASH"}, {"AttributeName": keys[1][0], "KeyType": "RANGE"}],
            )

    def _queues(self):
        sqs = self.client("sqs")
        make = lambda name: sqs.create_queue(QueueName=f"{self.name}-{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        self.orders, self.executions = make("orders"), make("executions")

    def _lake(self):
        s3 = self.client("s3")
        for bucket in (self.name, f"{self.name}-archive"):
            s3.create_bucket(Bucket=bucket)
        for file in self.lake.rglob("*"):
            if file.is_file():
                s3.put_object(Bucket=self.name, Key=f"lake/{file.relative_to(self.lake).as_posix()}", Body=file.read_bytes())
        s3.put_object(Bucket=self.name, Key="lake/strategies/ema.toml", Body=self.run_file.read_bytes())
        s3.put_object(Bucket=self.name, Key="lake/watch/limits.toml", Body=LIMITS.encode())

    def environment(self, **more):
        return servers.environment({
            "AWS_ENDPOINT_URL": self.emulator, "LAKE": f"s3://{self.name}/lake", "RECORDS_TABLE": f"{self.name}-records",
            "METRICS_NAMESPACE": self.name, "STRATEGY": "ema", "FEED": "replay", "SPEED": "max", "MARKET_STREAM": self.name,
            "BROKER": "paper", "ORDERS_QUEUE_URL": self.orders, "EXECUTIONS_QUEUE_URL": self.executions,
            "JOURNAL_TABLE": f"{self.name}-journal", "ARCHIVE": f"s3://{self.name}-archive/journal", "MODE": "live",
            "TOPIC_ARN": self.topic, "LEASE_SECONDS": "2", "STALE_SECONDS": "3", "GRACE_SECONDS": "2",
        } | more)

    def start(self, *programs, **more):
        for program in programs:
            with (self.folder / f"{program}.log").open("ab") as log:
                self.started[program] = subprocess.Popen(
                    [servers.binaries() / program], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=self.environment(**more), start_new_session=True,
                )

    def log(self, program):
        file = self.folder / f"{program}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def logs(self):
        return "\n".join(f"--- {program}\n{self.log(program)[-4000:]}" for program in PROGRAMS)

    def journal(self):
        """The lines of the journal, in order."""
        pages = self.client("dynamodb").get_paginator("query").paginate(
            TableName=f"{self.name}-journal", KeyConditionExpression="strategy = :s",
            ExpressionAttributeValues={":s": {"S": "ema"}}, ConsistentRead=True,
        )
        return [item["line"]["S"] for page in pages for item in page["Items"]]

    def record(self, partition):
        item = self.client("dynamodb").get_item(
            TableName=f"{self.name}-records", Key={"pk": {"S": partition}, "sk": {"S": "ema"}}, ConsistentRead=True,
        ).get("Item")
        return json.loads(item["body"]["S"]) if item else None

    def control(self, mode, session):
        """A person writes a control record."""
        entry = {"from": session, "mode": mode, "reason": "a test", "by": "a person", "at": "2013-03-01T00:00:00Z"}
        self._told({"entries": [entry]})

    def ask(self, *asks):
        """A person accepts, or enables again."""
        told = {"reason": "a test", "by": "a person", "at": "2013-03-01T00:00:00Z"}
        self._told({"entries": [], "requests": [{"ask": ask} | told for ask in asks]})

    def _told(self, body):
        self.client("dynamodb").put_item(TableName=f"{self.name}-records", Item={
            "pk": {"S": "control"}, "sk": {"S": "ema"}, "version": {"N": "1"}, "writer": {"S": "test"},
            "body": {"S": json.dumps(body)},
        })

    def wait(self, what, seconds=90, alive=("market-data-adapter", "broker-adapter", "strategy-runner")):
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"it does not come to that\n{self.logs()}"
            for program in alive:
                process = self.started.get(program)
                assert process is None or process.poll() is None, f"{program} ended\n{self.logs()}"
            time.sleep(0.1)
        return found

    def closed(self, session=LAST):
        """Whether a session has closed in the journal."""
        live = self.record("live")
        snapshot = live and live["snapshot"]
        return snapshot and snapshot["closed"] and snapshot["session"] == session

    def embedded(self):
        """The journal of one process that does the same."""
        out = self.folder / "paper"
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run(
            [servers.binaries() / "algotrading", "paper", self.run_file, "--lake", self.lake, "--out", out],
            check=True, capture_output=True, env=servers.environment(),
        )
        return (out / "journal.jsonl").read_text().splitlines()

    def stop(self):
        """Tells everybody to stop; gives the exit codes."""
        for process in self.started.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        codes = {}
        for program, process in self.started.items():
            try:
                codes[program] = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[program] = process.wait()
        return codes


@pytest.fixture
def trading(offline, lake, tmp_path):
    made = Trading(offline, lake, tmp_path)
    try:
        yield made
    finally:
        made.stop()


def same(trading):
    got, wanted = trading.journal(), trading.embedded()
    for at, (one, other) in enumerate(zip(got, wanted)):
        assert one == other, f"line {at + 1}\n{trading.logs()}"
    assert len(got) == len(wanted)
    assert any('"filled"' in line for line in got), "nothing was traded"
    return hashlib.sha256(got[-1].encode()).hexdigest()


def test_three_processes_trade_what_one_process_trades_byte_for_byte(trading):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner")
    trading.wait(trading.closed)
    digest = same(trading)
    assert trading.record("live")["sha256"] == digest
    # The books agree, and every closed session is in the archive, the parts in one piece.
    assert trading.record("live")["snapshot"]["disputed"] is False
    s3, bucket = trading.client("s3"), f"{trading.name}-archive"
    keys = sorted(one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"])
    read = lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    parts = "".join(read(key) for key in keys if key.endswith(".jsonl"))
    assert parts.splitlines() == trading.journal()
    heads = [json.loads(read(key)) for key in keys if "head-" in key]
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
    while not trading.closed():
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


def test_a_second_runner_is_turned_away_in_one_sentence(trading):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner")
    trading.wait(lambda: trading.record("live"))
    second = subprocess.run([servers.binaries() / "strategy-runner"], env=trading.environment(), capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    [line] = second.stdout.splitlines()
    told = json.loads(line)
    assert told["level"] == "ERROR" and told["message"].startswith("another program writes the journal of ema: it is strategy-runner ")
    trading.wait(trading.closed)
    same(trading)


def test_a_strategy_has_seen_the_past_before_its_first_session(offline, lake, tmp_path):
    # Ten bars are needed, and eight are told.
    trading = Trading(offline, lake, tmp_path, begin="2012-06-01", slow=10)
    try:
        trading.start("market-data-adapter", "broker-adapter", "strategy-runner", REPLAY_AFTER="2013-02-13")
        trading.wait(trading.closed)
        lines = trading.journal()
        assert json.loads(lines[1])["event"]["session_opened"]["date"] == BEGIN
        assert any('"ordered"' in line for line in lines), "it never decided"
        # A restart shows it the same past, or its steps would come out otherwise.
        runner = trading.started["strategy-runner"]
        runner.terminate()
        assert runner.wait(20) == 0
        trading.start("strategy-runner")
        trading.wait(lambda: trading.record("live")["state"] == "trading")
        assert trading.journal() == lines
    finally:
        trading.stop()


@pytest.mark.parametrize(("program", "more", "words"), [
    ("market-data-adapter", {"FEED": "alpaca"}, "the feed `alpaca` is not built in yet"),
    ("broker-adapter", {"BROKER": "fix"}, "the broker `fix` is not built in yet"),
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


def held(trading):
    account = trading.record("account")
    return account and account["status"]["holdings"]


def test_a_control_record_flattens(trading):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner", SPEED="30")
    trading.wait(lambda: held(trading))
    session = trading.record("live")["snapshot"]["session"]
    trading.control("flatten", session)
    trading.wait(lambda: trading.record("account")["flat"])
    trading.wait(trading.closed)
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
    trading.wait(trading.closed)
    assert counted() == [1, 1]
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
    assert "another program writes the journal of ema: it is guardian " in trading.log("strategy-runner")
    assert len(trading.journal()) == lines
    assert trading.record("account")["flat"]
