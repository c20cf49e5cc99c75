/* Wine 8 has no bcryptprimitives.dll, which every Rust program for Windows imports for one function:
 * without this shim such a program ends with code 53 and no word. Wine's advapi32 has the same function
 * under its older name. Real Windows never sees this file. */
#include <windows.h>

BOOLEAN WINAPI SystemFunction036(PVOID Buffer, ULONG Length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE Buffer, SIZE_T Length)
{
    while (Length != 0) {
        ULONG Part = Length > 0x10000 ? 0x10000 : (ULONG)Length;
        if (!SystemFunction036(Buffer, Part)) {
            return FALSE;
        }
        Buffer += Part;
        Length -= Part;
    }
    return TRUE;
}
