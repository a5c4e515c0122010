/* Dispatch, the base of traced functions, and the module. */
#define NETS_DISPATCH_IMPORTS_NUMPY
#include "dispatch.h"

static PyObject *call_name;

/* Tries the plans, the latest first. */
static Outcome try_plans(PyObject *self, PyObject *args, PyObject **result) {
    PyObject *plans = plans_of(self);
    if (plans == NULL || !PyList_CheckExact(plans)) {
        return MISS;
    }
    Outcome outcome = MISS;
    Py_INCREF(plans);
    /* Other threads may change the list meanwhile. */
    for (Py_ssize_t i = 0; outcome == MISS && i < PyList_GET_SIZE(plans); i++) {
        PyObject *plan = Py_NewRef(PyList_GET_ITEM(plans, i));
        if (Py_TYPE(plan) == &Plan_Type) {
            outcome = plan_run(plan, args, result);
        }
        Py_DECREF(plan);
    }
    Py_DECREF(plans);
    return outcome;
}

/* The result of a call; where it failed, the error without the frames of nets, for here it leaves
   nets, and a function in C adds no frame of its own. */
static PyObject *leaving(PyObject *result) {
    if (result != NULL) {
        return result;
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
        Py_DECREF(traceback);
    }
    PyObject *module = PyImport_ImportModule("nets.tracebacks");
    PyObject *done = module == NULL ? NULL : PyObject_CallMethod(module, "hide", "O", error);
    if (done == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(done);
    Py_XDECREF(module);
    PyErr_Restore(type, error, PyException_GetTraceback(error));
    return NULL;
}

/* self(*args, **kwargs) by a plan, or else as self.call(args, kwargs). */
static PyObject *dispatch_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    if ((kwargs == NULL || PyDict_GET_SIZE(kwargs) == 0) && outside_traces()) {
        PyObject *result = NULL;
        Outcome outcome = try_plans(self, args, &result);
        if (outcome != MISS) {
            return leaving(result);
        }
    }
    PyObject *named = kwargs != NULL ? Py_NewRef(kwargs) : PyDict_New();
    if (named == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_CallMethodObjArgs(self, call_name, args, named, NULL);
    Py_DECREF(named);
    return leaving(result);
}

static PyTypeObject Dispatch_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.Dispatch",
    .tp_doc = "The base of traced functions: a call goes by one of their plans, or to self.call.",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_call = dispatch_call,
};

/* Gives a NumPy array the class Watched, or the plain one back, as x.__class__ = … does for classes
 * written in Python. Both have one layout, which retype checks. */
static PyObject *retype(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *array;
    PyTypeObject *type;
    if (!PyArg_ParseTuple(args, "O!O!", &PyArray_Type, &array, &PyType_Type, &type)) {
        return NULL;
    }
    PyTypeObject *old = Py_TYPE(array);
    if (!PyType_IsSubtype(type, &PyArray_Type) || type->tp_basicsize != old->tp_basicsize ||
        type->tp_dictoffset != old->tp_dictoffset ||
        type->tp_weaklistoffset != old->tp_weaklistoffset ||
        PyType_IS_GC(type) != PyType_IS_GC(old)) {
        PyErr_SetString(PyExc_TypeError, "a class of another layout");
        return NULL;
    }
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        Py_INCREF(type);
    }
    Py_SET_TYPE(array, type);
    if (old->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        Py_DECREF(old);
    }
    Py_RETURN_NONE;
}

/* A subclass of ndarray to which nets.frontend.world.arrays adds methods. Made here because one
 * made by a class statement would be collected as garbage, and so have another layout. */
static PyObject *watched_new(void) {
    static PyType_Slot slots[] = {{0, NULL}};
    static PyType_Spec spec = {.name = "nets._dispatch.Watched",
                               .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                               .slots = slots};
    return PyType_FromSpecWithBases(&spec, (PyObject *)&PyArray_Type);
}

static PyObject *ieee_enter(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    return PyLong_FromUnsignedLongLong(nets_ieee_mode_enter());
}

static PyObject *ieee_leave(PyObject *Py_UNUSED(module), PyObject *mode) {
    unsigned long long before = PyLong_AsUnsignedLongLong(mode);
    if (before == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    nets_ieee_mode_leave(before);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"ieee_enter", ieee_enter, METH_NOARGS,
     "ieee_enter()\n\nLet the thread round to nearest and keep subnormals; its mode before."},
    {"ieee_leave", ieee_leave, METH_O,
     "ieee_leave(mode)\n\nGive the thread a mode back that ieee_enter gave."},
    {"configure", (PyCFunction)(void (*)(void))record_configure, METH_VARARGS | METH_KEYWORDS,
     "configure(*, value, value_slots, tensor, tensor_slots, total, function, elements, consumed, "
     "traces, modes)\n\n"
     "Tell the module the classes of tensors; see nets.frontend.calls.plans."},
    {"empty", empty, METH_VARARGS,
     "empty(shape, dtype)\n\nnumpy.empty, but that a large array begins at a cache line."},
    {"taken", plan_taken, METH_O,
     "taken(holder)\n\nA copy of the array that a call of this thread has taken from a value or its "
     "Total;\nNone where it is one of another thread; False where a fork has left that thread behind."},
    {"retype", retype, METH_VARARGS,
     "retype(array, class)\n\nGive a NumPy array another class of the same layout."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "nets._dispatch",
    .m_doc = "Repeated calls of traced functions, from Python to native code.",
    .m_size = -1,
    .m_methods = functions,
};

int add_table(PyObject *tables, const char *key, const char *const *names) {
    Py_ssize_t count = 0;
    while (names[count] != NULL) {
        count++;
    }
    PyObject *table = PyTuple_New(count);
    for (Py_ssize_t i = 0; table != NULL && i < count; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        if (name == NULL) {
            Py_CLEAR(table);
        } else {
            PyTuple_SET_ITEM(table, i, name);
        }
    }
    int failed = table == NULL || PyDict_SetItemString(tables, key, table) < 0;
    Py_XDECREF(table);
    return failed ? -1 : 0;
}

static PyObject *all_tables(void) {
    PyObject *tables = PyDict_New();
    if (tables != NULL && (sizes_tables(tables) < 0 || native_tables(tables) < 0 || guards_tables(tables) < 0 ||
                           record_tables(tables) < 0 || plan_tables(tables) < 0)) {
        Py_CLEAR(tables);
    }
    return tables;
}

PyMODINIT_FUNC PyInit__dispatch(void) {
#ifdef Py_GIL_DISABLED
    PyErr_SetString(PyExc_ImportError, "nets._dispatch relies on the GIL");
    return NULL;
#endif
    import_array();
    PyObject *module = PyModule_Create(&definition);
    call_name = PyUnicode_InternFromString("call");
    if (module == NULL || call_name == NULL ||
        PyModule_AddObject(module, "Watched", watched_new()) < 0 ||
        PyModule_AddObject(module, "TABLES", all_tables()) < 0 || PyType_Ready(&Backing_Type) < 0 ||
        PyModule_AddType(module, &NativeCode_Type) < 0 ||
        PyModule_AddType(module, &Guards_Type) < 0 ||
        PyModule_AddType(module, &Plan_Type) < 0 || PyModule_AddType(module, &Dispatch_Type) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
