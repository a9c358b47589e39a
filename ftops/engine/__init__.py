"""The built-in engine: an OpenAI-compatible server that really trains; reached only over HTTP."""
