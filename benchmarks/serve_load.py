"""How fast the server is: latency under open-loop load, 1 and 64 adapters, and one process per adapter beside it.

    python benchmarks/serve_load.py --out benchmarks/results/serve-load.json

The ceiling is measured closed-loop, by wrk where it is installed (apt install wrk) and by 32 connections of ours.
Then requests come as a Poisson process at 50, 80 and 110 % of it, whether or not the ones before were answered, so
that waiting is counted. The naive server is `http.server` with one adapter and one image at a time; several of them
share the machine's threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch

import selfprompt as sp
from selfprompt.data.images import read_image
from served import Client, make_adapters, pictures, running, serving

IMAGES = pictures(16)
Target = list[tuple[Client, str]]


def naive(adapter: str, threads: int) -> None:
    """One adapter, one image at a time, until it is stopped."""
    torch.set_num_threads(threads)
    model = sp.load(adapter)
    view = model.protocol.view()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            pixels = view.read(read_image(self.rfile.read(int(self.headers["content-length"]))))
            with torch.no_grad():
                probability, label = model(view.collate([pixels], 1)).softmax(-1).max(-1)
            body = json.dumps({"label": int(label), "probability": float(probability)}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(HTTPServer):
        request_queue_size = 1024

    server = Server(("127.0.0.1", 0), Handler)
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()


async def closed(target: Target, seconds: float, connections: int = 32) -> float:
    """Answers a second, each connection asking again once it is answered."""
    done, end = 0, time.perf_counter() + seconds

    async def worker(i: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            client, path = target[(i + done) % len(target)]
            status, _ = await client.post(path, IMAGES[done % len(IMAGES)])
            done += status == 200

    start = time.perf_counter()
    await asyncio.gather(*map(worker, range(connections)))
    return done / (time.perf_counter() - start)


async def opened(target: Target, rate: float, seconds: float) -> dict[str, float]:
    """Latencies in ms, from when a request was due, of a Poisson process; and which share was rejected."""
    rng, taken, statuses = np.random.default_rng(0), [], []
    start = time.perf_counter()

    async def one(i: int, due: float) -> None:
        client, path = target[int(rng.integers(len(target)))]
        status, _ = await client.post(path, IMAGES[i % len(IMAGES)])
        statuses.append(status)
        if status == 200:
            taken.append(1000 * (time.perf_counter() - due))

    tasks, due = [], start
    while due < start + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(len(tasks), due)))
        due += rng.exponential(1 / rate)
    await asyncio.gather(*tasks)
    quantiles = {f"p{q}": round(float(np.percentile(taken, q)), 1) for q in (50, 95, 99)} if taken else {}
    rejected = sum(status != 200 for status in statuses) / len(statuses)
    return {"rate": round(rate, 1), "requests": len(statuses), **quantiles, "rejected": round(rejected, 4)}


def wrk(port: int, paths: list[str], seconds: float) -> float | None:
    """wrk's answers a second, over a mix of paths; None where it is not installed."""
    if not shutil.which("wrk"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "image.jpg").write_bytes(IMAGES[0])
        script = Path(folder) / "mix.lua"
        quoted = ", ".join(f'"{path}"' for path in paths)
        script.write_text(
            f'local paths = {{{quoted}}}\nlocal body = io.open("{folder}/image.jpg", "rb"):read("*a")\nlocal i = 0\n'
            'request = function() i = i + 1; return wrk.format("POST", paths[i % #paths + 1], '
            '{["content-type"] = "image/jpeg"}, body) end\n',
            encoding="utf-8",
        )
        url = f"http://127.0.0.1:{port}"
        said = subprocess.run(
            ["wrk", "-t1", "-c32", f"-d{seconds:.0f}s", "-s", str(script), url], capture_output=True, text=True
        ).stdout
    return next(float(line.split()[1]) for line in said.splitlines() if line.startswith("Requests/sec"))


async def measured(target: Target, seconds: float) -> dict[str, Any]:
    """The ceiling, and latencies below and above it."""
    await closed(target, min(2.0, seconds))
    ceiling = await closed(target, seconds)
    shares = {f"{100 * share:.0f} %": await opened(target, share * ceiling, seconds) for share in (0.5, 0.8, 1.1)}
    return {"ceiling": round(ceiling, 1), **shares}


def table(found: dict[str, Any]) -> str:
    """What was measured, as a table."""
    shares = ("50 %", "80 %", "110 %")
    head = ["", "answers a second", *(f"at {share}: p50, p95, p99, ms" for share in shares), "rejected at 110 %"]
    lines = [head, ["---"] * len(head)]
    for name, row in found.items():
        if not isinstance(row, dict):
            continue
        ceiling = f"{row['ceiling']:.0f}" + (f" (wrk {row['wrk']:.0f})" if row.get("wrk") else "")
        times = [", ".join(f"{row[share][f'p{q}']:,.0f}" for q in (50, 95, 99)) for share in shares]
        lines.append([name, ceiling, *times, f"{100 * row['110 %']['rejected']:.1f} %"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="builtin")
    parser.add_argument("--adapters", type=int, nargs="*", default=[1, 64])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 4], help="of the naive server")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--naive", metavar="ADAPTER", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.naive:
        naive(asked.naive, asked.threads)
    found: dict[str, Any] = {"backbone": asked.backbone, "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        named = make_adapters(Path(folder), asked.backbone, max([*asked.adapters, *asked.processes]))
        names = [text.partition("=") for text in named]
        for count in asked.adapters:
            paths = [f"/v1/predict?adapter={name}" for name, _, _ in names[:count]]
            with serving(named[:count]) as (port, _):
                client = Client(port)
                result = asyncio.run(measured([(client, path) for path in paths], asked.seconds))
                found[f"pool of {count}"] = result | {"wrk": wrk(port, paths, asked.seconds)}
                print(json.dumps(found), flush=True)
        for count in asked.processes:
            with ExitStack() as stack:
                threads = str(max(1, torch.get_num_threads() // count))
                own = [("--naive", path, "--threads", threads) for _, _, path in names[:count]]
                ports = [stack.enter_context(running(__file__, *words))[0] for words in own]
                target = [(Client(port), "/") for port in ports]
                found[f"{count} naive processes"] = asyncio.run(measured(target, asked.seconds))
    print(json.dumps(found, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        asked.out.with_suffix(".md").write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    main()
