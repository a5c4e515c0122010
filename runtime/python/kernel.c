/* Kernel: native code that takes and gives arrays. */
#include "dispatch.h"

int form_fits(const Form *form, PyArrayObject *array) {
    PyArray_Descr *descr = PyArray_DESCR(array);
    if (descr != form->descr &&
        (descr->type_num != form->descr->type_num || !PyArray_ISNBO(descr->byteorder))) {
        return 0;
    }
    const int readable = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;
    return PyArray_NDIM(array) == form->ndim &&
           (PyArray_FLAGS(array) & readable) == readable &&
           PyArray_CompareLists(PyArray_DIMS(array), form->dims, form->ndim);
}

int kernel_outputs(Kernel *kernel, PyObject **outputs, void **buffers) {
    for (Py_ssize_t i = 0; i < kernel->outputs; i++) {
        if (outputs[i] != NULL) {
            continue;
        }
        const Form *form = &kernel->forms[kernel->inputs + i];
        outputs[i] = array_new(form, &kernel->fresh_bytes);
        if (outputs[i] == NULL) {
            return -1;
        }
        kernel->arrays++;
        PyArrayObject *made = (PyArrayObject *)outputs[i];
        void **buffer = &buffers[kernel->places[i]];
        if (kernel->places[i] < kernel->inputs && PyArray_NBYTES(made) > 0) {
            memcpy(PyArray_DATA(made), *buffer, (size_t)PyArray_NBYTES(made));
        }
        *buffer = PyArray_DATA(made);
    }
    return 0;
}

static int take_arena(Kernel *kernel, void **arena) {
    *arena = NULL;
    if (kernel->workspace_bytes == 0) {
        return 0;
    }
    if (kernel->arena_count > 0) {
        *arena = kernel->arenas[--kernel->arena_count];
        return 0;
    }
    *arena = kernel->arena_new(kernel->workspace_bytes);
    if (*arena == NULL) {
        PyErr_Format(PyExc_MemoryError, "no memory for a workspace of %zu bytes",
                     kernel->workspace_bytes);
        return -1;
    }
    kernel->fresh_bytes += kernel->workspace_bytes;
    return 0;
}

static void give_arena(Kernel *kernel, void *arena) {
    if (arena == NULL) {
        return;
    }
    if (kernel->arena_count < KEPT_ARENAS) {
        kernel->arenas[kernel->arena_count++] = arena;
    } else {
        kernel->arena_free(arena, kernel->workspace_bytes);
    }
}

int kernel_call(Kernel *kernel, void **buffers, int32_t *status) {
    void *arena;
    if (take_arena(kernel, &arena) < 0) {
        return -1;
    }
    kernel->calls++;
    if (kernel->brief) {
        *status = kernel->call(kernel->entry, buffers, arena, kernel->pool);
    } else {
        Py_BEGIN_ALLOW_THREADS
        *status = kernel->call_watched(kernel->entry, buffers, arena, kernel->pool);
        Py_END_ALLOW_THREADS
    }
    give_arena(kernel, arena);
    return 0;
}

/* ---- from Python --------------------------------------------------------------------------- */

/* Notes where the elements of the inputs are, if native code can read all of them in place. */
static int read_inputs(Kernel *kernel, PyObject *arrays, void **buffers) {
    if (PyTuple_GET_SIZE(arrays) != kernel->inputs) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < kernel->inputs; i++) {
        PyObject *array = PyTuple_GET_ITEM(arrays, i);
        if (!PyArray_Check(array) || !form_fits(&kernel->forms[i], (PyArrayObject *)array)) {
            return 0;
        }
        buffers[i] = PyArray_DATA((PyArrayObject *)array);
    }
    return 1;
}

/* The outputs as a list, the status where it is not 0, or null with an exception. */
static PyObject *run_to_list(Kernel *kernel, void **buffers) {
    PyObject *outputs = PyList_New(kernel->outputs);
    int32_t status = 0;
    if (outputs == NULL) {
        return NULL;
    }
    PyObject **items = ((PyListObject *)outputs)->ob_item;
    if (kernel_outputs(kernel, items, buffers) < 0 || kernel_call(kernel, buffers, &status) < 0) {
        Py_DECREF(outputs);
        return NULL;
    }
    if (status != 0) {
        Py_DECREF(outputs);
        return PyLong_FromLong(status);
    }
    return outputs;
}

static PyObject *kernel_run(Kernel *kernel, PyObject *sequence) {
    if (!kernel->is_ready) {
        PyErr_SetString(PyExc_TypeError, "the Kernel was not made");
        return NULL;
    }
    PyObject *arrays = PySequence_Tuple(sequence); /* owns the arrays during the call */
    if (arrays == NULL) {
        return NULL;
    }
    size_t count = (size_t)(kernel->inputs + kernel->outputs);
    void **buffers = PyMem_Calloc(count + 1, sizeof *buffers);
    PyObject *result = NULL;
    if (buffers == NULL) {
        PyErr_NoMemory();
    } else if (read_inputs(kernel, arrays, buffers)) {
        result = run_to_list(kernel, buffers);
    } else {
        result = Py_NewRef(Py_None);
    }
    PyMem_Free(buffers);
    Py_DECREF(arrays);
    return result;
}

/* ---- making and ending --------------------------------------------------------------------- */

static int form_init(Form *form, PyObject *shape, PyObject *dtype) {
    PyArray_Dims dims = {NULL, 0};
    int is_read = PyArray_DescrCheck(dtype) && !PyDataType_REFCHK((PyArray_Descr *)dtype) &&
                  PyArray_IntpConverter(shape, &dims);
    for (int i = 0; is_read && i < dims.len; i++) {
        is_read = dims.ptr[i] >= 0;
    }
    if (!is_read) {
        PyDimMem_FREE(dims.ptr);
        PyErr_SetString(PyExc_TypeError, "a form is a pair (shape, dtype)");
        return -1;
    }
    form->descr = (PyArray_Descr *)Py_NewRef(dtype);
    form->ndim = dims.len;
    form->dims = PyMem_Malloc(sizeof(npy_intp) * (size_t)(dims.len + 1));
    if (form->dims != NULL && dims.len > 0) {
        memcpy(form->dims, dims.ptr, sizeof(npy_intp) * (size_t)dims.len);
    }
    PyDimMem_FREE(dims.ptr);
    if (form->dims == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int forms_init(Form *forms, PyObject *tuple) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *pair = PyTuple_GET_ITEM(tuple, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "a form is a pair (shape, dtype)");
            return -1;
        }
        if (form_init(&forms[i], PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Is an input the place of an output already? */
static int is_taken(const Kernel *kernel, Py_ssize_t input) {
    for (Py_ssize_t i = 0; i < kernel->outputs; i++) {
        if (kernel->places[i] == input) {
            return 1;
        }
    }
    return 0;
}

/* Where the outputs are: `in_place` holds (output, input) pairs, the others come in their order. */
static int places_init(Kernel *kernel, PyObject *in_place) {
    kernel->places = PyMem_Calloc((size_t)kernel->outputs + 1, sizeof *kernel->places);
    if (kernel->places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < kernel->outputs; i++) {
        kernel->places[i] = -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(in_place); i++) {
        PyObject *pair = PyTuple_GET_ITEM(in_place, i);
        Py_ssize_t output = -1, input = -1;
        if (PyTuple_Check(pair) && !PyArg_ParseTuple(pair, "nn", &output, &input)) {
            return -1;
        }
        if (output < 0 || output >= kernel->outputs || input < 0 || input >= kernel->inputs) {
            PyErr_SetString(PyExc_ValueError, "an output in place of no input");
            return -1;
        }
        const Form *to = &kernel->forms[input], *from = &kernel->forms[kernel->inputs + output];
        if (to->descr != from->descr || to->ndim != from->ndim ||
            !PyArray_CompareLists(to->dims, from->dims, to->ndim)) {
            PyErr_SetString(PyExc_ValueError, "an output in place of an input of another form");
            return -1;
        }
        if (kernel->places[output] >= 0 || is_taken(kernel, input)) {
            PyErr_SetString(PyExc_ValueError, "an output in place of two inputs, or two of one");
            return -1;
        }
        kernel->places[output] = input;
    }
    Py_ssize_t next = kernel->inputs;
    for (Py_ssize_t i = 0; i < kernel->outputs; i++) {
        if (kernel->places[i] < 0) {
            kernel->places[i] = next++;
        }
    }
    return 0;
}

/* The keywords of Kernel(…), in the order in which kernel_init parses them. */
static char *kernel_names[] = {"entry",           "call",   "call_watched", "arena_new",
                               "arena_free",      "pool",   "workspace_bytes",
                               "inputs",          "outputs", "keep",        "in_place",  NULL};

int kernel_tables(PyObject *tables) {
    return add_table(tables, "kernel", (const char *const *)kernel_names);
}

static int kernel_init(Kernel *kernel, PyObject *args, PyObject *kwargs) {
    unsigned long long entry, call, call_watched, arena_new, arena_free, pool;
    Py_ssize_t bytes;
    PyObject *inputs, *outputs, *keep, *in_place;
    if (kernel->forms != NULL) {
        PyErr_SetString(PyExc_TypeError, "a Kernel is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$KKKKKKnO!O!OO!", kernel_names, &entry, &call,
                                     &call_watched, &arena_new, &arena_free, &pool, &bytes,
                                     &PyTuple_Type, &inputs, &PyTuple_Type, &outputs, &keep,
                                     &PyTuple_Type, &in_place)) {
        return -1;
    }
    if (!entry || !call || !call_watched || !arena_new || !arena_free || bytes < 0) {
        PyErr_SetString(PyExc_ValueError, "a Kernel has addresses, and a workspace of some size");
        return -1;
    }
    kernel->entry = (nets_entry)(uintptr_t)entry;
    kernel->call = (int32_t(*)(nets_entry, void *const *, void *, nets_pool *))(uintptr_t)call;
    kernel->call_watched =
        (int32_t(*)(nets_entry, void *const *, void *, nets_pool *))(uintptr_t)call_watched;
    kernel->arena_new = (void *(*)(size_t))(uintptr_t)arena_new;
    kernel->arena_free = (void (*)(void *, size_t))(uintptr_t)arena_free;
    kernel->pool = (nets_pool *)(uintptr_t)pool;
    kernel->workspace_bytes = (size_t)bytes;
    kernel->inputs = PyTuple_GET_SIZE(inputs);
    kernel->outputs = PyTuple_GET_SIZE(outputs);
    kernel->keep = Py_NewRef(keep);
    size_t count = (size_t)(kernel->inputs + kernel->outputs);
    kernel->forms = PyMem_Calloc(count + 1, sizeof(Form));
    if (kernel->forms == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (forms_init(kernel->forms, inputs) < 0 ||
        forms_init(kernel->forms + kernel->inputs, outputs) < 0 ||
        places_init(kernel, in_place) < 0) {
        return -1;
    }
    kernel->is_ready = 1;
    return 0;
}

static void kernel_dealloc(Kernel *kernel) {
    while (kernel->arena_count > 0) {
        kernel->arena_free(kernel->arenas[--kernel->arena_count], kernel->workspace_bytes);
    }
    for (Py_ssize_t i = 0; kernel->forms != NULL && i < kernel->inputs + kernel->outputs; i++) {
        Py_XDECREF(kernel->forms[i].descr);
        PyMem_Free(kernel->forms[i].dims);
    }
    PyMem_Free(kernel->forms);
    PyMem_Free(kernel->places);
    Py_XDECREF(kernel->keep);
    Py_TYPE(kernel)->tp_free((PyObject *)kernel);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)kernel_run, METH_O,
     "run(arrays)\n\nThe outputs for these inputs in fresh arrays; the status of the call where a "
     "run-time check failed;\nNone where an input is no array that native code can read in place."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"brief", T_BOOL, offsetof(Kernel, brief), 0, "Is a call so short that it keeps the GIL?"},
    {"calls", T_PYSSIZET, offsetof(Kernel, calls), READONLY, "Calls of the code so far."},
    {"arrays", T_PYSSIZET, offsetof(Kernel, arrays), READONLY, "Arrays made for them."},
    {"fresh_bytes", T_PYSSIZET, offsetof(Kernel, fresh_bytes), READONLY,
     "Memory taken from the system for them: arrays and workspaces, unless used before."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject Kernel_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.Kernel",
    .tp_doc = "Kernel(*, entry, call, call_watched, arena_new, arena_free, pool, workspace_bytes, "
              "inputs, outputs, keep, in_place)\n\nNative code that takes and gives arrays.",
    .tp_basicsize = sizeof(Kernel),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)kernel_init,
    .tp_dealloc = (destructor)kernel_dealloc,
    .tp_methods = methods,
    .tp_members = members,
};
