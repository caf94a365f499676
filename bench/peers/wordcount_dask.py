import sys

import dask
import dask.bag

if __name__ == "__main__":
    dask.config.set(scheduler="processes", num_workers=2)
    lines = dask.bag.read_text(sys.argv[1], blocksize=16 << 20)
    counts = lines.str.split().flatten().frequencies().compute()
    with open(f"{sys.argv[2]}/part", "w") as out:
        out.writelines([f"{word}\t{n}\n" for word, n in counts])
