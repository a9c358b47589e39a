"""Every kind of data file, read in constant memory where the format allows it."""
