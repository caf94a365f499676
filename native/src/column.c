/* Columns of Arrow batches: opened, checked, and their rows taken as pairs or as lines. */
#include "column.h"
#include "pairs.h"

void close_column(Column *column)
{
    if (column->offsets.obj) {
        PyBuffer_Release(&column->offsets);
    }
    if (column->data.obj) {
        PyBuffer_Release(&column->data);
    }
}

/* Whether the buffers hold the rows, and offsets never lead backwards or out of the data. */
static int holds_rows(const Column *column, Py_ssize_t rows)
{
    Py_ssize_t end = column->offset + rows, width = column->width ? column->width : 8;
    const Py_buffer *sized = column->width ? &column->offsets : &column->data;
    if (column->offset < 0 || rows < 0 || (width != 4 && width != 8) ||
        sized->len / width < end + (column->width && rows ? 1 : 0)) {
        return 0;
    }
    int64_t before = 0;
    for (Py_ssize_t row = column->offset; column->width && rows && row <= end; row++) {
        const char *at = (const char *)column->offsets.buf + width * row;
        int64_t place;
        if (width == 4) {
            int32_t narrow;
            memcpy(&narrow, at, 4);
            place = narrow;
        } else {
            memcpy(&place, at, 8);
        }
        if (place < before || place > column->data.len) {
            return 0;
        }
        before = place;
    }
    return 1;
}

int open_column(Column *column, PyObject *given, Py_ssize_t rows)
{
    PyObject *offsets, *data;
    memset(column, 0, sizeof *column);
    if (!PyArg_ParseTuple(given, "iiOOn", &column->kind, &column->width, &offsets, &data,
                          &column->offset) ||
        PyObject_GetBuffer(offsets, &column->offsets, PyBUF_SIMPLE) < 0 ||
        PyObject_GetBuffer(data, &column->data, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    if (!holds_rows(column, rows)) {
        PyErr_SetString(PyExc_ValueError, "a column does not hold its rows");
        return -1;
    }
    return 0;
}

enum { AHEAD = 16 };

/* 1 with the row's key read, 0 where it has to go elsewhere. */
static inline int key_at(const Pairs *self, const Column *keys, Py_ssize_t row, Key *key)
{
    const char *cell = column_cell(keys, row, &key->size);
    if (keys->kind == KIND_FLOAT) {
        return 0;
    }
    key->kind = keys->kind;
    key->bytes = cell;
    key->padded = (const char *)keys->data.buf + keys->data.len - cell >= key->size + PADDING;
    if (keys->kind == KIND_INT) {
        int64_t number;
        memcpy(&number, cell, 8);
        uint64_t flipped = flip_sign(number);
        memcpy(key->number, &flipped, 8);
        key->bytes = key->number;
        key->padded = 0;
    }
    return takes_key(self, key);
}

/* Rows [start, end) for as long as they can be taken: the first that was not, -1 for an exception.
 * The places in the index are fetched some rows ahead. */
static Py_ssize_t take_rows(Pairs *self, const Column *keys, const Column *values, Py_ssize_t start,
                            Py_ssize_t end)
{
    Key some[AHEAD];
    uint64_t hashes[AHEAD] = {0};
    for (Py_ssize_t row = start; row < end;) {
        int count = 0;
        for (; count < AHEAD && row + count < end; count++) {
            Key *key = &some[count];
            if (!key_at(self, keys, row + count, key)) {
                break;
            }
            if (self->summing) {
                hashes[count] = hash_of(self, key);
                if (self->index) {
                    __builtin_prefetch(&self->index[hashes[count] & self->mask]);
                }
            }
        }
        for (int i = 0; i < count; i++, row++) {
            Py_ssize_t size;
            const char *cell = column_cell(values, row, &size);
            int taken = take_cell_of(self, &some[i], hashes[i], values->kind, cell, size);
            if (taken <= 0) {
                return taken < 0 ? -1 : row;
            }
            if (settle(self) < 0) {
                return -1;
            }
        }
        if (!count) {
            return row;
        }
    }
    return end;
}

/* columns(keys, values, start, end) -> the first row that was not taken */
PyObject *pairs_columns(PyObject *object, PyObject *args)
{
    Pairs *self = (Pairs *)object;
    PyObject *given_keys, *given_values;
    Py_ssize_t start, end, reached = -1;
    Column keys = {0}, values = {0};
    if (!PyArg_ParseTuple(args, "OOnn", &given_keys, &given_values, &start, &end)) {
        return NULL;
    }
    if (start < 0 || start > end) {
        PyErr_SetString(PyExc_ValueError, "expected a range of rows");
        return NULL;
    }
    if (self->closed) {
        return PyLong_FromSsize_t(start);
    }
    if (is_usable(self) && open_column(&keys, given_keys, end) == 0 &&
        open_column(&values, given_values, end) == 0) {
        reached = take_rows(self, &keys, &values, start, end);
    }
    close_column(&keys);
    close_column(&values);
    return reached < 0 ? NULL : PyLong_FromSsize_t(reached);
}
