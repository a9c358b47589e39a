"""Measured figures, taken as ratios in one run where that is possible; `make bench` runs all."""
