"""A lake in S3, on moto's server: the same as in a folder.

Set ALGOTRADING_BIN to the binary (`./test` builds it and does); `algotrading-sql` lies beside it, or its test is skipped, and fails where ALGOTRADING_TEST_SQL is set (as by `./test` without `--fast`).
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"
BINARY = os.environ.get("ALGOTRADING_BIN", "")
RUN = 'data.symbols = ["IBM", "MSFT"]\n[strategy]\nname = "ema"\nfast = 8\nslow = 21\nsize = 100\n'


@pytest.fixture(scope="module")
def endpoint():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT")).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("moto's server did not start")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=10)


@pytest.fixture
def call(endpoint, tmp_path):
    def run(*arguments, program=BINARY, code=0):
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ALGOTRADING_"))}
        aws = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, timeout=120, env=keep | aws, cwd=tmp_path
        )
        assert done.returncode == code, f"{arguments}: {done.stderr}"
        return done.stdout if code == 0 else done.stderr

    return run


def keys(endpoint) -> dict[str, str]:
    """Every object of the bucket with its hash."""
    import xml.etree.ElementTree as xml

    with urllib.request.urlopen(f"{endpoint}/bucket?list-type=2&max-keys=1000") as answer:
        tree = xml.parse(answer)
    name = lambda node, tag: next(child.text for child in node if child.tag.endswith(tag))
    return {name(one, "Key"): name(one, "ETag") for one in tree.getroot() if one.tag.endswith("Contents")}


def test_a_lake_in_s3_is_the_same_as_in_a_folder(call, endpoint, tmp_path):
    lake = "s3://bucket/some/lake"
    counts = json.loads(call("data", "import", SAMPLE, "--lake", lake, "--json"))
    assert counts == json.loads(call("data", "import", SAMPLE, "--lake", "folder", "--json"))
    assert counts["stored"] == counts["read"] > 12_000

    before = keys(endpoint)
    assert not any(key.endswith(".lock") or ".staging" in key for key in before)
    again = json.loads(call("data", "import", SAMPLE, "--lake", lake, "--json"))
    assert (again["stored"], again["unchanged"]) == (0, counts["read"])
    assert keys(endpoint) == before, "the second import changed the lake"

    for arguments in (["data", "check", "--json"], ["data", "show", "IBM", "--adjust", "total", "--csv"]):
        assert call(*arguments, "--lake", lake) == call(*arguments, "--lake", "folder")
    (tmp_path / "run.toml").write_text(RUN)
    there = json.loads(call("backtest", "run.toml", "--lake", lake, "--out", "there", "--json"))
    here = json.loads(call("backtest", "run.toml", "--lake", "folder", "--out", "here", "--json"))
    assert there["run_id"] == here["run_id"] and there["fills"] == here["fills"]
    assert (tmp_path / "there/journal.jsonl").read_bytes() == (tmp_path / "here/journal.jsonl").read_bytes()


def test_a_correction_appends_an_object_and_changes_none(call, endpoint, tmp_path):
    lake = "s3://bucket/corrected"
    first = tmp_path / "daily_adjusted_IBM.csv"
    first.write_text((SAMPLE / first.name).read_text())
    call("data", "import", first, "--lake", lake)
    before = {key: tag for key, tag in keys(endpoint).items() if key.startswith("corrected/")}
    header, newest, rest = first.read_text().split("\n", 2)
    fields = newest.split(",")
    fields[6] = str(int(fields[6]) + 1)
    first.write_text("\n".join([header, ",".join(fields), rest]))
    counts = json.loads(call("data", "import", first, "--lake", lake, "--json"))
    assert (counts["stored"], counts["unchanged"]) == (1, counts["read"] - 1)
    after = keys(endpoint)
    assert all(after[key] == tag for key, tag in before.items())


def test_an_absent_bucket_is_one_sentence(call):
    said = call("data", "check", "--lake", "s3://nobody/has/this", code=1)
    assert said.startswith("error: ") and said.count("\n") == 1


def test_sql_reads_it(call):
    program = str(Path(BINARY).with_name("algotrading-sql"))
    if not Path(program).exists():
        assert "ALGOTRADING_TEST_SQL" not in os.environ, f"{program} is not built"
        pytest.skip("algotrading-sql is not built")
    call("data", "import", SAMPLE / "daily_adjusted_FB.csv", "--lake", "s3://bucket/sql")
    rows = call("SELECT count(*) AS n FROM hist_data_daily", "--lake", "s3://bucket/sql", "--format", "csv", program=program)
    assert rows.split() == ["n", "196"]


def test_a_lock_that_its_dead_owner_left_is_taken_over_and_a_fresh_one_is_not(call, endpoint, monkeypatch):
    lake = "s3://bucket/locked"
    lock = urllib.request.Request(f"{endpoint}/bucket/locked/.lock", data=b"process 1 on a dead host", method="PUT", headers={"Content-Type": "text/plain"})
    urllib.request.urlopen(lock)
    said = call("data", "import", SAMPLE / "daily_adjusted_FB.csv", "--lake", lake, code=1)
    assert "process 1 on a dead host" in said and "20 minutes" in said
    monkeypatch.setenv("LAKE_LOCK_SECONDS", "1")
    time.sleep(2.1)
    counts = json.loads(call("data", "import", SAMPLE / "daily_adjusted_FB.csv", "--lake", lake, "--json"))
    assert counts["stored"] == counts["read"]
    assert not any(key.endswith(".lock") for key in keys(endpoint))
