"""Readers of all supported file formats, in constant memory where the format allows it."""
