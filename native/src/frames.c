/* Rows as columns of a frame (see gomr_runtime.dataflow.pairs.frames) and as Python objects. */
#include "gomr_native.h"

static inline size_t value_bytes(const Row *row, int kind)
{
    return has_cells(kind) ? 4 + (size_t)row->value.cell.size : 8;
}

static inline size_t key_bytes(const Row *row, int kind)
{
    return kind == KIND_INT ? 8 : 4 + (size_t)row->key.size;
}

static inline const Row *row_at(const Store *store, uint32_t place)
{
    return &store->rows[store->order[place].row];
}

/* Sizes of all cells, then the cells end to end. */
static void put_keys(const Store *store, int kind, uint32_t start, uint32_t rows, char *to)
{
    if (kind == KIND_INT) {
        for (uint32_t i = 0; i < rows; i++) {
            int64_t number = unflip_sign(store->arena.bytes + row_at(store, start + i)->key.at);
            memcpy(to + 8 * (size_t)i, &number, 8);
        }
        return;
    }
    char *cell = to + 4 * (size_t)rows;
    for (uint32_t i = 0; i < rows; i++) {
        Cell key = row_at(store, start + i)->key;
        memcpy(to + 4 * (size_t)i, &key.size, 4);
        memcpy(cell, store->arena.bytes + key.at, key.size);
        cell += key.size;
    }
}

static void put_values(const Store *store, int kind, uint32_t start, uint32_t rows, char *to)
{
    if (!has_cells(kind)) {
        for (uint32_t i = 0; i < rows; i++) {
            memcpy(to + 8 * (size_t)i, &row_at(store, start + i)->value, 8);
        }
        return;
    }
    char *cell = to + 4 * (size_t)rows;
    for (uint32_t i = 0; i < rows; i++) {
        Cell value = row_at(store, start + i)->value.cell;
        memcpy(to + 4 * (size_t)i, &value.size, 4);
        memcpy(cell, store->arena.bytes + value.at, value.size);
        cell += value.size;
    }
}

PyObject *frame_body(const Store *store, int key_kind, int value_kind, uint32_t start, uint32_t end,
                     uint32_t most_rows, size_t most_bytes)
{
    uint32_t rows = 0;
    size_t keys = 0, values = 0;
    while (start + rows < end && rows < most_rows) {
        const Row *row = row_at(store, start + rows);
        size_t more = key_bytes(row, key_kind) + value_bytes(row, value_kind);
        if (rows && keys + values + more > most_bytes) {
            break;
        }
        keys += key_bytes(row, key_kind);
        values += value_bytes(row, value_kind);
        rows++;
    }
    PyObject *body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(keys + values));
    if (!body) {
        return NULL;
    }
    char *to = PyBytes_AsString(body);
    put_keys(store, key_kind, start, rows, to);
    put_values(store, value_kind, start, rows, to + keys);
    return Py_BuildValue("InN", rows, (Py_ssize_t)keys, body);
}

static PyObject *cell_object(const char *bytes, size_t size, int kind)
{
    if (kind == KIND_STR) {
        return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)size, NULL);
    }
    return PyBytes_FromStringAndSize(bytes, (Py_ssize_t)size);
}

PyObject *key_object(const Store *store, int kind, uint32_t row)
{
    if (kind == KIND_INT) {
        return PyLong_FromLongLong(unflip_sign(key_of(store, row)));
    }
    return cell_object(key_of(store, row), store->rows[row].key.size, kind);
}

PyObject *value_object(const Store *store, int kind, uint32_t row)
{
    Value value = store->rows[row].value;
    if (kind == KIND_INT) {
        return PyLong_FromLongLong(value.i);
    }
    if (kind == KIND_FLOAT) {
        return PyFloat_FromDouble(value.d);
    }
    return cell_object(store->arena.bytes + value.cell.at, value.cell.size, kind);
}
