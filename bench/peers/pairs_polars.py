import sys

import polars

totals = (
    polars.scan_csv(sys.argv[1], has_header=False, separator="\t", new_columns=["key", "value"])
    .group_by("key")
    .sum()
    .collect(engine="streaming")
)
totals.write_csv(f"{sys.argv[2]}/part", include_header=False, separator="\t")
