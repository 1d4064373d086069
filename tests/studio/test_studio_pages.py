"""What the pages show is what the commands and the library say."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from fastapi.testclient import TestClient

import selfprompt as sp
from selfprompt.data.tables import Kind
from selfprompt.methods import RECORDS, compared
from selfprompt.scores.calibration import tempered
from selfprompt.studio import plan, work
from selfprompt.studio.offered import Data, offered
from selfprompt.studio.trying import kept
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
    monkeypatch.setattr("selfprompt.studio.data.ask", lambda words: dict(found))
    page = client.post("/data/data/check", headers=OWN).text
    assert "a.png is &lt;b&gt;broken&lt;/b&gt;: remove it." in page
    assert "<td>near duplicate</td><td>0.9900</td><td>train</td><td>a.png</td>" in page
    assert "Not looked at: labels: too few." in page


def test_a_plan_is_a_command(
    client: TestClient, place: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(plan, "ask", lambda words: asked.append(words) or dict(PRICE))
    monkeypatch.setattr(plan, "begin", lambda words, folder: asked.append(words))
    data = str(finished.parent / "data")
    page = client.get("/plan/data/price?level=fast&seed=3").text
    assert asked.pop() == ["tune", data, "--method", "linear", "--seed", "3", "--estimate"]
    assert f"selfprompt tune {data} --method linear --seed 3" in words_of(page)
    assert "<b>about 62 s</b><small>3 epochs of 4 steps</small>" in page
    started = client.post("/plan/data", data={"level": "best", "method": "vpt", "epochs": "7"}, headers=OWN)
    *words, out, folder = asked.pop()
    assert words == ["tune", data, "--method", "vpt", "--epochs", "7"]
    assert (out, Path(folder).parent) == ("--out", place)
    assert started.headers["location"] == f"/runs/{Path(folder).name}"
    Path(folder).rmdir()


def test_plans_name_methods_and_backbones_that_there_are(tmp_path: Path) -> None:
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
