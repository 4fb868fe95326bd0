"""The thin NumPy API: layers with forward and backward, networks, losses, optimisers."""

from rnnkit.nn.decoder import Decode, Members, Share, Unfold
from rnnkit.nn.dense import Dense, Dropout, Embedding
from rnnkit.nn.gradcheck import gradcheck
from rnnkit.nn.layer import LAYERS, Layer, layer_from
from rnnkit.nn.network import Network
from rnnkit.nn.parameters import Parameters
from rnnkit.nn.recurrent import Recurrent
from rnnkit.nn.structure import At, Chain, Last, Mixture, Reshape, Sum, Take
from rnnkit.nn.tape import Tape

__all__ = [
    "LAYERS",
    "At",
    "Chain",
    "Decode",
    "Dense",
    "Dropout",
    "Embedding",
    "Last",
    "Layer",
    "Members",
    "Mixture",
    "Network",
    "Parameters",
    "Recurrent",
    "Reshape",
    "Share",
    "Sum",
    "Take",
    "Tape",
    "Unfold",
    "gradcheck",
    "layer_from",
]
