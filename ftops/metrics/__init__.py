"""The metrics, one module per kind."""
