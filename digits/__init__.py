"""The model and its mathematics. Nothing runs on import, and nothing here knows who calls it."""
