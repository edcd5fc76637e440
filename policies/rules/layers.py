"""Rules on which layers go: how many in all, how many at once, and which never."""

from collections.abc import Iterator

from policies.measurements import Measurements
from policies.policy import Policy
from policies.rules.verdict import Rule, Verdict


class LayerLimit(Rule):
    """The original model may miss so many layers and no more."""

    name = "layer_limit"
    reads = ("limits.max_layers_removed", "limits.max_share_removed")

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        layers = measurements.layers
        allowed = policy.limits.layers_allowed(layers.original_layers)
        yield self.at_most("layers removed in all", len(layers.removed), allowed)

    def explain(self, policy: Policy) -> Iterator[str]:
        share, number = policy.limits.max_share_removed, policy.limits.max_layers_removed
        bounds = [f"{share:.0%} of the original model's layers"] if share is not None else []
        bounds += [f"{number} layers"] if number is not None else []
        yield f"Over all changes of the line, at most {' and at most '.join(bounds)} may go."


class StepSize(Rule):
    """A step removes at least one layer, and not more than the policy says."""

    name = "layers_per_step"
    reads = ("limits.layers_per_step",)
    steps_only = True

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        layers = measurements.layers
        if not layers.proposed or not set(layers.kept) < set(layers.parent_kept):
            yield self.found("layers removed by this step", False, "no layer was removed")
            return
        limit = policy.limits.layers_per_step
        yield self.at_most("layers removed by this step", len(layers.proposed), limit)

    def explain(self, policy: Policy) -> Iterator[str]:
        yield f"One step removes at most {policy.limits.layers_per_step} layer(s)."


class ProtectedLayers(Rule):
    """A change removes none of the layers that the policy protects."""

    name = "protected_layers"
    reads = ("limits.protected_layers",)

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        layers = measurements.layers
        gone = set(layers.base_kept) - set(layers.kept)
        touched = sorted(policy.limits.protected(layers.original_layers) & gone)
        named = ", ".join(map(str, touched))
        reason = f"layers {named} are protected and were removed" if touched else "none was touched"
        yield self.found("protected layers", not touched, reason)

    def explain(self, policy: Policy) -> Iterator[str]:
        named = ", ".join(map(str, policy.limits.protected_layers))
        yield (
            f"Layers {named} are never removed (-1 is the last)."
            if named
            else ("No layer is protected.")
        )
