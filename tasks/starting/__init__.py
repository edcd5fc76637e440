"""A line's first files: fields detected, KPIs proposed, run file written, all of it tried."""
