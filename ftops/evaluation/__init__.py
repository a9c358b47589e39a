"""A tuned model and others answer the same rows; what came of it is scored, kept and judged."""
