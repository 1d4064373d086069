"""What the pages show is what the commands and the library say."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import shlex
import shutil
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

import selfprompt as sp
from conftest import held, write_image
from selfprompt.adapters.format import read_adapter
from selfprompt.data.protocol import TextProtocol
from selfprompt.data.tables import Kind
from selfprompt.errors import UserError
from selfprompt.methods import RECORDS, compared
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from selfprompt.scores.calibration import tempered
from selfprompt.studio import plan, work
from selfprompt.studio.offered import Data, offered
from selfprompt.studio.pages import ASKED
from selfprompt.studio.trying import kept
from selfprompt.tuning import records
from selfprompt.tuning.answers import Answers, read_answers
from tiny_studio import OWN, studio

CONTROLS = ("input", "select", "textarea")


class Page(HTMLParser):
    """What of a page is for those who do not see it, or have no pointer."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.labelled: set[str] = set()
        self.controls: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.inside = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.inside += tag == "label"
        self.ids += [own["id"] or ""] if "id" in own else []
        if tag == "label" and own.get("for"):
            self.labelled.add(own["for"] or "")
        if tag in CONTROLS and not self.inside and "aria-label" not in own:
            self.controls.append(own)
        if tag == "img" and "alt" not in own:
            self.wrong.append(f"img without alt: {own}")
        if tag == "svg" and "aria-label" not in own:
            self.wrong.append("svg without a label")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.wrong += [f"{name} is against the policy" for name in own if name == "style" or name.startswith("on")]
        places = [own.get(name) or "" for name in ("src", "href", "action")]
        self.wrong += [f"{place} leaves the page" for place in places if "//" in place.partition("data:")[0]]

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag == "label"


def words_of(page: str) -> str:
    """A page's text."""
    return " ".join(re.sub(r"<[^>]+>", "", page).split())


def commands_in(page: str) -> list[list[str]]:
    """The commands of a page, as a shell takes them apart."""
    found = re.findall(r"<code[^>]*>(<span>selfprompt</span>.*?)</code>", page, re.DOTALL)
    return [shlex.split(html.unescape(re.sub(r"<[^>]+>", "", text))) for text in found]


def checked(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert page.wrong == []
    assert [c for c in page.controls if c.get("id") not in page.labelled] == []
    assert len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:])), page.headings
    assert '<html lang="en">' in answer.text
    return answer.text


PRICE = {
    **{"seconds": 61.5, "parts": {}, "epochs": 3, "steps": 4, "peak_memory_bytes": 10**9},
    **{"trainable_parameters": 10, "total_parameters": 100, "adapter_bytes": 9000},
}


@pytest.fixture(scope="module")
def place(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "runs"
    for name in ("one", "two <b>"):
        shutil.copytree(finished, out / name)
    return out


@pytest.fixture(scope="module")
def client(place: Path, finished: Path, weights: Path) -> Any:
    with studio(finished.parent / "data", out=place, backbone=weights) as client:
        yield client


def test_every_page_can_be_read_and_used_without_a_pointer(client: TestClient) -> None:
    for address in ("/", "/data/data", "/plan/data", "/runs/one", "/runs/one/look", "/adapters/one/try", "/serve"):
        checked(client.get(address))
    for address in ("/adapters/one/take", "/compare", "/runs/two%20%3Cb%3E", "/runs/one/look?true=0&predicted=0"):
        assert "<b>/" not in checked(client.get(address))
    missing = client.get("/runs/none")
    assert (missing.status_code, "There is no run or adapter named" in missing.text) == (404, True)


def test_the_data_page_counts_classes_and_shows_images(client: TestClient) -> None:
    page = checked(client.get("/data/data"))
    assert re.findall(r'<th scope="row">(\w+)</th><td class="number">(\d+)</td>', page) == [
        ("ant", "10"),
        ("bee", "10"),
    ]
    assert client.get("/data/data/train/3").headers["content-type"] == "image/png"
    for place in ("train/20", "train/-1", "test/0"):
        assert client.get(f"/data/data/{place}").status_code == 404


def test_the_check_is_what_doctor_says(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = ({"split": "train", "name": name, "label": "ant"} for name in ("a.png", "b.png"))
    findings = {"near": [{"one": one, "other": other, "similarity": 0.99}], "left_out": ["labels: too few"]}
    found = {"classes": 2, "problems": ["a.png is <b>broken</b>: remove it."], "findings": findings}
    monkeypatch.setattr("selfprompt.studio.pages.ask", lambda words, unwanted: dict(found))
    page = client.post("/data/data/check", headers=OWN).text
    assert "a.png is &lt;b&gt;broken&lt;/b&gt;: remove it." in page
    assert "<td>near duplicate</td><td>0.9900</td><td>train</td><td>a.png</td>" in page
    assert "Not looked at: labels: too few." in page


def test_a_plan_is_a_command(
    client: TestClient, place: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("selfprompt.studio.pages.ask", lambda words, unwanted: asked.append(words) or dict(PRICE))
    monkeypatch.setattr(plan, "begin", lambda words, folder: asked.append(words))
    data = str(finished.parent / "data")
    page = client.get("/plan/data/price?level=fast&seed=3").text
    packaged = ["tune", data, "--method", "linear", "--backbone", "builtin"]  # as elsewhere the hub may be reached
    assert asked.pop() == [*packaged, "--seed", "3", "--estimate"]
    assert f"selfprompt {' '.join(packaged)} --seed 3" in words_of(page)
    assert "<b>about 62 s</b><small>3 epochs of 4 steps</small>" in page
    started = client.post("/plan/data", data={"level": "best", "method": "vpt", "epochs": "7"}, headers=OWN)
    *words, out, folder = asked.pop()
    assert words == ["tune", data, "--method", "vpt", "--backbone", "builtin", "--epochs", "7"]
    assert (out, Path(folder).parent) == ("--out", place)
    assert started.headers["location"] == f"/runs/{Path(folder).name}"
    Path(folder).rmdir()


def test_plans_name_methods_and_backbones_that_there_are(tmp_path: Path) -> None:
    assert plan.named_folder("/data/table.csv#label=a&label_separator=|", "vpt").startswith("table.csv-vpt-")
    embedded = next(iter(offered([], tmp_path).data.values()))
    own = Data("photos", ("photos",), "/photos")
    kinds: tuple[Kind, ...] = ("image", "text")
    for inputs in kinds:
        offers = plan.methods_for(inputs)
        assert set(compared()) & {"linear", "full"} <= set(offers) <= set(RECORDS)
        assert ("spt" in offers) == (inputs == "image")
        assert ("prompt-tuning" in offers) == (inputs == "text")
        assert "zeroshot" not in offers
        backbones = plan.backbones_for(inputs, ())
        for data in (embedded, own):
            for level in plan.LEVELS:
                words = plan.command(data, inputs, plan.Wish(level=level.name), backbones)
                assert words[: 1 + len(data.words)] == ["tune", *data.words]


def test_prices_wait_for_their_turn(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, together, most = threading.Lock(), [0], [0]

    def ask(words: list[str], unwanted: Any) -> dict[str, Any]:
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.05)
        with lock:
            together[0] -= 1
        return dict(PRICE)

    monkeypatch.setattr("selfprompt.studio.pages.ask", ask)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda seed: client.get(f"/plan/data/price?seed={seed}"), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert most[0] <= ASKED


def test_what_failed_before_it_began_can_be_planned_again(place: Path, finished: Path) -> None:
    data = str(finished.parent / "data")
    for name, given, again in (("a", [data], "/plan/data"), ("b", [], None), ("c", ["/elsewhere"], None)):
        folder = place.parent / "failed" / name
        folder.mkdir(parents=True)
        begun = work.Begun(words=["tune", *given, "--method", "spt"], pid=2**31 - 1, started=0)
        (folder / work.BEGUN).write_text(begun.model_dump_json(), encoding="utf-8")
        with studio(data, out=folder.parent) as client:
            page = checked(client.get(f"/runs/{name}"))
        assert ("Plan it again" in page) == (again is not None)
        assert again is None or f'href="{again}"' in page
    with studio(out=place.parent / "failed") as client:
        assert 'href="/plan/mnist5k"' in client.get("/runs/b").text


def test_a_run_of_a_terminal_is_not_stopped_by_a_button_that_cannot(client: TestClient, place: Path) -> None:
    with held(place / "one"):
        page = checked(client.get("/runs/one"))
        assert ">Stop</button>" not in page
        assert "stop it where it was started" in page
        assert "stop it where it was started" in client.post("/runs/one/stop", headers=OWN).text


def test_commands_are_for_a_shell_in_any_folder(
    run: Path, finished: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = 'it\'s <b> ü "x" $HOME'
    run.rename(tmp_path / name)
    data = shutil.copytree(finished.parent / "data", tmp_path / f"data of {name}")
    monkeypatch.chdir(tmp_path)  # what is named from here is named from anywhere
    with studio(data.name, name, out=Path("out"), backbone=weights) as client:
        at, there = quote(name, safe=""), quote(data.name, safe="")
        asked = (f"/adapters/{at}/take", f"/adapters/{at}/try", f"/data/{there}", f"/plan/{there}")
        pages = {address: client.get(address) for address in asked}
        assert client.post(f"/serve/{at}/load", headers=OWN).status_code == 303
        pages["/serve"] = client.get("/serve")
    found = [words for page in pages.values() for words in commands_in(checked(page))]
    assert {words[1] for words in found} == {"export", "serve", "push", "predict", "doctor", "tune"}
    for words in found:
        paths = [word.rpartition("=")[2] for word in words if name in word]
        assert paths
        assert all(os.path.isabs(path) for path in paths), words
        assert Path(paths[0]).exists()


SEVERAL = np.random.default_rng(0).random((60, 3)) < [0.6, 0.4, 0.2]


@pytest.fixture(scope="module")
def several(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on a table whose images may have several labels, which stands beside them."""
    root = tmp_path_factory.mktemp("several")
    rows = []
    for i, labels in enumerate(SEVERAL):
        write_image(root / f"{i}.png", int(labels @ [1, 2, 4]), i)
        rows.append({"image": f"{i}.png", "label": [n for n, own in zip(("ant", "1", "0"), labels) if own]})
    (root / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for seed in range(2):
        config = RunConfig.resolve(
            str(root / "table.jsonl"),
            str(weights),
            "vpt",
            fields={"num_prompts": 2},
            recipe={"epochs": 1, "batch_size": 8},
            probe=False,
            seed=seed,
        )
        tune(config, root / "runs" / f"run-{seed}")
    return root


def test_several_labels_are_looked_at_each_by_itself(several: Path, weights: Path) -> None:
    folder = several / "runs" / "run-0"
    scores = records.read_metrics(folder, records.Tested)["scores"]
    assert "map" in scores
    rows = list(csv.reader((folder / "predictions.csv").read_text(encoding="utf-8").splitlines()))[1:]
    true, given = ([set(row[i].split("|")) - {""} for row in rows] for i in (1, 2))
    with studio(several / "table.jsonl", out=several / "runs", backbone=weights) as client:
        page = checked(client.get("/runs/run-0/look"))
        assert f"Mean average precision {scores['map']:.1f} %" in page
        assert "answered wrongly" not in page
        for c, row in enumerate(scores["per_class"]):
            name = row["name"]
            for query, own in (
                (f"true={c}&predicted={c}", [name in t and name in g for t, g in zip(true, given)]),
                (f"true={c}", [name in t and name not in g for t, g in zip(true, given)]),
                (f"predicted={c}", [name not in t and name in g for t, g in zip(true, given)]),
            ):
                assert (f'cell?{query.replace("&", "&amp;")}"' in page) == any(own)
                cell = client.get(f"/runs/run-0/cell?{query}").text
                assert sorted(map(int, re.findall(r"/image/(\d+)", cell))) == np.flatnonzero(own).tolist()
            checked(client.get(f"/runs/run-0/look?true={c}"))
        for wrong in ("", "true=3", "true=0&predicted=1", "predicted=-1"):
            assert client.get(f"/runs/run-0/cell?{wrong}").status_code == 404
        assert f"<b>{scores['map']:.1f} %</b>" in checked(client.get("/runs/run-0"))


def test_several_labels_are_tried_as_predict_does(several: Path, weights: Path) -> None:
    files = [several / f"{i}.png" for i in range(0, 60, 9)]
    form = [("images", (file.name, file.read_bytes(), "image/png")) for file in files]
    folder = several / "runs" / "run-0"
    bounds = read_adapter(folder)[0].thresholds
    with studio(several / "table.jsonl", out=several / "runs", backbone=weights) as client:
        found = client.post("/adapters/run-0/images", files=form, headers=OWN).json()["predictions"]
        page = checked(client.get("/adapters/run-0/try"))
    for one, right in zip(found, sp.predict(folder, files)):
        assert one["labels"] == right["labels"]
        assert [t["label"] for t in one["top"]] == list(right["probabilities"])
        for t in one["top"]:
            assert t["probability"] == pytest.approx(right["probabilities"][t["label"]], abs=1e-6)
    shown = {name: json.loads(html.unescape(text)) for name, text in re.findall(r'data-(own|curve)="([^"]*)"', page)}
    assert shown["own"] == bounds
    answers = read_answers(folder)["val"]
    for one in shown["curve"]:
        given = answers.probabilities >= np.array([one["threshold"]] * 3 if one["threshold"] else bounds)
        assert one["count"] == given.sum()
        assert one["recall"] == pytest.approx(100 * (given & answers.labels).sum() / answers.labels.sum())
        assert not given.any() or one["precision"] == pytest.approx(100 * answers.labels[given].mean())


def test_runs_of_several_labels_are_compared_by_their_metric(several: Path, weights: Path) -> None:
    with studio(several / "table.jsonl", out=several / "runs", backbone=weights) as client:
        page = checked(client.get("/compare"))
    scores = {}
    for name in ("run-0", "run-1"):
        found = records.read_metrics(several / "runs" / name, records.Tested)["scores"]
        assert "map" in found
        scores[name] = found["map"]
    best, other = sorted(scores, key=lambda name: -scores[name])
    assert re.findall(r">(run-\d)</a>", page) == [best, other]
    assert f"{scores[other] - scores[best]:+.1f} [" in page
    assert "points of mean average precision" in page


def test_a_cell_opens_its_images(client: TestClient, place: Path) -> None:
    found = read_answers(place / "one")["test"]
    page = client.get("/runs/one/look").text
    for i in range(2):
        for j in range(2):
            own = np.flatnonzero((found.labels == i) & (found.predicted == j))
            assert (f"cell?true={i}&amp;predicted={j}" in page) == bool(len(own))
            cell = client.get(f"/runs/one/cell?true={i}&predicted={j}").text
            assert sorted(map(int, re.findall(r"/runs/one/image/(\d+)", cell))) == own.tolist()
            assert all(found.names[k] in cell for k in own)
    assert client.get("/runs/one/image/0").content != client.get("/runs/one/image/1").content
    assert client.get("/runs/one/cell?true=0&predicted=9").status_code == 404
    assert "Where prompts come from" in page


def test_a_dropped_image_is_answered_as_predict_does(client: TestClient, place: Path, finished: Path) -> None:
    files = sorted((finished.parent / "data").rglob("*.png"))[::7]
    form = [("images", (file.name, file.read_bytes(), "image/png")) for file in files]
    form.append(("images", ("broken.png", b"no image", "image/png")))
    found = client.post("/adapters/one/images", files=form, headers=OWN).json()["predictions"]
    expected = sp.predict(place / "one", files, top_k=2)
    for one, right in zip(found, expected):
        assert (one["label"], one["top"][1]["label"]) == (right["label"], right["top"][1]["label"])
        assert one["probability"] == pytest.approx(right["probability"], abs=1e-6)
    assert "error" in found[-1]


def test_thresholds_keep_what_validation_says() -> None:
    rng = np.random.default_rng(0)
    answers = Answers(rng.dirichlet([1, 1, 1], 80).astype(np.float32), rng.integers(0, 3, 80), [""] * 80)
    found = kept(answers, 1.5)
    sure = tempered(answers.probabilities, 1.5).max(axis=1)
    for one in found:
        own = sure >= one["threshold"]
        assert one["coverage"] == pytest.approx(100 * own.mean())
        if own.any():
            assert one["precision"] == pytest.approx(100 * answers.right[own].mean())
            assert one["least"] <= one["precision"]
    assert (found[0]["coverage"], found[-1]["coverage"]) == (100, 0)


def test_what_is_taken_is_the_adapter(client: TestClient, place: Path, tmp_path: Path) -> None:
    answer = client.get("/adapters/one/zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="one.zip"'
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(tmp_path)
    assert sp.load(tmp_path / "one").adapter_state().keys() == sp.load(place / "one").adapter_state().keys()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (place / "one" / name).read_bytes()


def test_runs_of_one_protocol_are_compared_on_the_same_images(client: TestClient) -> None:
    page = checked(client.get("/compare"))
    assert "+0.0 [" in page
    assert r"\begin{tabular}" in page
    group = re.search(r'<option value="([^"]+)" selected', page)
    assert group is not None
    table = client.get("/compare/table.tex", params={"group": group[1], "reference": "one"})
    assert table.text.count(r"\\") == 3
    assert "one & spt" in table.text
    assert client.get("/compare/table.exe", params={"group": group[1]}).status_code == 404


def test_adapters_are_loaded_served_counted_and_unloaded(client: TestClient, finished: Path) -> None:
    assert client.post("/serve/one/load", headers=OWN).status_code == 303
    image = next((finished.parent / "data").rglob("*.png")).read_bytes()
    for _ in range(3):
        answer = client.post("/v1/predict?adapter=one", content=image, headers={"content-type": "image/png"})
        assert answer.status_code == 200
    page = checked(client.get("/serve"))
    numbers = re.search(r"<td><code title=\"(\w{64})\">.*?</td>((?:\s*<td class=\"number\">.*?</td>)+)", page)
    assert numbers is not None
    assert re.findall(r">(\d+)<", numbers[2]) == ["2", "3", "3", "0"]
    assert " ms" in numbers[2]
    assert "selfprompt serve one=" in words_of(page)
    assert client.post("/serve/one/unload", headers=OWN).status_code == 303
    assert client.post("/serve/one/unload", headers=OWN).status_code == 404


def test_adapters_of_texts_are_not_loaded(place: Path, weights: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(place / "one", tmp_path / "texts")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["protocol"] = TextProtocol().model_dump(mode="json")
    config["backbone"]["image_size"] = None
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with studio(out=tmp_path, backbone=weights) as client:
        page = checked(client.get("/serve"))
        assert "1 adapter of texts is left out" in page
        assert "/serve/texts/load" not in page
        assert "takes texts, and a server takes images" in client.post("/serve/texts/load", headers=OWN).text


def test_an_export_can_be_asked_for_again(client: TestClient, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'href="/adapters/one/onnx"' not in client.get("/adapters/one/take").text

    def fails(words: list[str], unwanted: Any) -> Any:
        raise UserError("There is no space: free some.")

    monkeypatch.setattr("selfprompt.studio.pages.ask", fails)
    assert "There is no space" in client.post("/adapters/one/onnx", headers=OWN).text
    (place / "one" / "adapter.onnx").write_bytes(bytes(2_000_000))
    page = checked(client.get("/adapters/one/take"))
    (place / "one" / "adapter.onnx").unlink()
    assert 'href="/adapters/one/onnx"' in page
    before, _, after = page.partition('<div id="exported"')  # an answer takes what stands in it, and never the button
    assert 'hx-post="/adapters/one/onnx" hx-target="#exported"' in before
    assert "hx-post" not in after


def test_a_run_is_followed_by_server_sent_events(client: TestClient, place: Path) -> None:
    with client.stream("GET", "/runs/one/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    assert "epoch 1 of 1" in text
    assert text.endswith("event: end\ndata: \n\n")
    assert all(line.startswith(("data: ", "event: ")) for line in text.splitlines() if line)


def test_a_studio_begun_anew_knows_everything(place: Path, finished: Path, weights: Path, client: TestClient) -> None:
    data = finished.parent / "data"
    with studio(data, out=place, backbone=weights) as other:
        for address in ("/", "/runs/one", "/runs/one/look", "/adapters/one/take"):
            assert other.get(address).text == client.get(address).text


def test_runs_of_a_comparison_are_found_below_its_folder(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "comparison" / "spt" / "seed-0")
    assert list(offered([str(tmp_path / "comparison")], tmp_path / "runs").folders()) == ["spt~seed-0"]


def test_states_have_words(client: TestClient) -> None:
    words = client.app.state.studio.templates.get_template("parts.html").module.WORDS
    assert set(words) == set(get_args(work.State))
