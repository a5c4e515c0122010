"""The same program with less in it: tensor IR to tensor IR, bit for bit."""
