"""Evaluates a fine-tuned model and other candidates on the same rows."""
