/* A column of an Arrow batch as it is handed to us: its cells by row. */
#ifndef GOMR_COLUMN_H
#define GOMR_COLUMN_H

#include "gomr_native.h"

typedef struct {
    int kind, width; /* bytes of an offset, 0 where `data` has 8 bytes a row */
    Py_buffer offsets, data;
    Py_ssize_t offset; /* row 0 is this one of the buffers */
} Column;

/* From a tuple (kind, width, offsets, data, offset): 0, or -1 with an exception. `rows` are in it,
 * which is checked. */
int open_column(Column *column, PyObject *given, Py_ssize_t rows);
void close_column(Column *column);

static inline const char *column_cell(const Column *column, Py_ssize_t row, Py_ssize_t *size)
{
    const char *data = column->data.buf, *offsets = column->offsets.buf;
    row += column->offset;
    if (column->width == 0) {
        *size = 8;
        return data + 8 * row;
    }
    if (column->width == 4) {
        int32_t ends[2];
        memcpy(ends, offsets + 4 * row, 8);
        *size = ends[1] - ends[0];
        return data + ends[0];
    }
    int64_t ends[2];
    memcpy(ends, offsets + 8 * row, 16);
    *size = (Py_ssize_t)(ends[1] - ends[0]);
    return data + ends[0];
}

#endif
