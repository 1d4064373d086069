from __future__ import annotations

import subprocess
import sys

import pytest

ASK = "import torch; from selfprompt.memory import peak_memory; print(peak_memory(torch.device('cpu')))"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere getrusage tells of the process alone")
def test_the_peak_is_the_processs_own() -> None:
    """A process that a large one starts is not charged with what that one held."""
    large = bytearray(2**31)
    large[::4096] = b"1" * (len(large) // 4096)
    peak = int(subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True).stdout)
    assert 2**25 < peak < len(large)
