"""The entry of the flow: `python -m flows.gomr`, and `flows.gomr.gomr` for deployments."""

if __name__ == "__main__":  # argv is parsed before prefect is imported
    import sys

    try:
        from flows.cli import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("gomr: interrupted\n")
        code = 130
    # An interrupt in code that a library compiles at run time makes Python end `-m` by the signal,
    # handled or not, unless it has compiled something since.
    exec("")  # noqa: S102
    sys.exit(code)

from flows.flow import gomr

__all__ = ["gomr"]
