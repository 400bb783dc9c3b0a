"""A person and the programs that are always on: stops them, lets them go on, and proves what they did."""

import json
import signal
import subprocess

import pytest

from harness import servers
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
    bare = subprocess.run(
        [servers.binaries() / "algotrading", "aws", "journal", "ema", "--out", trading.folder / "bare"],
        capture_output=True, text=True, check=True, env=trading.environment(ARCHIVE=""),
    )
    assert bare.stderr == "warning: ARCHIVE is not set: nothing outside the table is held against the journal\n"
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

    # Who looks now is not told what the runner showed before as if it were so.
    [stands] = json.loads(trading.command("aws", "status", "--json", check=True).stdout)
    assert stands["runner"] == "taken_over" and stands["obeyed"] and stands["broker_closes"], stands
    assert stands["ordered"]["mode"] == "flatten" and "the guardian has taken over from the runner" in stands["in_the_way"][0]
    shown = trading.command("aws", "status", check=True).stdout
    assert "the guardian took over" in shown and "flatten, by the guardian" in shown and "trading," not in shown
    # Nor is the guardian to be stopped, by the runner that wakes or by one that waits until its lease ends.
    runner.send_signal(signal.SIGCONT)
    assert runner.wait(60) == 1
    assert "the guardian has taken over from the runner" in trading.log("strategy-runner") and "stop it first" not in trading.log("strategy-runner")
    trading.start("strategy-runner")
    trading.wait(lambda: "waits for the lease of the guardian" in trading.log("strategy-runner"), alive=("broker-adapter",))


def test_programs_that_died_are_in_the_way_and_what_they_left_is_not_claimed_for_a_kill(trading):
    started(trading, SPEED="20")
    for program in trading.started.values():
        program.kill()
        program.wait()
    # What the runner showed last is behind its journal, which has an earlier kill.
    trading.put("live", trading.record("live") | {"seq": 0})
    table = trading.session.resource("dynamodb", endpoint_url=trading.emulator).Table(f"{trading.name}-journal")
    line = {"seq": len(trading.journal()), "event": {"control": "flatten"}, "commands": [{"submit": {}}]}
    table.put_item(Item={"strategy": "ema", "seq": line["seq"], "line": json.dumps(line)})
    done = trading.command("aws", "kill", "--strategy", "ema", *WHO, "--wait", "12")
    assert done.returncode == 1 and "obeyed" not in done.stdout, done.stdout
    assert "not known to be flat: the runner was last heard of" in done.stdout
    [stands] = json.loads(trading.command("aws", "status", "--json", check=True).stdout)
    assert stands["runner"] == "silent" and not stands["obeyed"], stands
    way = "; ".join(stands["in_the_way"])
    assert "the runner was last heard of" in way and "`flatten` is ordered by alice (a test) and not obeyed yet" in way
    shown = trading.command("aws", "status", check=True).stdout
    assert "silent for" in shown and "not flatten as ordered" in shown and "trading," not in shown


def test_a_damaged_record_is_named_and_hides_nothing(trading):
    started(trading, SPEED="20")
    damage = lambda *key: trading.client("dynamodb").put_item(TableName=f"{trading.name}-records", Item={
        "pk": {"S": key[0]}, "sk": {"S": key[1]}, "version": {"N": "1"}, "body": {"S": "{garbage"},
    })
    damage("live", "zzz")
    done = trading.command("aws", "status")
    assert done.returncode == 1 and "\nema " in done.stdout and "zzz" not in done.stdout
    assert "error: zzz: the record live/zzz is damaged" in done.stderr and f"from the table {trading.name}-records" in done.stderr
    first, last = json.loads(trading.command("aws", "status", "--json").stdout)
    assert first["strategy"] == "ema" and last["strategy"] == "zzz" and "is damaged" in last["failed"]
    done = trading.command("aws", "kill", "--all", *WHO, "--wait", "20")
    assert done.returncode == 1 and "flat, and nothing works\nzzz" in done.stdout, done.stdout
    trading.client("dynamodb").delete_item(TableName=f"{trading.name}-records", Key={"pk": {"S": "live"}, "sk": {"S": "zzz"}})

    damage("control", "ema")
    words = "the record control/ema is damaged: the runner trades nothing while it is, and the guardian closes everything"
    for arguments in (("control", "cancel"), ("accept",), ("reenable",)):
        done = trading.command("aws", *arguments, "--strategy", "ema", *WHO)
        assert done.returncode == 1 and done.stderr.startswith(f"error: ema: {words}") and not done.stdout, done
    done = trading.command("aws", "kill", "--strategy", "ema", *WHO)
    assert done.returncode == 1 and f"it could not be asked for: {words}" in done.stdout
    done = trading.command("aws", "status")
    assert done.returncode == 1 and words in done.stdout


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
    cancel = lambda strategy, date: trading.command("aws", "control", "cancel", "--strategy", strategy, "--from", date, *WHO)
    for strategy, date, code, words in (
        ("ema", "garbage", 2, "--from"),
        ("ema", "2013-03-02", 1, "error: ema: --from must be a session: 2013-03-02 is not a trading session"),
        ("nobody", "2013-03-01", 1, "the lake has no `strategies/nobody.toml`"),
        ("../ema", "2013-03-01", 1, "the lake has no `strategies/../ema.toml`"),
    ):
        done = cancel(strategy, date)
        assert done.returncode == code and words in done.stderr and not done.stdout, done
    assert trading.record("control") is None
    assert cancel("ema", "2013-03-01").returncode == 0
    [entry] = trading.record("control")["entries"]
    assert (entry["from"], entry["mode"], entry["by"]) == ("2013-03-01", "cancel", "alice")
