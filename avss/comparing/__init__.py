"""Candidate against base, example by example: metrics, retention with limits, drift of outputs."""
