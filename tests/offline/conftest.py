"""One MiniStack for all tests, and for each test a stack of its own on it with a server of ours before it.

`./test` builds the programs. Where the SQL engine is not built (`./test --fast`) the tests are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "localstack"))

from harness import day, deploy, sample, servers
from harness.trading import BEGIN, LAST, PROGRAMS, RUN_FILE, Trading

# A session on which the sample's strategies have orders and fills, and the one after it.
DAY, NEXT = "2013-02-27", "2013-02-28"
# Two are enough for every way, and a task takes seconds.
STRATEGIES = {name: deploy.STRATEGIES[name] for name in ("ema", "forecast")}
# Enough for every indicator; more would only be read again by every step.
SINCE = "2011-06-01"
USUAL = {"begin": "2012-05-21", "strategies": STRATEGIES}


class Offline:
    """A stack, its vendor and its schedule, as a test uses them."""

    def __init__(self, stack: deploy.Deployment, server: servers.Server, folder: Path):
        self.stack, self.server, self.folder = stack, server, folder

    def client(self, service: str):
        return self.stack.client(service)

    def publish(self, session: str = DAY, history: bool = True, announced: bool = False, **edit) -> list[str]:
        """The vendor publishes what came before a session, and the session."""
        made = [sample.history(self.stack.product, session, SINCE)] if history else []
        before, evening = sample.before(session), sample.evening(session)
        assert before
        made.append(sample.publish(self.stack.product, f"day-{session}", evening, session, session, **edit))
        if announced:
            for revision in made:
                day.announce(self.stack, revision)
        return made

    def fire(self, session: str = DAY, seconds: float = 180) -> day.Run:
        """The schedule starts the machine; the run when it has ended."""
        return day.wait(self.stack, day.fire(self.stack, session), seconds)

    def start(self, session: str = DAY, seconds: float = 180, **given) -> day.Run:
        """The same by hand, without waiting for the scheduler."""
        return day.wait(self.stack, day.start(self.stack, {"session": session, **given}), seconds)

    def query(self, sql: str) -> list[dict[str, str | None]]:
        return deploy.query(self.stack, sql)

    def notices(self, seconds: float = 2) -> list[tuple[str, str]]:
        return day.notices(self.stack, seconds)

    def objects(self, prefix: str = "lake/") -> dict[str, str]:
        return day.objects(self.stack, prefix)

    def records(self) -> dict[str, dict]:
        """What the functions have written down, by key."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.stack.table)
        return {
            f"{one['pk']['S']}/{one['sk']['S']}": json.loads(one["body"]["S"]) for page in pages for one in page["Items"]
        }

    def calls(self, function: str) -> int:
        """How often the state machine has called a function."""
        metrics = self.client("stepfunctions").list_executions(stateMachineArn=self.stack.machine)["executions"]
        arns = [one["executionArn"] for one in metrics]
        resource = self.stack.function(function)
        return sum(
            event.get("taskScheduledEventDetails", {}).get("resource") == resource
            for arn in arns for event in day.events(self.stack, arn)
        )

    def _offline(self, method: str, body: dict | None = None) -> None:
        request = urllib.request.Request(
            f"{self.server.url}/_offline/faults", method=method, data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()

    def faults(self, *wanted: dict) -> None:
        """Has our server fail as said, beside what it was told before."""
        for one in wanted:
            self._offline("POST", one)

    def requests(self, service: str, call: str) -> list[dict]:
        """The calls of a kind that our server has answered."""
        with urllib.request.urlopen(f"{self.server.url}/_offline/requests", timeout=10) as answer:
            return [one for one in json.load(answer) if (one["service"], one["call"]) == (service, call)]

    def no_faults(self) -> None:
        """Has it fail no more, and lets go what hangs."""
        self._offline("DELETE")

    def logs(self) -> str:
        """What our server, the containers that it ran and the functions have said."""
        files = [Path(self.server.log), *sorted((self.folder / "tasks").rglob("*")), *sorted(self.stack.logs.glob("*"))]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')}" for file in files if file.is_file())


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    programs = [*deploy.FUNCTIONS, *deploy.CONTAINERS, "algotrading", "offline-aws"]
    missing = [name for name in programs if not (servers.binaries() / name).exists()]
    if missing:
        assert "ALGOTRADING_TEST_SQL" not in os.environ, f"not built: {', '.join(missing)}"
        pytest.skip(f"not built: {', '.join(missing)}")
    server = servers.ministack(tmp_path_factory.mktemp("ministack"))
    try:
        yield server
    finally:
        servers.stop(server)
        assert not servers.command_of(server.pid), f"{server.name} is still running: process {server.pid}"


@contextlib.contextmanager
def stacks(emulator, folder: Path):
    """Makes stacks; keyword arguments are those of `Deployment`."""
    started: list[Offline] = []

    def one(**given) -> Offline:
        name = f"t-{uuid.uuid4().hex[:8]}"
        place = folder / name
        stack = deploy.Deployment(name, emulator.url, "", str(place / "data-exchange"), **USUAL | given)
        server = servers.ours(place, emulator.url, Path(stack.exchange), stack.lake)
        stack.server = server.url
        started.append(Offline(stack, server, place))
        deploy.deploy(stack)
        return started[-1]

    try:
        yield one
    finally:
        for one_ in started:
            servers.stop(one_.server)
            assert not servers.command_of(one_.server.pid), f"{one_.server.name} is still running"


@pytest.fixture
def make(emulator, tmp_path):
    """Makes stacks for one test."""
    with stacks(emulator, tmp_path) as make_one:
        yield make_one


@pytest.fixture
def offline(make) -> Offline:
    """A stack with two of the sample's strategies, without bars."""
    return make()


@pytest.fixture(scope="session")
def always_on(tmp_path_factory):
    """A MiniStack for the programs that are always on."""
    missing = [name for name in (*PROGRAMS, "algotrading", "algotrading-aws") if not (servers.binaries() / name).exists()]
    if missing:
        assert "ALGOTRADING_TEST_SQL" not in os.environ, f"not built: {', '.join(missing)}"
        pytest.skip(f"not built: {', '.join(missing)}")
    server = servers.ministack(tmp_path_factory.mktemp("ministack-of-programs"))
    try:
        yield server
    finally:
        servers.stop(server)


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    """A lake with the sample in a folder."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    subprocess.run([servers.binaries() / "algotrading", "demo", "--out", out], check=True, capture_output=True)
    return out / "lake"


@pytest.fixture
def trading(always_on, lake, tmp_path):
    made = Trading(always_on, lake, tmp_path, RUN_FILE.format(begin=BEGIN, end=LAST, slow=4))
    try:
        yield made
    finally:
        made.stop()
