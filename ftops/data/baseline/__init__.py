"""The simplest models there are, to know what a fine-tuned one has to beat."""
