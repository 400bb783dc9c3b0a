"""A person and the programs that are always on: stops them, lets them go on, and proves what they did."""

import json
import signal

import pytest

from harness.trading import LAST

WHO = ("--by", "alice", "--reason", "a test")


def held(trading):
    account = trading.record("account")
    return account and account["status"]["holdings"]


def started(trading, *more, **environment):
    trading.start("market-data-adapter", "broker-adapter", "strategy-runner", *more, **environment)
    trading.wait(lambda: held(trading))


def test_a_person_stops_a_strategy_and_lets_it_go_on_and_its_journal_is_proved(trading):
    started(trading, SPEED="20")
    [stands] = json.loads(trading.command("aws", "status", "--json", check=True).stdout)
    assert (stands["strategy"], stands["snapshot"]["mode"], stands["broker_flat"]) == ("ema", "normal", False)
    assert stands["writer"].startswith("strategy-runner ")

    done = trading.command("aws", "kill", "--all", *WHO, "--wait", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split(" s  ", 1)[1] for line in done.stdout.splitlines()[1:]]
    assert told[0] == "asked for" and told[-1] == "flat, and nothing works"
    assert any(line.startswith("obeyed: ") for line in told) and any(line.startswith("filled: ") for line in told), told
    assert trading.record("account")["flat"]
    assert any('"control":"flatten"' in line and "alice: a test" in line for line in trading.journal())
    shown = trading.command("aws", "status", check=True).stdout
    assert "flatten" in shown and "flat" in shown

    trading.command("aws", "control", "normal", "--strategy", "ema", *WHO, check=True)
    trading.wait(lambda: trading.record("live")["snapshot"]["mode"] == "normal")
    trading.wait(lambda: trading.closed(LAST))
    trading.command("aws", "accept", "--all", *WHO, check=True)
    trading.wait(lambda: any('"event":"accepted"' in line for line in trading.journal()))

    def fetch(name):
        done = trading.command("aws", "journal", "ema", "--out", trading.folder / name, check=True)
        assert " on paper, " in done.stdout
        return trading.folder / name

    folder = fetch("proof")
    assert (folder / "journal.jsonl").read_text().splitlines() == trading.journal()
    proof = json.loads(trading.command("journal", "verify", folder, "--json", check=True).stdout)
    assert proof["steps"] == len(trading.journal()) - 1 and "heads in" in proof["against"][0]
    replayed = trading.command("journal", "replay", folder, "--lake", trading.lake)
    assert "came out again" in replayed.stdout, replayed.stderr
    assert "filled " in trading.command("journal", "show", folder, check=True).stdout
    again = trading.command("aws", "journal", "ema", "--out", folder)
    assert again.returncode == 1 and "is there already" in again.stderr

    # Who may write to the table cuts the end off: the archive knows of it, and cannot be changed.
    trading.stop()
    table = trading.session.resource("dynamodb", endpoint_url=trading.emulator).Table(f"{trading.name}-journal")
    count = len(trading.journal())
    for seq in range(count - 60, count):
        table.delete_item(Key={"strategy": "ema", "seq": seq})
    cut = trading.command("journal", "verify", fetch("cut"))
    assert cut.returncode == 1 and "the end was cut off" in cut.stderr, cut.stderr
    s3, archive = trading.client("s3"), f"{trading.name}-archive"
    head = [one["Key"] for one in s3.list_objects_v2(Bucket=archive)["Contents"] if "/head-" in one["Key"]][-1]
    version = s3.head_object(Bucket=archive, Key=head)
    assert version["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=archive, Key=head, VersionId=version["VersionId"])


def test_a_kill_reaches_the_broker_though_the_runner_is_frozen(trading):
    started(trading, "guardian", SPEED="15")
    runner = trading.started["strategy-runner"]
    runner.send_signal(signal.SIGSTOP)
    done = trading.command("aws", "kill", "--strategy", "ema", *WHO, "--wait", "60", "--json")
    [killed] = json.loads(done.stdout)
    told = [one["what"] for one in killed["record"]]
    assert done.returncode == 0 and killed["flat"], told
    assert "the guardian took over from the runner" in told and told[-1] == "flat, and nothing works"
    assert trading.record("account")["flat"]


def test_what_cannot_be_done_is_said_and_nothing_is_claimed(trading):
    for arguments, words in (
        (("status",), "no strategy is traded all day"),
        (("status", "--strategy", "ema"), "nobody trades `ema` all day"),
        (("control", "normal", "--strategy", "ema", "--by", " ", "--reason", "x"), "a name is needed"),
        (("journal", "ema", "--out", trading.folder / "none"), "the table has no journal of `ema`"),
    ):
        done = trading.command("aws", *arguments)
        assert done.returncode == 1 and words in done.stderr and not done.stdout, done.stderr + done.stdout
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (trading.folder / "none").exists()
    # For the scheduled day a session is to be said, and then it is written.
    done = trading.command("aws", "kill", "--strategy", "ema", *WHO, "--wait", "1")
    assert done.returncode == 1 and "it could not be asked for" in done.stdout and "--from" in done.stdout
    assert trading.record("control") is None
    trading.command("aws", "control", "cancel", "--strategy", "ema", "--from", "2013-03-01", *WHO, check=True)
    [entry] = trading.record("control")["entries"]
    assert (entry["from"], entry["mode"], entry["by"]) == ("2013-03-01", "cancel", "alice")
