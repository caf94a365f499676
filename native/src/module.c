/* gomr_native: the compiled part of GoMR. What it does, gomr_runtime can do without it. */
#include "gomr_native.h"

#define VERSION 1 /* of what gomr_runtime calls; see gomr_runtime.compiled.py */

static int fill(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &pairs_spec, NULL);
    if (!type) {
        return -1;
    }
    int failed = PyModule_AddObjectRef(module, "Pairs", type);
    Py_DECREF(type);
    return failed < 0 ? -1 : PyModule_AddIntConstant(module, "VERSION", VERSION);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "gomr_native", .m_slots = slots};

PyMODINIT_FUNC PyInit_gomr_native(void)
{
    return PyModuleDef_Init(&definition);
}
