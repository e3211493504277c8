"""Encore re-runs published training systems and proves whether their numbers come out again."""
