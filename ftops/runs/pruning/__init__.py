"""Removes what old runs left behind; what happened stays in the ledger."""
