import sys

from pyspark import SparkConf, SparkContext


def pair(line):
    key, value = line.split("\t")
    return key, int(value)


conf = SparkConf().setMaster("local[2]").set("spark.ui.enabled", "false")
context = SparkContext(conf=conf)
totals = context.textFile(sys.argv[1], 8).map(pair).reduceByKey(lambda a, b: a + b, 8)
totals.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(f"{sys.argv[2]}/parts")
context.stop()
