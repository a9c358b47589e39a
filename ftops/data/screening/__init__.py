"""Looking through texts for what should not be there: private data, secrets, texts nearly alike."""
