/* A program that fails: a runner that calls this a pass tells nothing. */
#include <windows.h>

int main(void) { return GetLastError() == 0 ? 1 : 2; }
