/* Written by native/kinds.py from gomr_runtime.dataflow.pairs.keys.Kind. */
#ifndef GOMR_KINDS_H
#define GOMR_KINDS_H

enum {
    KIND_NONE = 1,
    KIND_BOOL = 2,
    KIND_NEGATIVE_BIG = 3,
    KIND_INT = 4,
    KIND_POSITIVE_BIG = 5,
    KIND_FLOAT = 6,
    KIND_STR = 7,
    KIND_BYTES = 8,
    KIND_TUPLE = 9,
    KIND_PACKED = 10,
};

#endif
