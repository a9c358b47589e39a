"""Figures of a data set, to look at before paying for it: lengths, tokens, words, languages."""
