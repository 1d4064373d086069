"""An adapter to the Hugging Face hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from huggingface_hub import HfApi
from typing_extensions import TypedDict

from selfprompt.adapters.card import model_card
from selfprompt.adapters.format import HUB, write_adapter
from selfprompt.assembly import load
from selfprompt.backbones.load import BackboneSource
from selfprompt.errors import UserError, first_line
from selfprompt.files import replace_file
from selfprompt.model import PromptedModel

CARD = "README.md"


class Pushed(TypedDict):
    """Where an adapter is now; ``revision`` is the commit, for ``hf:user/name@revision``."""

    repository: str
    revision: str
    url: str


def push(
    adapter: str | Path | PromptedModel,
    repository: str,
    *,
    private: bool = False,
    licence: str | None = None,
    backbone: BackboneSource | None = None,
) -> Pushed:
    """Upload an adapter's two files and its model card, and nothing else of its folder, to a repository of the hub.

    It is loaded first: what does not load is not published. The hub's own login is used (``hf auth login``, or
    ``HF_TOKEN``).

    Args:
        adapter: A folder or a model.
        repository: ``user/name``, or ``hf:user/name``; made where there is none.
        private: Make it a private one.
        licence: The hub's identifier of the adapter's licence, such as ``apache-2.0``; left open by default.
        backbone: The backbone, if it is no longer where it was.

    Raises:
        UserError: The adapter cannot be loaded, or the hub does not take it: no login, no right, no network.
    """
    name = repository.removeprefix(HUB)
    if name.count("/") != 1 or not all(name.split("/")):
        raise UserError(f"{repository} is no repository of the hub: write USER/NAME.")
    model = adapter if isinstance(adapter, PromptedModel) else load(adapter, backbone)
    config = model.adapter_config()
    card = model_card(config, *model.count_parameters(), where=HUB + name, licence=licence)
    with tempfile.TemporaryDirectory() as folder:
        write_adapter(Path(folder), config, model.worth_keeping())
        replace_file(Path(folder) / CARD, str(card))
        try:
            api = HfApi()
            api.create_repo(name, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=name, folder_path=folder, commit_message=f"{config.method['name']} adapter"
            )
        except Exception as error:  # the hub's client raises whatever its many layers do
            raise UserError(
                f"The hub does not take {name} ({first_line(error)[:200]}): log in (hf auth login), as one who may "
                f"write there."
            ) from error
    return {"repository": HUB + name, "revision": done.oid, "url": done.commit_url}
