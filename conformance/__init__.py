"""Unmodified clients against the engine and the stand-ins: each operation, and their outcomes."""
