"""`algotrading live --broker fix`, the whole program, at a small broker over QuickFIX: killed, cut off, lied to.

Set ALGOTRADING_BIN to the program (`./test` builds it and does).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from decimal import Decimal

import pytest
from conftest import HERE, Line, Process, free_port

BINARY = os.environ.get("ALGOTRADING_BIN", "")
PASSWORD = "correct-horse-battery"
DATES = ["2013-03-04", "2013-03-05", "2013-03-06", "2013-03-07", "2013-03-08", "2013-03-11", "2013-03-12", "2013-03-13"]
RUN = """\
[data]
symbols = ["IBM", "MSFT"]
[strategy]
name = "sma"
fast = 3
slow = 8
size = 100
"""
FEES = {"fee": "0.35"}


def until(what, holds, patience=30):
    end = time.monotonic() + patience
    while not (answer := holds()):
        assert time.monotonic() < end, f"waited for {what() if callable(what) else what}"
        time.sleep(0.01)
    return answer


def held(status):
    return [one["quantity"] for one in status["positions"]]


def session(date, price):
    """A session of rising prices, as lines of a feed; both instruments cost the same."""
    yield {"open": date}
    for minute, step in ((31, 0), (40, 1), (50, 2)):
        for symbol in ("IBM", "MSFT"):
            at = f"{date}T14:{minute}:00Z"
            yield {"price": {"sym": symbol, "price": f"{price + step}.5", "volume": 5000, "at": at}}
    for symbol in ("IBM", "MSFT"):
        low, high = f"{price}.5", f"{price + 2}.5"
        yield {"bar": {"sym": symbol, "open": low, "high": high, "low": low, "close": high, "volume": 90000}}
    yield {"close": date}


class Venue(Process):
    def __init__(self, folder, port, **wanted):
        self.said = 0
        file = folder / "venue.json"
        wanted = {"port": port, "store": str(folder / "venue"), "cash": "80000", "password": PASSWORD} | wanted
        file.write_text(json.dumps(wanted))
        super().__init__([sys.executable, HERE / "venue.py", file])
        self.until(lambda line: "ready" in line)

    def tell(self, **what):
        """Tells it something, and gives its books."""
        self.said += 1
        self.say(what)
        return self.until(lambda line: line.get("did") == self.said)["books"]

    def market(self, line):
        """What a feed says, as far as it is its market."""
        match line:
            case {"open": _}:
                self.tell(bell="open")
            case {"price": {"sym": symbol, "price": price}}:
                self.tell(price=[symbol, price])
            case {"close": _}:
                self.tell(bell="close")

    def held(self):
        return {symbol: size for symbol, size in self.tell()["positions"].items() if size != "0"}

    def all(self, kind, side="heard"):
        self.settle(0)
        return [dict(line[side]) for line in self.log if side in line and [35, kind] in line[side]]


class Program:
    """The program at work."""

    def __init__(self, place):
        self.place, self.errors = place, place.folder / f"stderr-{len(place.outputs)}"
        place.outputs.append(self.errors)
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [BINARY, *place.live], stdin=subprocess.PIPE, stdout=errors, stderr=errors, text=True, cwd=place.folder,
                env=place.environment,
            )

    def tell(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)

    def end(self):
        """The feed ends; what it said."""
        self.process.stdin.close()
        code = self.process.wait(timeout=30)
        return code, self.errors.read_text()


class Place:
    """A folder with an account, a broker, and a line between them."""

    live = [
        "live", "run.toml", "--broker", "fix", "--limits", "limits.toml", "--feed", "-", "--silence", "4000000000",
        "--trade-real-money",
    ]

    def __init__(self, folder, lake):
        self.folder, self.port, self.outputs, self.processes = folder, free_port(), [], []
        self.account = folder / "trading" / "fix-run"
        self.line = Line(self.port)
        ours = ("ALGOTRADING_", "AWS_", "FIX_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
            "ALGOTRADING_LAKE": str(lake), "ALGOTRADING_FIX": "session.toml", "FIX_USERNAME": "desk",
            "FIX_PASSWORD": PASSWORD,
        }
        (folder / "run.toml").write_text(RUN)
        # Prices leap here, and nobody shall stop the strategy for that.
        (folder / "limits.toml").write_text("version = 1\n[guardian]\ndaily_loss = {}\ndrawdown = {}\n")
        self.session()

    def session(self, **more):
        facts = {"sender": "DESK", "target": "BROKER", "host": "127.0.0.1", "port": self.line.port, "account": "A-1"}
        lines = [f"{name} = {json.dumps(value)}" for name, value in (facts | {"plain": True} | more).items()]
        (self.folder / "session.toml").write_text("\n".join(lines) + "\n")

    def venue(self, **wanted):
        self.processes.append(Venue(self.folder, self.port, **wanted))
        return self.processes[-1]

    def start(self):
        self.processes.append(Program(self))
        return self.processes[-1]

    def run(self, *arguments):
        done = subprocess.run(
            [BINARY, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60,
        )
        said = self.folder / f"said-{len(self.outputs)}"
        said.write_text(done.stdout + done.stderr)
        self.outputs.append(said)
        return done

    def done(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def status(self):
        try:
            return json.loads((self.account / "status.json").read_text())
        except FileNotFoundError:
            return defaultdict(lambda: None)

    def seen(self, what, holds, patience=30):
        """The status, once it is as wanted."""
        said = lambda: f"{what}: {self.status()} {[output.read_text() for output in self.outputs]}"
        return until(said, lambda: (lambda status: status if holds(status) else None)(self.status()), patience)

    def said(self):
        return "".join(output.read_text() for output in self.outputs)

    def journal(self):
        lines = (self.account / "journal.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines[1:]]

    def events(self, kind):
        return [entry for entry in self.journal() if isinstance(entry["event"], dict) and kind in entry["event"]]

    def accept(self, reason="looked at it"):
        return self.done("accept", "--strategy", "run", "--by", "alice", "--reason", reason)

    def begin(self, **wanted):
        """A broker and the program, with the first difference accepted, as the first session opens."""
        venue, program = self.venue(**wanted), self.start()
        self.feed(venue, program, [{"open": DATES[0]}])
        self.seen("the first comparison", lambda status: status["disputed"] and status["compared"])
        self.accept("the account has 80,000")
        self.seen("the acceptance", lambda status: status["disputed"] is False)
        return venue, program

    def feed(self, venue, program, lines):
        """What the market does, to both; each price has been seen before the next one comes."""
        for line in lines:
            venue.market(line)
            program.tell(line)
            if told := line.get("price"):
                wanted = (told["sym"], told["price"])
                priced = lambda status: wanted in [(one["symbol"], one["price"]) for one in status["positions"] or []]
                self.seen(f"the price {told}", priced)

    def closed(self, date):
        return self.seen(f"the close of {date}", lambda status: status["session"] == date and status["closed"])

    def day(self, venue, program, number, price):
        """A whole session; the first has been opened already. The books are equal as it closes."""
        lines = list(session(DATES[number], price))
        self.feed(venue, program, lines[1:] if number == 0 else lines)
        self.closed(DATES[number])
        return self.equal(venue)

    def days(self, venue, program, *prices, first=0):
        """Whole sessions, and what was held of each instrument at their closes."""
        return [held(self.day(venue, program, number, price)) for number, price in enumerate(prices, first)]

    def equal(self, venue):
        """Our books are the broker's: positions, cash, and each order's executions."""
        books, status = venue.tell(), self.status()
        ours = {one["symbol"]: one["quantity"] for one in status["positions"] if one["quantity"] != "0"}
        theirs = {symbol: size for symbol, size in books["positions"].items() if size != "0"}
        assert ours == theirs, (status, books)
        assert Decimal(status["cash"]) == Decimal(books["cash"]), (status, books)
        return status

    def proven(self, venue, corrections=1):
        """No order left twice, no execution was lost or counted twice, and the journal holds up."""
        books = venue.tell()
        assert books["doubles"] == 0
        names = [order[11] for order in venue.all("D")]
        assert len(names) == len(set(names)), names
        filled, told = defaultdict(list), defaultdict(list)
        for entry in self.events("filled"):
            fill = entry["event"]["filled"]
            filled[fill["order"]].append((Decimal(fill["quantity"]), Decimal(fill["price"]), Decimal(fill["fee"])))
        for one in books["executions"]:
            if not one.get("busted") and not one["order"].startswith("SOMEBODY"):
                told[int(one["order"].rsplit("-", 1)[1], 16)].append(
                    (Decimal(one["quantity"]), Decimal(one["price"]), Decimal(one["fee"]))
                )
        assert dict(filled) == dict(told)
        assert len(self.events("corrected")) == corrections, [one.get("note") for one in self.events("corrected")]
        self.done("journal", "verify", str(self.account))
        assert "came out again" in self.done("journal", "replay", str(self.account))

    def close(self):
        self.line.close()
        for process in self.processes:
            process.kill()


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    assert BINARY, "set ALGOTRADING_BIN to target/debug/algotrading"
    lake = tmp_path_factory.mktemp("lake")
    sample = HERE.parents[2] / "data" / "sample"
    files = [str(sample / f"daily_adjusted_{symbol}.csv") for symbol in ("IBM", "MSFT")]
    subprocess.run([BINARY, "data", "import", *files, "--lake", lake], check=True, capture_output=True)
    return lake


@pytest.fixture
def place(tmp_path, lake):
    place = Place(tmp_path, lake)
    yield place
    place.close()
    for process in place.processes:
        if isinstance(process, Venue):
            process.settle(0)
            # QuickFIX's dictionary found nothing wrong with what we sent.
            assert not process.all("3", "says"), process.all("3", "says")
    # The password is in no file of the account and in nothing that was printed.
    for path in [*place.outputs, *(path for path in place.account.rglob("*") if path.is_file())]:
        assert PASSWORD not in path.read_text(), path


def test_sessions_are_traded_and_the_books_are_equal_at_every_close(place):
    venue, program = place.begin(wrong=FEES)
    at_closes = place.days(venue, program, 300, 320, 340, 20, 20, 20)
    assert at_closes == [["0", "0"], *[["100", "100"]] * 4, ["-100", "-100"]]
    # A position is closed before the other side is opened, and a sale of what is not held says so.
    assert [order[54] for order in venue.all("D")] == ["1", "1", "2", "2", "5", "5"]
    code, said = program.end()
    assert code == 0 and "trading/fix-run/report.html" in said, said
    # Logged out in good order.
    venue.until(lambda line: "admin" in line and [35, "5"] in line["admin"])
    place.proven(venue)


def test_a_kill_right_after_an_order_left_sends_it_once(place):
    venue, program = place.begin(wrong=FEES)
    # It is taken and not answered: nobody here can know.
    venue.tell(wrong={"mute": ["D"]})
    lines = list(session(DATES[0], 300))
    place.feed(venue, program, lines[1:])
    venue.until(lambda line: "heard" in line and [35, "D"] in line["heard"])
    program.kill()
    venue.tell(wrong={"mute": []})
    # It fills while nobody listens.
    tomorrow = list(session(DATES[1], 320))
    venue.market(tomorrow[0])
    venue.market(tomorrow[1])
    program = place.start()
    for line in lines + tomorrow[:2]:
        program.tell(line)
    place.feed(venue, program, tomorrow[2:])
    place.closed(DATES[1])
    place.equal(venue)
    assert len([order for order in venue.all("D") if order[55] == "IBM" and order[54] == "1"]) == 1
    place.proven(venue)


def test_a_kill_in_the_middle_of_a_fill_loses_none_of_it(place):
    venue, program = place.begin(wrong=FEES | {"part": "30"})
    place.day(venue, program, 0, 300)
    lines = list(session(DATES[1], 320))
    place.feed(venue, program, lines[:3])
    place.seen("a part", lambda status: held(status) == ["30", "30"])
    program.kill()
    # The next part fills while nobody listens.
    venue.market(lines[3])
    venue.market(lines[4])
    program = place.start()
    for line in lines[:5]:
        program.tell(line)
    place.feed(venue, program, lines[5:])
    place.closed(DATES[1])
    assert held(place.equal(venue)) == ["90", "90"]
    assert held(place.day(venue, program, 2, 340)) == ["100", "100"]
    place.proven(venue)


@pytest.mark.parametrize("seed", range(4))
def test_kills_and_cuts_at_random_moments(place, seed):
    chance = random.Random(seed)
    venue, program = place.begin(wrong=FEES | {"part": "35"})
    kills = 0
    for number, price in enumerate((300, 320, 200, 190)):
        lines = list(session(DATES[number], price))
        for at, line in enumerate(lines):
            if number or at:
                venue.market(line)
                program.tell(line)
            time.sleep(chance.choice((0, 0, 0.02, 0.1)))
            what = chance.random()
            if what < 0.08:
                place.line.cut()
            elif what < 0.25:
                # As it pleases, or in good order.
                program.process.send_signal(chance.choice((signal.SIGKILL, signal.SIGTERM)))
                program.process.wait(timeout=10)
                kills += 1
                (place.account / "status.json").unlink(missing_ok=True)
                program = place.start()
                # A feed that comes back tells the day again.
                for told in lines[: at + 1]:
                    program.tell(told)
        place.closed(DATES[number])
        place.equal(venue)
    assert kills > 1
    place.proven(venue)


def test_a_line_cut_in_the_middle_of_a_fill(place):
    venue, program = place.begin(wrong=FEES | {"part": "30"})
    place.day(venue, program, 0, 300)
    lines = list(session(DATES[1], 320))
    place.feed(venue, program, lines[:3])
    place.seen("a part", lambda status: held(status) == ["30", "30"])
    # The second part vanishes on the line, the third happens without one.
    place.line.down = False
    place.feed(venue, program, lines[3:5])
    place.line.cut()
    venue.until(lambda line: "down" in line)
    place.line.down = True
    place.feed(venue, program, lines[5:])
    place.closed(DATES[1])
    assert held(place.equal(venue)) == ["90", "90"]
    assert len(venue.all("4", "says")) + len(venue.all("2", "admin")) >= 1
    assert held(place.day(venue, program, 2, 340)) == ["100", "100"]
    place.proven(venue)


def test_executions_that_were_never_told_are_found_by_asking(place):
    venue, program = place.begin(wrong={"part": "60", "reports": False})
    place.day(venue, program, 0, 300)
    assert held(place.day(venue, program, 1, 320)) == ["100", "100"]
    place.done("journal", "verify", str(place.account))
    assert len(place.events("corrected")) == 1
    # Their commissions are told by nobody: the cash differs, which is recorded.
    venue.tell(wrong=FEES)
    assert place.days(venue, program, 20, 20, 20, first=2) == [["100", "100"], ["100", "100"], ["0", "100"]]
    assert [entry["note"][:5] for entry in place.events("corrected")] == ["cash:", "cash:"]
    assert place.status()["disputed"] is True


def test_a_kill_while_the_program_runs(place):
    venue, program = place.begin(wrong=FEES)
    place.days(venue, program, 300, 320)
    place.feed(venue, program, list(session(DATES[2], 340))[:3])
    said = place.done("kill", "--all", "--by", "alice", "--reason", "wrong prices", "--wait", "20")
    assert "filled: -100 IBM at 340.5" in said and "filled: -100 MSFT at 340.5" in said
    assert "flat, and nothing works" in said
    assert venue.held() == {} and program.process.poll() is None
    place.equal(venue)
    place.proven(venue)


def test_a_kill_withdraws_an_order_that_waits(place):
    venue, program = place.begin(wrong=FEES | {"cancel": "refused"})
    place.day(venue, program, 0, 300)
    done = place.run("kill", "--all", "--by", "alice", "--wait", "3")
    assert done.returncode == 1 and "not flat yet" in done.stdout and "not now" in done.stdout, done.stdout
    # It goes on, as it said.
    venue.tell(wrong={"cancel": "done"})
    place.seen("cancelled", lambda status: status["orders"] == [])
    assert "flat, and nothing works" in place.done("kill", "--all", "--by", "alice", "--wait", "20")
    assert [order["status"] for order in venue.tell()["orders"].values()] == ["4", "4"]
    place.proven(venue)


def test_a_kill_while_nobody_trades(place):
    venue, program = place.begin(wrong=FEES)
    place.days(venue, program, 300, 320)
    program.kill()
    wrong = place.environment["FIX_PASSWORD"] = "another"
    done = place.run("kill", "--all", "--by", "alice", "--wait", "2")
    assert done.returncode == 1 and "not flat: " in done.stdout and wrong not in done.stdout + done.stderr
    assert "the password is wrong" in done.stdout
    place.environment["FIX_PASSWORD"] = PASSWORD
    for line in list(session(DATES[2], 340))[:3]:
        venue.market(line)
    said = place.done("kill", "--all", "--by", "alice", "--wait", "20")
    assert "no program trades it now: asking the broker" in said and "flat, and nothing works" in said
    assert "filled: -100 IBM at 340.5" in said and "filled: -100 MSFT at 340.5" in said
    assert venue.held() == {}
    place.proven(venue)


def test_what_else_the_broker_holds_stops_new_orders_until_somebody_accepts_it(place):
    venue, program = place.begin(wrong=FEES)
    venue.tell(hold=["IBM", "7"])
    venue.tell(hold=["GM", "3"])
    venue.tell(pay="-12.5")
    place.feed(venue, program, list(session(DATES[0], 300))[1:])
    assert place.closed(DATES[0])["disputed"] is True
    notes = [entry["note"] for entry in place.events("corrected")]
    assert notes[1:] == [
        "IBM: 0 here, 7 at the broker", "3 of GM are not of this run", "cash: 80000 here, 79987.5 at the broker",
    ]
    place.feed(venue, program, session(DATES[1], 320))
    place.closed(DATES[1])
    assert venue.all("D") == []
    place.accept("bought by hand")
    place.feed(venue, program, session(DATES[2], 340))
    assert place.closed(DATES[2])["disputed"] is False
    place.feed(venue, program, session(DATES[3], 345))
    status = place.closed(DATES[3])
    assert held(status)[1] == "100" and venue.held()["MSFT"] == "100"


def test_a_broker_that_does_not_tell_positions_is_accepted_once(place):
    venue, program = place.begin(wrong=FEES | {"never": ["AN"]})
    for number, price in enumerate((300, 320)):
        lines = list(session(DATES[number], price))
        place.feed(venue, program, lines[1:] if number == 0 else lines)
        place.closed(DATES[number])
    program.kill()
    program = place.start()
    place.feed(venue, program, session(DATES[2], 200))
    status = place.closed(DATES[2])
    assert held(status) == ["100", "100"] and venue.held() == {"IBM": "100", "MSFT": "100"}
    assert status["disputed"] is False
    [only] = place.events("corrected")
    assert only["note"].startswith("positions and cash were not compared: this counterparty does not tell positions")
    place.proven(venue)


def test_a_broker_that_is_killed_in_the_middle_of_a_fill(place):
    venue, program = place.begin(wrong=FEES | {"part": "30"})
    place.day(venue, program, 0, 300)
    lines = list(session(DATES[1], 320))
    place.feed(venue, program, lines[:4])
    venue.kill()
    heard = venue.all("D")
    program.tell(lines[4])
    venue = place.venue(wrong=FEES | {"part": "30"})
    venue.market(lines[4])
    place.feed(venue, program, lines[5:])
    place.closed(DATES[1])
    assert held(place.equal(venue)) == ["90", "90"]
    assert held(place.day(venue, program, 2, 340)) == ["100", "100"]
    assert len(heard) == 2 and venue.all("D") == []
    place.proven(venue)


def test_a_broker_that_lost_its_numbers(place):
    venue, program = place.begin()
    place.day(venue, program, 0, 300)
    venue.kill()
    heard = venue.all("D")
    for file in (place.folder / "venue").iterdir():
        if file.name != "books.json":
            file.unlink()
    venue = place.venue()
    lines = list(session(DATES[1], 320))
    place.feed(venue, program, lines[:3])
    # At once, and not only as the session closes.
    sentence = "waiting for the broker: the session is stopped, and has to be started by hand: MsgSeqNum too low"
    until(lambda: place.said(), lambda: sentence in place.said())
    assert place.said().count(sentence) == 1
    program.process.terminate()
    assert program.end()[0] == 0
    # The numbers begin again as both sides have agreed, by a person.
    place.session(reset_on_logon=True)
    program = place.start()
    for line in lines[:3]:
        program.tell(line)
    place.feed(venue, program, lines[3:])
    place.closed(DATES[1])
    assert held(place.equal(venue)) == ["100", "100"]
    assert len(heard) == 2 and venue.all("D") == []
    place.proven(venue)


def test_an_execution_that_is_busted_is_put_right_and_recorded(place):
    venue, program = place.begin(wrong=FEES | {"part": "60"})
    place.day(venue, program, 0, 300)
    lines = list(session(DATES[1], 320))
    place.feed(venue, program, lines[:5])
    place.seen("the fills", lambda status: held(status) == ["100", "100"])
    [gone] = [one for one in venue.tell()["executions"] if one["symbol"] == "IBM" and one["quantity"] == "60"]
    venue.tell(bust=gone["id"])
    place.seen("the difference", lambda status: status["disputed"])
    place.feed(venue, program, lines[5:])
    place.closed(DATES[1])
    assert held(place.equal(venue)) == ["40", "100"]
    notes = [entry["note"] for entry in place.events("corrected")]
    assert notes[1] == "IBM: 100 here, 40 at the broker"


def test_an_order_that_is_refused_is_told_in_the_brokers_words(place):
    venue, program = place.begin(wrong=FEES | {"refuse": "account A-1 is closed for new business"})
    place.day(venue, program, 0, 300)
    venue.tell(wrong={"refuse": None})
    place.day(venue, program, 1, 320)
    assert held(place.day(venue, program, 2, 340)) == ["100", "100"]
    shown = place.done("journal", "show", str(place.account))
    assert "account A-1 is closed for new business" in shown
    place.proven(venue)


def test_somebody_elses_order_in_the_account(place):
    venue, program = place.begin(wrong=FEES)
    venue.tell(enter=["MSFT", "-5", "330"])
    place.feed(venue, program, list(session(DATES[0], 300))[1:])
    assert place.closed(DATES[0])["disputed"] is True
    place.accept("Bob's")
    # It trades, and that is one more.
    place.feed(venue, program, session(DATES[1], 320))
    place.feed(venue, program, session(DATES[2], 340))
    place.closed(DATES[2])
    place.equal(venue)
    notes = [entry["note"] for entry in place.events("corrected")]
    assert notes[1] == "order SOMEBODY1 of -5 MSFT is not of this run"
    assert notes[2] == "MSFT: 100 here, 95 at the broker" and notes[3].startswith("cash: "), notes


def test_a_wrong_password_is_said_at_once(place):
    venue, program = place.venue(password="another"), place.start()
    program.tell({"open": DATES[0]})
    sentence = "warning: waiting for the broker: the logon was refused: Rejected Logon Attempt: the password is wrong\n"
    until(lambda: place.said(), lambda: sentence in place.said())
    assert place.said().count(sentence) == 1
    assert place.status()["trouble"] in sentence and place.status()["compared"] is False


def test_a_broker_that_is_not_there_yet(place):
    place.session(port=place.port)
    program = place.start()
    program.tell({"open": DATES[0]})
    until(lambda: place.said(), lambda: "waiting for the broker: cannot connect to 127.0.0.1" in place.said())
    venue = place.venue(wrong=FEES)
    venue.tell(bell="open")
    place.seen("the first comparison", lambda status: status["disputed"] and status["compared"])
    assert "the broker answers again" in place.said()
    place.accept("the account has 80,000")
    place.seen("the acceptance", lambda status: status["disputed"] is False)
    place.day(venue, program, 0, 300)
    place.day(venue, program, 1, 320)
    place.proven(venue)


@pytest.mark.parametrize(
    "wrong, trouble",
    [
        ({"mute": ["AN"]}, "positions and cash are not told: the broker gave no answer: no answer came in time"),
        ({"not now": ["AF"]}, "open orders are not told: the broker refused: the system is being restarted"),
    ],
)
def test_books_that_cannot_be_compared_are_said_and_nothing_is_begun(place, wrong, trouble):
    venue, program = place.begin(wrong=FEES)
    venue.tell(wrong=wrong)
    place.feed(venue, program, list(session(DATES[0], 300))[1:])
    trouble = f"the books cannot be compared, because {trouble}"
    status = place.seen("the trouble", lambda status: status["trouble"] == trouble)
    assert status["compared"] is False and place.said().count(trouble) == 1
    assert venue.all("D") == []
    venue.tell(wrong={name: [] for name in wrong})
    assert place.closed(DATES[0])["trouble"] is None
    place.day(venue, program, 1, 320)
    place.proven(venue)


def test_a_broker_that_does_not_list_orders(place):
    venue, program = place.begin(wrong=FEES | {"never": ["AF"]})
    assert place.days(venue, program, 300, 320)[1] == ["100", "100"]
    place.feed(venue, program, list(session(DATES[2], 340))[:3])
    assert "flat, and nothing works" in place.done("kill", "--all", "--by", "alice", "--wait", "20")
    assert venue.held() == {}
    place.proven(venue)


def test_a_kill_that_is_killed_closes_nothing_twice(place):
    venue, program = place.begin(wrong=FEES)
    place.days(venue, program, 300, 320)
    program.kill()
    venue.tell(wrong={"part": "30", "mute": ["D"]})
    lines = list(session(DATES[2], 340))
    for line in lines[:3]:
        venue.market(line)
    killing = subprocess.Popen(
        [BINARY, "kill", "--all", "--by", "alice", "--wait", "20"], cwd=place.folder, env=place.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    sells = lambda: [order for order in venue.all("D") if order[54] != "1"]
    until("an order to close", sells)
    killing.kill()
    killing.wait()
    venue.tell(wrong={"mute": [], "part": None})
    venue.market(lines[3])
    venue.market(lines[4])
    said = place.done("kill", "--all", "--by", "bob", "--wait", "20")
    assert venue.held() == {} and "flat, and nothing works" in said
    assert sum(Decimal(order[38]) for order in sells()) == 200
    place.proven(venue)


BRACKET = """\
[data]
symbols = ["IBM"]
[strategy]
name = "forecast"
model = "forecast"
long_threshold = 0.01
short_threshold = 0.01
target = 0.02
stop = 0.015
size = 100
"""


def test_a_strategy_whose_exits_fix_does_not_have_is_refused_before_it_begins(place):
    (place.folder / "run.toml").write_text(BRACKET)
    done = place.run(*place.live)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "positions would stand without any: say emulate_alternatives = true in `session.toml`" in done.stderr
    assert not place.account.exists()


@pytest.fixture(scope="session")
def forecast(lake):
    """A model that makes its strategy enter at once, wherever."""
    (lake / "forecast.toml").write_text(
        '[data]\nsymbols = ["IBM", "MSFT"]\n[split]\nvalidation_from = 2007-01-03\ntest_from = 2009-01-02\n'
    )
    train = [BINARY, "train", "forecast", lake / "forecast.toml", "--lake", lake, "--promote"]
    done = subprocess.run(train, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("meanwhile", ["nothing", "the line is cut", "the program is killed"])
def test_a_bracket_leaves_one_exit_and_the_other_is_cancelled(place, forecast, meanwhile):
    (place.folder / "run.toml").write_text(BRACKET)
    place.session(emulate_alternatives=True)
    venue, program = place.begin(wrong=FEES)
    first, second = ([line for line in session(date, 300) if "MSFT" not in json.dumps(line)] for date in DATES[:2])
    place.feed(venue, program, first[1:])
    place.closed(DATES[0])
    place.feed(venue, program, second[:2])
    exits = lambda: [order for order in venue.tell()["orders"].values() if order["status"] == "0"]
    until("both exits", lambda: len(exits()) == 2)
    [profit], [loss] = ([order for order in exits() if order[kind]] for kind in ("limit", "stop"))
    if meanwhile == "the line is cut":
        place.line.cut()
    elif meanwhile == "the program is killed":
        program.kill()
    # It trades, and the other may not any more.
    venue.tell(price=["IBM", profit["limit"]])
    if meanwhile == "the program is killed":
        program = place.start()
        for line in second[:2]:
            program.tell(line)
    until("the cancel", lambda: exits() == [])
    place.feed(venue, program, second[2:])
    place.closed(DATES[1])
    assert held(place.equal(venue)) == ["0"]
    orders = venue.tell()["orders"]
    assert (orders[profit["name"]]["status"], orders[loss["name"]]["status"]) == ("2", "4")
    place.proven(venue)


def test_a_second_program_on_the_account_is_refused_and_disturbs_nobody(place):
    venue, program = place.begin(wrong=FEES)
    logons = len(venue.all("A", "admin"))
    done = place.run(*place.live)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "another process uses the store" in done.stderr and "a session can only be held once" in done.stderr
    place.days(venue, program, 300, 320)
    assert len(venue.all("A", "admin")) == logons == 1
    place.proven(venue)


def test_a_kill_while_the_line_is_down_claims_nothing_and_closes_when_it_is_up(place):
    venue, program = place.begin(wrong=FEES)
    place.days(venue, program, 300, 320)
    place.feed(venue, program, list(session(DATES[2], 340))[:3])
    place.line.down = place.line.up = False
    place.line.cut()
    done = place.run("kill", "--all", "--by", "alice", "--wait", "2")
    assert done.returncode == 1 and "not flat yet: " in done.stdout and "filled" not in done.stdout, done.stdout
    place.line.down = place.line.up = True
    place.line.cut()
    assert "flat, and nothing works" in place.done("kill", "--all", "--by", "alice", "--wait", "20")
    assert venue.held() == {} and [order[54] for order in venue.all("D")].count("2") == 2
    place.proven(venue)


def test_a_kill_in_the_middle_of_a_fill_with_a_cancel_that_takes_its_time(place):
    venue, program = place.begin(wrong=FEES | {"part": "30", "cancel": "pending"})
    place.days(venue, program, 300)
    lines = list(session(DATES[1], 320))
    place.feed(venue, program, lines[:3])
    place.seen("a part", lambda status: held(status) == ["30", "30"])
    done = place.run("kill", "--all", "--by", "alice", "--wait", "2")
    # What was held is closed, what works may still fill.
    assert done.returncode == 1 and "filled: -30 IBM at 320.5" in done.stdout and "not flat yet" in done.stdout
    assert venue.held() == {}
    venue.tell(wrong={"part": None})
    place.feed(venue, program, lines[3:])
    assert "flat, and nothing works" in place.done("kill", "--all", "--by", "alice", "--wait", "20")
    assert venue.held() == {} and {order["status"] for order in venue.tell()["orders"].values()} == {"2", "4"}
    place.proven(venue)


def test_a_broker_that_does_not_tell_cash_is_accepted_once(place):
    venue, program = place.begin(wrong=FEES | {"cash": False})
    place.feed(venue, program, list(session(DATES[0], 300))[1:])
    place.closed(DATES[0])
    program.kill()
    program = place.start()
    place.feed(venue, program, session(DATES[1], 320))
    status = place.closed(DATES[1])
    # What our books have for cash is the run file's; positions are compared all the same.
    assert held(status) == ["100", "100"] and status["disputed"] is False
    venue.tell(hold=["IBM", "7"])
    place.feed(venue, program, session(DATES[2], 340))
    place.closed(DATES[2])
    notes = [entry["note"] for entry in place.events("corrected")]
    assert notes == ["cash was not compared: the broker does not tell it", "IBM: 100 here, 107 at the broker"]


def test_a_position_that_is_told_in_two_reports_is_one(place):
    venue, program = place.begin(wrong=FEES | {"lots": True})
    assert place.days(venue, program, 300, 320) == [["0", "0"], ["100", "100"]]
    place.proven(venue)
