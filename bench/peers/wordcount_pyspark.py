import sys

from pyspark import SparkConf, SparkContext

conf = SparkConf().setMaster("local[2]").set("spark.ui.enabled", "false")
context = SparkContext(conf=conf)
counts = (
    context.textFile(sys.argv[1], 8)
    .flatMap(str.split)
    .map(lambda word: (word, 1))
    .reduceByKey(lambda a, b: a + b, 2)
)
counts.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(f"{sys.argv[2]}/parts")
context.stop()
