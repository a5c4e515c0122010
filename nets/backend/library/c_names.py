"""Names in C: which ones a library may use, and what becomes of those it may not.

The rule is that of docs/export.md. Names of functions are chosen by the caller of ``export``: they
stay as they are, or are refused (``refusal``). All other names come from Python: those of the
library, of arguments, of results and of members of the state. Where C does not allow one, nets
changes it (``c_names``, ``library_name``); who writes C against the library reads the names in its
header first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from nets.ops.loop.failures import FAILURES

_KEYWORDS: Final = """
alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool
break case catch char char16_t char32_t char8_t class co_await co_return co_yield compl concept
const const_cast consteval constexpr constinit continue contract_assert decltype default delete do
double dynamic_cast else enum explicit export extern false float for fortran friend goto if inline
int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
public reflexpr register reinterpret_cast requires restrict return short signed sizeof static
static_assert static_cast struct switch synchronized template this thread_local throw true try
typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t
while xor xor_eq
"""
"""Of C up to C23 and of C++ up to C++26."""

_MACROS: Final = """
I basename complex errno h_addr h_errno imaginary linux math_errhandling msg_cbytes noreturn
s6_addr s6_addr16 s6_addr32 sched_priority st_atime st_ctime st_mtime stderr stdin stdout unix
d_fileno si_addr si_addr_lsb si_arch si_band si_call_addr si_fd si_int si_lower si_overrun si_pid
si_pkey si_ptr si_status si_stime si_syscall si_timerid si_uid si_upper si_utime si_value
sa_handler sa_sigaction sigev_notify_attributes sigev_notify_function ifa_broadaddr ifa_dstaddr
ifc_buf ifc_req ifr_addr ifr_bandwidth ifr_broadaddr ifr_data ifr_dstaddr ifr_flags ifr_hwaddr
ifr_ifindex ifr_map ifr_metric ifr_mtu ifr_name ifr_netmask ifr_newname ifr_qlen ifr_slave
P_tmpdir L_ctermid L_cuserid L_tmpnam AF_DECnet PF_DECnet
arm hpux i386 m68k mips powerpc sgi sparc sun vax
cdecl far huge hyper interface near pascal small emit foreach forever nil signals slots
Always Bool False None Status Success True
B0 B50 B75 B110 B134 B150 B200 B300 B600
"""
"""What the headers of C and POSIX, compilers, and toolkits that are much used define and is not in
capitals alone; of the letter with a number that may be, what <termios.h> defines."""

_TYPES: Final = """
int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t size_t
"""
"""What the header itself uses."""

_PARAMETERS: Final = "state workspace"

_TAKEN: Final = frozenset(f"{_KEYWORDS}{_MACROS}{_TYPES}{_PARAMETERS}".split())

_MACRO_LIKE: Final = re.compile(
    r"(?![A-Z][0-9]{0,3}(_[0-9]+)*\Z)[A-Z][A-Z0-9_]*[A-Z0-9]"  # in capitals, but for X, W1, W1_2
    r"|(PRI|SCN)[dioux]\w*[A-Z0-9]|M_[A-Z0-9_]+(f|l|f32x?|f64x?|f128)"
)

_RESERVED: Final = re.compile(r"__|_[A-Z]")
"""How names begin that are the compiler's own."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def c_names(names: Iterable[str], taken: Collection[str] = ()) -> list[str]:
    """The names as parameters or members in C: unique identifiers that C, C++ and their headers
    leave free, and none of ``taken``. Names that are so already are kept."""
    found: dict[str, None] = {}
    for name in names:
        word = _free(re.sub(r"\W", "_", name, flags=re.ASCII))
        word += "_" if word in taken else ""
        unique, count = word, 1
        while unique in found or unique in taken:
            count += 1
            unique = _free(f"{word.rstrip('_')}_{count}")
        found[unique] = None
    return list(found)


def _free(word: str) -> str:
    if _RESERVED.match(word):
        word = word.lstrip("_")
    if not word or word[0].isdigit():
        word = f"_{word}"
    return f"{word}_" if word in _TAKEN or _MACRO_LIKE.fullmatch(word) else word


def library_name(text: str) -> str:
    """The name of the library in a file of that name, before which stands ``_`` or ``lib`` where it
    could not begin a name."""
    word = re.sub(r"\W", "_", text, flags=re.ASCII)
    if _RESERVED.match(word) or word == "_":
        return f"lib{word}"
    return f"_{word}" if word[0].isdigit() else word


# ----------------------------------------------------------------------------- functions

_OWN_FUNCTIONS: Final = (
    *("abi_version", "describe", "status_message", "set_print"),
    *("state_bytes", "init_state", "save_state", "load_state"),
)
_OWN_TYPES: Final = ("state", "dtype", "printed", "printer")
_PARALLEL_TYPES: Final = ("parallel_for", "parallel_part")
_PARALLEL_PARAMETERS: Final = ("parallel_for", "parallel_context")
"""What libraries for threads have more."""
_RANK_TYPES: Final = ("communicator", "transfer")
_RANK_PARAMETER: Final = "communicator"
"""What libraries have more that talk to other ranks."""
_OWN_MACROS: Final = (
    *("ABI_VERSION", "STATE_BYTES", "BOOL", "F32", "F64"),
    *("I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"),
    *(failure.word for failure in FAILURES.values()),
)

PYTHON_NAMES: Final = ("cpu_level", "description", "functions", "path", "state")
"""What a library has in Python beside its functions."""

_LIBC_FAMILIES: Final = ("atomic_", "memory_order_", "posix_", "pthread_")
_LIBC: Final = {
    "": """
        aligned_alloc at_quick_exit call_once explicit_bzero free_aligned_sized free_sized
        getopt_long getopt_long_only kill_dependency nl_langinfo on_exit open_memstream
        open_wmemstream quick_exit secure_getenv sig_atomic_t timespec_get timespec_getres
        malloc_trim malloc_usable_size memfd_create jmp_buf once_flag va_arg va_copy va_end va_list
        va_start fopen_s freopen_s tmpfile_s tmpnam_s gets_s bsearch_s qsort_s getenv_s nets_print
    """,
    "aio_": "cancel error fsync read return suspend write",
    "clock_": "adjtime getcpuclockid getres gettime nanosleep settime",
    "cnd_": "broadcast destroy init signal t timedwait wait",
    "dl_": "iterate_phdr",
    "iconv_": "close open t",
    "if_": "freenameindex indextoname nameindex nametoindex",
    "inet_": "addr aton lnaof makeaddr netof network ntoa ntop pton",
    "mq_": "close getattr notify open receive send setattr timedreceive timedsend unlink",
    "mtx_": "destroy init lock plain recursive t timed timedlock trylock unlock",
    "sched_": "getaffinity getcpu getparam getscheduler rr_get_interval setaffinity yield",
    "sem_": "clockwait close destroy getvalue init open post t timedwait trywait unlink wait",
    "shm_": "open unlink",
    "thrd_": "busy create current detach equal error exit join nomem sleep start_t success t "
    "timedout yield",
    "timer_": "create delete getoverrun gettime settime t",
    "tss_": "create delete dtor_t get set t",
}
_LIBC_FORMS: Final = (
    r"(getc|getchar|putc|putchar|fgets|fputs|fread|fwrite|fflush|feof|ferror|clearerr)_unlocked",
    r"(asctime|ctime|gmtime|localtime|rand|readdir|getpw(nam|uid)|getgr(nam|gid)|ttyname)_[rs]",
    r"(getlogin|gethostby(name|addr)|str(tok|error)|(mem|str|wcs|wmem)n?(cpy|move|set|cat))_[rs]",
    r"isw?(alnum|alpha|blank|cntrl|digit|graph|lower|print|punct|space|upper|xdigit|ctype)_l",
    r"(tow?(lower|upper)|towctrans|(str|wcs)n?(casecmp|coll|xfrm)|strerror|strftime|newlocale)_l",
    r"u?int(_fast|_least)?(8|16|32|64)_t|(u?int(max|ptr)|ptrdiff|ssize|wint|wctype|wctrans)_t",
    r"(max_align|nullptr|l?l?div|imaxdiv|mbstate|fpos|float|double|fenv|fexcept|time|clock)_t",
    r"(blkcnt|blksize|clockid|dev|gid|id|ino|key|mode|nlink|off|pid|suseconds|uid|socklen)_t",
)
"""Functions and types of C and POSIX that have an underscore, as every symbol of a library does;
and what compiled code calls to print."""

_LIBC_NAMES: Final = frozenset(
    f"{prefix}{word}" for prefix, words in _LIBC.items() for word in words.split()
)
_LIBC_FORM: Final = re.compile("|".join(_LIBC_FORMS))


def symbols(library: str, function: str, threads: int = 0) -> tuple[str, ...]:
    """What a function defines: itself, and what tells the size of its workspace; then, in a library
    for threads, its parallel twin and the same of it."""
    whole = f"{library}_{function}"
    serial = (whole, f"{whole}_workspace_bytes")
    return (*serial, f"{whole}_parallel", f"{whole}_parallel_workspace_bytes")[
        : 4 if threads else 2
    ]


def table_symbols(library: str, function: str, word: str) -> tuple[str, str, str]:
    """What tells the rows of a sparse result's elements, their columns, and where rows begin."""
    whole = f"{library}_{function}_{word}_" if word else f"{library}_{function}_"
    return f"{whole}rows", f"{whole}cols", f"{whole}indptr"


def declared(
    library: str, functions: Iterable[str], threads: int = 0, *, communicates: bool = False
) -> frozenset[str]:
    """Every name that the header of such a library may declare, now or with a state."""
    words = (*_OWN_FUNCTIONS, *_OWN_TYPES, *(_PARALLEL_TYPES if threads else ()))
    words += _RANK_TYPES if communicates else ()
    own = {f"{library}_{word}" for word in words}
    own |= {f"{library.upper()}_{word}" for word in _OWN_MACROS} | {guard(library)}
    own |= {*_PARALLEL_PARAMETERS} if threads else set()
    own |= {_RANK_PARAMETER} if communicates else set()
    return frozenset(own.union(*(symbols(library, function, threads) for function in functions)))


def guard(library: str) -> str:
    """The macro that keeps the header from being read twice."""
    return f"NETS_LIBRARY_{library}_H"


def refusal(
    library: str, functions: Sequence[str], threads: int = 0, *, communicates: bool = False
) -> str | None:
    """Why functions of these names cannot be in that library, as a sentence; None if they can."""
    own = declared(library, (), threads, communicates=communicates)
    defined: dict[str, str] = {}
    for function in functions:
        if not _IDENTIFIER.fullmatch(function):
            return f"{function!r} cannot name a C function"
        if function.startswith("_"):
            return f"{function!r} cannot name a function: it begins with an underscore"
        if function in PYTHON_NAMES:
            return f"{function!r} cannot name a function: a loaded library has another {function}"
        for symbol in symbols(library, function, threads):
            if symbol in own:
                return f"{function!r} cannot name a function: the library has a {symbol} of its own"
            if symbol in defined:
                return f"{function!r} and {defined[symbol]!r} would both define {symbol}"
            if _is_foreign(symbol):
                return (
                    f"{function!r} cannot name a function of {library!r}: {symbol} means something "
                    "in C; call the function or the file otherwise"
                )
            defined[symbol] = function
    return None


def _is_foreign(symbol: str) -> bool:
    """May C, C++ or their libraries have that name already?"""
    forms = (_MACRO_LIKE.fullmatch(symbol), _LIBC_FORM.fullmatch(symbol), _RESERVED.match(symbol))
    return (
        symbol in _TAKEN or symbol in _LIBC_NAMES or symbol.startswith(_LIBC_FAMILIES) or any(forms)
    )
