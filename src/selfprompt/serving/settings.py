"""How a server listens, and what it refuses; read without torch."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from selfprompt.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A name of an adapter: it is part of addresses, and never a path."""


class Settings(BaseModel):
    """How a server of adapters listens, and what it refuses.

    Args:
        host: Address to listen on; any but loopback needs --keys.
        port: Port to listen on; 0 takes a free one.
        max_batch: Most images in one pass through the backbone.
        max_wait_ms: Milliseconds that a batch which is not full waits for more images.
        max_queue: Most images accepted and not yet answered; a request beyond them gets 429.
        timeout_s: Seconds after which a request that still waits is given up (504), and a body that still comes
            (408).
        max_bytes: Largest body of a request in bytes (413).
        max_pixels: Most pixels of an image, by its header (400).
        max_images: Most images of one request.
        max_adapters: Most adapters at a time.
        threads: Threads that compute, and as many that decode; left open, PyTorch's own number.
        drain_s: After SIGTERM, seconds in which the server says that it is not ready and still takes requests, for
            load balancers to notice.
        log: Form of the log, a line a request, on standard error.
        keys: File with one key a line (16 characters or more), of which a request must bring one.
        admin_keys: File with one key a line for loading and unloading adapters of --adapters-dir; left out, nobody
            can.
        adapters_dir: Folder of adapters that may be loaded by the names of their folders; with no NAME=ADAPTER, all
            of them are at the start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, lt=2**16)
    max_batch: int = Field(default=32, ge=1)
    max_wait_ms: float = Field(default=5.0, ge=0)
    max_queue: int = Field(default=256, ge=1)
    timeout_s: float = Field(default=30.0, gt=0)
    max_bytes: int = Field(default=10_000_000, ge=1)
    max_pixels: int = Field(default=50_000_000, ge=1, le=89_000_000)  # beyond, Pillow itself refuses
    max_images: int = Field(default=32, ge=1)
    max_adapters: int = Field(default=256, ge=1)
    threads: int | None = Field(default=None, ge=1)
    drain_s: float = Field(default=1.0, ge=0)
    log: Literal["text", "json"] = "text"
    keys: Path | None = None
    admin_keys: Path | None = None
    adapters_dir: Path | None = None

    @model_validator(mode="after")
    def consistent(self) -> Settings:
        """Refuse to be open to others without keys, and keys that open nothing."""
        if self.keys is None and not self.loopback:
            raise UserError(f"--host {self.host} lets other machines in: give --keys FILE, or listen on 127.0.0.1.")
        if self.admin_keys is not None and self.adapters_dir is None:
            raise UserError("--admin-keys are for loading adapters: say where they are with --adapters-dir.")
        if self.max_images > self.max_queue:
            raise UserError(f"--max-images {self.max_images} never fit in --max-queue {self.max_queue}: raise it.")
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
