/* Nests: containers taken apart into leaves and put together again, by a structure known before.
 *
 * Both directions are loops over the tokens with a stack of their own, whatever the depth.
 */
#include "dispatch.h"

static void release(PyObject **objects, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_CLEAR(objects[i]);
    }
}

/* ---- apart --------------------------------------------------------------------------------- */

static Py_ssize_t size_of(const Token *token, PyObject *x) {
    switch (token->kind) {
    case TUPLE:
        return PyTuple_GET_SIZE(x);
    case LIST:
        return PyList_GET_SIZE(x);
    case DICT:
        return PyDict_GET_SIZE(x);
    default:
        return token->size;
    }
}

/* A child, owned; null, with an exception perhaps, where there is none. */
static PyObject *child_of(const Token *token, PyObject *x, Py_ssize_t i) {
    switch (token->kind) {
    case TUPLE:
        return Py_NewRef(PyTuple_GET_ITEM(x, i));
    case LIST: /* it may have shrunk since it was measured */
        return i < PyList_GET_SIZE(x) ? Py_NewRef(PyList_GET_ITEM(x, i)) : NULL;
    default:
        return PyObject_GetAttr(x, PyTuple_GET_ITEM(token->keys, i));
    }
}

/* Texts and integers only: comparing others may run code that changes the dict. */
static int is_same_key(PyObject *key, PyObject *expected) {
    if (key == expected) {
        return 1;
    }
    if (Py_TYPE(key) != Py_TYPE(expected) ||
        !(PyUnicode_CheckExact(key) || PyLong_CheckExact(key))) {
        return 0;
    }
    return PyObject_RichCompareBool(key, expected, Py_EQ) == 1;
}

/* The children of a dict whose keys stand in their order; pushed in that of the sorted keys. */
static Py_ssize_t push_items(const Token *token, PyObject *x, PyObject **stack,
                             Py_ssize_t height) {
    Py_ssize_t position = 0, i = 0;
    PyObject *key, *value;
    while (i < token->size && PyDict_Next(x, &position, &key, &value)) {
        Py_ssize_t k = PyLong_AsSsize_t(PyTuple_GET_ITEM(token->order, i++));
        if (!is_same_key(key, PyTuple_GET_ITEM(token->keys, k))) {
            return -1;
        }
        stack[height + token->size - 1 - k] = Py_NewRef(value);
    }
    return i == token->size ? height + i : -1;
}

/* Pushes the children, the first on top. Returns the new height; -1 for another structure. */
static Py_ssize_t push_children(const Token *token, PyObject *x, PyObject **stack,
                                Py_ssize_t height) {
    if (Py_TYPE(x) != token->type || size_of(token, x) != token->size) {
        return -1;
    }
    if (token->kind == DICT) {
        return push_items(token, x, stack, height);
    }
    for (Py_ssize_t i = token->size - 1; i >= 0; i--) {
        stack[height] = child_of(token, x, i);
        if (stack[height++] == NULL) {
            return -1;
        }
    }
    return height;
}

Outcome nest_flatten(const Nest *nest, PyObject *root, PyObject **leaves, PyObject **stack) {
    Py_ssize_t height = 1, found = 0;
    stack[0] = Py_NewRef(root);
    for (Py_ssize_t i = 0; i < nest->count; i++) {
        const Token *token = &nest->tokens[i];
        PyObject *x = stack[--height];
        stack[height] = NULL;
        if (token->kind == LEAF) {
            leaves[found++] = x;
            continue;
        }
        Py_ssize_t higher = push_children(token, x, stack, height);
        Py_DECREF(x);
        if (higher < 0) {
            PyErr_Clear();
            release(stack, nest->depth);
            release(leaves, found);
            return MISS;
        }
        height = higher;
    }
    return HIT;
}

/* ---- together ------------------------------------------------------------------------------ */

static PyObject *build_dict(const Token *token, PyObject **top) {
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict != NULL && i < token->size; i++) {
        Py_ssize_t k = PyLong_AsSsize_t(PyTuple_GET_ITEM(token->order, i));
        PyObject *child = top[-k];
        if (PyDict_SetItem(dict, PyTuple_GET_ITEM(token->keys, k), child) < 0) {
            Py_CLEAR(dict);
        }
    }
    release(top - token->size + 1, token->size);
    return dict;
}

/* Not through __init__: it may compute with the fields, or refuse what stands in for them. */
static PyObject *build_fields(const Token *token, PyObject **top) {
    PyObject *nothing = PyTuple_New(0);
    PyObject *made = nothing ? PyBaseObject_Type.tp_new(token->type, nothing, NULL) : NULL;
    Py_XDECREF(nothing);
    for (Py_ssize_t i = 0; made != NULL && i < token->size; i++) {
        if (PyObject_GenericSetAttr(made, PyTuple_GET_ITEM(token->keys, i), top[-i]) < 0) {
            Py_CLEAR(made);
        }
    }
    release(top - token->size + 1, token->size);
    return made;
}

static PyObject *build_list_or_tuple(const Token *token, PyObject **top) {
    PyObject *made = token->kind == LIST ? PyList_New(token->size) : PyTuple_New(token->size);
    if (made == NULL) {
        release(top - token->size + 1, token->size);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < token->size; i++) {
        if (token->kind == LIST) {
            PyList_SET_ITEM(made, i, top[-i]);
        } else {
            PyTuple_SET_ITEM(made, i, top[-i]);
        }
        top[-i] = NULL;
    }
    return made;
}

/* The container of the topmost entries, the first child on top; takes their references. */
static PyObject *build(const Token *token, PyObject **top) {
    switch (token->kind) {
    case NONE:
        return Py_NewRef(Py_None);
    case DICT:
        return build_dict(token, top);
    case FIELDS:
        return build_fields(token, top);
    default:
        break;
    }
    PyObject *made = build_list_or_tuple(token, top);
    if (made != NULL && token->kind == NAMED_TUPLE) {
        PyObject *named = PyObject_CallMethod((PyObject *)token->type, "_make", "(O)", made);
        Py_SETREF(made, named);
    }
    return made;
}

PyObject *nest_build(const Nest *nest, PyObject **leaves, PyObject **stack) {
    Py_ssize_t height = 0, left = nest->leaves;
    for (Py_ssize_t i = nest->count - 1; i >= 0; i--) {
        const Token *token = &nest->tokens[i];
        PyObject *x;
        if (token->kind == LEAF) {
            x = leaves[--left];
            leaves[left] = NULL;
        } else {
            x = build(token, stack + height - 1);
            height -= token->size;
        }
        if (x == NULL) {
            release(stack, height);
            release(leaves, left);
            return NULL;
        }
        stack[height++] = x;
    }
    return stack[0];
}

/* ---- structures ---------------------------------------------------------------------------- */

/* A container of a known size: a list, a tuple, or nothing. */
static int sized_init(Token *token, PyTypeObject *type, PyObject *size) {
    token->size = PyLong_AsSsize_t(size);
    token->kind = type == &PyTuple_Type ? TUPLE : type == &PyList_Type ? LIST : NONE;
    int is_known = token->kind != NONE || (type == Py_TYPE(Py_None) && token->size == 0);
    return token->size < 0 || !is_known ? -1 : 0;
}

/* Would object.__new__ make an instance? It refuses to where a class written in C has a way of its
 * own, as exceptions have. */
static int is_plain_class(PyTypeObject *type) {
    while (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        type = type->tp_base;
    }
    return type->tp_new == PyBaseObject_Type.tp_new;
}

static int are_names(PyObject *keys) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys); i++) {
        if (!PyUnicode_Check(PyTuple_GET_ITEM(keys, i))) {
            return 0;
        }
    }
    return 1;
}

/* A container with keys or names; one that is to be built is of a class that this file can make. */
static int keyed_init(Token *token, PyTypeObject *type, PyObject *keys, int is_built) {
    token->size = PyTuple_GET_SIZE(keys);
    token->keys = Py_NewRef(keys);
    if (PyType_IsSubtype(type, &PyDict_Type)) {
        token->kind = DICT;
        return is_built && type != &PyDict_Type ? -1 : 0;
    }
    token->kind = PyType_IsSubtype(type, &PyTuple_Type) ? NAMED_TUPLE : FIELDS;
    int is_known = token->kind == FIELDS ? !is_built || is_plain_class(type) : type != &PyTuple_Type;
    return is_known && are_names(keys) ? 0 : -1;
}

static int token_init(Token *token, PyObject *from, int is_built) {
    if (PyUnicode_Check(from)) { /* the mark of a leaf */
        token->kind = LEAF;
        return 0;
    }
    PyObject *type, *keys;
    if (!PyTuple_Check(from) || !PyArg_ParseTuple(from, "O!O", &PyType_Type, &type, &keys)) {
        PyErr_SetString(PyExc_TypeError, "a token is the mark of a leaf, or a class and its keys");
        return -1;
    }
    token->type = (PyTypeObject *)Py_NewRef(type);
    int failed = PyTuple_Check(keys) ? keyed_init(token, token->type, keys, is_built)
                 : PyLong_Check(keys) ? sized_init(token, token->type, keys)
                                      : -1;
    if (failed < 0) {
        PyErr_Format(PyExc_ValueError, "no container of class %s and these keys can be in a plan",
                     token->type->tp_name);
    }
    return failed;
}

/* How high the stack of a walk may be: first children on top apart, or put together. */
static Py_ssize_t depth_of(const Nest *nest) {
    Py_ssize_t height = 1, highest = 1;
    for (Py_ssize_t i = 0; i < nest->count; i++) {
        height += nest->tokens[i].size - 1;
        highest = height > highest ? height : highest;
    }
    height = 0;
    for (Py_ssize_t i = nest->count - 1; i >= 0; i--) {
        height += 1 - nest->tokens[i].size;
        highest = height > highest ? height : highest;
    }
    return highest;
}

/* Does each place of the structure have its token, and each container its children? */
static int is_whole(const Nest *nest) {
    Py_ssize_t pending = 1;
    for (Py_ssize_t i = 0; i < nest->count; i++) {
        if (pending == 0) {
            return 0;
        }
        pending += nest->tokens[i].size - 1;
    }
    return pending == 0;
}

/* Does a tuple hold each number below its size once? */
static int is_permutation(PyObject *order) {
    Py_ssize_t size = PyTuple_GET_SIZE(order);
    char *seen = PyMem_Calloc((size_t)size + 1, 1);
    int found = seen != NULL;
    for (Py_ssize_t i = 0; found && i < size; i++) {
        PyObject *item = PyTuple_GET_ITEM(order, i);
        Py_ssize_t position = PyLong_CheckExact(item) ? PyLong_AsSsize_t(item) : -1;
        found = position >= 0 && position < size && !seen[position];
        if (found) {
            seen[position] = 1;
        }
    }
    PyMem_Free(seen);
    PyErr_Clear();
    return found;
}

static int take_orders(Nest *nest, PyObject *orders) {
    Py_ssize_t next = 0;
    for (Py_ssize_t i = 0; i < nest->count; i++) {
        Token *token = &nest->tokens[i];
        if (token->kind != DICT) {
            continue;
        }
        PyObject *order = next < PyTuple_GET_SIZE(orders) ? PyTuple_GET_ITEM(orders, next) : NULL;
        if (order == NULL || !PyTuple_Check(order) || PyTuple_GET_SIZE(order) != token->size ||
            !is_permutation(order)) {
            PyErr_SetString(PyExc_ValueError, "each dict has an order of its keys");
            return -1;
        }
        token->order = Py_NewRef(order);
        next++;
    }
    if (next != PyTuple_GET_SIZE(orders)) {
        PyErr_SetString(PyExc_ValueError, "more orders of keys than dicts");
        return -1;
    }
    return 0;
}

int nest_init(Nest *nest, PyObject *structure, int is_built) {
    PyObject *tokens, *orders;
    if (!PyArg_ParseTuple(structure, "O!O!", &PyTuple_Type, &tokens, &PyTuple_Type, &orders)) {
        return -1;
    }
    nest->count = PyTuple_GET_SIZE(tokens);
    nest->tokens = PyMem_Calloc((size_t)nest->count + 1, sizeof(Token));
    if (nest->tokens == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < nest->count; i++) {
        if (token_init(&nest->tokens[i], PyTuple_GET_ITEM(tokens, i), is_built) < 0) {
            return -1;
        }
        nest->leaves += nest->tokens[i].kind == LEAF;
    }
    if (!is_whole(nest)) {
        PyErr_SetString(PyExc_ValueError, "the tokens are not those of one nest");
        return -1;
    }
    nest->depth = depth_of(nest);
    return take_orders(nest, orders);
}

void nest_clear(Nest *nest) {
    for (Py_ssize_t i = 0; nest->tokens != NULL && i < nest->count; i++) {
        Py_XDECREF(nest->tokens[i].type);
        Py_XDECREF(nest->tokens[i].keys);
        Py_XDECREF(nest->tokens[i].order);
    }
    PyMem_Free(nest->tokens);
    nest->tokens = NULL;
}

int nest_visit(Nest *nest, visitproc visit, void *arg) {
    for (Py_ssize_t i = 0; nest->tokens != NULL && i < nest->count; i++) {
        Py_VISIT(nest->tokens[i].type);
        Py_VISIT(nest->tokens[i].keys);
    }
    return 0;
}
