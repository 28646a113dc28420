"""The loop, the run folder, and everything that a run needs to survive."""
