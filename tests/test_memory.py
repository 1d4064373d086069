from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from selfprompt import memory
from selfprompt.cli.doctor import installation

ASK = "import torch; from selfprompt.memory import peak_memory; print(peak_memory(torch.device('cpu')))"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere getrusage tells of the process alone")
def test_the_peak_is_the_processs_own() -> None:
    """A process that a large one starts is not charged with what that one held."""
    large = bytearray(2**31)
    large[::4096] = b"1" * (len(large) // 4096)
    peak = int(subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True).stdout)
    assert 2**25 < peak < len(large)


def test_there_is_a_peak_where_neither_proc_nor_resource_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setattr(memory, "STATUS", Path("nowhere"))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert psutil.Process().memory_info().rss / 2 < memory.peak_memory(torch.device("cpu")) < 2**40


def test_doctor_knows_an_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert installation()["device"] == "mps"
