"""Whether the server bears what is sent to it: thousands of good requests, then as many mutated images and bodies.

    python benchmarks/serve_soak.py --requests 10000 --mutated 1000 --out benchmarks/results/serve-soak.json

Memory is that of the server's process, after a first tenth of the requests and in the end. Every answer to a mutated
request is to be 200 or a 4xx.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from served import Client, make_adapters, pictures, resident, serving


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """Bytes of which some are changed, left out, repeated, or cut off."""
    changed = np.frombuffer(data, np.uint8).copy()
    at = rng.integers(len(changed), size=rng.integers(1, 20))
    changed[at] = rng.integers(256, size=len(at))
    first, last = sorted(rng.integers(len(changed), size=2))
    cuts: list[Any] = [changed, changed[:last], np.delete(changed, slice(first, first + 8)), np.tile(changed, 2)]
    return cuts[rng.integers(len(cuts))].tobytes() or b"\0"


def form(images: list[bytes]) -> bytes:
    """A form of files, with the boundary "edge"."""
    head = b'--edge\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
    return b"".join(head + image + b"\r\n" for image in images) + b"--edge--\r\n"


async def send(port: int, requests: list[tuple[str, bytes, str]], at_once: int = 16) -> Counter[int]:
    """Statuses of requests, a few at once."""
    client, statuses, rest = Client(port), Counter(), iter(requests)

    async def worker() -> None:
        for path, body, kind in rest:
            statuses[(await client.post(path, body, kind))[0]] += 1

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="builtin")
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--mutated", type=int, default=1_000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rng, images, multipart = np.random.default_rng(0), pictures(16), "multipart/form-data; boundary=edge"
    with tempfile.TemporaryDirectory() as folder:
        named = make_adapters(Path(folder), asked.backbone, asked.adapters)
        paths = [f"/v1/predict?adapter={text.partition('=')[0]}" for text in named]
        good = [(paths[i % len(paths)], images[i % 16], "image/jpeg") for i in range(asked.requests)]
        bad = []
        for i in range(asked.mutated):
            body = form(images[:2]) if i % 2 else images[i % 16]
            bad.append((paths[0], mutated(rng, body), multipart if i % 2 else "image/jpeg"))
        with serving(named) as (port, pid):
            tenth = len(good) // 10
            statuses = asyncio.run(send(port, good[:tenth]))
            before = resident(pid)
            statuses += asyncio.run(send(port, good[tenth:]))
            after = resident(pid)
            odd = asyncio.run(send(port, bad))
            last = resident(pid)
    found = {
        "good": dict(statuses),
        "mutated": dict(odd),
        "megabytes": {"after a tenth": round(before), "after all": round(after), "after the mutated": round(last)},
    }
    print(json.dumps(found, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
