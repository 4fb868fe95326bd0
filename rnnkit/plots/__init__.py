"""Charts as PNG and SVG files; matplotlib is imported in this package only."""

from rnnkit.plots.backtests import backtest, evaluation
from rnnkit.plots.coverages import coverage
from rnnkit.plots.forecasts import forecast
from rnnkit.plots.losses import loss, losses
from rnnkit.plots.sheet import ready
from rnnkit.plots.speeds import speed

__all__ = ["backtest", "coverage", "evaluation", "forecast", "loss", "losses", "ready", "speed"]
