"""The stack, made with one call after another; a template makes it on AWS.

Everything is named after the deployment, so that several stand side by side on one MiniStack.
"""

from __future__ import annotations

import io
import json
import re
import stat
import subprocess
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import boto3
from botocore.config import Config

from . import servers
from .servers import ACCOUNT, REGION, TOP

# What each function may take: seconds, and the seconds of its state in the machine are a little more.
FUNCTIONS = {
    "plan-session": 30, "export-assets": 120, "ingest-bars": 900, "crawl-catalog": 120, "run-query": 60,
    "score-signals": 300, "launch-strategy": 60, "watch-pnl": 120, "report-run": 300,
}
CONTAINERS = ("strategy-runner", "ingest-task")
WORKGROUP = "MyWorkGroup"
EVENT = "Revision Published To Data Set"
# Nobody may send events in the name of AWS, MiniStack neither.
EVENT_SOURCES = ["aws.dataexchange", "offline.dataexchange"]

STRATEGIES = {
    "sma": 'name = "sma"\nfast = 50\nslow = 200\nsize = 100',
    "ema": 'name = "ema"\nfast = 8\nslow = 21\nsize = 100',
    "breakout": 'name = "breakout"\nperiod = 50\nsize = 100',
    "forecast": 'name = "forecast"\nmodel = "forecast"\nlong_threshold = 0.43\nshort_threshold = 0.43\nsize = 100',
}
RUN_FILE = """[strategy]
{strategy}

[data]
symbols = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
from = {begin}

[account]
cash = 250000

[costs]
commission_per_share = 0.005
commission_min = 1
spread_bps = 2
volume_share_max = 0.1
borrow_bps = 50
"""
LIMITS = """[limits.daily_loss]
warn = 0.05
reduce_only = 0.1

[limits.drawdown]
warn = 0.3
reduce_only = 0.5
"""


@dataclass
class Deployment:
    """A stack and where to find it."""

    name: str
    emulator: str
    server: str
    exchange: str
    access_key: str = "test"
    account: str = ACCOUNT
    data_set: str = "eod-us"
    begin: str = "2000-03-01"
    strategies: dict[str, str] = field(default_factory=lambda: dict(STRATEGIES))
    limits: str = LIMITS
    # Further environment of the functions and the containers, or other than the usual.
    variables: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _clients(self) -> dict:
        return {}

    def client(self, service: str):
        """A client, sent to our server where that speaks the service."""
        if service not in self._clients:
            session = boto3.Session(aws_access_key_id=self.access_key, aws_secret_access_key=servers.CREDENTIALS["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
            ours = service.replace("-", "_").upper() in servers.OURS
            self._clients[service] = session.client(
                service, endpoint_url=self.server if ours else self.emulator,
                config=Config(retries={"mode": "standard"}, s3={"addressing_style": "path"}),
            )
        return self._clients[service]

    # Names.
    bucket = property(lambda self: f"{self.name}-lake")
    lake = property(lambda self: f"s3://{self.bucket}/lake")
    exports = property(lambda self: f"s3://{self.bucket}/exports")
    table = property(lambda self: f"{self.name}-records")
    topic = property(lambda self: f"arn:aws:sns:{REGION}:{self.account}:{self.name}-notices")
    queue = property(lambda self: f"{self.emulator}/{self.account}/{self.name}-inbox")
    cluster = property(lambda self: f"{self.name}-cluster")
    crawler = property(lambda self: f"{self.name}-crawler")
    # One deployment has the names of the reference; another beside it cannot have the same.
    is_main = property(lambda self: self.name == "algotrading")
    database = property(lambda self: "algo_data" if self.is_main else f"algo_data_{self.name}".replace("-", "_"))
    workgroup = property(lambda self: WORKGROUP if self.is_main else f"{self.name}-{WORKGROUP}")
    machine = property(lambda self: f"arn:aws:states:{REGION}:{self.account}:stateMachine:{self.name}-eod")
    role = property(lambda self: f"arn:aws:iam::{self.account}:role/{self.name}")
    product = property(lambda self: Path(self.exchange) / self.data_set)
    # What the functions say.
    logs = property(lambda self: Path(self.exchange).parent / "functions")

    def function(self, name: str) -> str:
        return f"arn:aws:lambda:{REGION}:{self.account}:function:{self.name}-{name}"

    @property
    def environment(self) -> dict[str, str]:
        """Of the functions and the containers: docs/eod.md, and where AWS is."""
        return {
            "LAKE": self.lake,
            "EXPORTS": self.exports,
            "RECORDS_TABLE": self.table,
            "DATA_SETS": self.data_set,
            "CRAWLER": self.crawler,
            "DATABASE": self.database,
            "WORKGROUP": self.workgroup,
            "MODEL": "forecast",
            "CLUSTER": self.cluster,
            "SUBNETS": "subnet-offline",
            "SECURITY_GROUPS": "sg-offline",
            "TASK_PREFIX": f"{self.name}-",
            "TOPIC_ARN": self.topic,
            "METRICS_NAMESPACE": self.name,
        } | servers.endpoints(self.emulator, self.server) | self.variables

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1))


def machine_text(name: str, arns: dict[str, str]) -> str:
    """A state machine of infra/, filled in as CloudFormation does: text for text."""
    text = (TOP / "infra" / "state-machines" / f"{name}.asl.json").read_text()
    filled = re.sub(r"\$\{(\w+)\}", lambda found: arns[found.group(1)], text)
    json.loads(filled)
    return filled


def _arn_names() -> dict[str, str]:
    return {"".join(part.title() for part in name.split("-")) + "Arn": name for name in FUNCTIONS}


def bootstrap(program: Path, log: Path) -> bytes:
    """A function's zip whose bootstrap becomes the program: a debug build is too large to be carried to and fro.

    What the function says goes to a file: MiniStack keeps it only of some calls.
    """
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(entry, f'#!/bin/sh\nexec "{program}" >>"{log}" 2>&1\n')
    return held.getvalue()


def deploy(stack: Deployment, programs: Path | None = None) -> Deployment:
    """Makes everything of a stack but the bars."""
    programs = programs or servers.binaries()
    stack.product.mkdir(parents=True, exist_ok=True)
    stack.client("s3").create_bucket(Bucket=stack.bucket)
    _records(stack)
    _notices(stack)
    _functions(stack, programs)
    _containers(stack)
    _machine(stack)
    _events(stack)
    _lake(stack, programs)
    _catalogue(stack)
    return stack


def _records(stack: Deployment) -> None:
    stack.client("dynamodb").create_table(
        TableName=stack.table, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )


def _notices(stack: Deployment) -> None:
    sns, sqs = stack.client("sns"), stack.client("sqs")
    sns.create_topic(Name=f"{stack.name}-notices")
    sqs.create_queue(QueueName=f"{stack.name}-inbox")
    inbox = f"arn:aws:sqs:{REGION}:{stack.account}:{stack.name}-inbox"
    sns.subscribe(TopicArn=stack.topic, Protocol="sqs", Endpoint=inbox)


def _functions(stack: Deployment, programs: Path) -> None:
    client = stack.client("lambda")
    stack.logs.mkdir(parents=True, exist_ok=True)
    for name, seconds in FUNCTIONS.items():
        client.create_function(
            FunctionName=f"{stack.name}-{name}", Runtime="provided.al2023", Handler="bootstrap", Role=stack.role,
            Code={"ZipFile": bootstrap(programs / name, stack.logs / f"{name}.log")}, Timeout=seconds, MemorySize=512,
            Environment={"Variables": stack.environment},
        )


def _containers(stack: Deployment) -> None:
    ecs = stack.client("ecs")
    ecs.create_cluster(clusterName=stack.cluster)
    variables = stack.environment | servers.CREDENTIALS | {"AWS_ACCESS_KEY_ID": stack.access_key}
    for name in CONTAINERS:
        ecs.register_task_definition(
            family=f"{stack.name}-{name}", requiresCompatibilities=["FARGATE"], networkMode="awsvpc",
            cpu="256", memory="512",
            containerDefinitions=[{
                "name": name, "image": name, "essential": True,
                "environment": [{"name": key, "value": value} for key, value in variables.items()],
            }],
        )


def _machine(stack: Deployment) -> None:
    arns = {variable: stack.function(name) for variable, name in _arn_names().items()} | {"TopicArn": stack.topic}
    stack.client("stepfunctions").create_state_machine(
        name=f"{stack.name}-eod", definition=machine_text("eod", arns), roleArn=stack.role
    )


def _events(stack: Deployment) -> None:
    # As on AWS, but switched off: MiniStack would fire it at half past six in UTC, and without the time in its input.
    stack.client("scheduler").create_schedule(
        Name=f"{stack.name}-eod", State="DISABLED", FlexibleTimeWindow={"Mode": "OFF"},
        ScheduleExpression="cron(30 18 ? * MON-FRI *)", ScheduleExpressionTimezone="America/New_York",
        Target={
            "Arn": stack.machine, "RoleArn": stack.role, "Input": json.dumps({"time": "<aws.scheduler.scheduled-time>"}),
        },
    )
    # Four hours after the close the day must have finished; whether it has is asked by a schedule of its own.
    stack.client("scheduler").create_schedule(
        Name=f"{stack.name}-watch", State="DISABLED", FlexibleTimeWindow={"Mode": "OFF"},
        ScheduleExpression="cron(30 22 * * ? *)", ScheduleExpressionTimezone="America/New_York",
        Target={"Arn": stack.function("watch-pnl"), "RoleArn": stack.role, "Input": json.dumps({"scheduled": True})},
    )
    # Every day, weekends too: a figure that stays away is as bad as one that says so.
    stack.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{stack.name}-missing-run", Namespace=stack.name, MetricName="MissingRun", Statistic="Maximum",
        Period=86_400, EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="breaching", AlarmActions=[stack.topic],
    )
    events, rule = stack.client("events"), f"{stack.name}-published"
    events.put_rule(
        Name=rule,
        EventPattern=json.dumps({"source": EVENT_SOURCES, "detail-type": [EVENT], "resources": [stack.data_set]}),
    )
    events.put_targets(Rule=rule, Targets=[{"Id": "export", "Arn": stack.function("export-assets")}])
    # What the machine cannot catch: its own time-out, and a person who stops it.
    rule = f"{stack.name}-ended"
    events.put_rule(Name=rule, EventPattern=json.dumps({
        "source": ["aws.states"], "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [stack.machine], "status": ["TIMED_OUT", "ABORTED"]},
    }))
    events.put_targets(Rule=rule, Targets=[{
        "Id": "people", "Arn": stack.topic, "InputTransformer": {
            "InputPathsMap": {"run": "$.detail.name", "status": "$.detail.status"},
            "InputTemplate": '"The end-of-day run <run> ended as <status> before it was done. '
            'Start it again for the same session."',
        },
    }])


def _lake(stack: Deployment, programs: Path) -> None:
    """What people put into a lake: run files, limits, the promoted model."""
    s3 = stack.client("s3")

    def put(path: str, body: bytes) -> None:
        s3.put_object(Bucket=stack.bucket, Key=f"lake/{path}", Body=body)

    for name, strategy in stack.strategies.items():
        put(f"strategies/{name}.toml", RUN_FILE.format(strategy=strategy, begin=stack.begin).encode())
    put("watch/limits.toml", stack.limits.encode())
    with tempfile.TemporaryDirectory() as folder:
        for file, body in promoted_model(programs, Path(folder)).items():
            put(file, body)


_model: dict[str, bytes] = {}


def promoted_model(programs: Path, folder: Path) -> dict[str, bytes]:
    """The sample's model as the command keeps it in a lake; made once a process."""
    if not _model:
        out = folder / "demo"
        subprocess.run([programs / "algotrading", "demo", "--out", out], check=True, capture_output=True)
        found = [file for file in sorted((out / "lake" / "models").rglob("*")) if file.is_file()]
        _model.update({file.relative_to(out / "lake").as_posix(): file.read_bytes() for file in found})
    return _model


def statements(lake: str, database: str) -> list[tuple[str, str]]:
    """What makes the shipped tables and views, in order: a table's text makes it, a view's is only its query."""
    sql = TOP / "crates" / "queries" / "sql"
    tables = [
        (file.stem, file.read_text().replace("{lake}", lake).replace("algo_data.", f"{database}."))
        for file in sorted((sql / "tables").glob("*.sql"))
    ]
    views = [
        (file.stem, f"CREATE OR REPLACE VIEW {file.stem} AS\n{file.read_text()}")
        for file in sorted((sql / "views").glob("*.sql"))
    ]
    return tables + views


class QueryFailed(Exception):
    """Athena did not answer."""


def query(stack: Deployment, sql: str, seconds: float = 60) -> list[dict[str, str | None]]:
    """Asks Athena and waits; the rows by column."""
    athena = stack.client("athena")
    id_ = athena.start_query_execution(
        QueryString=sql, WorkGroup=stack.workgroup, QueryExecutionContext={"Database": stack.database}
    )["QueryExecutionId"]
    deadline = time.monotonic() + seconds
    while True:
        status = athena.get_query_execution(QueryExecutionId=id_)["QueryExecution"]["Status"]
        if status["State"] not in ("QUEUED", "RUNNING"):
            break
        if time.monotonic() > deadline:
            raise QueryFailed(f"no answer within {seconds} s to: {sql}")
        time.sleep(0.05)
    if status["State"] != "SUCCEEDED":
        raise QueryFailed(f"{status.get('StateChangeReason', status['State'])}\n{sql}")
    lines = []
    for page in athena.get_paginator("get_query_results").paginate(QueryExecutionId=id_):
        lines += [[cell.get("VarCharValue") for cell in row["Data"]] for row in page["ResultSet"]["Rows"]]
    return [dict(zip(lines[0], line)) for line in lines[1:]] if lines else []


def _catalogue(stack: Deployment) -> None:
    glue = stack.client("glue")
    glue.create_database(DatabaseInput={"Name": stack.database})
    stack.client("athena").create_work_group(
        Name=stack.workgroup,
        Configuration={
            "ResultConfiguration": {"OutputLocation": f"s3://{stack.bucket}/athena/"},
            "EnforceWorkGroupConfiguration": True,
        },
    )
    for name, sql in statements(stack.lake, stack.database):
        try:
            query(stack, sql)
        except QueryFailed as error:
            raise QueryFailed(f"the shipped statement `{name}` does not run: {error}") from None
    glue.create_crawler(
        Name=stack.crawler, Role=stack.role, DatabaseName=stack.database,
        Targets={"S3Targets": [{"Path": f"{stack.lake}/"}]},
        SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    )
