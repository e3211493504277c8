"""The evaluators that come with the project: modules with `run_eval(config) -> float`, larger is better.

A module may also have `evaluate(config) -> {name: number}`, of which `encore.best_by` decides, else what the
module says as BEST_BY (a name, or a function of the config), else rank1; METRICS (names, or a function of the
config), so that a wrong encore.best_by is refused before a long run; and `check(config)`, which then refuses
pictures.
"""
