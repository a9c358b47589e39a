"""The checks, one module per family; `registry.py` lists them."""
