"""Text drawn from a network, token after token.

Several texts are written one after the other by the kernels' own loop, which goes at the speed of the caches. Steps of
all of them at once (``nn.stepper``) were slower up to 8 texts of a network of 256 or 512 units, gained a third with 16
of 512 units, and would not give the same last bits as a text that is written alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnnkit.data.vocabulary import Decoder, Vocabulary
from rnnkit.nn import Network
from rnnkit.nn.generation import Writer
from rnnkit.nn.pace import CHUNK
from rnnkit.tasks.ending import Ending
from rnnkit.tasks.sampling import Sampler


class Pen:
    """Writes texts of one network by the rules of a sampler."""

    def __init__(self, network: Network, vocabulary: Vocabulary, sampler: Sampler) -> None:
        self.vocabulary, self.sampler = vocabulary, sampler
        self.writer = Writer(network, 0, sampler.rules)

    def write(self, before: np.ndarray, ending: Ending, text: int) -> Iterator[str]:
        """Text number ``text`` after the tokens ``before``, in pieces of whole characters as they are drawn.

        One text is read to its end before the next is begun.
        """
        writer, decoder = self.writer.another(len(before) + ending.tokens), Decoder(self.vocabulary)
        writer.feed(before)
        self.sampler.begin(text)
        for at in range(0, ending.tokens, CHUNK):
            if ending.ended:
                return
            ids = writer.write(self.sampler.uniforms(min(CHUNK, ending.tokens - at)))
            piece = ending.push(decoder.push(ids))
            if piece:
                yield piece
        rest = ending.push(decoder.flush()) + ending.rest()
        if rest:
            yield rest
