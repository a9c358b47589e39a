"""Sends many prompts to a model: concurrently, within a budget, and each only once."""
