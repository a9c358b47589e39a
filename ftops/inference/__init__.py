"""Puts many prompts to a model: in order, some at once, within a budget, and none of them twice."""
