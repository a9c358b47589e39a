"""The metrics, one module for each sort."""
