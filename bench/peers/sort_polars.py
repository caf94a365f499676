import sys

import polars

lines = polars.scan_csv(
    sys.argv[1], has_header=False, separator="\x01", quote_char=None, new_columns=["line"]
)
lines.sort("line").sink_csv(f"{sys.argv[2]}/part", include_header=False, quote_style="never")
