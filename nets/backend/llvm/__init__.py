"""Native code: from loop IR to LLVM IR text, and by LLVM to object code."""
