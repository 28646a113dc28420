"""Settings: presets, and how they are read."""
