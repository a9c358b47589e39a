"""`tiny`: a small transformer in NumPy, trained from random weights on the user's own rows."""
