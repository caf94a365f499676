/* gomr_native: the compiled part of GoMR. What it does, gomr_runtime can do without it. */
#include "gomr_native.h"

#define VERSION 6 /* of what gomr_runtime calls; see gomr_runtime.system.compiled.py */

int call_with_one(PyObject *function, PyObject *thing)
{
    PyObject *things = PyTuple_Pack(1, thing);
    PyObject *done = things ? PyObject_CallFunctionObjArgs(function, things, NULL) : NULL;
    Py_XDECREF(things);
    Py_XDECREF(done);
    return done ? 1 : -1;
}

/* Whether Python has to look at it first: a str or dict, a mapping, or columns. */
static int is_odd(PyObject *given)
{
    if (PyList_Check(given) || PyTuple_Check(given) || PyIter_Check(given)) {
        return 0;
    }
    return PyUnicode_Check(given) || PyBytes_Check(given) || PyByteArray_Check(given) ||
           PyObject_HasAttrString(given, "keys") ||
           PyObject_HasAttrString(given, "__arrow_c_stream__");
}

PyObject *iterate(PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (count != 1 || names || is_odd(args[0])) {
        return NULL;
    }
    int iterable = PyIter_Check(args[0]) || PySequence_Check(args[0]) ||
                   PyObject_HasAttrString((PyObject *)Py_TYPE(args[0]), "__iter__");
    return iterable ? PyObject_GetIter(args[0]) : NULL;
}

PyObject *call_other(PyObject *other, PyObject *const *args, Py_ssize_t count,
                            PyObject *names)
{
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    PyObject *tuple = PyTuple_New(count), *by_name = named ? PyDict_New() : NULL, *answer = NULL;
    if (!tuple || (named && !by_name)) {
        goto end;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(tuple, i, args[i]);
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        if (PyDict_SetItem(by_name, PyTuple_GetItem(names, i), args[count + i]) < 0) {
            goto end;
        }
    }
    answer = PyObject_Call(other, tuple, by_name);
end:
    Py_XDECREF(tuple);
    Py_XDECREF(by_name);
    return answer;
}

static int add_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int failed = type ? PyModule_AddObjectRef(module, name, type) : -1;
    Py_XDECREF(type);
    return failed;
}

static int fill(PyObject *module)
{
    if (add_type(module, "Pairs", &pairs_spec) < 0 || add_type(module, "Merge", &merge_spec) < 0 ||
        add_type(module, "Lines", &lines_spec) < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "VERSION", VERSION);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "gomr_native", .m_slots = slots};

PyMODINIT_FUNC PyInit_gomr_native(void)
{
    return PyModuleDef_Init(&definition);
}
