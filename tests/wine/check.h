/* A test that goes on after a failure and says in its last line, and by its code, how it went. */
#ifndef CHECK_H
#define CHECK_H
#include <stdio.h>
#include <string.h>
#include <windows.h>

static volatile LONG checks, failures;

static int check_at(int holds, const char *what, int line)
{
    InterlockedIncrement(&checks);
    if (!holds) {
        DWORD error = GetLastError();
        InterlockedIncrement(&failures);
        printf("line %d does not hold: %s (last error %lu)\n", line, what, error);
        fflush(stdout);
        SetLastError(error);
    }
    return holds;
}

static int same_at(const char *got, const char *expected, int line)
{
    int holds = strcmp(got, expected) == 0;
    InterlockedIncrement(&checks);
    if (!holds) {
        InterlockedIncrement(&failures);
        printf("line %d: \"%s\", not \"%s\"\n", line, got, expected);
        fflush(stdout);
    }
    return holds;
}

#define CHECK(condition) check_at(!!(condition), #condition, __LINE__)
#define SAME(got, expected) same_at(got, expected, __LINE__)

static int passed(void)
{
    printf("%ld checks, %ld failed\n", checks, failures);
    fflush(stdout);
    /* No clean-up: threads may still be at work, and none of it outlives the process. */
    TerminateProcess(GetCurrentProcess(), failures != 0);
    return 1;
}
#endif
