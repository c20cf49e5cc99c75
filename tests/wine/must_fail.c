/* The negative control: if this passes, so would a broken test. */
#include "check.h"

int main(int argc, char **argv)
{
    (void)argc;
    if (strcmp(argv[1], "crash") == 0) {
        *(volatile int *)0 = 1;
    }
    CHECK(1 + 1 == 3);
    return passed();
}
