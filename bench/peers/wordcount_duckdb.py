import sys

import duckdb

duckdb.sql("SET threads = 2")
duckdb.sql(
    f"""COPY (
      SELECT word, count(*) FROM (
        SELECT unnest(string_split(line, ' ')) AS word FROM read_csv(
          '{sys.argv[1]}', columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '',
          header = false, auto_detect = false))
      GROUP BY word) TO '{sys.argv[2]}/part' (FORMAT csv, DELIMITER '\t', HEADER false)"""
)
