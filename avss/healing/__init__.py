"""What a cut left is mended: ridge regressions folded into weights, or distillation."""
