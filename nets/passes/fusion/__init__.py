"""What shares loops, and what runs entry by entry."""
