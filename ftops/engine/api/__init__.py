"""The HTTP side of the engine: OpenAI's paths, field names and error bodies."""
