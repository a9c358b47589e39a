"""Scripts of the SDKs of other providers; each runs in an environment without ftops."""
