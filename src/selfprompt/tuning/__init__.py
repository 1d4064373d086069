"""The optimisation: the fit loop, its checkpoints, evaluation, and whole runs."""
