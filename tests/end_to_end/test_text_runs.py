"""Texts from a file to predictions, through the real command line, on a tiny random language model."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import selfprompt as sp
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from tiny_models import WORDS, make_model, tokenizer

BERT = "BertForMaskedLM"
FAST = ["--epochs", 2, "--batch-size", 8, "--lr", 0.03, "--no-probe"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("backbone")
    make_model(BERT).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return f"text:{folder}"


def rows(count: int = 40) -> list[tuple[str, str]]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(count):
        words = rng.choice(WORDS[8:], rng.integers(3, 8)).tolist()
        words[int(rng.integers(len(words)))] = WORDS[6 + i % 2]
        found.append((" ".join(words), ("good", "bad")[i % 2]))
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(backbone: str, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with prompts among words, whose label words are given."""
    folder = tmp_path_factory.mktemp("run") / "run"
    fields = {"template": "{soft:3} {mask} : {text}", "label_words": "poor|bad,fine"}
    recipe = {"epochs": 2, "batch_size": 8, "lr": 0.03}
    config = RunConfig.resolve(str(table), backbone, "prompt-tuning", fields=fields, recipe=recipe)
    tune(config, folder, command="selfprompt tune reviews.csv")
    return folder


def test_a_run_says_what_it_read_and_what_prompts_are_near_to(run: Path, table: Path, works: Any, call: Any) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert 0 <= metrics["linear_probe_test_accuracy"] <= 100
    predictions = (run / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert predictions[0] == "text,label,predicted,probability"
    assert len(predictions) == 1 + metrics["test_images"]
    assert {row.split(",")[0] for row in predictions[1:]} <= {text for text, _ in rows()}
    found = json.loads((run / "analysis.json").read_text(encoding="utf-8"))
    assert [(row["prompt"], len(row["nearest"])) for row in found["words"]] == [(0, 3), (1, 3), (2, 3)]
    assert {near["word"] for row in found["words"] for near in row["nearest"]} <= set(WORDS)
    assert not (run / "thumbnails.png").exists()
    code, _, said = call("evaluate", run, table)
    assert code == 0, said
    result = json.loads(works("evaluate", run, table, "--json"))
    assert (result["test_accuracy"], result["inputs"]) == (metrics["test_accuracy"], "text")
    assert "prompt 1: " in works("analyse", run, table)


def test_the_page_is_of_texts(run: Path, tmp_path: Path, works: Any) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "analysis.json").unlink()
    assert "report.html" in works("report", copy)
    made, kept = (json.loads((one / "analysis.json").read_text(encoding="utf-8")) for one in (copy, run))
    assert (made["words"], made["confusion"]) == (kept["words"], kept["confusion"])
    page = Path(works("report", run).strip()).read_text(encoding="utf-8")
    assert "Which words prompts are near to" in page
    assert made["word_looks"] == kept["word_looks"]
    for look in kept["word_looks"]:
        assert sum(look["relevance"]) == pytest.approx(1, abs=1e-3)
        assert all(f">{word}</mark>" in page for word in look["words"])
    assert "What it looks at" not in page
    assert "<img" not in page
    found = json.loads((run / "analysis.json").read_text(encoding="utf-8"))
    assert found["mistakes"], "a tiny random model is wrong somewhere"
    assert all(wrong["name"] in page for wrong in found["mistakes"])
    assert " image" not in page.partition("<main>")[2].replace("image_size", "")


def test_texts_are_answered_from_wherever_they_are(
    run: Path, table: Path, tmp_path: Path, works: Any, call: Any, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for text, _ in rows(3)]
    (tmp_path / "lines.txt").write_text("\r\n".join(texts) + "\n", encoding="utf-8")
    for i, text in enumerate(texts):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{i}.txt").write_text(text, encoding="utf-8")
    expected = sp.predict(run, texts)
    assert [answer["text"] for answer in expected] == texts
    for given in ("lines.txt", "files"):
        assert json.loads(works("predict", run, tmp_path / given, "--json"))["predictions"] == expected
    everything = json.loads(works("predict", run, table, "--json"))["predictions"]
    assert [p["text"] for p in everything] == [text for text, _ in rows()]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(texts)))
    assert json.loads(works("predict", run, "-", "--json"))["predictions"] == expected
    assert f"{texts[0]}  {expected[0]['label']}" in works("predict", run, tmp_path / "lines.txt")
    (tmp_path / "gap.txt").write_text(f"{texts[0]}\n\n{texts[1]}", encoding="utf-8")
    code, out, errors = call("predict", run, tmp_path / "gap.txt", "--json")
    assert code == 3
    assert [answer["label"] for answer in json.loads(out)["predictions"]][1] is None
    assert f"error: {tmp_path / 'gap.txt'}, line 2: it is empty" in errors
    (tmp_path / "latin.txt").write_bytes("süß".encode("latin-1"))
    assert "latin.txt is damaged (it is not UTF-8): give a text file" in fails("predict", run, tmp_path / "latin.txt")
    assert "There is no file great film: give a text file with one text a line" in fails("predict", run, "great film")
    assert "An empty name is no file" in fails("predict", run, "")


def test_a_run_on_pairs_is_resumed_to_the_bit(backbone: str, tmp_path: Path, works: Any, fails: Any) -> None:
    data = tmp_path / "RTE"
    data.mkdir()
    head, made = "sentence1\tsentence2\tlabel\n", [f"{text}\tw1 w2\t{label}\n" for text, label in rows(60)]
    for split, part in (("train", made[:40]), ("dev", made[40:])):
        (data / f"{split}.tsv").write_text(head + "".join(part), encoding="utf-8")
    (data / "test.tsv").write_text("sentence1\tsentence2\nw1\tw2\n", encoding="utf-8")
    out, again = tmp_path / "out", tmp_path / "again"
    options = ["--backbone", backbone, "--method", "prefix", "--num-prompts", 3, "--max-length", 12, *FAST]
    options += ["--shots", 8, "--val-shots", 8]
    whole = json.loads(works("tune", data, *options, "--out", out, "--json"))
    assert whole["test_images"] == 20
    record = json.loads((out / "split.json").read_text(encoding="utf-8"))
    assert (len(record["train"]), len(record["val"])) == (16, 16)

    class Stop(Exception):
        pass

    def stop(done: int, steps: int, words: str) -> None:
        if done == 3:
            raise Stop

    config = RunConfig.model_validate_json((out / "run.json").read_text(encoding="utf-8"))
    with pytest.raises(Stop):
        tune(config, again, on_step=stop)
    resumed = json.loads(works("tune", "--resume", again, "--json"))
    assert resumed["test_accuracy"] == whole["test_accuracy"]
    for name in ("adapter_model.safetensors", "predictions.csv"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    assert "report.html" in works("report", again)


def write_corpus(path: Path) -> Path:
    """Documents about one of two words."""
    said = [[f"W{s} {WORDS[2 * (d % 2)]} poor w{d % 28}." for s in range(6)] for d in range(30)]
    path.write_text("\n\n".join(map("\n".join, said)), encoding="utf-8")
    return path


def test_prompts_are_first_trained_on_raw_text(
    backbone: str, table: Path, tmp_path: Path, works: Any, fails: Any
) -> None:
    """In one run as in two; stopped in the first training or in the second, it is resumed to the bit."""
    task = f"single:{write_corpus(tmp_path / 'corpus.txt')}#words=2"
    own = ["--backbone", backbone, "--method", "ppt", "--num-prompts", 3]
    short = ["--epochs", 2, "--no-probe", "--label-words", "poor|bad,fine"]
    out, apart, again = tmp_path / "out", tmp_path / "apart", tmp_path / "again"
    works("tune", table, *own, *short, "--first", task, "--out", out)
    kept = json.loads((out / "first" / "run.json").read_text(encoding="utf-8"))
    assert (kept["data"], kept["recipe"]["lr"], kept["method"]["label_words"]) == (task, 0.1, None)
    works("tune", task, *own, "--no-probe", "--out", apart / "first")
    works("tune", table, *own, *short, "--start", apart / "first", "--out", apart / "second")
    for one, other in (("first", "first"), (".", "second")):
        assert np.array_equal(prompts_in(out / one), prompts_in(apart / other))
    assert not np.array_equal(prompts_in(out), prompts_in(out / "first"))

    class Stop(Exception):
        pass

    config = RunConfig.model_validate_json((out / "run.json").read_text(encoding="utf-8"))
    trained = again / "first" / "metrics.json"

    def stop(second: bool) -> None:
        def check(done: int, steps: int, words: str) -> None:
            if done > steps / 2 + 1 and trained.exists() == second:  # in its second half, behind a checkpoint
                raise Stop

        with pytest.raises(Stop):
            tune(config, again, resume=second, on_step=check)

    stop(second=False)
    assert not trained.exists()
    stop(second=True)
    assert (again / "checkpoint.pt").exists()
    again = again.rename(tmp_path / "moved")
    works("tune", "--resume", again)
    assert np.array_equal(prompts_in(out), prompts_in(again))
    assert "vpt starts from" in fails("tune", table, *own[:2], "--method", "vpt:start=x", "--first", task)
    assert "linear has none: leave --first out" in fails("tune", table, "--method", "linear", "--first", "mnist5k")


def prompts_in(folder: Path) -> np.ndarray:
    """An adapter's prompts."""
    held = load_file(folder / "adapter_model.safetensors")
    return next(value for name, value in held.items() if name.endswith("insertion.prompts"))


def test_methods_are_compared_on_texts(backbone: str, table: Path, tmp_path: Path, works: Any) -> None:
    flags = ["--backbone", backbone, "--methods", "linear,vpt", "--num-prompts", 2, "--epochs", 1, "--batch-size", 8]
    flags += ["--trials", 1, "--seeds", 1, "--out", tmp_path / "table"]
    found = json.loads(works("compare", table, *flags, "--json"))
    assert [row["method"] for row in found["results"]] == ["linear", "vpt"]
    assert works("compare", table, *flags, "--json")


def test_the_doctor_holds_texts_against_a_backbone(backbone: str, table: Path, tmp_path: Path, call: Any) -> None:
    path = tmp_path / "long.csv"
    path.write_text(table.read_text(encoding="utf-8") + f"{'w1 ' * 50},good\n", encoding="utf-8")
    code, out, errors = call("doctor", path, "--backbone", backbone)
    assert code == 2
    assert "in the median, 50 at most" in out.partition("tokens: ")[2]
    assert "1 of 41 text(s) are longer than the 40 tokens that" in out
    assert "long.csv, line 42" in out
    assert errors.splitlines()[-1] == "error: 1 problem(s) found."


def test_flags_and_data_of_the_other_kind_are_refused(backbone: str, table: Path, fails: Any) -> None:
    assert "holds texts, and the backbone takes images: give --backbone text:NAME" in fails("tune", table)
    assert "--resize is for images" in fails("tune", table, "--backbone", backbone, "--resize", "crop")
    assert "--max-length is for texts" in fails("tune", "mnist5k", "--max-length", 9)
    assert "mnist5k holds images, and the backbone takes texts" in fails("tune", "mnist5k", "--backbone", backbone)
    assert "Method prefix is for texts" in fails("tune", "mnist5k", "--method", "prefix", "--backbone", "builtin")
    prompted = ["tune", table, "--backbone", backbone, "--method", "prompt-tuning", "--num-prompts", 2]
    assert "has no {mask}" in fails(*prompted, "--template", "{soft:2} {text}")
    assert "'zebra' is no token of this vocabulary" in fails(*prompted, "--label-words", "good,zebra")
    assert "is 3 tokens without a text, and 3 are taken" in fails(*prompted, "--max-length", 3)


def test_a_first_training_that_cannot_begin_leaves_the_folder_free(
    backbone: str, table: Path, tmp_path: Path, fails: Any
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("One sentence. And another.\n\nA third one. And a fourth.\n", encoding="utf-8")
    own = ["--backbone", backbone, "--method", "ppt", "--first", f"single:{corpus}", "--out", tmp_path / "out"]
    for _ in range(2):
        said = fails("tune", table, *own)
        assert "give more text, with empty lines between documents" in said
    own[3:6] = ["metapt:inner_examples=400", "--num-prompts", 3, "--first", f"single:{write_corpus(corpus)}#words=2"]
    for _ in range(2):
        assert "A task takes 800 examples" in fails("tune", table, *own)
