"""The inverted index that people write by hand: the words of each file, then one dict of lists."""

import multiprocessing
import os
import sys


def words(path: str) -> tuple[str, set[str]]:
    with open(path) as text:
        return os.path.basename(path), set(text.read().split())


if __name__ == "__main__":
    folder = sys.argv[1]
    paths = [f"{folder}/{name}" for name in sorted(os.listdir(folder))]
    index: dict[str, list[str]] = {}
    with multiprocessing.Pool(2) as pool:
        for name, found in pool.imap(words, paths, chunksize=50):
            for word in found:
                index.setdefault(word, []).append(name)
    with open(f"{sys.argv[2]}/part", "w") as out:
        for word in sorted(index):
            out.write(f"{word}\t{','.join(index[word])}\n")
