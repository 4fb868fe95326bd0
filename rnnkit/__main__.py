"""``python -m rnnkit`` and ``rnnkit``: the command line, quiet from its first import when Ctrl-C ends it."""

import sys


def main() -> None:
    """The entry point; imports come late, so that Ctrl-C during them ends with 130 and a sentence too."""
    try:
        from rnnkit.cli import main as run
    except KeyboardInterrupt:
        print("rnnkit: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
