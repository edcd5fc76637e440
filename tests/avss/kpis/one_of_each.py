"""A KPI suite with one of each kind."""

SENTIMENT = {
    "kind": "classification",
    "prompt": "Review: {text}\nThe sentiment of this review is",
    "labels": {"positive": " positive", "negative": " negative"},
    "target": "label",
    "metrics": ["accuracy", "balanced_accuracy", "macro_f1", "auc", "calibration_error"],
}


ONE_OF_EACH = {
    "kpis": [
        {"name": "sentiment", **SENTIMENT, "slice_by": ["part"], "min_support": 2},
        {"name": "text", "kind": "perplexity", "max_tokens": 16},
        {
            "name": "choice",
            "kind": "multiple_choice",
            "prompt": "{text} is",
            "choices": [" good", " bad and awful"],
            "target": "right",
        },
        {
            "name": "write",
            "kind": "generation",
            "prompt": "{text}",
            "target": "label",
            "max_new_tokens": 6,
            "metrics": ["exact_match", "rouge_l", "empty_rate"],
        },
        {
            "name": "same",
            "kind": "agreement",
            "prompt": "{text}",
            "labels": {"a": " good", "b": " bad"},
            "max_new_tokens": 5,
            "metrics": [
                "top1_agreement",
                "label_agreement",
                "generation_agreement",
                "next_token_kl",
            ],
        },
    ]
}
