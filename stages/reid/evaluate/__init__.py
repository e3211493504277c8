"""The evaluators that come with the project: modules with `run_eval(config) -> float`, larger is better.

A module may also have `evaluate(config) -> {name: number}`, of which `encore.best_by` decides (by default
rank1, or what the module says as BEST_BY), and `check(config)`, which refuses pictures before a long run.
"""
