"""The checks, one file per family; `catalogue.py` lists them."""
