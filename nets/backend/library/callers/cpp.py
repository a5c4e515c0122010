"""C++17: a class that owns the workspace and the state, with views of arrays of known lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.backend.library.c_header import C_TYPES
from nets.backend.library.c_names import c_names
from nets.backend.library.c_threads import THREADS_FILE
from nets.backend.library.callers.description import Buffer, Description, Function
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.names import STATE_METHODS, free_name, free_names
from nets.backend.library.callers.sizes import Words, spelled

_OWN: Final = (*STATE_METHODS, "library", "state", "state_", "workspace_", "parallel_for_")
_THREADS_INCLUDED: Final = f"""\
#include "{THREADS_FILE}"

#include <functional>
"""
_MACROS: Final = """
alloca assert assert_perror be16toh be32toh be64toh clrbit htobe16 htobe32 htobe64 htole16 htole32
htole64 howmany isalnum_l isalpha_l isascii isascii_l isblank_l isclr iscntrl_l isdigit_l isgraph_l
islower_l isprint_l ispunct_l isset isspace_l isupper_l isxdigit_l kill_dependency le16toh le32toh
le64toh major makedev minor offsetof powerof2 pthread_cleanup_pop pthread_cleanup_pop_restore_np
pthread_cleanup_push pthread_cleanup_push_defer_np roundup setbit setjmp sigmask sigsetjmp strdupa
strndupa timeradd timerclear timercmp timerisset timersub toascii toascii_l va_arg va_copy va_end
va_start
"""
"""Macros with arguments that a method cannot be called as; others ``c_names`` knows."""


def cpp(library: Description, files: Files) -> dict[str, str]:
    """The header ``NAME.hpp``."""
    return {f"{files.stem}.hpp": _header(library, files)}


def _header(library: Description, files: Files) -> str:
    name = library.name
    methods = free_names(
        c_names([f.name for f in library.functions], _OWN), (*_OWN, *_MACROS.split())
    )
    space = free_name(c_names([name])[0], ("std",))
    scope = f"::nets::{space}"
    pairs = list(zip(methods, library.functions, strict=True))
    results = "".join(_results(method, function) for method, function in pairs)
    return f"""\
/* {files.header} for C++17 and later. Made by nets {library.nets_version}.
 *
 * One thread at a time may use an object, which has memory of its own.
 * Arrays are taken from C arrays, std::array, std::vector, std::span and all else with data() and
 * size(); their lengths are looked at first, by the compiler where it knows them. What the library
 * refuses is thrown as error.
 */
#ifndef NETS_LIBRARY_{name}_HPP
#define NETS_LIBRARY_{name}_HPP

#include "{files.header}"
{_THREADS_INCLUDED if library.threads else ""}
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace nets {{
namespace {space} {{
{_SUPPORT.replace("LIBRARY", name).replace("::nets::SPACE", scope)}\
{_PARALLEL_FOR.replace("LIBRARY", name) if library.threads else ""}
/* What functions of several results return. */
namespace results {{
{results}}} // namespace results

class library {{
  public:
{_sharing(library, scope)}{_state_methods(library, scope)}{_print_method(library)}\
{"".join(_methods(library, scope, *pair) for pair in pairs)}
  private:
    {scope}::detail::memory workspace_;
{_SHARED.format(scope=scope) if library.threads else ""}{_state_members(library)}}};

}} // namespace {space}
}} // namespace nets

#endif
"""


_SUPPORT: Final = """
/* A status other than 0, in words. */
class error : public std::runtime_error {
  public:
    explicit error(std::int32_t status)
        : std::runtime_error(::LIBRARY_status_message(status)), status_(status) {}
    std::int32_t status() const noexcept { return status_; }

  private:
    std::int32_t status_;
};

/* Of arrays whose length is told by a dimension. */
constexpr std::size_t dynamic_extent = static_cast<std::size_t>(-1);

/* Elements that somebody else owns, N of them. */
template <class T, std::size_t N> class view {
    template <class C>
    using element = std::remove_pointer_t<decltype(std::data(std::declval<C &>()))>;
    template <class C>
    using fitting = std::enable_if_t<std::is_convertible_v<element<C> (*)[], T (*)[]>>;

  public:
    view(T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <class U, std::size_t M> view(U (&array)[M]) noexcept
        : size_(sizeof(array) / sizeof(T)) {
        using plain = std::remove_all_extents_t<U>;
        static_assert(std::is_convertible_v<plain (*)[], T (*)[]>, "an array of another type");
        static_assert(N == dynamic_extent || sizeof(array) == N * sizeof(T),
                      "an array of another length");
        data_ = reinterpret_cast<T *>(&array);
    }

    template <class U, std::size_t M, class = fitting<std::array<U, M>>>
    view(std::array<U, M> &array) noexcept : data_(array.data()), size_(M) {
        static_assert(N == dynamic_extent || M == N, "an array of another length");
    }

    template <class U, std::size_t M, class = fitting<const std::array<U, M>>>
    view(const std::array<U, M> &array) noexcept : data_(array.data()), size_(M) {
        static_assert(N == dynamic_extent || M == N, "an array of another length");
    }

    template <class C, class = fitting<C>>
    view(C &&container) : data_(std::data(container)), size_(std::size(container)) {}

    T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

  private:
    T *data_;
    std::size_t size_;
};

namespace detail {

inline void require(const char *name, std::size_t size, std::size_t expected) {
    if (size != expected)
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(size) +
                                    " elements, not " + std::to_string(expected));
}

inline void require_size(const char *name, std::int64_t size) {
    if (size < 0)
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(size));
}

/* Sizes, which stop at their limits. */
constexpr std::int64_t limit(long double exact) {
    return exact > 9.2e18L ? INT64_MAX : exact < -9.2e18L ? INT64_MIN : 0;
}
constexpr std::int64_t plus(std::int64_t a, std::int64_t b) {
    const std::int64_t most = limit(static_cast<long double>(a) + static_cast<long double>(b));
    return most != 0 ? most : a + b;
}
constexpr std::int64_t times(std::int64_t a, std::int64_t b) {
    const std::int64_t most = limit(static_cast<long double>(a) * static_cast<long double>(b));
    return most != 0 ? most : a * b;
}
constexpr std::int64_t quotient(std::int64_t a, std::int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
}
constexpr std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

inline void succeed(std::int32_t status) {
    if (status != 0) throw ::nets::SPACE::error(status);
}

/* Memory at a multiple of 64, which is not copied: each object has its own. */
class memory {
  public:
    memory() = default;
    memory(const memory &) noexcept {}
    memory &operator=(const memory &) noexcept { return *this; }
    memory(memory &&) noexcept = default;
    memory &operator=(memory &&) noexcept = default;
    ~memory() = default;

    void *of(std::size_t bytes) {
        if (bytes > bytes_) {
            data_.reset(static_cast<unsigned char *>(::operator new(bytes, std::align_val_t{64})));
            bytes_ = bytes;
        }
        return bytes == 0 ? nullptr : data_.get();
    }

  private:
    struct release {
        void operator()(unsigned char *data) const noexcept {
            ::operator delete(data, std::align_val_t{64});
        }
    };
    std::unique_ptr<unsigned char, release> data_;
    std::size_t bytes_ = 0;
};

} // namespace detail
"""


_PARALLEL_FOR: Final = """
/* Runs part(i) for each i from 0 to count - 1, once, on any threads, all of which have ended with
 * it when it returns. It must not throw. */
using parallel_for =
    std::function<void(std::int64_t count, const std::function<void(std::int64_t)> &part)>;

namespace detail {

inline void share(void *context, ::LIBRARY_parallel_part part, void *task,
                  std::int64_t count) noexcept {
    const parallel_for &run = *static_cast<const parallel_for *>(context);
    run(count, [part, task](std::int64_t i) { part(task, i); });
}

/* Threads of nets_threads.h, as long as somebody has them. */
inline parallel_for on_threads(int count) {
    if (count < 2) return nullptr;
    std::shared_ptr<nets_threads> threads(nets_threads_new(count), nets_threads_free);
    if (threads == nullptr) throw std::bad_alloc();
    return [threads](std::int64_t parts, const std::function<void(std::int64_t)> &part) {
        using function = std::function<void(std::int64_t)>;
        const auto run = [](void *task, std::int64_t i) {
            (*static_cast<const function *>(task))(i);
        };
        nets_threads_for(threads.get(), run, const_cast<function *>(&part), parts);
    };
}

} // namespace detail
"""

_SHARED: Final = "    {scope}::parallel_for parallel_for_;\n"


def _sharing(library: Description, scope: str) -> str:
    """The constructors for loops that threads share."""
    if not library.threads:
        return ""
    start = " : library() " if library.state else " "
    default = "" if library.state else "    library() = default;\n"
    return f"""{default}
    /* Let so many threads, the caller's among them, share the loops of functions; copies of the
     * object have the same threads. */
    explicit library(int threads){start}{{
        this->parallel_for_ = {scope}::detail::on_threads(threads);
    }}

    /* Let threads of your own share them. */
    explicit library({scope}::parallel_for run){start}{{ this->parallel_for_ = std::move(run); }}
"""


def _results(method: str, function: Function) -> str:
    if len(function.results) < 2:
        return ""
    members = "\n".join(f"    {_owned(a)} {a.name};" for a in function.results)
    return f"struct {method} {{\n{members}\n}};\n"


def _owned(buffer: Buffer) -> str:
    element = C_TYPES[buffer.dtype]
    return element if buffer.is_single else f"::std::vector<{element}>"


def _methods(library: Description, scope: str, method: str, function: Function) -> str:
    """The method that writes to memory of the caller, and the one that returns what it made."""
    inputs = [f"std::int64_t {dim}" for dim in function.dims]
    inputs += [_parameter(scope, a, "const ") for a in function.arguments]
    outputs = [_parameter(scope, a, "") for a in function.results]
    lines = _checks(scope, function, function.buffers)
    succeed = f"{scope}::detail::succeed"
    if function.twin:
        twin = ", ".join(_passed(function, function.twin[1]))
        lines += [
            "if (this->parallel_for_ != nullptr) {",
            f"    {succeed}(::{function.twin[0]}({twin}, "
            f"{scope}::detail::share, &this->parallel_for_));",
            "    return;",
            "}",
        ]
    own = ", ".join(_passed(function, function.workspace_symbol))
    lines += [f"{succeed}(::{function.symbol}({own}));"]
    body = "\n".join(f"        {line}" for line in lines)
    made = f"""
    /* {function.sentence} */
    void {method}({", ".join([*inputs, *outputs])}) {{
{body}
    }}
"""
    return made + (_returning(scope, method, function, inputs) if function.results else "")


def _returning(scope: str, method: str, function: Function, inputs: Sequence[str]) -> str:
    results = function.results
    local = free_name("result", [*function.dims, *(a.name for a in function.arguments)])
    if len(results) == 1:
        kind, places = _owned(results[0]), [local]
    else:
        kind, places = f"{scope}::results::{method}", [f"{local}.{a.name}" for a in results]
    # An array cannot have whatever size somebody tells.
    lines = _checks(scope, function, function.arguments) if function.dims else []
    lines += [f"{kind} {local}{{}};"]
    lines += [
        f"{place}.resize({_count(scope, function, a)});"
        for place, a in zip(places, results, strict=True)
        if not a.is_single
    ]
    given = ", ".join([*function.dims, *(a.name for a in function.arguments), *places])
    lines += [f"this->{method}({given});", f"return {local};"]
    body = "\n".join(f"        {line}" for line in lines)
    return f"""
    {kind} {method}({", ".join(inputs)}) {{
{body}
    }}
"""


def _parameter(scope: str, buffer: Buffer, qualifier: str) -> str:
    element = C_TYPES[buffer.dtype]
    if buffer.is_single:
        return f"{element} {'' if qualifier else '&'}{buffer.name}"
    return f"{scope}::view<{qualifier}{element}, {_extent(scope, buffer)}> {buffer.name}"


def _checks(scope: str, function: Function, buffers: Sequence[Buffer]) -> list[str]:
    dims = [
        f'{scope}::detail::require_size("{function.name}: {dim}", {dim});' for dim in function.dims
    ]
    return dims + [
        f'{scope}::detail::require("{function.name}: {a.name}", {a.name}.size(), '
        f"{_count(scope, function, a)});"
        for a in buffers
        if not a.is_single
    ]


def _count(scope: str, function: Function, buffer: Buffer) -> str:
    """The number of elements of a buffer, in C++."""
    if isinstance(buffer.count, int):
        return str(buffer.count)
    detail = f"{scope}::detail"
    words = Words(
        f"{detail}::plus({{}}, {{}})",
        f"{detail}::plus({{}}, -({{}}))",
        f"{detail}::times({{}}, {{}})",
        f"{detail}::quotient({{}}, {{}})",
        f"{detail}::least({{}}, {{}})",
    )
    names = {dim: dim for dim in function.dims}
    return f"static_cast<std::size_t>({spelled(buffer.count, words, names)})"


def _extent(scope: str, buffer: Buffer) -> str:
    is_known = isinstance(buffer.count, int)
    return str(buffer.count) if is_known else f"{scope}::dynamic_extent"


def _passed(function: Function, workspace_symbol: str) -> list[str]:
    state = ["this->state_.get()"] if function.uses_state else []
    buffers = [f"&{a.name}" if a.is_single else f"{a.name}.data()" for a in function.buffers]
    workspace = f"::{workspace_symbol}({', '.join(function.dims)})"
    return [*function.dims, *state, *buffers, f"this->workspace_.of({workspace})"]


def _state_methods(library: Description, scope: str) -> str:
    if not library.state:
        return ""
    name, has_threads = library.name, library.threads > 0
    shared = ", parallel_for_(other.parallel_for_)" * has_threads
    assigned = "\n        this->parallel_for_ = other.parallel_for_;" * has_threads
    return f"""\
    library() : state_(new ::{name}_state) {{ this->init_state(); }}
    library(const library &other)
        : workspace_(){shared}, state_(new ::{name}_state(*other.state_)) {{}}
    library &operator=(const library &other) {{
        *this->state_ = *other.state_;{assigned}
        return *this;
    }}
    library(library &&) noexcept = default;
    library &operator=(library &&) noexcept = default;
    ~library() = default;

    /* What the functions share; it may be written to between calls. */
    ::{name}_state &state() noexcept {{ return *this->state_; }}
    const ::{name}_state &state() const noexcept {{ return *this->state_; }}

    /* Back to the state at the time of the export. */
    void init_state() {{ {_checked(scope, f"::{name}_init_state(this->state_.get())")} }}

    std::vector<unsigned char> save_state() const {{
        std::vector<unsigned char> bytes(::{name}_state_bytes());
        {_checked(scope, f"::{name}_save_state(this->state_.get(), bytes.data())")}
        return bytes;
    }}

    void load_state(const std::vector<unsigned char> &bytes) {{
        {scope}::detail::require("a saved state", bytes.size(), ::{name}_state_bytes());
        {_checked(scope, f"::{name}_load_state(this->state_.get(), bytes.data())")}
    }}
"""


def _checked(scope: str, call: str) -> str:
    return f"{scope}::detail::succeed({call});"


def _print_method(library: Description) -> str:
    if not library.prints:
        return ""
    return f"""
    /* Let functions call `printer` where they print, of all objects; null for nothing. */
    static void set_print(::{library.name}_printer printer, void *user) {{
        ::{library.name}_set_print(printer, user);
    }}
"""


def _state_members(library: Description) -> str:
    return f"    std::unique_ptr<::{library.name}_state> state_;\n" if library.state else ""
