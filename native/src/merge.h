/* Runs that are merged, and the window of groups that they gather in. */
#ifndef GOMR_MERGE_H
#define GOMR_MERGE_H

#include "gomr_native.h"

typedef struct {
    Py_buffer keys, values; /* of the frame */
    int value_kind;
    uint32_t row, rows;
    const char *key, *value; /* of the row in hand */
    uint32_t key_size, value_size;
    uint64_t prefix; /* orders as the key does, as far as it goes */
} Run;

typedef struct {
    uint64_t prefix;
    size_t key; /* in the key arena */
    uint32_t key_size;
    uint32_t start; /* its first row */
} Group;

typedef struct {
    Value value;
    uint32_t kind;
} MergedValue;

typedef struct {
    PyObject_HEAD
    int key_kind;
    uint32_t run_count, heap_size;
    Run *runs;
    uint32_t *heap;
    int64_t waiting; /* the run whose next frame is needed, -1 for none */
    Group *groups;
    uint32_t group_count, group_room;
    MergedValue *rows;
    uint32_t row_count, row_room;
    Arena keys, values;
} Merge;

static inline uint32_t width_of(int kind)
{
    return kind == KIND_NONE ? 0 : kind == KIND_BOOL ? 1 : 8;
}

/* window.c: methods on the groups gathered so far. */
PyObject *merge_keys(PyObject *object, PyObject *argument);
PyObject *merge_lists(PyObject *object, PyObject *args);
PyObject *merge_columns(PyObject *object, PyObject *argument);
PyObject *merge_sums(PyObject *object, PyObject *argument);
PyObject *merge_text(PyObject *object, PyObject *args);
PyObject *merge_rows(PyObject *object, PyObject *argument);
PyObject *merge_drop(PyObject *object, PyObject *argument);

#endif
