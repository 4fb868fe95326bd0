"""A forecaster of data frames and arrays, with the manners of a scikit-learn estimator."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import api
from rnnkit.data.framing import Look, beneath, frame_of, look_of
from rnnkit.data.source import is_frame
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.modelfile import ModelMeta
from rnnkit.run import Run
from rnnkit.tasks import Forecast
from rnnkit.tasks.intervals import BANDS
from rnnkit.tasks.options import TrainOptions
from rnnkit.training import Finished

ROLES = ("time", "target", "id", "past", "future", "static")
"""Settings that ``fit`` takes, beside the data that they are of."""
DEFAULTS: dict[str, Any] = {"horizon": None, "cell": "gru", "season": "auto", "max_time": None, "seed": 0}
UNFITTED = "this Forecaster has learned nothing yet; call fit first, or load a run"
OTHER = ("data", "task", *ROLES)


class Forecaster:
    """Learns series from a data frame or from arrays, and forecasts them with bands.

    ``horizon``: steps to forecast, by default chosen from the data; ``cell``: gru, lstm, rnn, mingru or minlstm;
    ``season``: in steps, such as "24,168", by default found; ``max_time``: seconds to train for, by default as long as
    the chosen plan takes; ``options``: any other setting of ``rnnkit train`` with underscores. Nothing is checked
    before ``fit`` but names.

    After ``fit``: ``model_``, ``report_`` (what it scored on the part that nothing was chosen by, beside the
    baselines), ``verdict_`` in one sentence, ``notices_`` (what was found in the data, and chosen).

    >>> import pandas as pd
    >>> from rnnkit import Forecaster
    >>> days = pd.date_range("2024-01-01", periods=120, name="day")
    >>> sales = pd.DataFrame({"sales": 20.0 + 3.0 * days.day_of_week}, index=days)
    >>> forecaster = Forecaster(horizon=7, steps=10).fit(sales)
    >>> forecaster.predict()[["median", "lo80", "hi80"]].shape
    (7, 3)
    """

    def __init__(
        self,
        horizon: int | None = None,
        cell: str = "gru",
        season: str = "auto",
        max_time: float | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self._params: dict[str, Any] = {
            "horizon": horizon, "cell": cell, "season": season, "max_time": max_time, "seed": seed,
        }  # fmt: skip
        self._arrays = False
        self._look = Look()
        self._file: tuple[dict[str, np.ndarray], ModelMeta] | None = None
        self._model: Any = None
        self.notices_: list[str] = []
        self.set_params(**options)

    # -- settings -----------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, by name."""
        return dict(self._params)

    def set_params(self, **params: Any) -> Forecaster:
        """Change settings; ``UsageError`` with "did you mean" for an unknown one."""
        for name in params:
            if name in ROLES:
                raise UsageError(f"{name!r} says what a column is and belongs to fit: fit(data, {name}=...)")
            if name in OTHER:
                raise UsageError(f"{name!r} is no setting of a Forecaster, which forecasts what is given to fit")
            if name not in TrainOptions.__struct_fields__:
                api.make_options({name: None})
        self._params |= params
        return self

    def __repr__(self) -> str:
        given = {k: v for k, v in self._params.items() if k not in DEFAULTS or DEFAULTS[k] != v}
        return f"Forecaster({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    # -- learning -----------------------------------------------------------------------------------------

    def fit(
        self,
        data: Any,
        target: str | Sequence[str] | None = None,
        *,
        time: str | None = None,
        id: str | None = None,
        past: Sequence[str] | None = None,
        future: Sequence[str] | None = None,
        static: Sequence[str] | None = None,
    ) -> Forecaster:
        """Learn from ``data``; what its columns are is guessed where it is not said, and told in ``notices_``.

        ``data``: a data frame (pandas, or any that narwhals knows) with a row for each time, or each time and series;
        a mapping of names to arrays; one series as an array ``[n]``; or several as an array ``[series, n]`` or a list
        of arrays. ``target``: the columns to forecast; ``past``: inputs known up to now, ``future``: those known in
        advance; ``static``: those constant of each series.
        Raises ``UsageError`` (settings and columns), ``DataError`` (what is in the data) and ``DivergedError``.

        >>> import numpy as np
        >>> from rnnkit import Forecaster
        >>> waves = [np.sin(np.arange(n) / 3) for n in (150, 180)]
        >>> Forecaster(horizon=6, steps=10).fit(waves).predict()["median"].shape
        (2, 6)
        """
        self._arrays, source = _is_arrays(data), _source(data)
        self._file = self._model = None
        roles = {"time": time, "target": target, "id": id, "past": past, "future": future, "static": static}
        roles = {k: v if v is None or isinstance(v, str) else list(v) for k, v in roles.items()}
        if self._arrays:
            roles = _array_roles(roles, source)
        options = {k: v for k, v in {**self._params, **roles}.items() if v is not None}
        job = api.prepare(source, api.make_options({**options, "task": "forecast"}))
        with tempfile.TemporaryDirectory(prefix="rnnkit-") as folder:
            for event in api.train_events(job, Path(folder) / "run"):
                if isinstance(event, Finished):
                    self._file = event.run.load_model()
        if self._file is None:
            raise RnnkitError("training ended without a model")
        self.notices_ = list(job.notices)
        self._look = self._seen(source)
        return self

    # -- what was learned -----------------------------------------------------------------------------------

    @property
    def model_(self) -> Any:
        """The trained model."""
        if self._file is None:
            raise UsageError(UNFITTED)
        if self._model is None:
            backend, threads = (self._params.get(name) or "auto" for name in ("backend", "threads"))
            self._model = api.open_model(*self._file, backend=backend, threads=threads)
        return self._model

    @property
    def report_(self) -> dict[str, Any]:
        """Metrics and baselines on the part that nothing was chosen by."""
        report: dict[str, Any] = self.model_.meta.report
        return report

    @property
    def verdict_(self) -> str:
        """Whether it beats the best simple rule, in a sentence."""
        return str(self.report_.get("verdict", ""))

    # -- forecasting ------------------------------------------------------------------------------------------

    def predict(
        self,
        data: Any = None,
        future: Any = None,
        horizon: int | None = None,
        interval: Sequence[float] = BANDS,
    ) -> Any:
        """The steps after ``data``, or after what it was fitted on: median and bands.

        ``data``: other series, or the rows that came since, which go on from the end of what was fitted; ``future``:
        rows with the inputs known in advance (``template`` makes them); ``interval``: percent that each band holds.
        Returns a frame of the kind that was given, one row for each series and step, with the columns median, lo80,
        hi80 and so on; where arrays were given, a dictionary of them, ``[horizon]`` or ``[series, horizon]``.

        >>> import numpy as np
        >>> from rnnkit import Forecaster
        >>> wave = Forecaster(horizon=6, steps=10).fit(np.sin(np.arange(150) / 3))
        >>> sorted(wave.predict(horizon=2, interval=[50]))
        ['hi50', 'lo50', 'median']
        """
        arrays = self._arrays if data is None else _is_arrays(data)
        if future is not None and arrays:
            raise UsageError("arrays have no inputs known in advance; give data frames")
        first = future if data is None else data
        look = self._look if first is None else self._seen(first)
        source = self._source(data)
        if future is not None:
            source = future if data is None else beneath(source, future)
        found = self.model_.predict(source, horizon=horizon, interval=interval)
        columns = {name: [one[name] for one in found.columns] for name in found.columns[0]}
        if arrays:
            several = found.id_name if data is None else not _is_one(data)
            return {name: np.stack(rows) if several else rows[0] for name, rows in columns.items()}
        targets = {"target": found.targets} if len(set(found.targets)) > 1 else {}
        return self._frame(found, look, range(len(found.ids)), targets, columns)

    def template(self, data: Any = None, horizon: int | None = None) -> Any:
        """The rows after ``data``, or after what it was fitted on, to fill in and give to ``predict`` as ``future``.

        A frame with the columns of the inputs known in advance, all of them NaN.
        """
        if self._arrays if data is None else _is_arrays(data):
            raise UsageError("arrays have no inputs known in advance; give data frames")
        found = self.model_.predict(self._source(data), horizon=horizon)
        first = [i for i, target in enumerate(found.targets) if target == found.targets[0]]
        empty = {name: [np.full(len(found.times[i]), np.nan) for i in first] for name in self.model_.facts.future_names}
        return self._frame(found, self._look if data is None else self._seen(data), first, {}, empty)

    def evaluate(self, data: Any, *, folds: int | None = None, stride: int | None = None) -> dict[str, Any]:
        """A backtest from several origins over the end of ``data`` without fitting again, beside the baselines."""
        found: dict[str, Any] = self.model_.evaluate(self._source(data), folds=folds, stride=stride)
        return found

    def score(self, data: Any, y: Any = None) -> float:
        """Skill over ``data``: 1 - MASE over that of the best baseline; 1 is perfect, below 0 a simple rule is better.

        NaN where the series does not vary.
        """
        found = self.evaluate(data)
        best = min((b["mase"] for b in found["baselines"].values() if b.get("mase") is not None), default=None)
        mase = found["metrics"].get("mase")
        return float("nan") if mase is None or not best else 1.0 - mase / best

    # -- keeping ------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Keep it as a run's folder, which ``rnnkit predict`` and ``Forecaster.load`` read."""
        if self._file is None:
            raise UsageError(UNFITTED)
        arrays, meta = self._file
        run = Run.create(Path(path), {"task": meta.task, **meta.options}, (arrays, meta), None, replace=force)
        return run.path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Forecaster:
        """A run of ``rnnkit train`` or of ``save``; its settings are those that the training came to."""
        arrays, meta = api.read_model(Path(path))
        if meta.task != "forecast":
            raise UsageError(f"{path} is a run of the task {meta.task} and no forecaster; name another")
        params = {k: v for k, v in meta.options.items() if k not in OTHER and k in TrainOptions.__struct_fields__}
        made = cls(**params)
        made._file = (arrays, meta)
        _ = made.model_
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}

    # -- frames -------------------------------------------------------------------------------------------------

    def _source(self, data: Any) -> Any:
        """What the model reads of data, None of none."""
        return None if data is None else _source(data, named=self.model_.facts.id_name is not None)

    def _seen(self, data: Any) -> Look:
        """What frames are to look like that go with the data."""
        facts = self.model_.facts
        return look_of(data, facts.time_name, facts.id_name) if is_frame(data) and not _is_arrays(data) else Look()

    def _frame(
        self,
        found: Forecast,
        look: Look,
        series: Iterable[int],
        labels: dict[str, list[str]],
        columns: Mapping[str, Sequence[np.ndarray]],
    ) -> Any:
        """Columns of some series of a forecast as a frame, beside their names and times."""
        chosen = list(series)
        names = {found.id_name: [found.ids[i] for i in chosen]} if found.id_name else {}
        stamps, times = [found.stamps[i] for i in chosen], [found.times[i] for i in chosen]
        return frame_of(
            look, self.model_.freq, found.time_name, stamps, times, {**names, **labels}, columns, found.id_name
        )  # fmt: skip


def _is_arrays(data: Any) -> bool:
    """Whether data is one or several series as arrays or lists of numbers."""
    return isinstance(data, np.ndarray | list | tuple)


def _is_one(data: Any) -> bool:
    """Whether arrays are one series rather than several."""
    return (isinstance(data, np.ndarray) and data.ndim == 1) or all(np.ndim(part) == 0 for part in data)


def _source(data: Any, named: bool = False) -> Any:
    """What the readers take: arrays as columns y and, of several series or where they are ``named``, id."""
    if not _is_arrays(data):
        return data
    parts = [data] if _is_one(data) else list(data)
    if not parts or any(np.ndim(part) != 1 for part in parts):
        raise UsageError(
            "expected a series as an array [n], or several as [series, n] or as a list of arrays [n], found "
            f"{f'an array of {np.ndim(data)} dimensions' if isinstance(data, np.ndarray) else 'other things in a list'}"
        )
    try:
        values = [np.asarray(part, np.float64) for part in parts]
    except (TypeError, ValueError) as error:
        raise UsageError(f"expected arrays of numbers: {error}") from error
    columns: dict[str, Any] = {"y": np.concatenate(values)}
    if named or not _is_one(data):
        columns["id"] = np.repeat([str(i) for i in range(len(values))], [len(v) for v in values])
    return columns


def _array_roles(roles: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that arrays became; ``UsageError`` where some were named."""
    given = next((name for name, value in roles.items() if value is not None), None)
    if given is not None:
        raise UsageError(f"{given} names columns, and arrays have none; give a data frame or a mapping of arrays")
    return {"target": "y", "id": "id" if "id" in source else None, "past": []}
