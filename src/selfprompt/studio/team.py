"""Serve: the adapters of this process, what was asked of them, loading and unloading."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response
from prometheus_client import CollectorRegistry
from starlette.responses import RedirectResponse

from selfprompt.adapters.format import FILES, glance
from selfprompt.data.tables import Kind
from selfprompt.errors import UserError
from selfprompt.serving.settings import NAME
from selfprompt.studio.pages import Studio
from selfprompt.studio.trying import adapter_of

PREFIX = "selfprompt_"


@dataclass
class Asked:
    """What an adapter was asked so far.

    Args:
        requests, failed, images: How many.
        bins: Seconds, and how many requests took at most so long.
    """

    requests: int = 0
    failed: int = 0
    images: int = 0
    bins: list[tuple[float, float]] = field(default_factory=list)

    @property
    def median(self) -> float | None:
        """Seconds that half of the requests took at most."""
        return quantile(self.bins, 0.5)

    @property
    def slow(self) -> float | None:
        """Seconds that 95 of 100 requests took at most."""
        return quantile(self.bins, 0.95)


def asked(registry: CollectorRegistry) -> dict[str, Asked]:
    """What the server has counted, by adapter."""
    found: dict[str, Asked] = defaultdict(Asked)
    for sample in (sample for metric in registry.collect() for sample in metric.samples):
        one, value = found[sample.labels.get("adapter", "")], sample.value
        if sample.name == PREFIX + "requests_total":
            one.requests += int(value)
            one.failed += int(value) if sample.labels["code"] >= "400" else 0
        elif sample.name == PREFIX + "images_total":
            one.images = int(value)
        elif sample.name == PREFIX + "request_seconds_bucket":
            one.bins.append((float(sample.labels["le"]), value))
    return found


def quantile(bins: list[tuple[float, float]], share: float) -> float | None:
    """The upper end of the bin below which a share lies."""
    total = bins[-1][1] if bins else 0
    return next((end for end, below in bins if below >= share * total), None) if total else None


def address(name: str) -> str:
    """A run's name as one for addresses of the server."""
    if NAME.fullmatch(name):
        return name
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name).strip("._-")[:80]
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]  # two names stay two
    return f"{plain or 'adapter'}-{mark}"


def kind_of(folder: Path) -> tuple[Kind, str]:
    """What an adapter takes, and what is wrong with its configuration."""
    try:
        return glance(folder)[0], ""
    except UserError as error:
        return "image", str(error)


def routes(studio: Studio) -> APIRouter:
    """The pages."""
    router = APIRouter(prefix="/serve")

    @router.get("")
    def page() -> Response:
        members = studio.service.pool.bank.members
        there = {n: f for n, f in studio.offered.folders().items() if all((f / file).is_file() for file in FILES)}
        kinds = {name: kind_of(folder) for name, folder in there.items()}
        rows = [
            (
                name,
                address(name),
                members.get(address(name)),
                wrong or studio.repository.failed.get(address(name), ""),
            )
            for name, (kind, wrong) in kinds.items()
            if kind == "image"
        ]
        loaded = [f"{served}={there[name]}" for name, served, member, _ in rows if member]
        backbone = studio.service.pool.backbone.info.name
        texts = len(there) - len(rows)
        rest = {"rows": rows, "texts": texts, "asked": asked(studio.service.metrics.registry), "backbone": backbone}
        return studio.page("serve.html", words=["serve", *loaded] if loaded else [], **rest)

    @router.post("/{name}/load")
    def load(name: str) -> Response:
        folder, config = adapter_of(studio, name)
        if config.protocol.inputs == "text":
            raise UserError(f"{folder} takes texts, and a server takes images: use selfprompt predict.")
        studio.repository.take(address(name), folder)
        return RedirectResponse("/serve", 303)

    @router.post("/{name}/unload")
    def unload(name: str) -> Response:
        studio.offered.folder(name)
        if address(name) not in studio.service.pool.bank.members:
            raise HTTPException(404, f"{name!r:.110} is not loaded.")
        studio.repository.unload(address(name))
        return RedirectResponse("/serve", 303)

    return router
