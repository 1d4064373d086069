"""What the benchmarks of the server share: adapters, a server that runs, and a light client."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

import selfprompt as sp


def make_adapters(folder: Path, backbone: str, count: int, prompts: int = 10, classes: int = 10) -> list[str]:
    """NAME=FOLDER of adapters with random prompts: what they answer does not matter here, but how fast."""
    named = []
    for seed in range(count):
        path = folder / f"task{seed}"
        if not path.exists():
            model = sp.create_model(backbone, "vpt", num_classes=classes, num_prompts=prompts, seed=seed)
            side = model.protocol.image_size
            model.initialize([torch.zeros(1, 3, side, side)], seed=seed)
            model.save_pretrained(path)
        named.append(f"task{seed}={path}")
    return named


def pictures(count: int, side: int = 256) -> list[bytes]:
    """JPEG files of smooth noise, some 15 kB each."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        file = io.BytesIO()
        small = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
        found.append(file.getvalue())
    return found


@contextmanager
def running(*words: str) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its process id."""
    command = [sys.executable, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield urlsplit(json.loads(process.stdout.readline())["url"]).port or 0, process.pid
        finally:
            process.terminate()


@contextmanager
def serving(named: list[str], *flags: str) -> Iterator[tuple[int, int]]:
    """`selfprompt serve` of adapters."""
    with running("-m", "selfprompt", "serve", *named, "--json", "--port", "0", "--drain-s", "0", *flags) as found:
        yield found


class Client:
    """HTTP/1.1 with kept connections; as light as can be, as it shares the machine with the server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes, kind: str = "image/jpeg") -> tuple[int, bytes]:
        """Status and body of an answer; asked once more where a kept connection turns out to be closed."""
        while self.idle:
            try:
                return await self.asked(*self.idle.pop(), path, body, kind)
            except (asyncio.IncompleteReadError, ConnectionError):
                continue
        return await self.asked(*await asyncio.open_connection("127.0.0.1", self.port), path, body, kind)

    async def asked(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes, kind: str
    ) -> tuple[int, bytes]:
        """Ask by a connection, which is kept."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        told = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        answer = await reader.readexactly(int(told.get("content-length", 0)))
        if told.get("connection") == "close":
            writer.close()
        else:
            self.idle.append((reader, writer))
        return int(lines[0].split()[1]), answer


def resident(pid: int) -> float:
    """Megabytes of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
