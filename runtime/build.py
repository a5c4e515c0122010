"""Builds the runtime as the extension module ``nets._runtime``, through cffi.

The declarations below are those of ``nets_runtime.h`` that Python needs.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

# Relative to the folder of setup.py, where the build runs.
HERE = Path("runtime")
SOURCES = (
    *("arena.c", "call.c", "code.c", "cpu.c", "interrupt.c"),
    *("mode.c", "pool.c", "relocate.c", "transfer.c"),
)

ffi = FFI()
ffi.cdef(
    """
    enum nets_status { NETS_OK, NETS_NO_MEMORY, NETS_INTERRUPTED, NETS_NO_TRANSFER, ... };
    const char *nets_status_message(int32_t status);

    typedef struct nets_pool { int32_t threads; ...; } nets_pool;
    nets_pool *nets_pool_new(int32_t threads);
    void nets_pool_free(nets_pool *pool);

    void *nets_arena_new(size_t bytes);
    void nets_arena_free(void *arena, size_t bytes);

    typedef struct nets_code nets_code;
    int32_t nets_code_load(const void *object, size_t bytes, nets_code **code);
    void nets_code_free(nets_code *code);
    void *nets_code_symbol(const nets_code *code, const char *name);

    typedef int32_t (*nets_entry)(void *const *buffers, void *workspace, nets_pool *pool);
    int32_t nets_call(nets_entry entry, void *const *buffers, void *workspace, nets_pool *pool);

    int32_t nets_call_watched(nets_entry entry, void *const *buffers, void *workspace,
                              nets_pool *pool);
    typedef int32_t (*nets_check)(void);
    void nets_set_check(nets_check check);
    extern "Python" int32_t nets_python_check(void);

    typedef struct nets_printed {
        int32_t dtype;
        int32_t rank;
        const int64_t *shape;
        const void *data;
    } nets_printed;
    typedef void (*nets_printer)(int32_t, const char *, int32_t, const nets_printed *);
    void nets_set_printer(nets_printer printer);
    extern "Python" void nets_python_printer(int32_t, const char *, int32_t, const nets_printed *);

    typedef struct nets_transfer {
        int32_t kind;
        int32_t peer;
        int64_t bytes;
        const void *send;
        void *receive;
    } nets_transfer;
    typedef struct nets_communicator {
        void *user;
        int32_t rank;
        int32_t size;
        int32_t (*begin)(void *, int32_t, const nets_transfer *);
        int32_t (*finish)(void *, int32_t);
    } nets_communicator;
    const nets_communicator *nets_solo(void);
    int32_t nets_transfer_begin(void *, int32_t, const nets_transfer *);
    int32_t nets_transfer_finish(void *, int32_t);
    typedef int32_t (*nets_carrier_begin)(void *, int32_t, const nets_transfer *);
    typedef int32_t (*nets_carrier_finish)(void *, int32_t);
    void nets_set_carrier(nets_carrier_begin begin, nets_carrier_finish finish);
    extern "Python" int32_t nets_python_begin(void *, int32_t, const nets_transfer *);
    extern "Python" int32_t nets_python_finish(void *, int32_t);

    void nets_cpu_identity(char *text, size_t size);
    int32_t nets_cpu_level(void);
    """
)
ffi.set_source(
    "nets._runtime",
    '#include "nets_runtime.h"',
    sources=[str(HERE / name) for name in SOURCES],
    include_dirs=[str(HERE)],
    depends=[str(HERE / name) for name in ("nets_runtime.h", "interrupt.h", "relocate.h")],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    libraries=["pthread"],
)

if __name__ == "__main__":
    ffi.compile(verbose=True)
