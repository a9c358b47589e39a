"""Fixes for findings of the checks, each with a code and explicit parameters."""
