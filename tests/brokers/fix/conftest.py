"""What the tests of the FIX adapter share: our adapter, QuickFIX's acceptor, and a line between them that can fail.

Set FIX_SESSION to the example `fix_session` (`./test` builds it and does).
"""

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BINARY = os.environ.get("FIX_SESSION", "")
PATIENCE = 15


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Process:
    """A program that speaks JSON lines on its pipes."""

    def __init__(self, arguments, **environment):
        self.process = subprocess.Popen(
            [str(one) for one in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | environment,
        )
        self.lines = queue.Queue()
        self.log = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def say(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def until(self, wanted, patience=PATIENCE):
        """The next line that is wanted; those before it are kept in the log and passed over."""
        end = time.monotonic() + patience
        while True:
            try:
                line = self.lines.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                raise AssertionError(f"it never came; there was {self.log[-20:]}") from None
            self.log.append(line)
            if wanted(line):
                return line

    def settle(self, seconds=0.4):
        """Everything that comes in a while."""
        time.sleep(seconds)
        while not self.lines.empty():
            self.log.append(self.lines.get())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)
        return self.process.stderr.read()


class Acceptor(Process):
    def __init__(self, folder, port, **wanted):
        self.port, self.number = port, 0
        file = folder / "acceptor.json"
        file.write_text(json.dumps({"port": port, "store": str(folder / "acceptor")} | wanted))
        super().__init__([sys.executable, HERE / "acceptor.py", file])
        self.until(lambda line: "ready" in line)

    def hears(self, kind, patience=PATIENCE):
        return dict(self.until(lambda line: "heard" in line and [35, kind] in line["heard"], patience)["heard"])

    def heard(self, kind):
        """Everything of a kind so far."""
        self.settle()
        return [dict(line["heard"]) for line in self.log if "heard" in line and [35, kind] in line["heard"]]

    def admin(self, kind, side="admin"):
        return dict(self.until(lambda line: side in line and [35, kind] in line[side])[side])

    def send(self, kind, fields, groups=()):
        self.say({"send": [[35, kind]] + [[tag, value] for tag, value in fields.items()], "groups": list(groups)})

    def report(self, order, kind, status, filled="0", average="0", **more):
        """An execution report about an order that was heard."""
        self.number += 1
        fields = {
            37: f"B{order[11].split('-')[2]}", 11: order[11], 17: f"E{self.number}", 150: kind, 39: status, 55: order[55],
            54: order[54], 38: order.get(38, "0"), 14: filled, 151: "0", 6: average, 60: "20240131-15:00:00.123",
        }
        self.send("8", fields | {int(tag[1:]): value for tag, value in more.items()})

    def accept(self, order):
        self.report(order, "0", "0")

    def fill(self, order, quantity, price, filled, status="1", **more):
        self.report(order, "F", status, filled, price, _32=quantity, _31=price, **more)


class Adapter(Process):
    def __init__(self, folder, port, password="", **wanted):
        config = {
            "sender": "DESK", "target": "BROKER", "host": "127.0.0.1", "port": port, "store": str(folder / "adapter"),
            "heartbeat_seconds": 30, "answer_within_ms": 4000, "reconnect_min_ms": 100, "reconnect_max_ms": 200,
            "logons_max": 3,
        }
        file = folder / "adapter.json"
        file.write_text(json.dumps(config | wanted))
        super().__init__([BINARY, file], **({"FIX_PASSWORD": password} if password else {}))

    def ask(self, do, **what):
        self.say({"do": do} | what)

    def answer(self, patience=PATIENCE):
        return self.until(lambda line: "event" not in line, patience)

    def call(self, do, **what):
        self.ask(do, **what)
        return self.answer()

    def up(self):
        assert self.call("wait", seconds=10) == {"answer": None}

    def submit(self, number=1, quantity="100", kind="market", symbol="IBM", **more):
        order = {"number": number, "symbol": symbol, "quantity": quantity, "kind": kind} | more
        self.ask("submit", orders=[order])

    def event(self, kind):
        return self.until(lambda line: line.get("event") == kind)

    def events(self, *kinds):
        self.settle()
        return [line for line in self.log if line.get("event") in kinds]

    def executions(self):
        return [line["execution"] for line in self.events("executed")]


class Line:
    """Between the adapter and the acceptor: it can be cut, and what goes up or down can vanish on it."""

    def __init__(self, to):
        self.to, self.up, self.down, self.pairs = to, True, True, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                continue
            self.pairs.append((near, far))
            for source, sink, way in ((near, far, "up"), (far, near, "down")):
                threading.Thread(target=self._carry, args=(source, sink, way), daemon=True).start()

    def _carry(self, source, sink, way):
        try:
            while data := source.recv(65536):
                if getattr(self, way):
                    sink.sendall(data)
        except OSError:
            pass
        self._close(source, sink)

    @staticmethod
    def _close(*sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def cut(self):
        """Both ends see the line end; it can be dialled again at once."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            self._close(*pair)

    def close(self):
        self._close(self.server)
        self.cut()


class Desk:
    """All three, begun when asked for and ended with the test."""

    def __init__(self, folder):
        self.folder, self.port, self.started = folder, free_port(), []
        self.line = Line(self.port)

    def acceptor(self, **wanted):
        return self._keep(Acceptor(self.folder, self.port, **wanted))

    def adapter(self, **wanted):
        return self._keep(Adapter(self.folder, wanted.pop("port", self.line.port), **wanted))

    def both(self, **wanted):
        acceptor, adapter = self.acceptor(), self.adapter(**wanted)
        adapter.up()
        return acceptor, adapter

    def _keep(self, process):
        self.started.append(process)
        return process

    def close(self):
        self.line.close()
        for process in self.started:
            process.kill()


@pytest.fixture
def desk(tmp_path):
    assert BINARY, "set FIX_SESSION to target/debug/examples/fix_session"
    desk = Desk(tmp_path)
    yield desk
    desk.close()
    for process in desk.started:
        if isinstance(process, Acceptor):
            process.settle(0)
            # QuickFIX's dictionary found nothing wrong with what we sent.
            wrong = [line for line in process.log if "says" in line and ([35, "3"] in line["says"])]
            assert not wrong, wrong
