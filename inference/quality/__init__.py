"""Image quality of mammograms: measured criteria of positioning and technique, graded as PGMI does.

Nothing here is learned. Each measure is a pure function of the pixels and of what the header tells;
docs/image-quality.md says what each one is, after which guideline, and how it is graded.
"""
