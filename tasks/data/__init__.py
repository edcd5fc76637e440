"""Business data: pinned, pulled, parsed, split, and held against its contract."""
