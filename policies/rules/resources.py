"""Rules on what the change is for: a smaller, cheaper model that is not slower, and truly cut."""

from collections.abc import Iterator

from policies.measurements import Measured, Measurements, Ratio
from policies.policy import Policy
from policies.rules.verdict import Rule, Verdict


class Saving(Rule):
    """A change that saves too little is not worth its risk."""

    name = "saving"
    reads = ("cost.min_saved_parameters", "cost.min_saved_money")

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        layers, ratios = measurements.layers, measurements.resources
        gone = len(set(layers.base_kept) - set(layers.kept))
        asked = policy.cost.min_saved_parameters * max(gone, 1)
        yield self._saved("parameters", ratios.parameters, asked)
        if policy.cost.min_saved_money is not None:
            yield self._saved("money", ratios.money_per_month, policy.cost.min_saved_money)

    def _saved(self, subject: str, ratio: Measured, limit: float) -> Verdict:
        saved = None if ratio.value is None else 1 - ratio.value
        return self.at_least(f"{subject} saved", saved, limit, ratio.reason)

    def explain(self, policy: Policy) -> Iterator[str]:
        yield (
            f"Each removed layer saves at least {policy.cost.min_saved_parameters:.2%} "
            "of the base's parameters."
        )
        if policy.cost.min_saved_money is not None:
            yield f"The change saves at least {policy.cost.min_saved_money:.1%} of the cost."


class NotSlower(Rule):
    """The candidate is not slower than the base by more than is allowed."""

    name = "latency"
    reads = ("latency.max_prefill_ratio", "latency.max_decode_ratio")

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        ratios = measurements.resources
        yield from self._bounded(
            "reading a prompt", ratios.prefill_seconds, policy.latency.max_prefill_ratio
        )
        yield from self._bounded(
            "writing a token", ratios.decode_seconds, policy.latency.max_decode_ratio
        )

    def _bounded(self, subject: str, ratio: Ratio, limit: float | None) -> Iterator[Verdict]:
        if limit is not None:
            reason = ratio.reason or "the ratio has no upper confidence limit"
            yield self.at_most(subject, ratio.high, limit, "" if ratio.high else reason)

    def explain(self, policy: Policy) -> Iterator[str]:
        for what, limit in (
            ("Reading a prompt", policy.latency.max_prefill_ratio),
            ("Writing a token", policy.latency.max_decode_ratio),
        ):
            if limit is not None:
                yield f"{what} takes at most {limit:g} times as long as with the base."


class ProofOfCut(Rule):
    """The saved model, loaded anew, computes what the cut model in memory computed."""

    name = "proof_of_cut"
    reads = ()

    def judge(self, measurements: Measurements, _: Policy) -> Iterator[Verdict]:
        proof = measurements.proof
        if proof.passed is None:
            yield self.cannot_tell("saved model", None, proof.reason)
        else:
            reason = proof.reason or ("same" if proof.passed else "other logits after loading")
            yield self.found("saved model", proof.passed, reason)

    def explain(self, _: Policy) -> Iterator[str]:
        yield "The saved model is loaded anew and must compute the same as the one in memory."
