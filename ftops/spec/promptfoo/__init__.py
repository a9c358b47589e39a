"""Evaluations as promptfoo writes them: read into rows and a section `evaluate`, and written."""
