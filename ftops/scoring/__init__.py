"""How good answers are: metrics, intervals, comparisons, what a model saves, what it must reach."""
