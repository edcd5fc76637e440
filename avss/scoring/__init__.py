"""Scores of layers: one forward pass, mergeable statistics, rankings and how stable they are."""
