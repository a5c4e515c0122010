"""Makes ``tests`` a package that every test can import from, wherever pytest is started."""
