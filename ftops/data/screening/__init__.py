"""Searches texts for unwanted content: personal data, secrets and near-duplicates."""
