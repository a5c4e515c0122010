"""What makes a library feel native in other languages: each room writes one, from the manifest.

A wrapper looks at lengths before anything is touched and gives what the library refuses as the
errors of its language. Names of Python are kept where the language can have them (``names.py``).
"""
