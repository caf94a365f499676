import sys

import polars

counts = (
    polars.scan_csv(
        sys.argv[1], has_header=False, separator="\x01", quote_char=None, new_columns=["line"]
    )
    .select(polars.col("line").str.split(" ").explode().alias("word"))
    .group_by("word")
    .len()
    .collect(engine="streaming")
)
counts.write_csv(f"{sys.argv[2]}/part", include_header=False, separator="\t")
