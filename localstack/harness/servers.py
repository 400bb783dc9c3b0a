"""Servers on this machine: MiniStack, and ours for what no emulator has. Each is stopped by its process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
# An access key of twelve digits is an account of MiniStack's own; one that is none stands for 000000000000.
ACCOUNT = "000000000000"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    # A word that stands nowhere else, so that a test can tell whether a log has it.
    "AWS_SECRET_ACCESS_KEY": "an-offline-secret",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
# The services that our server speaks, or stands before.
OURS = ("ATHENA", "DATAEXCHANGE", "ECS", "GLUE", "SAGEMAKER_RUNTIME")


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would lead a client to another AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ALGOTRADING_"))}
    return kept | CREDENTIALS | (extra or {})


def binaries() -> Path:
    """Where cargo puts the programs."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or TOP / "target") / "debug"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@dataclass
class Server:
    """A running server: what it is, where it listens, and the process."""

    name: str
    url: str
    pid: int
    log: str


class DidNotStart(Exception):
    """A server ended, or said nothing in time."""


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def ministack(folder: Path, port: int = 0) -> Server:
    """Starts MiniStack on a port of the loopback interface; its files lie in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        # These would listen on ports of their own, on every interface.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # Without it the functions that it starts aim at the real AWS.
        "AWS_ENDPOINT_URL": url,
        # Pauses and delays of state machines last a fiftieth: 15 s are 0.3 s.
        "SFN_WAIT_SCALE": "0.02",
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    log = folder / "ministack.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.emulator"], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=environment(settings), cwd=folder, start_new_session=True,
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"MiniStack ended at once:\n{_tail(log)}")
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health", timeout=2):
                return Server("MiniStack", url, process.pid, str(log))
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise DidNotStart(f"MiniStack did not answer within a minute:\n{_tail(log)}")


def ours(folder: Path, upstream: str, exchange: Path, lake: str, port: int = 0) -> Server:
    """Starts our server before a MiniStack; its port is free unless given."""
    folder.mkdir(parents=True, exist_ok=True)
    logs = folder / "tasks"
    logs.mkdir(exist_ok=True)
    exchange.mkdir(parents=True, exist_ok=True)
    program = binaries() / "offline-aws"
    if not program.exists():
        raise DidNotStart(f"`{program}` is not built; cargo build -p offline-aws builds it")
    log = folder / "offline-aws.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, "--port", str(port), "--upstream", upstream, "--data-exchange", exchange, "--lake", lake,
             "--bin-dir", binaries(), "--log-dir", logs],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, start_new_session=True,
            env=environment({"AWS_ENDPOINT_URL": upstream}),
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("listening on "):
                return Server("offline-aws", line.removeprefix("listening on ").strip(), process.pid, str(log))
        if process.poll() is not None:
            raise DidNotStart(f"our server ended at once:\n{_tail(log)}")
        time.sleep(0.05)
    process.kill()
    raise DidNotStart(f"our server did not say within 30 s where it listens:\n{_tail(log)}")


def command_of(pid: int) -> str:
    """The command line of a process; empty when there is none."""
    # Without -ww a long command is cut, and a server would not be known again.
    ps = ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)]
    shown = subprocess.run(ps, capture_output=True, text=True, check=False)
    line = shown.stdout.strip()
    return "" if line.startswith("Z") else line


def is_running(server: Server) -> bool:
    """Whether the process is still that server, and not another one with its number."""
    return ("harness.emulator" if server.name == "MiniStack" else "offline-aws") in command_of(server.pid)


def children(pid: int) -> list[int]:
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in shown.splitlines() if line.strip()]
    below = [child for child, parent in pairs if parent == pid]
    return below + [deeper for child in below for deeper in children(child)]


def stop(server: Server, patience: float = 5) -> None:
    """Ends a server and what it has started, and waits until they are gone."""
    if not is_running(server):
        return
    started = children(server.pid)
    for signal_, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5)):
        _send(server.pid, signal_)
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and command_of(server.pid):
            _reap(server.pid)
            time.sleep(0.05)
        if not command_of(server.pid):
            break
    # Functions and tasks end with their server; one that does not is ended.
    for pid in started:
        if command_of(pid):
            _send(pid, signal.SIGKILL)


def _send(pid: int, signal_: signal.Signals) -> None:
    try:
        os.kill(pid, signal_)
    except ProcessLookupError:
        pass


def _reap(pid: int) -> None:
    """Takes note of the end of a process that this one has started."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def endpoints(emulator: str, server: str) -> dict[str, str]:
    """What sends the clients of AWS here."""
    return {"AWS_ENDPOINT_URL": emulator} | {f"AWS_ENDPOINT_URL_{service}": server for service in OURS}
