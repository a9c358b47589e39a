"""What can be done about what the checks find, each fix by its code, with explicit values."""
