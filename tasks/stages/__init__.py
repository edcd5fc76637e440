"""One function for each action of a change's life: `(job, change, action) -> the entry's body`.

A stage does its work and returns what the ledger shall say; it never appends by itself. Whatever it
leaves in S3 is content-addressed, so a stage that died half way is simply done again.
"""
