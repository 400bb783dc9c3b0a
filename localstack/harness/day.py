"""The scheduled day: publish, fire the schedule, wait, and tell what happened."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .deploy import EVENT, Deployment


@dataclass
class Step:
    """A state of the machine that was entered and left."""

    name: str
    kind: str
    seconds: float
    times: int = 1


@dataclass
class Run:
    """An execution that has ended."""

    arn: str
    name: str
    status: str
    output: dict
    error: str
    cause: str
    steps: list[Step]

    @property
    def reason(self) -> str:
        """What the function said, out of what the service wraps around it."""
        try:
            told = json.loads(self.cause)
            return told["errorMessage"] if isinstance(told, dict) else self.cause
        except (ValueError, KeyError):
            return self.cause


class TookTooLong(Exception):
    """Something did not happen in time."""


def announce(stack: Deployment, revision: str) -> None:
    """What Data Exchange tells when a revision is published."""
    sent = stack.client("events").put_events(Entries=[{
        "Source": "offline.dataexchange", "DetailType": EVENT, "Resources": [stack.data_set],
        "Detail": json.dumps({"RevisionIds": [revision]}),
    }])
    assert not sent["FailedEntryCount"], sent


def fire(stack: Deployment, session: str, seconds: float = 30) -> str:
    """Has the schedule start the machine for a session; the execution's ARN."""
    machine = stack.client("stepfunctions")

    def executions() -> set[str]:
        return {one["executionArn"] for one in machine.list_executions(stateMachineArn=stack.machine)["executions"]}

    known = executions()
    # The clock of an at() has no fractions of a second.
    at = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    stack.client("scheduler").create_schedule(
        Name=f"{stack.name}-once-{uuid.uuid4().hex[:8]}", FlexibleTimeWindow={"Mode": "OFF"},
        ScheduleExpression=f"at({at})", ScheduleExpressionTimezone="UTC", ActionAfterCompletion="DELETE",
        Target={"Arn": stack.machine, "RoleArn": stack.role, "Input": json.dumps({"session": session})},
    )
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if started := executions() - known:
            return started.pop()
        time.sleep(0.1)
    raise TookTooLong(f"the schedule did not start the state machine within {seconds} s")


def start(stack: Deployment, given: dict, name: str = "") -> str:
    """Starts the machine by hand; the execution's ARN."""
    return stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.machine, input=json.dumps(given), name=name or f"by-hand-{uuid.uuid4().hex[:8]}"
    )["executionArn"]


def wait(stack: Deployment, arn: str, seconds: float = 300) -> Run:
    """Waits until an execution has ended."""
    machine = stack.client("stepfunctions")
    deadline = time.monotonic() + seconds
    while (found := machine.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            steps = "\n".join(table(timeline(stack, arn)))
            raise TookTooLong(f"the run {found['name']} has not ended within {seconds} s; so far:\n{steps}")
        time.sleep(0.1)
    return Run(
        arn=arn, name=found["name"], status=found["status"], output=json.loads(found.get("output") or "{}"),
        error=found.get("error", ""), cause=found.get("cause", ""), steps=timeline(stack, arn),
    )


def events(stack: Deployment, arn: str) -> list[dict]:
    """Everything that happened in an execution."""
    pages = stack.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


def timeline(stack: Deployment, arn: str) -> list[Step]:
    """The states that an execution went through, those of one name together, in the order they were first entered.

    A Map counts as one: the history of MiniStack says nothing of the states in it.
    """
    found: dict[str, Step] = {}
    entered: dict[str, datetime] = {}
    last = None
    for event in events(stack, arn):
        last = event["timestamp"]
        if detail := event.get("stateEnteredEventDetails"):
            name = detail["name"]
            entered[name] = event["timestamp"]
            kind = event["type"].removesuffix("StateEntered")
            step = found.setdefault(name, Step(name, kind, 0.0, 0))
            step.times += 1
        elif (detail := event.get("stateExitedEventDetails")) and detail["name"] in entered:
            found[detail["name"]].seconds += (event["timestamp"] - entered.pop(detail["name"])).total_seconds()
    for name, since in entered.items():
        found[name].seconds += (last - since).total_seconds()
    return list(found.values())


def table(steps: list[Step]) -> list[str]:
    """A timeline for people: what does something, with its pauses left out."""
    shown = [step for step in steps if step.kind in ("Task", "Map", "Fail", "Succeed")]
    width = max([len(step.name) for step in shown], default=0)
    often = lambda step: f"  called {step.times} times" if step.times > 1 else ""
    return [f"{step.name:<{width}}  {step.seconds:7.3f} s{often(step)}" for step in shown]


def notices(stack: Deployment, seconds: float = 0) -> list[tuple[str, str]]:
    """Takes what people were told out of their queue: subjects and texts; waits for the first one that long."""
    sqs, found = stack.client("sqs"), []
    deadline = time.monotonic() + seconds
    while True:
        got = sqs.receive_message(QueueUrl=stack.queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in got:
            body = json.loads(message["Body"])
            found.append((body.get("Subject") or "", body["Message"]))
            sqs.delete_message(QueueUrl=stack.queue, ReceiptHandle=message["ReceiptHandle"])
        if not got and (found or time.monotonic() > deadline):
            return found
        if not got:
            time.sleep(0.1)


def objects(stack: Deployment, prefix: str = "lake/") -> dict[str, str]:
    """The objects below a prefix with their hashes."""
    pages = stack.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.bucket, Prefix=prefix)
    return {one["Key"].removeprefix(prefix): one["ETag"] for page in pages for one in page.get("Contents", [])}
