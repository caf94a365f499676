import sys

from pyspark import SparkConf, SparkContext

conf = SparkConf().setMaster("local[2]").set("spark.ui.enabled", "false")
context = SparkContext(conf=conf)
pairs = context.textFile(sys.argv[1], 16).map(lambda line: (line[:10], line))
pairs.sortByKey(numPartitions=8).values().saveAsTextFile(f"{sys.argv[2]}/parts")
context.stop()
