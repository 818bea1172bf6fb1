"""The command `ctm`; also `python -m ctm`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; the exit code."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as missing:
        print(f"ctm: the command needs {missing.name}: pip install 'ctm[cli]'", file=sys.stderr)
        return 1
    from ctm import _cli

    return _cli.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
