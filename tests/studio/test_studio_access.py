"""Who may see and who may act; nothing is read that was not offered."""

from __future__ import annotations

import builtins
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from selfprompt.serving.settings import NAME
from selfprompt.studio.app import PAGES
from selfprompt.studio.offered import offered
from selfprompt.studio.team import address
from tiny_studio import HERE, OWN, TOKEN, studio


def test_the_address_has_a_token_and_then_the_browser_a_cookie(tmp_path: Path) -> None:
    with studio(out=tmp_path, let_in=False) as client:
        for address in ("/", "/?token=", "/?token=other", "/static/studio.js"):
            assert client.get(address).status_code == 401
        there = client.get(f"/compare?token={TOKEN}&group=a")
        assert (there.status_code, there.headers["location"]) == (303, "/compare?group=a")
        assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in there.headers["set-cookie"].split(";")}
        page = client.get("/")
        assert page.status_code == 200
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]


def test_every_page_needs_the_cookie_and_every_change_the_own_site(run: Path, weights: Path, tmp_path: Path) -> None:
    with studio(run, out=tmp_path / "runs", backbone=weights, let_in=False) as client:
        routes = [route for page in PAGES for route in page.routes(client.app.state.studio).routes]
        asked = [(verb, route.path.replace("{name}", "run")) for route in routes for verb in route.methods]
        assert len(asked) > 20
        assert {client.request(*one, headers=OWN).status_code for one in asked} == {401}
        client.get(f"/?token={TOKEN}")
        changes = [one for one in asked if one[0] != "GET"]
        assert len(changes) > 6
        for others in ({}, {"origin": "null"}, {"origin": "http://evil.example"}, {"origin": HERE + ":8000"}):
            assert {client.request(*one, headers=others).status_code for one in changes} == {403}
        assert client.post("/runs/run/stop", headers=OWN).status_code == 303
        evil = {"host": "evil.example", "origin": "http://evil.example"}
        assert {client.request(*one, headers=evil).status_code for one in asked} == {400}


def test_a_path_is_no_name(run: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(run, out / "inside")
    shutil.copytree(run, tmp_path / "outside")
    (out / "link").symlink_to(tmp_path / "outside")
    wrong = [
        "../outside",
        str(tmp_path / "outside"),
        "link",
        "inside/../../outside",
        "...",
        "a\0b",
        "x" * 300,
    ]
    with studio(out=out, backbone=weights) as client:
        assert client.get("/runs/inside").status_code == 200
        for name in wrong:
            for page in ("/runs/{}", "/runs/{}/look", "/runs/{}/report", "/adapters/{}/zip", "/data/{}", "/plan/{}"):
                assert client.get(page.format(quote(name, safe=""))).status_code == 404, name
            assert client.post(f"/serve/{quote(name, safe='')}/load", headers=OWN).status_code == 404, name


def test_links_out_of_a_run_are_not_followed(run: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    for name in ("report.html", "adapter.onnx", "README.md"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(tmp_path / "secret")
    with studio(run, out=tmp_path / "runs", backbone=weights) as client:
        for page in ("/runs/run/report", "/adapters/run/onnx", "/adapters/run/zip"):
            answer = client.get(page)
            assert (answer.status_code, "secret</" in answer.text) == (404, False), page


def test_data_and_backbones_are_read_where_they_were_named(
    run: Path, finished: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, opened = finished.parent / "data", []

    def watched(real: Any) -> Any:
        def open_it(path: Any, *args: Any, **rest: Any) -> Any:
            opened.append(os.fspath(path) if isinstance(path, (str, os.PathLike)) else "")
            return real(path, *args, **rest)

        return open_it

    pages = [
        "/runs/run",
        "/runs/run/look?true=0&predicted=0",
        "/runs/run/image/0",
        "/adapters/run/try",
        "/compare",
        "/",
    ]
    with studio(run, out=tmp_path / "runs") as client:
        for module, name in ((builtins, "open"), (os, "open"), (os, "scandir"), (os, "listdir")):
            monkeypatch.setattr(module, name, watched(getattr(module, name)))
        said = {page: client.get(page) for page in pages}
        resumed = client.post("/runs/run/resume", headers=OWN)
    monkeypatch.undo()
    assert not [path for path in opened if str(path).startswith((str(data), str(weights)))]
    assert f"give --backbone {weights}" in said["/adapters/run/try"].text
    assert (resumed.status_code, said["/runs/run/image/0"].status_code) == (400, 400)
    with studio(run, out=tmp_path / "runs", backbone=weights) as client:
        assert f"give {data} to selfprompt studio, too" in client.get("/runs/run/image/0").text
    with studio(run, data, out=tmp_path / "runs", backbone=weights) as client:
        assert client.get("/runs/run/image/0").headers["content-type"] == "image/png"
        assert client.get("/adapters/run/try").status_code == 200


def test_a_form_asks_for_nothing_but_what_the_page_offers(folder: Path, weights: Path, tmp_path: Path) -> None:
    with studio(folder, out=tmp_path / "runs") as client:
        for wrong in (
            {"backbone": str(weights)},
            {"method": "spt:start=" + str(weights)},
            {"method": "--out"},
            {"level": "x"},
            {"epochs": "x"},
            {"epochs": "0"},
            {"seed": "-1"},
        ):
            answer = client.post("/plan/data", data=wrong, headers=OWN)
            assert answer.status_code in (400, 404), wrong
    assert not (tmp_path / "runs").exists()


def test_a_damaged_run_is_said_and_leaves_the_other_pages(run: Path, weights: Path, tmp_path: Path) -> None:
    names = ("run.json", "metrics.json", "studio.json", "probabilities.safetensors", "log.jsonl")
    for name in names:
        shutil.copytree(run, tmp_path / "runs" / name)
        (tmp_path / "runs" / name / name).write_text('{"epoch": {}', encoding="utf-8")
    with studio(run, out=tmp_path / "runs", backbone=weights) as client:
        assert [client.get(page).status_code for page in ("/", "/compare", "/serve", "/runs/run")] == [200] * 4
        for name in names[:3]:
            assert f"{name} is damaged" in client.get(f"/runs/{name}").text
        assert "studio.json is damaged" in client.get("/").text
        for name in names[1:4]:
            assert f"{name} is damaged" in client.get("/compare").text
        assert "log.jsonl" in client.get("/runs/log.jsonl").text
        for name in names:
            for page in ("/runs/{}", "/runs/{}/look", "/runs/{}/events", "/adapters/{}/try", "/adapters/{}/take"):
                assert client.get(page.format(name)).status_code in (200, 400), (page, name)


def test_two_names_stay_two(folder: Path, tmp_path: Path) -> None:
    """Of data in folders of one name, and of runs that a server could not tell apart."""
    shutil.copytree(folder, tmp_path / "a" / "images")
    shutil.copytree(folder, tmp_path / "b" / "images")
    found = offered([str(tmp_path / "a" / "images"), str(tmp_path / "b" / "images")], tmp_path / "out")
    assert {name: data.name for name, data in found.data.items()} == {"images": "images", "images-2": "images-2"}
    for place in ("a/runs/one", "b/runs/one", "out/one"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "run.json").touch()
    every = [tmp_path / "a/runs/one", tmp_path / "a/runs", tmp_path / "b/runs/one", tmp_path / "b"]
    found = offered([str(one) for one in every], tmp_path / "out")
    assert {name: str(path.relative_to(tmp_path)) for name, path in found.folders().items()} == {
        "one": "a/runs/one",
        "runs~one": "b/runs/one",
        "out~one": "out/one",
    }
    names = ["plain", "compare~x", "compare-x", "鸟", "花"]
    assert len({address(name) for name in names}) == len(names)
    assert all(NAME.fullmatch(address(name)) for name in names)
    assert address("plain") == "plain"


def test_a_folder_that_may_not_be_read_leaves_the_others(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "runs", Path.is_file
    for name in ("closed", "open"):
        shutil.copytree(run, out / name)

    def is_file(path: Path) -> bool:
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert list(offered([str(out)], tmp_path / "out").folders()) == ["open"]
