"""Putting many questions to a model."""
