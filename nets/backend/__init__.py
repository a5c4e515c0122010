"""What runs programs: the reference interpreter, native code in this process, and libraries."""
