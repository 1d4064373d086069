"""Whether the Hugging Face hub answers: where it does not, its client tries for most of a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, constants
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import HfHubHTTPError

from selfprompt.errors import first_line


def away(repository: str, kind: Literal["model", "dataset"] = "model") -> str | None:
    """Why nothing of a repository can be had: none of it is in the cache, and the hub does not answer.

    None where it may be had, or the hub's client says at once why not.
    """
    cached = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type=kind))
    if constants.HF_HUB_OFFLINE or cached.exists():
        return None
    try:
        HfApi().repo_info(repository, repo_type=kind, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except (HfHubHTTPError, ValueError):  # it answers, or takes no such name
        return None
    except Exception as error:  # whatever the many layers of its client raise
        return first_line(error)[:200]
    return None
