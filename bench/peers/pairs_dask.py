import sys

import dask
import dask.bag


def add(total, line):
    return total + int(line.split("\t")[1])


def key_of(line):
    return line.split("\t")[0]


if __name__ == "__main__":
    dask.config.set(scheduler="processes", num_workers=2)
    lines = dask.bag.read_text(sys.argv[1], blocksize=16 << 20).map(str.strip)
    totals = lines.foldby(key_of, add, 0, lambda a, b: a + b, 0).compute()
    with open(f"{sys.argv[2]}/part", "w") as out:
        out.writelines([f"{key}\t{value}\n" for key, value in totals])
