/* A small object, to be damaged in every place. */
static const int table[4] = {1, 2, 3, 4};
int value = 5;

int small(const int *x) {
    return table[*x & 3] + value;
}
