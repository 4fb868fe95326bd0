"""The errors rnnkit raises; the command line turns each into its exit code."""

from __future__ import annotations


class RnnkitError(Exception):
    """What was expected, what was found and where, what to do: one sentence."""

    exit_code = 1


class UsageError(RnnkitError):
    """An option, value, column or file name that does not exist or cannot be used."""

    exit_code = 2


class DataError(RnnkitError):
    """Something inside a data file cannot be used as it stands."""

    exit_code = 3


class ModelFileError(RnnkitError):
    """A model or checkpoint file is damaged, foreign or of a newer format."""

    exit_code = 4


class DivergedError(RnnkitError):
    """Training met non-finite losses again and again; the best model was kept."""

    exit_code = 5
