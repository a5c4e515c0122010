"""The shape of loops: vectors, rows side by side, threads, memory. Loop IR to loop IR."""
