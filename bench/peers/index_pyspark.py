import os
import sys

from pyspark import SparkConf, SparkContext


def words(file):
    name = os.path.basename(file[0])
    return [(word, name) for word in set(file[1].split())]


conf = SparkConf().setMaster("local[2]").set("spark.ui.enabled", "false")
context = SparkContext(conf=conf)
index = context.wholeTextFiles(sys.argv[1], 8).flatMap(words).groupByKey(8)
lines = index.map(lambda pair: f"{pair[0]}\t{','.join(sorted(pair[1]))}")
lines.saveAsTextFile(f"{sys.argv[2]}/parts")
context.stop()
