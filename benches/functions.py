"""The figures of docs/performance.md about the functions; `benches/functions` builds them and runs this."""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import day, deploy, sample, servers

STARTS = 15


class Runtime:
    """The Lambda runtime's interface: one event is handed out, its answer taken."""

    def __init__(self):
        self.polled, self.answered = threading.Event(), threading.Event()
        self.event = threading.Event()
        self.payload, self.answer, self.failed = b"", b"", False
        self.polled_at = self.answered_at = 0.0
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if not runtime.polled.is_set():
                    runtime.polled_at = time.perf_counter()
                    runtime.polled.set()
                runtime.event.wait()
                runtime.event.clear()
                self.send_response(200)
                for name, value in {
                    "Lambda-Runtime-Aws-Request-Id": "00000000-0000-0000-0000-000000000000",
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 900) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:bench",
                    "Content-Length": str(len(runtime.payload)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(runtime.payload)

            def do_POST(self):
                runtime.answer = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                runtime.failed = self.path.endswith("/error")
                runtime.answered_at = time.perf_counter()
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                runtime.answered.set()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A process that is killed ends its connection without a word.
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self, name: str) -> dict[str, str]:
        return {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
            "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
        }


def end(process: subprocess.Popen) -> float:
    """Kills a process; its largest resident MiB since the program was loaded."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.kill()
    process.wait()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def start_ms(program: Path, environment: dict[str, str]) -> float:
    """Milliseconds from starting a process to its first poll; the median of several."""
    taken = []
    for _ in range(STARTS):
        runtime = Runtime()
        begun = time.perf_counter()
        process = subprocess.Popen([program], env=environment | runtime.environment(program.name), stdout=subprocess.DEVNULL)
        if not runtime.polled.wait(10):
            sys.exit(f"{program} never polled")
        taken.append((runtime.polled_at - begun) * 1000)
        end(process)
        runtime.server.shutdown()
    return statistics.median(taken)


def call(program: Path, environment: dict[str, str], event: dict) -> tuple[dict, float, float]:
    """The answer of a fresh process to an event, its seconds, and its largest resident MiB."""
    runtime = Runtime()
    process = subprocess.Popen([program], env=environment | runtime.environment(program.name), stdout=subprocess.DEVNULL)
    runtime.polled.wait(10)
    runtime.payload = json.dumps(event).encode()
    begun = time.perf_counter()
    runtime.event.set()
    if not runtime.answered.wait(300):
        sys.exit(f"{program} never answered")
    memory = end(process)
    runtime.server.shutdown()
    answer = json.loads(runtime.answer)
    if runtime.failed:
        sys.exit(f"{program.name} failed: {answer}")
    return answer, runtime.answered_at - begun, memory


def zipped_mib(program: Path) -> float:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(program, "bootstrap")
    return len(held.getvalue()) / (1 << 20)


def publish_universe(product: Path, mib: int) -> int:
    """A revision of one file of so many MiB: bars of a whole market, as large as a function takes; gives its rows."""
    folder, rows = product / "universe", 0
    folder.mkdir(parents=True)
    days = sample.sessions()
    with (folder / "universe.csv").open("w") as file:
        file.write("dt,sym,open,high,low,close,vol\n")
        symbol = 0
        while file.tell() < (mib << 20) - 20_000:
            symbol += 1
            name = "".join(chr(65 + symbol // 26**place % 26) for place in (3, 2, 1, 0))
            for at, day_ in enumerate(days):
                price = 20 + (symbol * 7 + at * 13) % 200
                file.write(f"{day_},{name},{price}.17,{price + 2}.83,{price - 2}.09,{price + 1}.{at % 90 + 10},{1_000_000 + symbol * 97 + at}\n")
                rows += 1
    (folder / "revision.json").write_text(json.dumps({"published_at": sample.evening(days[-1])}))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    released = servers.binaries().parent / "lambda"
    session = sample.DAY
    started, rows = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            started.append(servers.ministack(folder))
            stack = deploy.Deployment("figures", started[0].url, "", str(folder / "exchange"))
            started.append(servers.ours(folder, stack.emulator, Path(stack.exchange), stack.lake))
            stack.server = started[1].url
            deploy.deploy(stack)
            sample.history(stack.product, session)
            sample.day(stack.product, session)
            environment = servers.environment(stack.environment)

            def step(name: str, event: dict) -> dict:
                seconds = memory = 0.0
                for _ in range(600):
                    answer, took, largest = call(released / name, environment, event)
                    seconds, memory = max(seconds, took), max(memory, largest)
                    if answer["done"] if "done" in answer else True:
                        break
                    time.sleep(0.1)
                rows.append((name, zipped_mib(released / name), start_ms(released / name, environment), memory, seconds))
                return answer

            run = {"session": session, "run": "figures"}
            plan = step("plan-session", run)
            step("export-assets", run)
            ingest = step("ingest-bars", run)
            step("crawl-catalog", run)
            checks = [step("run-query", run | {"query": plan["checks"][0]})]
            step("score-signals", run)
            for strategy in plan["strategies"]:
                step("launch-strategy", run | {"strategy": strategy})
            watch = step("watch-pnl", run)
            step("report-run", run | {"ingest": ingest, "checks": checks, "watch": watch})

            large = deploy.Deployment("large", stack.emulator, stack.server, stack.exchange, data_set="market")
            deploy.deploy(large)
            large_rows = publish_universe(large.product, 63)
            elsewhere = servers.environment(large.environment)
            while not call(released / "export-assets", elsewhere, run)[0]["done"]:
                time.sleep(0.1)
            answer, large_seconds, large_memory = call(released / "ingest-bars", elsewhere, run)
            assert answer["done"] and answer["revisions"][0]["stored"] == large_rows, answer

            whole = deploy.Deployment("whole", stack.emulator, stack.server, stack.exchange)
            deploy.deploy(whole)
            begun = time.perf_counter()
            done = day.wait(whole, day.start(whole, {"session": session}))
            whole_seconds = time.perf_counter() - begun
            if done.status != "SUCCEEDED":
                sys.exit(f"the day failed: {done.reason}")
        finally:
            for one in reversed(started):
                servers.stop(one)
    best: dict[str, tuple] = {}
    for name, *figures in rows:
        known = best.get(name, figures)
        best[name] = [max(pair) for pair in zip(known, figures)]
    print("| function | zip, MiB | start, ms | memory, MiB | the day, s |\n|---|---|---|---|---|")
    for name, (size, start, memory, seconds) in best.items():
        print(f"| `{name}` | {size:.1f} | {start:.1f} | {memory:.0f} | {seconds:.2f} |")
    print(f"\n`ingest-bars` on a revision of 63 MiB, {large_rows:,} rows: {large_seconds:.1f} s, {large_memory:.0f} MiB")
    print(f"\nThe whole day, fired to finished, debug builds: {whole_seconds:.1f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"functions": best, "whole_day_s": whole_seconds,
             "large": [large_rows, large_seconds, large_memory]}, indent=1))


if __name__ == "__main__":
    main()
