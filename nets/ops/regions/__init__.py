"""Operations that hold others: loops and branches, rules of derivatives, fusions."""
