"""Masked autoencoding of a small vision transformer.

He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377). The encoder sees a random
quarter of the patches; a narrow decoder fills in mask tokens and predicts the pixels of the others, each patch
normalised by its own mean and deviation; the loss is the mean squared error over the masked patches.

Differences from the paper, for two CPU cores and small pictures: the decoder is one block; the augmentation
adds colour inversion and channel gains, since line art and grey photographs have little colour of their own.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from typing_extensions import TypedDict

from selfprompt.data.images import ImageSource, common_range, read_image
from selfprompt.data.sources import load_located, locate
from selfprompt.data.sources.folder import images_below
from selfprompt.data.tree import subfolders
from selfprompt.errors import UserError
from selfprompt.files import only_one, replace_file, unwritable
from selfprompt.pretraining.config import PretrainConfig


class MaskedAutoencoder(nn.Module):
    """Encoder, one-block decoder, and the loss.

    Shape: images (B, 3, S, S) of values in [0, 1] to a scalar.
    """

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        if config.image_size % config.patch_size or config.width % config.heads:
            raise UserError("--image-size must be a multiple of --patch-size, and --width of --heads.")
        if config.width % 4 or config.decoder_width % 4 or config.decoder_width % max(1, config.decoder_width // 32):
            raise UserError("--width and --decoder-width must be multiples of 4, the latter of 32 from 64 on.")
        if config.mask_ratio * (config.image_size // config.patch_size) ** 2 + 1e-9 < 1:
            raise UserError("--mask-ratio hides no patch of so small an image: raise it, or lower --patch-size.")
        self.config = config
        self.encoder: Any = VisionTransformer(**config.architecture())
        side = config.image_size // config.patch_size
        positions = build_sincos2d_pos_embed([side, side], dim=config.width)
        with torch.no_grad():
            self.encoder.pos_embed.copy_(torch.cat([torch.zeros(1, config.width), positions])[None])
        self.to_decoder = nn.Linear(config.width, config.decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.decoder_positions: Tensor
        self.register_buffer("decoder_positions", build_sincos2d_pos_embed([side, side], dim=config.decoder_width))
        self.decoder = Block(config.decoder_width, num_heads=max(1, config.decoder_width // 32), qkv_bias=True)
        self.decoder_norm = nn.LayerNorm(config.decoder_width)
        self.to_pixels = nn.Linear(config.decoder_width, 3 * config.patch_size**2)

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction loss of a batch, patches masked at random by torch's generator."""
        p, encoder = self.config.patch_size, self.encoder
        mean = images.new_tensor(self.config.mean).view(1, -1, 1, 1)
        std = images.new_tensor(self.config.std).view(1, -1, 1, 1)
        images = (images - mean) / std
        target = F.unfold(images, p, stride=p).transpose(1, 2)  # (B, M, 3 p p)
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()

        patches = encoder.patch_embed(images) + encoder.pos_embed[:, 1:]  # (B, M, D)
        batch, count, width = patches.shape
        keep = count - int(self.config.mask_ratio * count + 1e-9)
        order = torch.rand(batch, count, device=images.device).argsort(dim=1)
        back = order.argsort(dim=1)
        visible = patches.gather(1, order[:, :keep, None].expand(-1, -1, width))
        first = (encoder.cls_token + encoder.pos_embed[:, :1]).expand(batch, -1, -1)
        latent = encoder.norm(encoder.blocks(torch.cat([first, visible], dim=1)))

        latent = self.to_decoder(latent)[:, 1:]
        tokens = torch.cat([latent, self.mask_token.expand(batch, count - keep, -1)], dim=1)
        tokens = tokens.gather(1, back[:, :, None].expand(-1, -1, tokens.shape[-1])) + self.decoder_positions
        predicted = self.to_pixels(self.decoder_norm(self.decoder(tokens)))
        masked = (back >= keep).float()
        return ((predicted - target).square().mean(-1) * masked).sum() / masked.sum()


def load_corpus(data: str | Path, side: int) -> tuple[Tensor, list[np.ndarray]]:
    """All images of a data source, labels unread, as one (N, 3, side, side) uint8 tensor.

    Returns:
        The images, and the index groups that are sampled equally often: the folders directly under a folder,
        or everything as one group.
    """
    sources: list[ImageSource] = []
    groups: list[np.ndarray] = []
    located = locate(data)
    path = Path(located)
    folders = (subfolders(path) or [path]) if path.is_absolute() else []
    for found in [images_below(folder, path) for folder in folders] or [list(load_located(located).train.images)]:
        if found:
            groups.append(np.arange(len(sources), len(sources) + len(found)))
            sources += found
    if not sources:
        raise UserError(f"{data} has no images to pretrain on.")
    images = np.empty((len(sources), 3, side, side), dtype=np.uint8)
    span = common_range(sources)
    for row, source in enumerate(sources):
        images[row] = np.asarray(read_image(source, span).resize((side, side))).transpose(2, 0, 1)
    return torch.from_numpy(images), groups


def augment(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random crop (20 to 100 % of the area), flip, inversion and channel gains, one draw for each image.

    Shape: (B, 3, H, W) uint8 to (B, 3, size, size) float in [0, 1].
    """
    batch = len(images)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator) * (high - low) + low

    scale = draw(0.2, 1.0).sqrt()
    aspect = torch.exp(draw(math.log(3 / 4), math.log(4 / 3)) / 2)
    width, height = (scale * aspect).clamp(max=1), (scale / aspect).clamp(max=1)
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * draw(-1, 1), (1 - height) * draw(-1, 1)
    grid = F.affine_grid(theta, [batch, 3, size, size], align_corners=False)
    out = F.grid_sample(images.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)
    out = torch.where((draw(0, 1) < 0.5).view(-1, 1, 1, 1), 1 - out, out)
    return (out * draw(0.6, 1.4, 3)[:, :, None, None]).clamp(0, 1)


class Pretrained(TypedDict):
    """What a pretraining ended with; the loss is a mean over the last hundredth of the steps."""

    loss: float
    corpus_images: int
    steps: int
    seconds: float


def pretrain(
    data: str | Path,
    out: Path,
    config: PretrainConfig,
    on_step: Callable[[int, int, float], None] | None = None,
) -> Pretrained:
    """Train a `MaskedAutoencoder` on the images of ``data`` and save its encoder to ``out``.

    A file ``OUT.partial`` is kept on the way; the same call takes it up again where it was stopped.

    Args:
        data: A folder (its direct subfolders are sampled equally often), a registered name, or ``hf:NAME``.
        out: The weights' file, safetensors in float16, with architecture and recipe in its header.
        config: Architecture and recipe.
        on_step: Called with (step, steps, loss) after every step.

    Returns:
        The final loss (mean over the last hundredth of the steps), images in the corpus, steps, seconds.

    Raises:
        UserError: There are no images, ``out`` is taken or cannot be written, or the loss is no number.
    """
    if out.is_dir():
        raise UserError(f"{out} is a folder: give --out a file, such as {out / 'backbone.safetensors'}.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from None
    with only_one(out.with_name(f".{out.name}.lock"), out):
        return train(data, out, config, on_step)


def train(
    data: str | Path, out: Path, config: PretrainConfig, on_step: Callable[[int, int, float], None] | None
) -> Pretrained:
    """`pretrain`, alone with its file."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    model = MaskedAutoencoder(config).to(device)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=config.lr,
        betas=config.betas,
    )
    steps = max(1, config.images_seen // config.batch_size)
    start, losses, seconds = 0, [], 0.0
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        try:
            state = torch.load(partial, weights_only=True)
            same = state["config"] == config.model_dump_json()
            if same:
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                start, losses, seconds = state["step"], state["losses"], state["seconds"]
        except Exception as error:  # the reader raises whatever damaged bytes lead it to
            raise UserError(f"{partial} is damaged ({type(error).__name__}): remove it to start again.") from None
        if not same:
            raise UserError(f"{partial} was made with another recipe: remove it, or give the same flags.")
    images, groups = load_corpus(data, 2 * config.image_size)

    begun = saved = time.monotonic()
    for step in range(start, steps):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        torch.manual_seed(config.seed * 1_000_003 + step)
        group = torch.randint(len(groups), (config.batch_size,), generator=generator)
        draws = torch.rand(config.batch_size, generator=generator).double()
        chosen = [int(groups[g][int(u * len(groups[g]))]) for g, u in zip(group.tolist(), draws.tolist())]
        batch = augment(images[chosen], config.image_size, generator).to(device)

        rate = config.lr * min((step + 1) / max(1, 0.05 * steps), 0.5 * (1 + math.cos(math.pi * step / steps)))
        for parameters in optimizer.param_groups:
            parameters["lr"] = rate
        loss = model(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise UserError(f"The loss became {losses[-1]} at step {step}: use a smaller --lr than {config.lr:g}.")
        if on_step:
            on_step(step + 1, steps, losses[-1])
        if time.monotonic() - saved > 60:
            saved = time.monotonic()
            state = {"config": config.model_dump_json(), "model": model.state_dict(), "step": step + 1}
            state |= {
                "optimizer": optimizer.state_dict(),
                "losses": losses,
                "seconds": seconds + saved - begun,
            }
            buffer = io.BytesIO()
            torch.save(state, buffer)
            replace_file(partial, buffer.getvalue())

    tail = losses[-max(1, steps // 100) :]
    summary: Pretrained = {
        "loss": sum(tail) / len(tail),
        "corpus_images": len(images),
        "steps": steps,
        "seconds": seconds + time.monotonic() - begun,
    }
    header = {
        "architecture": config.architecture(),
        "pretraining": "mae",
        "mean": config.mean,
        "std": config.std,
        "interpolation": "bicubic",
        "crop_fraction": 1.0,
        "recipe": config.model_dump(mode="json"),
        **summary,
    }
    weights = {k: v.half().contiguous() for k, v in model.encoder.cpu().state_dict().items()}
    if not all(value.isfinite().all() for value in weights.values()):
        raise UserError(f"A weight became NaN or infinite: use a smaller --lr than {config.lr:g}.")
    replace_file(out, save(weights, metadata={"selfprompt": json.dumps(header)}))
    partial.unlink(missing_ok=True)
    return summary
