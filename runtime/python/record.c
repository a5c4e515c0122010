/* Tensors and their values, read and made by the places of their slots.
 *
 * Python hands over one instance of each class; a new one gets what that one has, but for its
 * array and its type, so that the classes may change without this file.
 */
#include "dispatch.h"

typedef enum { SHARED, ARRAY, TYPE, VALUE } Filling;

typedef struct {
    Py_ssize_t offset;
    Filling filling;
    PyObject *shared;
} Slot;

enum { MOST_SLOTS = 24 };

typedef struct {
    PyTypeObject *type;
    Slot slots[MOST_SLOTS];
    Py_ssize_t count;
} Record;

static Record value_record, tensor_record;
static PyTypeObject *total_type, *type_class, *function_type;
static PyObject *traces, *modes, *innermost, *records; /* two thread-local objects and names */
static PyObject *value_name; /* "_value", which views give by a property */
static PyObject *gone; /* the value of a tensor that has been given away */
static PyTypeObject *elements_type; /* of the arrays that tensors give for their elements */
static int is_configured;

/* The slots that are known here by name: of which class, where they are, and what a new instance
 * has there if not what all have. */
typedef enum { OF_VALUE, OF_TENSOR, OF_TOTAL, OF_FUNCTION, OWNERS } Owner;

static Py_ssize_t data_at, total_at, gradient_at, type_at, requires_grad_at, value_at, weak_at;
static Py_ssize_t plans_at, shape_at, dtype_at;

static const struct {
    Owner owner;
    const char *name;
    Filling filling;
    Py_ssize_t *offset;
} known[] = {
    {OF_VALUE, "data", ARRAY, &data_at},
    {OF_VALUE, "type", TYPE, &type_at},
    {OF_VALUE, "requires_grad", SHARED, &requires_grad_at},
    {OF_VALUE, "total", SHARED, &total_at},
    {OF_TENSOR, "_value", VALUE, &value_at},
    {OF_TENSOR, "_weak", SHARED, &weak_at},
    {OF_TOTAL, "array", SHARED, &gradient_at},
    {OF_FUNCTION, "_plans", SHARED, &plans_at},
};

enum { KNOWN = sizeof known / sizeof *known };

static PyObject **slot(PyObject *x, Py_ssize_t offset) {
    return (PyObject **)((char *)x + offset);
}

/* ---- reading ------------------------------------------------------------------------------- */

int outside_traces(void) {
    if (!is_configured) {
        return 0;
    }
    PyObject *scope = PyObject_GetAttr(traces, innermost);
    if (scope == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_DECREF(scope);
    return scope == Py_None;
}

int is_recording(void) {
    PyObject *found = PyObject_GetAttr(modes, records);
    if (found == NULL) {
        return -1;
    }
    Py_DECREF(found);
    return found != Py_False;
}

int is_tensor(PyObject *x) {
    return PyObject_TypeCheck(x, tensor_record.type);
}

int is_tensor_type(PyObject *x) {
    return Py_IS_TYPE(x, type_class);
}

int is_plain_array(PyObject *x) {
    return PyArray_CheckExact(x) || Py_IS_TYPE(x, elements_type);
}

int is_view(PyObject *tensor) {
    return *slot(tensor, value_at) == NULL;
}

/* The value of a tensor, owned; null without exception where there is none. */
static PyObject *present_value(PyObject *x) {
    PyObject *value = is_view(x) ? PyObject_GetAttr(x, value_name) : Py_NewRef(*slot(x, value_at));
    if (value == NULL) {
        PyErr_Clear();
    }
    return value;
}

PyObject *tensor_array(PyObject *x, int weak, int *requires_grad) {
    if (*slot(x, weak_at) != (weak ? Py_True : Py_False)) {
        return NULL;
    }
    PyObject *value = present_value(x), *array = NULL;
    if (value != NULL && Py_TYPE(value) == value_record.type) {
        *requires_grad |= *slot(value, requires_grad_at) != Py_False;
        array = Py_XNewRef(*slot(value, data_at));
    }
    Py_XDECREF(value);
    return array;
}

PyObject *tensor_value(PyObject *tensor) {
    PyObject *value = *slot(tensor, value_at);
    return value != NULL && Py_TYPE(value) == value_record.type ? value : NULL;
}

/* The slot of the array of a part. The gradient has a place of its own, which values share that a
 * tensor held one after the other; null where nobody has needed it yet. */
static PyObject **part_slot(PyObject *value, Part part) {
    if (part == ELEMENTS) {
        return slot(value, data_at);
    }
    PyObject *total = *slot(value, total_at);
    return total == NULL || Py_TYPE(total) != total_type ? NULL : slot(total, gradient_at);
}

PyObject *part_owner(PyObject *value, Part part) {
    return part == ELEMENTS ? value : *slot(value, total_at);
}

PyObject *part_get(PyObject *value, Part part) {
    PyObject **place = part_slot(value, part);
    return place == NULL ? Py_None : *place;
}

/* Gives a value the place of its gradient. */
static int make_total(PyObject *value) {
    PyObject *total = total_type->tp_alloc(total_type, 0);
    if (total == NULL) {
        return -1;
    }
    *slot(total, gradient_at) = Py_NewRef(Py_None);
    Py_XSETREF(*slot(value, total_at), total);
    return 0;
}

int part_put(PyObject *value, Part part, PyObject *array) {
    if (part_slot(value, part) == NULL && make_total(value) < 0) {
        Py_XDECREF(array);
        return -1;
    }
    Py_XSETREF(*part_slot(value, part), array);
    return 0;
}

PyObject *plans_of(PyObject *function) {
    return PyObject_TypeCheck(function, function_type) ? *slot(function, plans_at) : NULL;
}

/* ---- making -------------------------------------------------------------------------------- */

/* A new instance; `given` are the references, owned by the caller, that ARRAY, TYPE and VALUE
 * stand for. */
static PyObject *record_new(const Record *record, PyObject *const *given) {
    PyObject *made = record->type->tp_alloc(record->type, 0);
    if (made == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < record->count; i++) {
        const Slot *to = &record->slots[i];
        PyObject *x = to->filling == SHARED ? to->shared : given[to->filling];
        *slot(made, to->offset) = Py_NewRef(x);
    }
    return made;
}

PyObject *tensor_type_new(PyObject *like, PyObject *shape) {
    PyObject *type = type_class->tp_alloc(type_class, 0);
    if (type == NULL) {
        Py_DECREF(shape);
        return NULL;
    }
    *slot(type, shape_at) = shape;
    *slot(type, dtype_at) = Py_XNewRef(*slot(like, dtype_at));
    return type;
}

PyObject *tensor_new(PyObject *array, PyObject *type) {
    PyObject *given[] = {[ARRAY] = array, [TYPE] = type, [VALUE] = NULL};
    PyObject *value = record_new(&value_record, given);
    Py_DECREF(array);
    if (value == NULL) {
        return NULL;
    }
    given[VALUE] = value;
    PyObject *tensor = record_new(&tensor_record, given);
    Py_DECREF(value);
    return tensor;
}

int tensor_assign(PyObject *tensor, PyObject *array) {
    PyObject *old = tensor_value(tensor);
    if (old != NULL && Py_REFCNT(old) == 1) {
        return part_put(old, ELEMENTS, array);
    }
    if (old != NULL && part_slot(old, GRADIENT) == NULL &&
        *slot(old, requires_grad_at) == Py_True && make_total(old) < 0) {
        Py_DECREF(array);
        return -1;
    }
    PyObject *given[] = {[ARRAY] = array, [TYPE] = old ? *slot(old, type_at) : NULL, [VALUE] = NULL};
    PyObject *value = old ? record_new(&value_record, given) : NULL;
    Py_DECREF(array);
    if (value == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_RuntimeError, "a tensor was traced while a call updated it");
        }
        return -1;
    }
    Py_XSETREF(*slot(value, requires_grad_at), Py_XNewRef(*slot(old, requires_grad_at)));
    Py_XSETREF(*slot(value, total_at), Py_XNewRef(*slot(old, total_at)));
    Py_SETREF(*slot(tensor, value_at), value);
    return 0;
}

void tensor_consume(PyObject *tensor) {
    Py_XSETREF(*slot(tensor, value_at), Py_NewRef(gone));
}

/* ---- learning ------------------------------------------------------------------------------ */

/* Where instances keep the slot of that name; -1 with an exception. */
static Py_ssize_t offset_of(PyTypeObject *type, const char *name) {
    PyObject *found = PyObject_GetAttrString((PyObject *)type, name);
    Py_ssize_t offset = -1;
    if (found != NULL && Py_TYPE(found) == &PyMemberDescr_Type) {
        const PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
        offset = member->type == T_OBJECT_EX ? member->offset : -1;
    }
    Py_XDECREF(found);
    if (offset < 0 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
    }
    return offset;
}

static Filling filling_of(const char *name) {
    for (int i = 0; i < KNOWN; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return known[i].filling;
        }
    }
    return SHARED;
}

static int learn(Record *record, PyObject *instance, PyObject *names) {
    record->type = (PyTypeObject *)Py_NewRef(Py_TYPE(instance));
    if (PyTuple_GET_SIZE(names) > MOST_SLOTS) {
        PyErr_SetString(PyExc_TypeError, "more slots than expected");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
        Slot *to = &record->slots[i];
        to->offset = name == NULL ? -1 : offset_of(record->type, name);
        if (to->offset < 0) {
            return -1;
        }
        to->shared = Py_XNewRef(*slot(instance, to->offset));
        if (to->shared == NULL) {
            PyErr_Format(PyExc_TypeError, "slot %s is empty", name);
            return -1;
        }
        to->filling = filling_of(name);
    }
    record->count = PyTuple_GET_SIZE(names);
    return 0;
}

/* Finds the slots that are known by name in their classes. */
static int find_known(PyTypeObject *const *owners) {
    for (int i = 0; i < KNOWN; i++) {
        *known[i].offset = offset_of(owners[known[i].owner], known[i].name);
        if (*known[i].offset < 0) {
            return -1;
        }
    }
    return 0;
}

/* The object and the name of an attribute that each thread has of its own. */
static int find_local(PyObject *object, const char *name, PyObject **to, PyObject **name_to) {
    PyObject *found = PyObject_GetAttrString(object, name);
    if (found == NULL) {
        PyErr_Format(PyExc_TypeError, "no %s of this thread", name);
        return -1;
    }
    Py_DECREF(found);
    *to = Py_NewRef(object);
    *name_to = PyUnicode_InternFromString(name);
    return *name_to == NULL ? -1 : 0;
}

/* The keywords of configure(…), in the order in which they are parsed. */
static char *configure_names[] = {"value",    "value_slots", "tensor",   "tensor_slots",
                                  "total",    "function",    "elements", "consumed",
                                  "traces",   "modes",       NULL};

PyObject *record_configure(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs) {
    PyObject *value, *value_slots, *tensor, *tensor_slots, *total, *function, *elements;
    PyObject *consumed, *scopes, *recording;
    if (is_configured) {
        PyErr_SetString(PyExc_RuntimeError, "configured before");
        return NULL;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OO!OO!OO!O!OOO", configure_names, &value,
                                     &PyTuple_Type, &value_slots, &tensor, &PyTuple_Type,
                                     &tensor_slots, &total, &PyType_Type, &function, &PyType_Type,
                                     &elements, &consumed, &scopes, &recording)) {
        return NULL;
    }
    PyTypeObject *owners[OWNERS] = {
        [OF_VALUE] = Py_TYPE(value),
        [OF_TENSOR] = Py_TYPE(tensor),
        [OF_TOTAL] = Py_TYPE(total),
        [OF_FUNCTION] = (PyTypeObject *)function,
    };
    value_name = PyUnicode_InternFromString("_value");
    if (value_name == NULL || find_known(owners) < 0 ||
        learn(&value_record, value, value_slots) < 0 ||
        learn(&tensor_record, tensor, tensor_slots) < 0 ||
        find_local(scopes, "innermost", &traces, &innermost) < 0 ||
        find_local(recording, "records", &modes, &records) < 0) {
        return NULL;
    }
    if (*slot(value, type_at) == NULL) {
        PyErr_SetString(PyExc_TypeError, "a value has no type");
        return NULL;
    }
    type_class = (PyTypeObject *)Py_NewRef(Py_TYPE(*slot(value, type_at)));
    shape_at = offset_of(type_class, "shape");
    dtype_at = shape_at < 0 ? -1 : offset_of(type_class, "dtype");
    if (dtype_at < 0) {
        return NULL;
    }
    function_type = (PyTypeObject *)Py_NewRef(function);
    total_type = (PyTypeObject *)Py_NewRef(Py_TYPE(total));
    elements_type = (PyTypeObject *)Py_NewRef(elements);
    gone = Py_NewRef(consumed);
    is_configured = 1;
    Py_RETURN_NONE;
}

int record_tables(PyObject *tables) {
    static const char *const owner_names[] = {"value", "tensor", "total", "function"};
    for (int owner = 0; owner < OWNERS; owner++) {
        const char *names[KNOWN + 1] = {NULL};
        int count = 0;
        for (int i = 0; i < KNOWN; i++) {
            if (known[i].owner == (Owner)owner) {
                names[count++] = known[i].name;
            }
        }
        if (add_table(tables, owner_names[owner], names) < 0) {
            return -1;
        }
    }
    return add_table(tables, "configure", (const char *const *)configure_names);
}
