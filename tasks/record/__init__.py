"""The line's record: ledger, evidence documents, answers of people, what is shown of them."""
