"""The programs that are always on, as processes on the offline AWS: prices over Kinesis, orders over SQS, the journal in
DynamoDB.
"""

import json
import shutil
import signal
import subprocess
import time
import uuid

import boto3

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
BEGIN, LAST = "2013-02-14", "2013-02-26"
SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
LIMITS = "[limits]\nmissing = \"reduce_only\"\n"


class Trading:
    """Everything around the programs, under names of its own, and the programs that were started."""

    def __init__(self, emulator, lake, folder, run_file):
        self.emulator, self.folder, self.name = emulator.url, folder, f"t-{uuid.uuid4().hex[:8]}"
        self.lake = lake
        self.started: dict[str, subprocess.Popen] = {}
        self.session = boto3.Session("test", servers.CREDENTIALS["AWS_SECRET_ACCESS_KEY"], region_name=servers.REGION)
        self.run_file = folder / "ema.toml"
        self.run_file.write_text(run_file)
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
        s3.create_bucket(Bucket=self.name)
        # As the stack makes it: what is written there can be neither changed nor removed.
        archive = f"{self.name}-archive"
        s3.create_bucket(Bucket=archive, ObjectLockEnabledForBucket=True)
        s3.put_object_lock_configuration(Bucket=archive, ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
        })
        for file in self.lake.rglob("*"):
            if file.is_file():
                s3.put_object(Bucket=self.name, Key=f"lake/{file.relative_to(self.lake).as_posix()}", Body=file.read_bytes())
        s3.put_object(Bucket=self.name, Key="lake/strategies/ema.toml", Body=self.run_file.read_bytes())
        s3.put_object(Bucket=self.name, Key="lake/watch/limits.toml", Body=LIMITS.encode())

    def add_to_lake(self, file):
        """Imports a vendor's file into a copy of the lake, and puts what that changed into the bucket."""
        lake = self.folder / "lake"
        shutil.copytree(self.lake, lake)
        before = {one: one.read_bytes() for one in lake.rglob("*") if one.is_file()}
        self.command("data", "import", file, "--lake", lake, check=True)
        for one in lake.rglob("*"):
            if one.is_file() and before.get(one) != (content := one.read_bytes()):
                self.client("s3").put_object(Bucket=self.name, Key=f"lake/{one.relative_to(lake).as_posix()}", Body=content)

    def command(self, *arguments, **more):
        """What the command line program says, where the programs are."""
        return subprocess.run(
            [servers.binaries() / "algotrading", *arguments], capture_output=True, text=True, env=self.environment(), **more,
        )

    def environment(self, **more):
        return servers.environment({
            "AWS_ENDPOINT_URL": self.emulator, "LAKE": f"s3://{self.name}/lake", "RECORDS_TABLE": f"{self.name}-records",
            "METRICS_NAMESPACE": self.name, "STRATEGY": "ema", "FEED": "replay", "SPEED": "max", "MARKET_STREAM": self.name,
            "BROKER": "paper", "ORDERS_QUEUE_URL": self.orders, "EXECUTIONS_QUEUE_URL": self.executions,
            "JOURNAL_TABLE": f"{self.name}-journal", "ARCHIVE": f"s3://{self.name}-archive/journal", "MODE": "live",
            "TOPIC_ARN": self.topic, "LEASE_SECONDS": "2", "STALE_SECONDS": "3", "GRACE_SECONDS": "2",
        } | more)

    def start(self, *programs, stdin=subprocess.DEVNULL, **more):
        for program in programs:
            with (self.folder / f"{program}.log").open("ab") as log:
                self.started[program] = subprocess.Popen(
                    [servers.binaries() / program], stdin=stdin, stdout=log, stderr=log,
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

    def market(self):
        """The messages of the market stream."""
        kinesis = self.client("kinesis")
        shard = kinesis.list_shards(StreamName=self.name)["Shards"][0]["ShardId"]
        iterator = kinesis.get_shard_iterator(StreamName=self.name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        return [json.loads(one["Data"]) for one in kinesis.get_records(ShardIterator=iterator, Limit=10_000)["Records"]]

    def record(self, partition):
        item = self.client("dynamodb").get_item(
            TableName=f"{self.name}-records", Key={"pk": {"S": partition}, "sk": {"S": "ema"}}, ConsistentRead=True,
        ).get("Item")
        return json.loads(item["body"]["S"]) if item else None

    def control(self, mode, session):
        """A person writes a control record."""
        entry = {"from": session, "mode": mode, "reason": "a test", "by": "a person", "at": "2013-03-01T00:00:00Z"}
        self.put("control", {"entries": [entry]})

    def ask(self, *asks):
        """A person accepts, or enables again."""
        told = {"reason": "a test", "by": "a person", "at": "2013-03-01T00:00:00Z"}
        self.put("control", {"entries": [], "requests": [{"ask": ask} | told for ask in asks]})

    def put(self, partition, body):
        """A record as another program leaves it."""
        self.client("dynamodb").put_item(TableName=f"{self.name}-records", Item={
            "pk": {"S": partition}, "sk": {"S": "ema"}, "version": {"N": "1"}, "writer": {"S": "test"},
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

    def closed(self, session):
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
