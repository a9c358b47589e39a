"""Stock clients against the engine: each operation tried for real, and the table of outcomes."""
