"""What a traced function can see and change beyond its arguments.

A function reaches Python's names, containers and objects: its *world*. Before a trace, ``reach``
walks it by the names that the code says (``names``); ``world`` notes what each holder holds. After
the trace, what differs was written by the function (``writes``) and is written again by every call;
what was read is guarded (``guards``) or read at each call (``slots``, ``arrays``).
"""
