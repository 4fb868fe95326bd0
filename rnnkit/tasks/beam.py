"""The likeliest way to go on from a text, by beam search: the best few beginnings are kept, token after token."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from rnnkit._kernels.reference_generation import banned
from rnnkit.data.vocabulary import Decoder, Vocabulary
from rnnkit.errors import UsageError
from rnnkit.nn import Network
from rnnkit.nn.pace import CHUNK
from rnnkit.nn.stepper import Stepper
from rnnkit.tasks.ending import Ending


class _Line:
    """One continuation: its tokens, their log-probability, and the text that they make."""

    def __init__(self, decoder: Decoder, ending: Ending) -> None:
        self.decoder, self.ending = decoder, ending
        self.tokens: list[int] = []
        self.total, self.text = 0.0, ""

    def child(self, token: int, total: float) -> _Line:
        """This line and one more token."""
        line = copy.copy(self)
        line.decoder = copy.deepcopy(self.decoder, {id(self.decoder.vocabulary): self.decoder.vocabulary})
        line.ending = copy.copy(self.ending)
        line.tokens, line.total = [*self.tokens, token], total
        line.text += line.ending.push(line.decoder.push(token))
        return line

    def finish(self) -> _Line:
        """The line with what was kept back of its text."""
        self.text += self.ending.push(self.decoder.flush()) + self.ending.rest()
        return self


def likeliest(
    network: Network,
    vocabulary: Vocabulary,
    before: np.ndarray,
    ending: Ending,
    width: int,
    no_repeat: int | None = None,
) -> Iterator[str]:
    """The continuation of the tokens ``before`` with the highest log-probability per token that a beam of ``width``
    lines finds, in pieces as soon as all lines agree on them.

    All lines go on by one batched step a token. The search is over when ``width`` lines have met their end and
    one of them is better than all that have not, or at the length.
    """
    stepper = Stepper(network)
    logs, known = stepper.read(before), before.tolist() if no_repeat else []
    live, shown = [_Line(Decoder(vocabulary), ending)], 0
    done = [] if ending.tokens else live
    for count in range(1, ending.tokens + 1):
        totals = logs + np.array([[line.total] for line in live])
        for row, line in zip(totals, live, strict=True):
            out = banned(known + line.tokens, no_repeat or 0)
            if len(set(out)) < len(row):
                row[out] = -np.inf
        parents: list[int] = []
        kept: list[_Line] = []
        for at in _best(totals.ravel(), 2 * width).tolist():
            parent, token = divmod(at, totals.shape[1])
            line = live[parent].child(token, float(totals[parent, token]))
            if line.ending.ended or count == ending.tokens:
                done.append(line.finish())
            elif len(kept) < width:
                parents.append(parent)
                kept.append(line)
        live = kept
        if not live or (len(done) >= width and max(map(_mean, done)) >= max(map(_mean, live))):
            break
        if count % CHUNK == 0:
            settled = _shared([line.text for line in (*live, *done)])
            if len(settled) > shown:
                yield settled[shown:]
            shown = max(shown, len(settled))
        stepper.reorder(parents)
        logs = stepper.step([line.tokens[-1] for line in live])
    best = max(done, key=_mean)
    if len(best.text) > shown:
        yield best.text[shown:]


def check_width(width: int) -> None:
    """``UsageError`` for a beam of fewer than one line."""
    if width < 1:
        raise UsageError(f"--beam is a whole number of lines of at least 1, not {width}")


def _mean(line: _Line) -> float:
    """Log-probability per token: a long line is no worse for being long."""
    return line.total / max(1, len(line.tokens))


def _shared(texts: list[str]) -> str:
    """What all texts begin with."""
    low, high = min(texts), max(texts)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:same]


def _best(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the highest values, highest first, the lower place where equal; none that is -inf."""
    count = min(count, len(values))
    places = np.sort(np.argpartition(-values, count - 1)[:count])
    places = places[np.argsort(-values[places], kind="stable")]
    return places[values[places] > -np.inf]
