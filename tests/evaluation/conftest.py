"""A new bench for each test."""

from tests.runs.conftest import bench as bench
