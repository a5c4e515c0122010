"""The reference: interpreters of tensor IR and of loop IR."""
