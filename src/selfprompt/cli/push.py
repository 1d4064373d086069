"""``selfprompt push ADAPTER USER/NAME``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from selfprompt.cli.console import emit
from selfprompt.cli.values import Seed


def command(
    adapter: str,
    repository: str,
    /,
    *,
    private: bool = False,
    licence: Annotated[str | None, Parameter(name=["--license", "--licence"])] = None,
    backbone: str | None = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Upload an adapter with its model card to the Hugging Face hub, where hf:USER/NAME stands for it.

    The login is the hub's own: hf auth login, or HF_TOKEN. Nothing else of the folder is uploaded.

    Args:
        adapter: Its folder.
        repository: USER/NAME; made where there is none.
        private: Make it a private one.
        licence: The adapter's licence by the hub's identifier, such as apache-2.0.
        backbone: The backbone, if it has moved.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.runs.push import push

    done = push(adapter, repository, private=private, licence=licence, backbone=backbone)
    emit(done, json, f"{done['url']}\nselfprompt predict {done['repository']}@{done['revision']} INPUT...")
