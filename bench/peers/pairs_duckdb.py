import sys

import duckdb

duckdb.sql("SET threads = 2")
duckdb.sql(
    f"""COPY (
      SELECT key, sum(value) FROM read_csv(
        '{sys.argv[1]}', columns = {{'key': 'VARCHAR', 'value': 'BIGINT'}}, delim = '\t',
        header = false, auto_detect = false)
      GROUP BY key) TO '{sys.argv[2]}/part' (FORMAT csv, DELIMITER '\t', HEADER false)"""
)
