"""The built-in engine: an OpenAI-compatible server that trains; clients use HTTP alone."""
