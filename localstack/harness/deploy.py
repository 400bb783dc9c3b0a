"""The stack, made by CloudFormation from the CDK app's template for the offline AWS.

Everything is named after the deployment, so that several stand side by side on one MiniStack.
"""

from __future__ import annotations

import io
import json
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

FUNCTIONS = (
    "plan-session", "export-assets", "ingest-bars", "crawl-catalog", "run-query", "score-signals", "launch-strategy",
    "watch-pnl", "report-run",
)
CONTAINERS = ("strategy-runner", "ingest-task")
WORKGROUP = "MyWorkGroup"
EVENT = "Revision Published To Data Set"

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
    # Parameters of the template other than the usual.
    choices: dict[str, str] = field(default_factory=dict)
    # Environment of the functions and the containers that the template does not have, or has otherwise.
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
    programs = property(lambda self: f"{self.name}-programs")
    table = property(lambda self: self.outputs["RecordsTable"])
    topic = property(lambda self: f"arn:aws:sns:{REGION}:{self.account}:{self.name}-notices")
    queue = property(lambda self: f"{self.emulator}/{self.account}/{self.name}-inbox")
    cluster = property(lambda self: f"{self.name}-cluster")
    crawler = property(lambda self: f"{self.name}-crawler")
    # One deployment has the names of the reference; another beside it cannot have the same.
    is_main = property(lambda self: self.name == "algotrading")
    database = property(lambda self: "algo_data" if self.is_main else f"algo_data_{self.name}".replace("-", "_"))
    workgroup = property(lambda self: WORKGROUP if self.is_main else f"{self.name}-{WORKGROUP}")
    machine = property(lambda self: f"arn:aws:states:{REGION}:{self.account}:stateMachine:{self.name}-eod")
    product = property(lambda self: Path(self.exchange) / self.data_set)
    # Of schedules that fire a day at once; nobody looks what it may do here.
    role = property(lambda self: f"arn:aws:iam::{self.account}:role/{self.name}")
    # What the functions say.
    logs = property(lambda self: Path(self.exchange).parent / "functions")

    def function(self, name: str) -> str:
        return f"arn:aws:lambda:{REGION}:{self.account}:function:{self.name}-{name}"

    @property
    def parameters(self) -> list[dict[str, str]]:
        """Of the template."""
        given = {
            "DataSetId": self.data_set, "Model": "forecast", "DatabaseName": self.database, "WorkGroup": self.workgroup,
            "Emulator": self.emulator, "Server": self.server, "ProgramBucket": self.programs, "ProgramPrefix": "programs",
        }
        return [{"ParameterKey": name, "ParameterValue": value} for name, value in (given | self.choices).items()]

    @cached_property
    def outputs(self) -> dict[str, str]:
        """What the stack says of itself."""
        [found] = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1))


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


def template() -> str:
    """The CDK app's template for the offline AWS; made once a process."""
    if not _template:
        infra = TOP / "infra"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "offline.template.json"
            install = [] if (infra / "node_modules").exists() else [["npm", "ci", "--no-audit", "--no-fund"]]
            for command in (*install, ["npx", "tsc"], ["node", "build/bin/offline.js", file]):
                done = subprocess.run(command, cwd=infra, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise DidNotDeploy(f"the template cannot be made: {(done.stdout + done.stderr).strip()[-2000:]}")
            _template.append(file.read_text())
    return _template[0]


_template: list[str] = []


class DidNotDeploy(Exception):
    """The stack was not made."""


def deploy(stack: Deployment, programs: Path | None = None) -> Deployment:
    """Makes everything of a stack but the bars."""
    programs = programs or servers.binaries()
    stack.product.mkdir(parents=True, exist_ok=True)
    _programs(stack, programs)
    stack.client("cloudformation").create_stack(
        StackName=stack.name, TemplateURL=upload(stack, template()), Parameters=stack.parameters,
        Capabilities=["CAPABILITY_IAM"],
    )
    settled(stack, "CREATE_COMPLETE")
    _inbox(stack)
    _variables(stack)
    _lake(stack, programs)
    return stack


def upload(stack: Deployment, text: str) -> str:
    """Where CloudFormation finds a template: one in the call may not be this long."""
    stack.client("s3").put_object(Bucket=stack.programs, Key="template.json", Body=text.encode())
    return f"{stack.emulator}/{stack.programs}/template.json"


def settled(stack: Deployment, wanted: str, seconds: float = 120) -> None:
    """Waits until CloudFormation is done with a stack, and says what failed if it did not go as wanted."""
    client, deadline = stack.client("cloudformation"), time.monotonic() + seconds
    while (status := status_of(stack)).endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise DidNotDeploy(f"the stack {stack.name} is still {status} after {seconds:.0f} s")
        time.sleep(0.05)
    if status != wanted:
        events = client.describe_stack_events(StackName=stack.name)["StackEvents"]
        reasons = [
            f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', '')}"
            for one in events if one["ResourceStatus"].endswith("FAILED")
        ]
        raise DidNotDeploy(f"the stack {stack.name} is {status} instead of {wanted}:\n" + "\n".join(reasons))


def status_of(stack: Deployment) -> str:
    """What CloudFormation says of a stack; one that is gone is known by its id only."""
    client = stack.client("cloudformation")
    try:
        return client.describe_stacks(StackName=stack.name)["Stacks"][0]["StackStatus"]
    except client.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return "DELETE_COMPLETE"
        raise


def _programs(stack: Deployment, programs: Path) -> None:
    """Zips that lead to the programs of this machine."""
    s3 = stack.client("s3")
    s3.create_bucket(Bucket=stack.programs)
    stack.logs.mkdir(parents=True, exist_ok=True)
    for name in FUNCTIONS:
        body = bootstrap(programs / name, stack.logs / f"{name}.log")
        s3.put_object(Bucket=stack.programs, Key=f"programs/{name}.zip", Body=body)


def _inbox(stack: Deployment) -> None:
    """A person who is told: a queue on the topic."""
    sns, sqs = stack.client("sns"), stack.client("sqs")
    sqs.create_queue(QueueName=f"{stack.name}-inbox")
    inbox = f"arn:aws:sqs:{REGION}:{stack.account}:{stack.name}-inbox"
    sns.subscribe(TopicArn=stack.topic, Protocol="sqs", Endpoint=inbox)


def _variables(stack: Deployment) -> None:
    """Environment that a test wants other than the stack has it."""
    if not stack.variables:
        return
    functions, ecs = stack.client("lambda"), stack.client("ecs")
    for name in FUNCTIONS:
        full = f"{stack.name}-{name}"
        usual = functions.get_function_configuration(FunctionName=full)["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=full, Environment={"Variables": usual | stack.variables})
    for name in CONTAINERS:
        family = f"{stack.name}-{name}"
        definition = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
        for container in definition["containerDefinitions"]:
            usual = {one["name"]: one["value"] for one in container["environment"]}
            container["environment"] = [
                {"name": name, "value": value} for name, value in (usual | stack.variables).items()
            ]
        ecs.register_task_definition(
            family=family, requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu=definition["cpu"],
            memory=definition["memory"], containerDefinitions=definition["containerDefinitions"],
        )


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
