"""The flow and its command line; they run from a checkout."""

import os
import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m flows.gomr`: the folder that it is started in comes first in the search path, and
    # a queue.py there would take the place of the standard library's in Prefect and in ourselves.
    # Nothing of a person's is imported by this process, so only the checkout is needed, at the end.
    del sys.path[0]
    _checkout = os.path.dirname(os.path.abspath(__path__[0]))
    if _checkout not in sys.path:
        sys.path.append(_checkout)
    # The same for a temporary server of Prefect. Workers do not hand it on to user code.
    os.environ.setdefault("PYTHONSAFEPATH", "flows")
