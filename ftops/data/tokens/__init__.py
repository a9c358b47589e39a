"""How many tokens texts, rows and files have: exactly where a vocabulary is at hand, else about."""
