"""Tells the tools that people have of a run: its parameters, curves, files and lineage."""
