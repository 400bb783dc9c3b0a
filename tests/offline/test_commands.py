"""The commands up and down: what they do when something runs already, at the same time, or after an accident."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness import servers

# The commands with their state in a folder of the test's.
COMMAND = """
import sys
from pathlib import Path
from harness import __main__ as commands
commands.HERE = Path(sys.argv.pop(1))
commands.STATE = commands.HERE / ".state"
commands.RUNNING = commands.STATE / "running.json"
sys.exit(commands.main())
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-B", "-c", COMMAND, folder, *arguments], cwd=servers.TOP / "localstack",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    return ended(start(folder, *arguments))


@pytest.fixture
def folder(tmp_path):
    """A folder in which nothing is left running."""
    if not (servers.binaries() / "offline-aws").exists():
        pytest.skip("offline-aws is not built")
    yield tmp_path
    if (tmp_path / ".state" / "running.json").exists():
        assert run(tmp_path, "down")[0] == 0


def test_two_ups_at_once_start_one_of_each(folder):
    both = [start(folder, "up") for _ in range(2)]
    (first, one, said), (second, two, also) = [ended(process) for process in both]
    assert (first, second) == (0, 0), said + also
    assert one == two and "AWS_ENDPOINT_URL=" in one
    assert sorted("runs already" in text for text in (said, also)) == [False, True]
    known = json.loads((folder / ".state" / "running.json").read_text())["servers"]
    # The processes whose folder this is, and no others; only Linux tells it.
    here = [entry.name for entry in Path("/proc").glob("[0-9]*") if cwd(entry) == folder / ".state"]
    if Path("/proc/self/cwd").exists():
        assert sorted(here) == sorted(str(one["pid"]) for one in known)
    assert run(folder, "down") == (0, "stopped\n", "")
    assert not any(servers.command_of(one["pid"]) for one in known)


def cwd(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None


def test_options_that_what_runs_does_not_have_are_named(folder):
    port = servers.free_port()
    status, environment, _ = run(folder, "up", "--port", str(port))
    assert status == 0 and f":{port}" in environment
    assert "not as asked" not in run(folder, "up")[2]
    assert "not as asked" not in run(folder, "up", "--port", str(port))[2]
    status, same, said = run(folder, "up", "--port", "1", "--server-port", "2")
    assert (status, same) == (0, environment)
    assert "# ministack runs already, and not as asked (--port 1, --server-port 2); ./localstack/down stops it\n" == said
    assert "not as asked (--localstack)" in run(folder, "up", "--localstack")[2]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kind": "ministack", "servers": [{"pid": 1}], "environment": {}}', None])
@pytest.mark.parametrize("command", ["up", "down", "eod"])
def test_a_damaged_state_is_said_in_a_sentence(tmp_path, command, text):
    state = tmp_path / ".state"
    state.mkdir()
    if text is None:
        (state / "running.json").mkdir()
    else:
        (state / "running.json").write_text(text)
    status, out, err = run(tmp_path, command)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1 and "running.json is damaged" in err and "remove" in err
    assert state.exists()
