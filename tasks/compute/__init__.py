"""Where the heavy passes run: in this process, or on the workers of a Ray cluster.

`operations.Compute` cuts scoring, probing and KPIs into pieces, has an engine answer them, and
merges the answers. The cut depends on the data alone, and the answers are put together in the
data's order; so an engine changes nothing but the time.
"""
