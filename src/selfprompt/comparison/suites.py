"""Benchmarks: tasks in groups, and the settings that they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from selfprompt.data.sources import RECORDS, coop11, imagenet_shift
from selfprompt.data.sources.vtab import TASKS


@dataclass(frozen=True)
class Suite:
    """Tasks in groups.

    Args:
        name: The name by which users ask for it.
        groups: Data sets by group.
        optional: Data sets that are taken where they are found on disk.
        backbone: The one that it is run with by default.
        protocol: Changes to the backbone's own protocol.
        recipe: Changes to every method's published recipe.
        fields: Fields of methods, for those that have them.
        texts: A class's text (`SharedFields.template`) by data set, where they have one of their own.
        rates: Which of `Method.rates` the searches start at, if not at the recipe's.
        trials: Points of each search.
        also: Data sets on which tested runs are evaluated besides.
        adapt: Adaptations under which they are, too.
        methods: Those that are run by default.
        first: Runs whose prompts others start from (``start=NAME``), by name: a method and its data.
        as_reported: The benchmark whose reported ones are run in their place; else those of every comparison are.
    """

    name: str
    groups: dict[str, tuple[str, ...]]
    backbone: str
    optional: tuple[str, ...] = ()
    protocol: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    rates: str | None = None
    trials: int = 5
    also: tuple[str, ...] = ()
    adapt: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    first: dict[str, tuple[str, str]] = field(default_factory=dict)
    as_reported: str = ""


MINI = Suite(
    name="mini",
    groups={
        "natural": ("mnist5k", "digits", "photos", "clipart"),
        "specialized": ("elpv/defect", "elpv/grade"),
        "structured": ("scenes/count", "scenes/distance", "scenes/orientation", "scenes/location"),
    },
    optional=("clipart",),
    backbone="builtin",
    protocol={"name": "mini", "train_images": 1000, "final": "train+val"},
    recipe={"epochs": 3, "batch_size": 16, "optimizer": "adamw", "weight_decay": 0.01, "head_weight_decay": 0.01},
    fields={"head_norm": "batch", "readout": "backbone"},
    rates="mini",
    trials=3,
)
"""VTAB-1K's protocol in miniature, offline: 1,000 labelled images, 800 and 200 of them to choose the settings, all to
train the tested runs, to the last epoch. Three epochs of batch 16 are what two CPU cores can do in two hours; the
BatchNorm before the head, AdamW and the backbone's own readout are for all methods alike."""

IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "image_size": 224}


def vtab(preset: str, **protocol: Any) -> Suite:
    """VTAB-1K's 19 tasks under one paper's protocol."""
    groups: dict[str, tuple[str, ...]] = {}
    for name, task in TASKS.items():
        groups[task.group] = (*groups.get(task.group, ()), f"vtab/{name}")
    return Suite(
        name="vtab1k",
        groups=groups,
        backbone="vit_base_patch16_224.mae",
        protocol={"name": f"vtab1k-{preset}", "final": "train+val", **IMAGENET, **protocol},
    )


def fgvc(preset: str, **protocol: Any) -> Suite:
    """The five fine-grained data sets under one paper's protocol."""
    return Suite(
        name="fgvc",
        groups={"fgvc": ("cub", "nabirds", "flowers", "dogs", "cars")},
        backbone="vit_base_patch16_224.mae",
        protocol={"name": f"fgvc-{preset}", "val_fraction": 0.1, **IMAGENET, "crop_fraction": 0.875, **protocol},
    )


def of_coop(name: str, preset: str, groups: dict[str, tuple[str, ...]], **protocol: Any) -> Suite:
    """Data sets under CoOp's protocol: 16 shots, the last epoch, CLIP's own normalisation."""
    return Suite(
        name=name,
        groups=groups,
        backbone="open_clip:ViT-B-16-quickgelu/openai",
        protocol={
            "name": f"{name}-{preset}",
            "shots": 16,
            "selection": "last",
            "image_size": 224,
            "mean": (0.48145466, 0.4578275, 0.40821073),
            "std": (0.26862954, 0.26130258, 0.27577711),
            "interpolation": "bicubic",
            **(COOPS | protocol),
        },
        fields={"words": "a photo of a"} if protocol.get("classes") == "base" else {},
        also=tuple(f"imagenet-shift/{part}" for part in imagenet_shift.VARIANTS) if name == "imagenet-shift" else (),
        texts={f"coop11/{part}": task.text for part, task in coop11.TASKS.items()},
        as_reported="coop11",
    )


COOPS = {"resize": "crop", "crop_fraction": 1.0, "augmentation": "crop_flip"}
COOPS_FIRST = {"resize": "squash", "augmentation": "squash_crop_flip"}
ELEVEN = tuple(f"coop11/{part}" for part in coop11.TASKS)
SQUASHED = {"resize": "squash", "interpolation": "bilinear"}


def mini_clip(name: str, **rest: Any) -> Suite:
    """Few shots on the packaged pair of towers: 16 images of each class, 4 more to select the epoch."""
    return Suite(
        name="mini-clip",
        backbone="builtin-clip",
        optional=("fashion/small",),
        protocol={"name": f"mini-clip-{name}", "shots": 16, **rest.pop("protocol", {})},
        recipe={"epochs": 40, "batch_size": 32, "warmup": 1 / 40},
        fields={"template": "a photo of a {}", "ending": ""},
        rates="mini-clip",
        trials=1,
        **rest,
    )


WORDS = "words=a photo of a"
BASE_TO_NEW = mini_clip(
    "base-to-new",
    groups={
        "real": ("mnist5k", "digits", "fashion/small"),
        "drawn": ("drawings/shapes", "drawings/colours", "drawings/pairs", "drawings/places", "drawings/numbers"),
        "printed": ("drawings/letters", "drawings/digits"),
    },
    protocol={"classes": "base"},
    methods=(
        *("zeroshot", "linear", f"coop:{WORDS}", f"coop:{WORDS}:epochs=10", "coop"),
        *(f"coop:{WORDS}:nfl_names={names}" for names in ("new", "imagenet")),
        *(f"subpt:{WORDS}", f"subpt:{WORDS}:nfl_names=new"),
        *(f"subpt:{WORDS}:subspace={directions}" for directions in ("late", "random")),
        *("cocoop:epochs=10", "vpt:epochs=10", "spt:epochs=10", "apt:epochs=10"),
        *(f"coop:{WORDS}:image_prompts=20{start}:epochs=10" for start in ("", ":prototypes=mean")),
    ),
)
"""Trained on the first half of each task's classes, asked about both: what CoOp (from words, or at random), CoCoOp,
NFL and SubPT do, beside what could explain it away: a quarter of the epochs (which SubPT takes for early), late and
random directions, and NFL's penalty on unrelated names. Prompts among images' tokens, and those that read
the image, are trained for ten epochs, as two cores can do."""

SHIFT = mini_clip(
    "shift",
    groups={"mnist5k": ("mnist5k",)},
    also=tuple(RECORDS["mnist5k-shift"].names),
    adapt=("tpt:views=32:flip=false:scale=0.5", "averaging:views=32:flip=false:scale=0.5"),
    methods=("zeroshot", "coop", f"coop:{WORDS}", f"coop:{WORDS}:nfl_names=imagenet"),
)
"""Trained on plain digits, asked about shifted ones, by one prediction, by TPT, and by the mean over TPT's views."""

KEYWORDS = "single:wordnet-mini#without=person,language"
SCALED = "prompt_rms=0.1"
SHARED = "prompt-tuning:answers=linear:template={soft} {text}:start_from=random"


def mini_text(shots: int, epochs: int) -> Suite:
    """Few shots on the packaged language model: so many texts of each class to train, and as many to select.

    Of prompts among words, the starts: random numbers, words, trained on keywords that were taken out of other
    definitions (PPT), mixed or sorted into tasks (MetaPT); and what could explain a gain away: shuffled keywords,
    unsorted tasks, and all of one scale, the vocabulary's. Of prompts that read the text, IPT's beside shared ones
    under the same head, and LoRA with as many numbers. All have one recipe, whose epochs four core-hours allow.
    """
    return Suite(
        name="mini-text",
        groups={
            "kinds": tuple(f"wordnet-mini/{part}" for part in ("living", "things", "artifacts", "people")),
            "senses": tuple(f"wordnet-mini/{part}" for part in ("doings", "ideas", "words", "matters")),
        },
        backbone="builtin-text",
        protocol={"name": f"mini-text-k{shots}", "shots": shots, "val_shots": shots},
        recipe={
            "epochs": epochs,
            "batch_size": 8,
            "warmup": 0.1,
            "min_lr": 1e-8,
            "weight_decay": 0.01,
            "head_weight_decay": 0.01,
            "clip_grad": 1.0,
        },
        fields={"num_prompts": 8},
        rates="mini-text",
        trials=2,
        first={
            "keywords": ("ppt", KEYWORDS),
            "shuffled": ("ppt", f"{KEYWORDS}&labels=shuffled"),
            "meta": ("metapt", KEYWORDS),
            "mixed": ("metapt:inner_lr=0", KEYWORDS),
            "unsorted": ("metapt:grouping=random", KEYWORDS),
        },
        methods=(
            *("linear", "full", "prefix"),
            *(f"prompt-tuning:start_from={start}" for start in ("random", "vocabulary", "labels")),
            f"prompt-tuning:start_from=random:{SCALED}",
            *("ppt:start=keywords", f"ppt:start=keywords:{SCALED}", "ppt:start=shuffled"),
            *("metapt:start=meta", "metapt:start=mixed", "metapt:start=unsorted"),
            *(SHARED, "ipt", "lora:rank=7"),
        ),
    )


SUITES: dict[str, dict[str, Suite]] = {
    "mini": {"selfprompt": MINI},
    "mini-clip": {"base-to-new": BASE_TO_NEW, "shift": SHIFT},
    "mini-text": {"k32": mini_text(32, epochs=4), "k8": mini_text(8, epochs=8)},
    "vtab1k": {
        "spt2024": vtab("spt2024", resize="crop", crop_fraction=1.0, interpolation="bicubic"),
        "vpt2022": vtab("vpt2022", **SQUASHED, selection="last"),
        "noah2022": vtab("noah2022", resize="squash", interpolation="bicubic"),
    },
    "coop11": {
        "cocoop2022": of_coop("coop11", "cocoop2022", {"base": ELEVEN}, classes="base"),
        "coop2022": of_coop("coop11", "coop2022", {"all": ELEVEN}),
        "coop2021": of_coop("coop11", "coop2021", {"all": ELEVEN}, **COOPS_FIRST),
    },
    "imagenet-shift": {
        "coop2022": of_coop("imagenet-shift", "coop2022", {"imagenet": ("coop11/imagenet",)}),
        "coop2021": of_coop("imagenet-shift", "coop2021", {"imagenet": ("coop11/imagenet",)}, **COOPS_FIRST),
    },
    "fgvc": {
        "spt2024": fgvc("spt2024", augmentation="crop_flip", interpolation="bicubic", final="train+val"),
        "vpt2022": fgvc("vpt2022", augmentation="resize_crop_flip", interpolation="bilinear"),
    },
}
"""Benchmarks, each under the protocols (presets) in which papers report it; the first is the default. All choose the
settings on validation images, whatever the paper did, and say so through `Published.selection` beside the numbers.
Readout, recipe and number of prompts are each method's own, as published for the backbone's pretraining (see
`Method.published_readout`); tables name the readout. SPT trains on all images of a training set, and so do final runs
under its preset; VPT's FGVC runs leave the tenth out on which their settings are chosen. VPT's TensorFlow resize has
no antialiasing; ours has. CoOp's transforms changed on 9 October 2021: coop2021 is how they were before (aspect ratio
lost, and crops of images that were resized already), coop2022 and cocoop2022 how they are since; cocoop2022 trains on
half of the classes and is tested on both. On ImageNet, validation images are cut from the training images, where CoOp
validates on the test images."""
