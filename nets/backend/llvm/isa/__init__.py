"""What is one instruction set's own; all else is LLVM IR that any target takes."""
