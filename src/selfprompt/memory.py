"""The machine's memory. What a system lacks is imported where it is used: Windows has no ``resource``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
"""What Linux tells of a process."""


def free_memory() -> int:
    """Bytes that are free on this machine."""
    import psutil  # on Linux it wants ``resource``, too

    return psutil.virtual_memory().available


def peak_memory(device: torch.device) -> int:
    """The most memory that was in use, in bytes: of an NVIDIA GPU, or of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists():  # getrusage counts what the process that started this one held
        found = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        memory = psutil.Process().memory_info()
        return getattr(memory, "peak_wset", memory.rss)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
