"""A KPI of one's own: how surprising the drug's name is after its condition.

Run with `PYTHONPATH=docs/example avss evaluate ...`.
"""

from typing import Any

import torch


def name_loss(model: Any, tokenizer: Any, records: list[dict[str, Any]]) -> list[float]:
    """Nats a token of the drug's name, one number a record."""
    losses = []
    for record in records:
        prompt = f"A drug for {record['condition'] or 'this'} is called"
        start = len(tokenizer(prompt)["input_ids"])
        ids = tokenizer(f"{prompt} {record['drug']}", return_tensors="pt")["input_ids"]
        ids = ids.to(model.device)
        with torch.inference_mode():
            scores = model(ids).logits[0, start - 1 : -1].float().log_softmax(dim=-1)
        losses.append(-float(scores.gather(1, ids[0, start:, None]).mean()))
    return losses
