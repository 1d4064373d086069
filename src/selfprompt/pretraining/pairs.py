"""Images and what is written of them, out of a folder with a table, and the batch of each step."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from selfprompt.data.images import common_range, read_image
from selfprompt.errors import UserError
from selfprompt.files import read_text

TABLE = "captions.csv"
MARGIN = 1.25
"""Images are held this much larger than the tower takes them, and cropped."""

Facts = frozenset[str]


@dataclass(frozen=True)
class Caption:
    """A text, and the facts that it says: it is true of every image that holds them all."""

    text: str
    says: Facts


@dataclass(frozen=True)
class Pairs:
    """Images, (N, 3, S, S) uint8, with the captions and the facts of each."""

    images: Tensor
    captions: list[list[Caption]]
    facts: list[Facts]


@dataclass(frozen=True)
class Drawn:
    """A batch: images (B, 3, S, S) in [0, 1], texts (C), and which is true of which, (B, C)."""

    images: Tensor
    texts: list[str]
    true: Tensor


def load_pairs(folder: str | Path, side: int) -> Pairs:
    """The pairs of a folder whose `TABLE` has the columns ``image`` (a path in it) and ``caption``.

    An image may stand in several rows. A column ``says`` holds the facts that a caption says, with ``;`` between
    them, and ``facts`` those that an image holds beside what its own captions say. Without them a caption says
    itself, and is true of the images that have the same.

    Raises:
        UserError: The table is missing, or has no such column or row; an image is missing.
    """
    table = Path(folder) / TABLE
    if not table.is_file():
        raise UserError(f"{folder} has no {TABLE}: write one with the columns image and caption.")
    rows = csv.DictReader(io.StringIO(read_text(table, "write it again")))
    if lacking := {"image", "caption"} - {*(rows.fieldnames or ())}:
        raise UserError(f"{table} has no column {min(lacking)}: its first line must name image and caption.")
    captions: dict[str, list[Caption]] = {}
    facts: dict[str, set[str]] = {}
    for row in rows:
        image, text = (row["image"] or "").strip(), (row["caption"] or "").strip()
        if not image or not text:
            raise UserError(f"{table}, line {rows.line_num}: an image and a caption are needed.")
        says = facts_of(row.get("says")) or frozenset([text.lower()])
        captions.setdefault(image, []).append(Caption(text, says))
        facts.setdefault(image, set()).update(says, facts_of(row.get("facts")))
    if len(captions) < 2:
        raise UserError(f"{table} has {len(captions)} images: at least two are needed.")
    paths = [Path(folder) / name for name in captions]
    if missing := next((path for path in paths if not path.is_file()), None):
        raise UserError(f"{table} names {missing}, which is not there.")
    span = common_range(paths)
    images = np.empty((len(paths), 3, side, side), dtype=np.uint8)
    for row, path in enumerate(paths):
        images[row] = np.asarray(read_image(path, span).resize((side, side))).transpose(2, 0, 1)
    return Pairs(torch.from_numpy(images), [*captions.values()], [frozenset(held) for held in facts.values()])


def facts_of(cell: str | None) -> Facts:
    """What a cell lists."""
    return frozenset(fact.strip() for fact in (cell or "").split(";") if fact.strip())


def truth(facts: list[Facts], says: list[Facts]) -> Tensor:
    """Which captions are true of which images: those that say nothing else than the image holds.

    Shape: of B images and C captions, (B, C) bool.
    """
    return torch.tensor([[said <= held for said in says] for held in facts])


def draw(pairs: Pairs, count: int, captions: int, size: int, generator: torch.Generator) -> Drawn:
    """Images at random, cropped, with as many captions of each as it has, up to a number."""
    chosen = torch.randint(len(pairs.images), (count,), generator=generator)
    order = torch.rand(count, max(map(len, pairs.captions)), generator=generator).numpy()
    listed = [pairs.captions[i] for i in chosen.tolist()]
    told = [own[j] for own, u in zip(listed, order) for j in u[: len(own)].argsort()[:captions]]
    facts = [pairs.facts[i] for i in chosen.tolist()]
    images = cropped(pairs.images[chosen], size, generator)
    return Drawn(images, [one.text for one in told], truth(facts, [one.says for one in told]))


def cropped(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random crops of 70 to 100 % of the area, neither flipped nor recoloured: captions speak of that.

    Shape: (B, 3, H, W) uint8 to (B, 3, size, size) float in [0, 1].
    """
    batch = len(images)
    scale = (torch.rand(batch, generator=generator) * 0.3 + 0.7).sqrt()
    shift = (torch.rand(batch, 2, generator=generator) * 2 - 1) * (1 - scale)[:, None]
    theta = torch.cat([torch.eye(2).expand(batch, 2, 2) * scale[:, None, None], shift[:, :, None]], dim=2)
    grid = F.affine_grid(theta, [batch, 3, size, size], align_corners=False)
    return F.grid_sample(images.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)
