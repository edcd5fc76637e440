"""Whether data or scores say something else than before."""
