"""The built-in engine: an OpenAI-compatible server that trains; clients use only HTTP."""
