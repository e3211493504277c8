"""The same as market_evaluate for names of MSMT17, always without the spectral transform (published)."""

from __future__ import annotations

from stages.reid.evaluate import market_evaluate

NAMING = "msmt"


def run_eval(config):
    """Rank-1 by the published protocol, in [0, 1]."""
    return evaluate(config)["rank1"]


def evaluate(config):
    """The metrics of `encore.systems.reid.market_evaluation`."""
    return market_evaluate.evaluate_named(config, NAMING, 0.0)


def check(config):
    """Refusal where the pictures are not there, or cannot be evaluated."""
    market_evaluate.check_pictures(config, NAMING)


def _metrics(config):
    return market_evaluate.names_of_metrics(config, NAMING, 0.0)


METRICS = _metrics
