/* Needs a function that is not on offer. */
int puts(const char *text);

int foreign(void) {
    return puts("never printed");
}
