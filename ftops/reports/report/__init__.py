"""Reports about runs: what was run, how it learned, how it answers, as HTML, Markdown, JSON, PNG.

`facts` is what comes in, `contents` what is said of it, in the same words for every form.
"""
