/* NativeCode: native code that takes and gives arrays. */
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

int native_outputs(NativeCode *code, PyObject **outputs, void **buffers) {
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        if (outputs[i] != NULL) {
            continue;
        }
        const Form *form = &code->forms[code->inputs + i];
        outputs[i] = array_new(form, &code->fresh_bytes);
        if (outputs[i] == NULL) {
            return -1;
        }
        code->arrays++;
        PyArrayObject *made = (PyArrayObject *)outputs[i];
        void **buffer = &buffers[code->places[i]];
        if (code->places[i] < code->inputs && PyArray_NBYTES(made) > 0) {
            memcpy(PyArray_DATA(made), *buffer, (size_t)PyArray_NBYTES(made));
        }
        *buffer = PyArray_DATA(made);
    }
    return 0;
}

static int take_arena(NativeCode *code, void **arena) {
    *arena = NULL;
    if (code->workspace_bytes == 0) {
        return 0;
    }
    if (code->arena_count > 0) {
        *arena = code->arenas[--code->arena_count];
        return 0;
    }
    *arena = code->arena_new(code->workspace_bytes);
    if (*arena == NULL) {
        PyErr_Format(PyExc_MemoryError, "no memory for a workspace of %zu bytes",
                     code->workspace_bytes);
        return -1;
    }
    code->fresh_bytes += code->workspace_bytes;
    return 0;
}

static void give_arena(NativeCode *code, void *arena) {
    if (arena == NULL) {
        return;
    }
    if (code->arena_count < KEPT_ARENAS) {
        code->arenas[code->arena_count++] = arena;
    } else {
        code->arena_free(arena, code->workspace_bytes);
    }
}

int native_call(NativeCode *code, void **buffers, int32_t *status) {
    void *arena;
    if (take_arena(code, &arena) < 0) {
        return -1;
    }
    code->calls++;
    if (code->brief) {
        *status = code->call(code->entry, buffers, arena, code->pool);
    } else {
        Py_BEGIN_ALLOW_THREADS
        *status = code->call_watched(code->entry, buffers, arena, code->pool);
        Py_END_ALLOW_THREADS
    }
    give_arena(code, arena);
    return 0;
}

/* ---- from Python --------------------------------------------------------------------------- */

/* Notes where the elements of the inputs are, if native code can read all of them in place. */
static int read_inputs(NativeCode *code, PyObject *arrays, void **buffers) {
    if (PyTuple_GET_SIZE(arrays) != code->inputs) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < code->inputs; i++) {
        PyObject *array = PyTuple_GET_ITEM(arrays, i);
        if (!PyArray_Check(array) || !form_fits(&code->forms[i], (PyArrayObject *)array)) {
            return 0;
        }
        buffers[i] = PyArray_DATA((PyArrayObject *)array);
    }
    return 1;
}

/* The outputs as a list, the status where it is not 0, or null with an exception. */
static PyObject *run_to_list(NativeCode *code, void **buffers) {
    PyObject *outputs = PyList_New(code->outputs);
    int32_t status = 0;
    if (outputs == NULL) {
        return NULL;
    }
    PyObject **items = ((PyListObject *)outputs)->ob_item;
    if (native_outputs(code, items, buffers) < 0 || native_call(code, buffers, &status) < 0) {
        Py_DECREF(outputs);
        return NULL;
    }
    if (status != 0) {
        Py_DECREF(outputs);
        return PyLong_FromLong(status);
    }
    return outputs;
}

static PyObject *native_run(NativeCode *code, PyObject *sequence) {
    if (!code->is_ready) {
        PyErr_SetString(PyExc_TypeError, "the NativeCode was not made");
        return NULL;
    }
    PyObject *arrays = PySequence_Tuple(sequence); /* owns the arrays during the call */
    if (arrays == NULL) {
        return NULL;
    }
    size_t count = (size_t)(code->inputs + code->outputs);
    void **buffers = PyMem_Calloc(count + 1, sizeof *buffers);
    PyObject *result = NULL;
    if (buffers == NULL) {
        PyErr_NoMemory();
    } else if (read_inputs(code, arrays, buffers)) {
        result = run_to_list(code, buffers);
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
static int is_taken(const NativeCode *code, Py_ssize_t input) {
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        if (code->places[i] == input) {
            return 1;
        }
    }
    return 0;
}

/* Where the outputs are: `in_place` holds (output, input) pairs, the others come in their order. */
static int places_init(NativeCode *code, PyObject *in_place) {
    code->places = PyMem_Calloc((size_t)code->outputs + 1, sizeof *code->places);
    if (code->places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        code->places[i] = -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(in_place); i++) {
        PyObject *pair = PyTuple_GET_ITEM(in_place, i);
        Py_ssize_t output = -1, input = -1;
        if (PyTuple_Check(pair) && !PyArg_ParseTuple(pair, "nn", &output, &input)) {
            return -1;
        }
        if (output < 0 || output >= code->outputs || input < 0 || input >= code->inputs) {
            PyErr_SetString(PyExc_ValueError, "an output in place of no input");
            return -1;
        }
        const Form *to = &code->forms[input], *from = &code->forms[code->inputs + output];
        if (to->descr != from->descr || to->ndim != from->ndim ||
            !PyArray_CompareLists(to->dims, from->dims, to->ndim)) {
            PyErr_SetString(PyExc_ValueError, "an output in place of an input of another form");
            return -1;
        }
        if (code->places[output] >= 0 || is_taken(code, input)) {
            PyErr_SetString(PyExc_ValueError, "an output in place of two inputs, or two of one");
            return -1;
        }
        code->places[output] = input;
    }
    Py_ssize_t next = code->inputs;
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        if (code->places[i] < 0) {
            code->places[i] = next++;
        }
    }
    return 0;
}

/* The keywords of NativeCode(…), in the order in which native_init parses them. */
static char *native_names[] = {"entry",           "call",   "call_watched", "arena_new",
                               "arena_free",      "pool",   "workspace_bytes",
                               "inputs",          "outputs", "keep",        "in_place",  NULL};

int native_tables(PyObject *tables) {
    return add_table(tables, "native", (const char *const *)native_names);
}

static int native_init(NativeCode *code, PyObject *args, PyObject *kwargs) {
    unsigned long long entry, call, call_watched, arena_new, arena_free, pool;
    Py_ssize_t bytes;
    PyObject *inputs, *outputs, *keep, *in_place;
    if (code->forms != NULL) {
        PyErr_SetString(PyExc_TypeError, "NativeCode is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$KKKKKKnO!O!OO!", native_names, &entry, &call,
                                     &call_watched, &arena_new, &arena_free, &pool, &bytes,
                                     &PyTuple_Type, &inputs, &PyTuple_Type, &outputs, &keep,
                                     &PyTuple_Type, &in_place)) {
        return -1;
    }
    if (!entry || !call || !call_watched || !arena_new || !arena_free || bytes < 0) {
        PyErr_SetString(PyExc_ValueError, "NativeCode has addresses, and a workspace of some size");
        return -1;
    }
    code->entry = (nets_entry)(uintptr_t)entry;
    code->call = (int32_t(*)(nets_entry, void *const *, void *, nets_pool *))(uintptr_t)call;
    code->call_watched =
        (int32_t(*)(nets_entry, void *const *, void *, nets_pool *))(uintptr_t)call_watched;
    code->arena_new = (void *(*)(size_t))(uintptr_t)arena_new;
    code->arena_free = (void (*)(void *, size_t))(uintptr_t)arena_free;
    code->pool = (nets_pool *)(uintptr_t)pool;
    code->workspace_bytes = (size_t)bytes;
    code->inputs = PyTuple_GET_SIZE(inputs);
    code->outputs = PyTuple_GET_SIZE(outputs);
    code->keep = Py_NewRef(keep);
    size_t count = (size_t)(code->inputs + code->outputs);
    code->forms = PyMem_Calloc(count + 1, sizeof(Form));
    if (code->forms == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (forms_init(code->forms, inputs) < 0 ||
        forms_init(code->forms + code->inputs, outputs) < 0 ||
        places_init(code, in_place) < 0) {
        return -1;
    }
    code->is_ready = 1;
    return 0;
}

static void native_dealloc(NativeCode *code) {
    while (code->arena_count > 0) {
        code->arena_free(code->arenas[--code->arena_count], code->workspace_bytes);
    }
    for (Py_ssize_t i = 0; code->forms != NULL && i < code->inputs + code->outputs; i++) {
        Py_XDECREF(code->forms[i].descr);
        PyMem_Free(code->forms[i].dims);
    }
    PyMem_Free(code->forms);
    PyMem_Free(code->places);
    Py_XDECREF(code->keep);
    Py_TYPE(code)->tp_free((PyObject *)code);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)native_run, METH_O,
     "run(arrays)\n\nThe outputs for these inputs in fresh arrays; the status of the call where a "
     "run-time check failed;\nNone where an input is no array that native code can read in place."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"brief", T_BOOL, offsetof(NativeCode, brief), 0, "Is a call so short that it keeps the GIL?"},
    {"calls", T_PYSSIZET, offsetof(NativeCode, calls), READONLY, "Calls of the code so far."},
    {"arrays", T_PYSSIZET, offsetof(NativeCode, arrays), READONLY, "Arrays made for them."},
    {"fresh_bytes", T_PYSSIZET, offsetof(NativeCode, fresh_bytes), READONLY,
     "Memory taken from the system for them: arrays and workspaces, unless used before."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject NativeCode_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.NativeCode",
    .tp_doc = "NativeCode(*, entry, call, call_watched, arena_new, arena_free, pool, "
              "workspace_bytes, inputs, outputs, keep, in_place)\n\nNative code that takes and gives arrays.",
    .tp_basicsize = sizeof(NativeCode),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)native_init,
    .tp_dealloc = (destructor)native_dealloc,
    .tp_methods = methods,
    .tp_members = members,
};
