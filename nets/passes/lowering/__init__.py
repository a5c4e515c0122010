"""From tensor IR to loop IR."""
