"""The commands `up`, `down` and `eod` of the folder above."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from . import day, deploy, sample, servers
from .servers import Server

HERE = Path(__file__).resolve().parents[1]
STATE = HERE / ".state"
RUNNING = STATE / "running.json"
PACKAGES = [*deploy.FUNCTIONS, *deploy.CONTAINERS, "offline-aws", "algotrading"]

LOCALSTACK_LACKS = """\
LocalStack's free edition has S3, DynamoDB, SNS, SQS, EventBridge, Scheduler, Step Functions, Lambda and CloudWatch.
It has no Glue, Athena, ECS or SageMaker (paid tiers), and no Data Exchange in any; its functions run in containers.
So ./localstack/eod, which needs them, runs on MiniStack only: ./localstack/down, then ./localstack/up."""


class Failure(Exception):
    """Said to the user as it is."""


@contextlib.contextmanager
def alone():
    """One of the commands at a time starts or stops servers: two at once would each forget the other's."""
    folder = os.open(HERE, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("# another command of localstack/ starts or stops servers; waiting for it", file=sys.stderr)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def remembered() -> dict | None:
    """What `up` has written down of what it started."""
    try:
        found = json.loads(RUNNING.read_text())
        return {"kind": found["kind"], "port": int(found.get("port", 0)), "servers": [asdict(Server(**one)) for one in found["servers"]],
                "environment": {str(name): str(value) for name, value in found["environment"].items()}}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(
            f"{os.path.relpath(RUNNING)} is damaged, so nobody knows what runs: end the processes `harness.emulator` and `offline-aws` "
            f"that `ps -ef` shows, and remove {os.path.relpath(STATE)}"
        ) from error


def running() -> dict | None:
    """What `up` started, when it still runs."""
    found = remembered()
    if found is None or found["kind"] == "localstack":
        return found
    return found if all(servers.is_running(Server(**one)) for one in found["servers"]) else None


def say_environment(found: dict) -> None:
    for name, value in found["environment"].items():
        print(f"export {name}={shlex.quote(value)}")


def build(missing_only: bool = True) -> None:
    programs = servers.binaries()
    names = [name for name in PACKAGES if not missing_only or not (programs / name).exists()]
    if not names:
        return
    print(f"building {', '.join(names)}: minutes, once", file=sys.stderr)
    packages = [argument for name in names for argument in ("-p", name)]
    if subprocess.run(["cargo", "build", "--locked", *packages], cwd=servers.TOP, check=False).returncode:
        raise Failure("the programs cannot be built; cargo says above why")


def unlike(found: dict, arguments: argparse.Namespace) -> list[str]:
    """The options that ask for something other than what runs."""
    if arguments.localstack != (found["kind"] == "localstack"):
        return ["--localstack"] if arguments.localstack else ["MiniStack, and not LocalStack"]
    ports = [found["port"]] if arguments.localstack else [int(one["url"].rsplit(":", 1)[-1]) for one in found["servers"]]
    asked = zip(("--port", "--server-port"), (arguments.port, arguments.server_port), [*ports, 0])
    return [f"{option} {wanted}" for option, wanted, there in asked if wanted not in (0, there)]


def up(arguments: argparse.Namespace) -> None:
    with alone():
        if found := running():
            what = f"{found['kind']} runs already"
            if other := unlike(found, arguments):
                what += f", and not as asked ({', '.join(other)})"
            print(f"# {what}; ./localstack/down stops it", file=sys.stderr)
        elif arguments.localstack:
            found = start_localstack(arguments.port or 4566)
        else:
            found = start(arguments.port, arguments.server_port)
    if found["kind"] == "localstack":
        print(LOCALSTACK_LACKS, file=sys.stderr)
    say_environment(found)


def start_localstack(port: int) -> dict:
    if not shutil.which("docker"):
        raise Failure("docker is not installed; without --localstack nothing needs it")
    clean()
    compose("up", "--detach", "--wait", port=port)
    STATE.mkdir()
    environment = servers.CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    return remember({"kind": "localstack", "port": port, "servers": [], "environment": environment})


def start(port: int = 0, server_port: int = 0) -> dict:
    """Starts MiniStack and our server before it."""
    build()
    clean()
    STATE.mkdir()
    started: list[Server] = []
    try:
        started.append(servers.ministack(STATE, port))
        stack = deploy.Deployment("algotrading", started[0].url, "", str(STATE / "data-exchange"))
        sample.empty(stack.product)
        started.append(servers.ours(STATE, started[0].url, Path(stack.exchange), stack.lake, server_port))
    except BaseException:
        for one in reversed(started):
            servers.stop(one)
        raise
    emulator, ours = (one.url for one in started)
    for one in started:
        print(f"# {one.name}: {one.url}, process {one.pid}, log {os.path.relpath(one.log)}", file=sys.stderr)
    environment = servers.CREDENTIALS | servers.endpoints(emulator, ours)
    return remember({"kind": "ministack", "servers": [asdict(one) for one in started], "environment": environment})


def remember(found: dict) -> dict:
    # Whole or not at all: nothing else knows what runs.
    written = RUNNING.with_suffix(".new")
    written.write_text(json.dumps(found, indent=1))
    written.replace(RUNNING)
    return found


def compose(*command: str, port: int) -> None:
    done = subprocess.run(
        ["docker", "compose", "-f", HERE / "compose.yaml", *command], check=False, stdout=sys.stderr,
        env=os.environ | {"LOCALSTACK_PORT": str(port)},
    )
    if done.returncode:
        raise Failure("docker compose failed; it says above why")


def clean() -> None:
    """Stops what was started, whether or not all of it still runs, and removes what is left of it."""
    if found := remembered():
        if found["kind"] == "localstack":
            compose("down", port=found["port"])
        for one in reversed(found["servers"]):
            servers.stop(Server(**one))
    shutil.rmtree(STATE, ignore_errors=True)


def down(_: argparse.Namespace) -> None:
    with alone():
        if remembered() is None:
            print("nothing runs")
            return
        clean()
    print("stopped")


def eod(arguments: argparse.Namespace) -> int:
    session = arguments.session
    sample.before(session)
    with alone():
        found = running() or start()
    if found["kind"] == "localstack":
        raise Failure(LOCALSTACK_LACKS)
    build()
    emulator, ours = (one["url"] for one in found["servers"])
    stack = deploy.Deployment("algotrading", emulator, ours, str(STATE / "data-exchange"))
    deployed = STATE / "deployed.json"
    if deployed.exists():
        if (status := deploy.status_of(stack)) not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise Failure(f"the stack {stack.name} was deployed, and is {status} now; ./localstack/down, and start anew")
        print("the stack is there")
    else:
        deploy.deploy(stack)
        stack.save(deployed)
        print(f"deployed: the stack {stack.name}")
    known = sample.published(stack.product)
    for make in (sample.history, sample.day):
        # What a revision has in common with an earlier one is unchanged by it.
        if (revision := make(stack.product, session)) not in known:
            print(f"published: revision {revision} of the data set {stack.data_set}")
    arn = day.fire(stack, session)
    print(f"the schedule has started the state machine for {session}\n")
    run = day.wait(stack, arn, arguments.timeout)
    for line in day.table(run.steps):
        print(line)
    print()
    for subject, text in day.notices(stack, 2):
        print(f"told people: {subject}\n{text.rstrip()}\n")
    if run.status != "SUCCEEDED":
        print(f"the run {run.name} failed: {run.error}: {run.reason}", file=sys.stderr)
        for one in found["servers"]:
            print(f"the log of {one['name']} is {os.path.relpath(one['log'])}", file=sys.stderr)
        return 1
    print(f"the lake is {stack.lake}: signals/, orders/, fills/, equity/, runs/ and reports/ have the day; tear sheets:")
    for sheet in save_reports(stack, session):
        print(f"  {os.path.relpath(sheet)}")
    print("./localstack/up says the environment with which AWS's clients find it; ./localstack/down ends it")
    return 0


def save_reports(stack: deploy.Deployment, session: str) -> list[Path]:
    """Copies a session's tear sheets to the disk: the emulator's objects are in its memory."""
    saved = []
    for strategy in stack.strategies:
        for name in day.objects(stack, f"lake/reports/{strategy}/{session}/"):
            if name.endswith(".html"):
                file = STATE / "reports" / session / strategy / name
                file.parent.mkdir(parents=True, exist_ok=True)
                stack.client("s3").download_file(stack.bucket, f"lake/reports/{strategy}/{session}/{name}", str(file))
                saved.append(file)
    return saved


def main() -> int:
    parser = argparse.ArgumentParser(prog="localstack", description="The offline AWS.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", prog="./localstack/up", help="start the servers and print the environment")
    start.add_argument("--localstack", action="store_true", help="LocalStack in Docker instead of MiniStack")
    start.add_argument("--port", type=int, default=0, help="the emulator's port; a free one unless said (LocalStack: 4566)")
    start.add_argument("--server-port", type=int, default=0, help="our server's port; a free one unless said")
    start.set_defaults(run=up)
    commands.add_parser("down", prog="./localstack/down", help="stop the servers").set_defaults(run=down)
    scheduled = commands.add_parser("eod", prog="./localstack/eod", help="run the scheduled day")
    scheduled.add_argument("--session", default=sample.DAY, help=f"a session of the sample, {sample.DAY} unless said")
    scheduled.add_argument("--timeout", type=float, default=600, help="most seconds the run may take, 600 unless said")
    scheduled.set_defaults(run=eod)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments) or 0
    except (Failure, servers.DidNotStart, sample.NoSuchSession, deploy.QueryFailed, day.TookTooLong) as error:
        print(f"error: {error}", file=sys.stderr)
    except (ClientError, BotoCoreError) as error:
        print(f"error: a server of the offline AWS refused: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; ./localstack/down stops what runs", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
