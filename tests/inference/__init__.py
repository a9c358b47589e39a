"""Tests of batch inference."""
