"""Go: goroutines that share the loops of a library for threads."""

from __future__ import annotations

from typing import Final

from nets.backend.library.callers.description import Description

ATOMIC: Final = '	"sync/atomic"\n'

_SHARING: Final = """
var (
	threads = 1
	sharing = C.LIBRARY_parallel_for(C.nets_go_share_LIBRARY)
)

// SetThreads lets so many goroutines, the caller's among them, share the loops of functions from
// now on; 1, as at first, for none. No call may be running.
func SetThreads(count int) {
	threads = count
}

//export nets_go_share_LIBRARY
func nets_go_share_LIBRARY(
	context unsafe.Pointer, part C.LIBRARY_parallel_part, task unsafe.Pointer, count C.int64_t,
) {
	var next int64
	help := func() {
		for i := atomic.AddInt64(&next, 1); i <= int64(count); i = atomic.AddInt64(&next, 1) {
			C.nets_go_part_LIBRARY(part, task, C.int64_t(i-1))
		}
	}
	var others sync.WaitGroup
	for i := 1; i < threads && i < int(count); i++ {
		others.Add(1)
		go func() {
			defer others.Done()
			help()
		}()
	}
	help()
	others.Wait()
}
"""


def sharing_declaration(library: Description) -> str:
    name = library.name
    return f"""\
extern void nets_go_share_{name}(void *, {name}_parallel_part, void *, int64_t);
static inline void nets_go_part_{name}({name}_parallel_part part, void *task, int64_t i) {{
	part(task, i);
}}
""" * bool(library.threads)


def sharing(library: Description) -> str:
    return _SHARING.replace("LIBRARY", library.name) if library.threads else ""
