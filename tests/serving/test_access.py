"""Who may ask and who may load; nothing is read that was not offered."""

from __future__ import annotations

import builtins
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
import safetensors.torch
from fastapi.testclient import TestClient

import selfprompt as sp
from selfprompt.serving.repository import Repository, found, names_in
from selfprompt.serving.settings import Settings
from tiny_server import client_of, form, make_pool, picture, save_adapters

KEY, ADMIN = "k" * 20, "admin-" + "a" * 20
REPOSITORY = "/v2/repository"


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestClient, Path]]:
    """A server with one adapter loaded and two others in its folder."""
    paths = save_adapters(tmp_path / "offered")
    (tmp_path / "keys").write_text(f"{KEY}\nanother key of length\n", encoding="utf-8")
    (tmp_path / "admin").write_text(ADMIN, encoding="utf-8")
    files = {"keys": tmp_path / "keys", "admin_keys": tmp_path / "admin", "adapters_dir": tmp_path / "offered"}
    with client_of(make_pool({"birds": paths["birds"]}), **files) as client:
        yield client, tmp_path / "offered"


def test_other_machines_need_keys(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.org"):
        with pytest.raises(sp.UserError, match="give --keys FILE"):
            Settings(host=host)
        Settings(host=host, keys=tmp_path)
    for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost"):
        Settings(host=host)
    with pytest.raises(sp.UserError, match="--adapters-dir"):
        Settings(admin_keys=tmp_path)
    for text, why in (("", "no key"), ("short\n" + KEY, "too short"), ("schlüssel" * 3, "ASCII")):
        (tmp_path / "keys").write_text(text, encoding="utf-8")
        with pytest.raises(sp.UserError, match=why):
            client_of(make_pool({}), keys=tmp_path / "keys")


def test_without_keys_pages_of_other_sites_are_no_way_in(tmp_path: Path) -> None:
    with client_of(make_pool({})) as client:
        for host, status in {"localhost:8000": 200, "127.0.0.1": 200, "[::1]:8000": 200, "evil.example": 400}.items():
            assert client.get("/v1/models", headers={"host": host}).status_code == status


def test_every_route_but_health_needs_a_key(served: tuple[TestClient, Path]) -> None:
    client, _ = served
    document = client.get("/openapi.json").json()["paths"]
    for path, verbs in document.items():
        for verb in verbs:
            url = path.replace("{name}", "birds").replace("{version}", "none")
            statuses = [client.request(verb, url, headers=bearing(key)).status_code for key in ("x" * 20, "")]
            statuses.append(client.request(verb, url).status_code)
            admin = client.request(verb, url, headers=bearing(KEY)).status_code
            if path.startswith("/v2/health"):
                assert statuses == [200] * 3
            else:
                assert statuses == [401] * 3, path
                assert (admin == 401) == path.startswith(REPOSITORY), path
    assert client.post("/v1/predict", files=form(picture(0)), headers=bearing(KEY)).status_code == 200
    assert client.post("/v1/predict", files=form(picture(0)), headers=bearing(ADMIN)).status_code == 200


def test_adapters_are_loaded_and_unloaded_by_name(served: tuple[TestClient, Path]) -> None:
    client, offered = served
    headers = bearing(ADMIN)

    def states() -> dict[str, str]:
        return {one["name"]: one["state"] for one in client.post(REPOSITORY + "/index", headers=headers).json()}

    assert states() == {"birds": "READY", "cars": "UNAVAILABLE", "probe": "UNAVAILABLE"}
    assert client.post(REPOSITORY + "/models/cars/load", json={}, headers=headers).status_code == 200
    assert client.post("/v1/predict?adapter=cars", files=form(picture(0)), headers=headers).status_code == 200
    shutil.copytree(offered / "probe", offered / "cars", dirs_exist_ok=True)
    assert client.post(REPOSITORY + "/models/cars/load", headers=headers).status_code == 200  # anew
    answer = client.post("/v1/predict?adapter=cars&top_k=9", files=form(picture(0)), headers=headers).json()
    assert sorted(guess["label"] for guess in answer["predictions"][0]["top"]) == ["a", "b", "c", "d"]
    assert client.post(REPOSITORY + "/models/cars/unload", headers=headers).status_code == 200
    assert states()["cars"] == "UNAVAILABLE"
    assert client.post(REPOSITORY + "/models/cars/unload", headers=headers).status_code == 404
    ready = client.post(REPOSITORY + "/index", json={"ready": True}, headers=headers).json()
    assert [one["name"] for one in ready] == ["birds"]


def test_a_broken_adapter_leaves_the_others_as_they_are(served: tuple[TestClient, Path]) -> None:
    client, offered = served
    headers = bearing(ADMIN)
    before = client.post("/v1/predict", files=form(picture(0)), headers=headers).json()
    weights = safetensors.torch.load_file(offered / "cars" / "adapter_model.safetensors")
    weights["head.linear.bias"][0] = float("nan")
    safetensors.torch.save_file(weights, offered / "cars" / "adapter_model.safetensors")
    (offered / "probe" / "adapter_model.safetensors").write_bytes(b"corrupt")
    shutil.copytree(offered / "probe", offered / "birds", dirs_exist_ok=True)
    for name in ("cars", "probe", "birds"):
        answer = client.post(f"{REPOSITORY}/models/{name}/load", headers=headers)
        assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert client.post("/v1/predict", files=form(picture(0)), headers=headers).json() == before
    reasons = {one["name"]: one["reason"] for one in client.post(REPOSITORY + "/index", headers=headers).json()}
    assert "NaN" in reasons["cars"]
    assert "damaged" in reasons["probe"]


def test_of_two_that_are_loaded_at_once_the_last_room_is_for_one(tmp_path: Path) -> None:
    paths, both = save_adapters(tmp_path), Barrier(2)
    pool = make_pool({})
    repository = Repository(pool, tmp_path, 1)
    add = pool.add

    def slowly(*args: Any, **rest: Any) -> None:
        with suppress(BrokenBarrierError):
            both.wait(0.5)  # until the other has come here, too, if it may
        add(*args, **rest)

    pool.add = slowly
    with ThreadPoolExecutor(2) as threads:
        errors = [one.exception() for one in [threads.submit(repository.load, name) for name in list(paths)[:2]]]
    assert sorted(str(error)[:11] for error in errors) == ["None", "There are 1"]
    assert len(pool.names) == 1


def test_a_path_is_no_name(served: tuple[TestClient, Path], tmp_path: Path) -> None:
    client, offered = served
    shutil.copytree(offered / "cars", tmp_path / "outside")
    (offered / "link").symlink_to(tmp_path / "outside")
    (offered / "file").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (offered / "file" / name).symlink_to(tmp_path / "outside" / name)
    (offered / ".hidden").symlink_to(offered / "cars")
    paths = ["..", "../outside", "cars/../../outside", str(tmp_path / "outside")]
    wrong = [*paths, "link", "file", ".hidden", "a\0b", "x" * 101]
    assert [found(offered, name) for name in [*wrong, "", "."]] == [None] * (len(wrong) + 2)
    assert names_in(offered) == ["birds", "cars", "probe"]
    for name in wrong:
        quoted = name.replace("/", "%2F").replace("\0", "%00")
        for verb in ("load", "unload"):
            answer = client.post(f"{REPOSITORY}/models/{quoted}/{verb}", headers=bearing(ADMIN))
            assert answer.status_code in (404, 422), name
    for parameters in ({"config": "{}"}, {"file:1/model": "x"}, {"path": str(tmp_path)}):
        answer = client.post(
            f"{REPOSITORY}/models/cars/load", json={"parameters": parameters}, headers=bearing(ADMIN)
        )
        assert answer.status_code == 400


def test_nothing_is_read_that_was_not_offered(
    served: tuple[TestClient, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, offered = served
    config = json.loads((offered / "cars" / "adapter_config.json").read_text(encoding="utf-8"))
    config["backbone"]["name"] = str(tmp_path / "secret.pth")
    config["method"]["start"] = str(tmp_path / "secret")
    (offered / "cars" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    opened: list[str] = []

    def watched(real: Any) -> Any:
        def open_it(path: Any, *args: Any, **rest: Any) -> Any:
            opened.append(os.fspath(path) if isinstance(path, (str, os.PathLike)) else "")
            return real(path, *args, **rest)

        return open_it

    for module, name in ((builtins, "open"), (os, "open"), (os, "scandir"), (os, "listdir")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    client.post(f"{REPOSITORY}/models/cars/load", headers=bearing(ADMIN))
    client.post("/v1/predict?adapter=birds", files=form(picture(0)), headers=bearing(ADMIN))
    client.post(REPOSITORY + "/index", headers=bearing(ADMIN))
    assert not [path for path in opened if path.startswith(str(tmp_path)) and not path.startswith(str(offered))]
