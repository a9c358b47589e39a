"""Token counts of texts, rows and files: exact with a vocabulary, else estimated."""
