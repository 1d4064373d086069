"""``python -m selfprompt``, which launchers of several processes want."""

from selfprompt.cli import main

main()
