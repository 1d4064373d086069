"""Whether what was built may be released: python .ci/check_release.py TAG DIST

The tag is the version, the changelog has a dated heading of it, there are one wheel and one sdist of it, and the
wheel is small enough for the index and for the people who download it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LARGEST = 30_000_000  # bytes of the wheel, which carries the small backbones and data


def faults(tag: str, dist: Path, root: Path = ROOT) -> list[str]:
    """What is wrong, a sentence each."""
    source = (root / "src" / "selfprompt" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)[1]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = []
    if tag != f"v{version}":
        found.append(f"The tag is {tag} and the version {version}: tag v{version}, or change the version.")
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no dated heading of {version}: write '## {version} (YEAR-MONTH-DAY)'.")
    wheels, sdists = [*dist.glob(f"*-{version}-*.whl")], [*dist.glob(f"*-{version}.tar.gz")]
    if (len(wheels), len(sdists)) != (1, 1):
        found.append(f"{dist} has {len(wheels)} wheels and {len(sdists)} sdists of {version}: build it anew.")
    found += [
        f"{wheel.name} has {wheel.stat().st_size / 1e6:.1f} MB: the limit is {LARGEST / 1e6:.0f} MB."
        for wheel in wheels
        if wheel.stat().st_size > LARGEST
    ]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(faults(sys.argv[1], Path(sys.argv[2]))) or 0)
