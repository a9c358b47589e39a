"""Exports runs to experiment trackers: parameters, curves, files and lineage."""
