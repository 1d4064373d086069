"""The packaged language model: what methods of texts run on without DATA, offline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.builtin_text import FOLDER
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.templates import Reader, Template
from selfprompt.data.views.text import TextView
from selfprompt.heads.label_words import LabelWords
from selfprompt.methods import RECORDS
from selfprompt.runs.config import RunConfig
from selfprompt.runs.presets import PRESETS
from selfprompt.runs.tune import tune

pytest.importorskip("transformers")

KINDS = {
    "animal": ["a small bird with a short tail", "a large cat with a striped coat", "a fish of warm seas"],
    "plant": ["a tall tree with white flowers", "a shrub with fleshy leaves", "a grass of dry soil"],
    "person": ["someone who sells books", "a man who plays the violin", "one who teaches at a college"],
}


def test_it_is_small_and_is_what_methods_of_texts_run_on() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 6e6
    of_texts = [record.factory for record in RECORDS.values() if record.factory.texts]
    assert {"prompt-tuning", "prefix"} <= {method.name for method in of_texts}
    assert {method.packaged for method in of_texts} == {"builtin-text"}
    assert PRESETS["builtin-text"]["data"] == "wordnet-mini"


def test_it_knows_what_definitions_define() -> None:
    backbone = load_backbone("builtin-text")
    assert isinstance(backbone, TextBackbone)
    assert (backbone.info.name, backbone.kind, backbone.deep) == ("builtin-text", "encoder", True)
    assert backbone.fingerprint() == load_backbone(f"text:{FOLDER}").fingerprint()
    view = TextView(Template("{mask} : {text}"), Reader(backbone.vocabulary, "encoder", 64), 64)
    head = LabelWords([*KINDS], {kind: (kind,) for kind in KINDS}, backbone.vocabulary)
    read = [view.read((text,)) for texts in KINDS.values() for text in texts]
    with torch.no_grad():
        scores = head(backbone.readout(backbone.run(view.collate(read, len(read)), UNEDITED), "words"))
    told = (scores - scores.mean(dim=0)).argmax(dim=1)
    labels = torch.arange(len(KINDS)).repeat_interleave(3)
    assert (told == labels).float().mean() > 0.6


def test_stopped_in_its_first_training_the_whole_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("selfprompt.runs.tune.fit", stopped)
    with pytest.raises(KeyboardInterrupt) as said:
        tune(RunConfig.resolve(None, None, "ppt"), tmp_path / "run")
    assert said.value.args == (str(tmp_path / "run"),)
    assert (tmp_path / "run" / "first" / "run.json").exists()
